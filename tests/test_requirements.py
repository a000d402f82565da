"""All packages that the app ships are pinned, also indirect ones, and the tests run with these versions."""

import ast
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.utils import canonicalize_name

from local.constraints import drawn_in, required, text
from local.imports import SOURCES
from local.paths import ROOT

FIRST_PARTY = {"shared", "function_app"}


def test_constraints_are_what_is_installed() -> None:
    """Azure's build installs from this file, so it must have the versions that passed here (`make constraints`)."""
    assert (ROOT / "constraints.txt").read_text() == text(), "run `make constraints`, and look at what changed"


def test_every_requirement_is_pinned_exactly() -> None:
    """A range would let two builds differ."""
    for name in ("requirements.txt", "requirements-dev.txt", "constraints.txt"):
        for requirement in required(ROOT / name):
            assert str(requirement.specifier).startswith("=="), f"{name}: {requirement}"


def test_versions_of_requirements_and_constraints_agree() -> None:
    """pip refuses to install two versions of one package."""
    pinned = {canonicalize_name(r.name): str(r.specifier) for r in required(ROOT / "constraints.txt")}
    for requirement in required(ROOT / "requirements.txt"):
        assert pinned[canonicalize_name(requirement.name)] == str(requirement.specifier), requirement


def test_every_imported_package_is_a_requirement() -> None:
    """An indirect package may disappear with the next version of the package that requires it."""
    provided = {module for r in required(ROOT / "requirements.txt") for module in _modules(r.name)}
    imported = {
        module: str(path.relative_to(ROOT))
        for path in SOURCES
        for module in _imports(path)
        if module.partition(".")[0] not in FIRST_PARTY | sys.stdlib_module_names
    }
    assert "tenacity" in imported
    assert {module: path for module, path in imported.items() if module not in provided} == {}


def test_packages_that_are_drawn_in_are_found_with_their_extras() -> None:
    """azure-functions-durable requires durabletask with an extra, which requires opentelemetry."""
    found = drawn_in([r for r in required(ROOT / "requirements.txt") if r.name == "azure-functions-durable"])
    assert {"azure-functions-durable", "durabletask", "opentelemetry-api", "grpcio", "protobuf"} <= set(found)
    assert "pytest" not in found


def _imports(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def _modules(name: str) -> set[str]:
    """Return the dotted names of the modules and packages that a distribution installs."""
    found: set[str] = set()
    for file in distribution(name).files or []:
        if file.suffix in (".py", ".so"):
            parts = [part.partition(".")[0] for part in file.parts]
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found |= {".".join(parts[: n + 1]) for n in range(len(parts))}
    return found
