"""Find or install Chromium and axe-core for the page's tests and screenshots.

Chromium is looked for in this order: CHROMIUM in the environment, Playwright's own, one on the PATH, the one that this
module installed from npm. The package from npm is built for servers: it contains its libraries, and needs neither root
nor a package manager. It is for Linux on x64 only.
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

from local.paths import HOME

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Chromium
    from playwright.sync_api import Page

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
    """No browser was found or could be installed; the message says what to do."""


@dataclass(frozen=True)
class Browser:
    """A Chromium: its program, and the environment variables that it needs."""

    program: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])


def find(home: Path = HOME) -> Browser | None:
    """Return the first Chromium found, or None. Raises BrowserError if CHROMIUM does not name a program."""
    given = os.environ.get("CHROMIUM")
    if given:
        if not os.access(given, os.X_OK):
            raise BrowserError(f"CHROMIUM is {given}, which is not a program: correct or unset it")
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
    """Return the Chromium that `find` returns, or else install one from npm. Raises BrowserError."""
    found = find(home)
    if found is not None:
        return found
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise BrowserError("install Chromium or Chrome, or set CHROMIUM: the package from npm is for Linux on x64 only")
    with _locked(home):
        found = _installed(home)
        return found or _install(home)


def ensure_axe(home: Path = HOME) -> Path:
    """Return the path of axe-core's script; install it from npm if it is missing. Raises BrowserError."""
    script = home / "axe" / "node_modules" / "axe-core" / "axe.min.js"
    with _locked(home):
        if not script.exists():
            _npm(home / "axe", f"axe-core@{AXE_VERSION}")
    return script


@contextmanager
def launched(found: Browser) -> "Generator[Chromium]":
    """Start Chromium without a window, and close it at the end."""
    from playwright.sync_api import sync_playwright

    environment: dict[str, str | float | bool] = {**os.environ, **found.environment}
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        chromium = playwright.chromium.launch(executable_path=found.program, env=environment, args=arguments)
        try:
            yield chromium
        finally:
            chromium.close()


def open_dashboard(page: "Page", functions_url: str, function_key: str, fragment: str = "") -> None:
    """Open the app's page with its function key, at a fragment such as `#/deployments/ID`."""
    page.add_init_script(f"sessionStorage.setItem('fabric-saga-key', {json.dumps(function_key)})")
    page.goto(f"{functions_url}/api/dashboard{fragment}")


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
    """Download and unpack Chromium. The file `ready` is written last, so an interrupted installation starts again."""
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
        raise BrowserError(f"Chromium was unpacked into {folder} but is missing there: remove the folder and try again")
    return found


def _npm(prefix: Path, package: str) -> None:
    """Install a package. Each package has its own folder, because npm removes what it did not install in one call."""
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
    """Hold a lock between processes, because test workers start in parallel."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "browser.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Install the browser. Return 1 in CI if that fails; elsewhere the page's tests are then skipped."""
    try:
        print(f"chromium: {ensure_installed().program}")
        print(f"axe-core: {ensure_axe()}")
    except BrowserError as error:
        print(f"no browser: {error}", file=sys.stderr)
        return 1 if os.environ.get("CI") else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
