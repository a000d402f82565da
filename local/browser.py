"""A Chromium for the page's tests and screenshots, and axe-core: found on this machine, or installed from npm.

Looked for in this order: CHROMIUM in the environment, Playwright's own, one on the PATH, the one installed here.
The one from npm is built for servers: it brings its libraries, and needs neither root nor a package manager.
It is for Linux on x64 only.
"""

import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Chromium

HOME = Path(__file__).resolve().parent.parent / ".local"
CHROMIUM_VERSION = "153.0.0"
AXE_VERSION = "4.14.1"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
_APPLICATIONS = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",)
_ARCHIVES = ("al2023.tar", "fonts.tar")
_INFLATE = """
const fs = require("node:fs"), zlib = require("node:zlib"), { pipeline } = require("node:stream/promises");
(async () => {
  for (const [from, to] of JSON.parse(process.argv[1]))
    await pipeline(fs.createReadStream(from), zlib.createBrotliDecompress(), fs.createWriteStream(to));
})();
"""
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir>{folder}/fonts</dir>
  <cachedir>{folder}/font-cache</cachedir>
</fontconfig>
"""


class BrowserError(Exception):
    """No browser can be had; the message says what to do."""


@dataclass(frozen=True)
class Browser:
    """A Chromium: its program, and what its environment needs."""

    program: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])


def find(home: Path = HOME) -> Browser | None:
    """The first that is there; None where there is none. Raises BrowserError where CHROMIUM names no program."""
    given = os.environ.get("CHROMIUM")
    if given:
        if not os.access(given, os.X_OK):
            raise BrowserError(f"CHROMIUM is {given}, which is no program: correct it or leave it out")
        return Browser(Path(given))
    own = _playwrights_own()
    if own is not None:
        return Browser(own)
    for name in (*_NAMES, *_APPLICATIONS):
        found = shutil.which(name)
        if found is not None:
            return Browser(Path(found))
    return _installed(home)


def ensure_installed(home: Path = HOME) -> Browser:
    """The one that `find` gives, or else the one from npm. Raises BrowserError."""
    found = find(home)
    if found is not None:
        return found
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise BrowserError("install Chromium or Chrome, or name one in CHROMIUM: npm has one for Linux on x64 only")
    with _locked(home):
        found = _installed(home)
        return found or _install(home)


def ensure_axe(home: Path = HOME) -> Path:
    """axe-core's script, installed where it is absent. Raises BrowserError."""
    script = home / "axe" / "node_modules" / "axe-core" / "axe.min.js"
    with _locked(home):
        if not script.exists():
            _npm(home / "axe", f"axe-core@{AXE_VERSION}")
    return script


@contextmanager
def launched(found: Browser) -> "Generator[Chromium]":
    """That Chromium, started without a window."""
    from playwright.sync_api import sync_playwright

    environment: dict[str, str | float | bool] = {**os.environ, **found.environment}
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        chromium = playwright.chromium.launch(executable_path=found.program, env=environment, args=arguments)
        try:
            yield chromium
        finally:
            chromium.close()


def _playwrights_own() -> Path | None:
    folder = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright"
    for pattern in ("chromium-*/chrome-linux*/chrome", "chromium_headless_shell-*/chrome-*/*headless*shell"):
        found = [path for path in sorted(Path(folder).glob(pattern)) if os.access(path, os.X_OK)]
        if found:
            return found[-1]
    return None


def _folder(home: Path) -> Path:
    return home / "browser" / CHROMIUM_VERSION


def _installed(home: Path) -> Browser | None:
    folder = _folder(home)
    if not (folder / "ready").exists():
        return None
    environment = {"LD_LIBRARY_PATH": str(folder / "lib"), "FONTCONFIG_FILE": str(folder / "fonts.xml")}
    return Browser(folder / "chromium", environment)


def _install(home: Path) -> Browser:
    """Fetch and unpack. The file `ready` is written last: what was cut short is unpacked anew."""
    folder = _folder(home)
    _npm(home / "browser", f"@sparticuz/chromium@{CHROMIUM_VERSION}")
    packed = home / "browser" / "node_modules" / "@sparticuz" / "chromium" / "bin"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pairs = [[str(packed / f"{name}.br"), str(folder / name)] for name in ("chromium", *_ARCHIVES)]
    _run([_program("node"), "-e", _INFLATE, json.dumps(pairs)], "unpack Chromium")
    for archive in _ARCHIVES:
        shutil.unpack_archive(folder / archive, folder, "tar", filter="data")
        (folder / archive).unlink()
    (folder / "chromium").chmod(0o755)
    (folder / "fonts.xml").write_text(_FONTS.format(folder=folder))
    shutil.rmtree(home / "browser" / "node_modules")
    (folder / "ready").touch()
    found = _installed(home)
    if found is None:
        raise BrowserError(f"Chromium was unpacked into {folder}, but is not there: remove the folder and try again")
    return found


def _npm(prefix: Path, package: str) -> None:
    """Each into a folder of its own: npm removes what it did not install in the same call."""
    prefix.mkdir(parents=True, exist_ok=True)
    command = [
        _program("npm"),
        "install",
        "--no-audit",
        "--no-fund",
        "--no-save",
        "--ignore-scripts",
        "--loglevel=error",
    ]
    _run([*command, "--prefix", str(prefix), package], f"install {package} from npm")


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BrowserError(f"could not {what}: {done.stderr.strip()[-500:]}")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BrowserError("Node.js (18 or later, with npm) is needed to install a browser: install either of them")
    return found


@contextmanager
def _locked(home: Path) -> Generator[None]:
    """One process at a time: test workers start side by side."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "browser.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """`python -m local.browser install`: on a laptop that cannot have one, the page's tests are skipped."""
    try:
        print(f"chromium: {ensure_installed().program}")
        print(f"axe-core: {ensure_axe()}")
    except BrowserError as error:
        print(f"no browser: {error}", file=sys.stderr)
        return 1 if os.environ.get("CI") else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
