"""Read the imports of the app's modules: the drawing of the packages and the test of their rule use them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.paths import ROOT

SOURCES = (*sorted((ROOT / "shared").rglob("*.py")), ROOT / "function_app.py")
"""The modules of the app."""


@dataclass(frozen=True)
class Import:
    """An imported module. It is lazy if it is imported only when a function runs, or only for type checkers."""

    name: str
    line: int
    is_lazy: bool
    is_for_types: bool


def imports(tree: ast.AST, *, is_lazy: bool = False, is_for_types: bool = False) -> Iterator[Import]:
    """Yield every import; `from a import b` yields a.b, and a relative import begins with its dots."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, is_lazy, is_for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from (Import(f"{base}.{alias.name}", node.lineno, is_lazy, is_for_types) for alias in node.names)
        else:
            guarded = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            deferred = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or guarded
            yield from imports(node, is_lazy=is_lazy or deferred, is_for_types=is_for_types or guarded)


def module_of(path: Path) -> str:
    """Return the dotted name of a source file."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def package_of(module: str) -> str:
    """Return the package of a module.

    `shared.saga.submission.acceptance` is in `saga`; function_app is its own package.
    """
    parts = module.split(".")
    return parts[1] if parts[0] == "shared" and len(parts) > 1 else parts[0]
