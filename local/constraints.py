"""`make constraints`: write constraints.txt, the exact version of every package that the app ships.

requirements.txt names the packages that the code imports. They draw in others, which pip would choose again at each
build. constraints.txt pins those too, so that each build in Azure installs what the tests ran with.
"""

from collections.abc import Iterable
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local import generated
from local.paths import ROOT

FILE = ROOT / "constraints.txt"
HEADER = "# Written by `make constraints`: every package that requirements.txt draws in, as the tests ran with it.\n"


def required(path: Path) -> list[Requirement]:
    """Return the requirements of a file, without comments and options such as `-r` and `-c`."""
    lines = (line.partition(" #")[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def drawn_in(requirements: Iterable[Requirement]) -> dict[str, str]:
    """Return the installed version of each package that these requirements need, by normalised name, with what those
    need in turn.

    Raises PackageNotFoundError for a package that is not installed.
    """
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    left = [(requirement, extra) for requirement in requirements for extra in ("", *requirement.extras)]
    while left:
        requirement, extra = left.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found[name] = distribution(name)
        for text in found[name].requires or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                left += [(needed, each) for each in ("", *needed.extras)]
    return {name: found[name].version for name in sorted(found)}


def text() -> str:
    """Return what constraints.txt must hold for the packages that are installed now."""
    versions = drawn_in(required(ROOT / "requirements.txt"))
    return HEADER + "".join(f"{name}=={version}\n" for name, version in versions.items())


if __name__ == "__main__":
    generated.write(FILE, text())
