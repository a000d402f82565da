"""The rule in the docstring of shared/__init__.py, checked by reading the source: which package imports which, and
which may use what."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import shared
from local.imports import SOURCES, Import, imports, module_of, package_of
from local.paths import ROOT

MAX_LINES = 400
TRIGGERS = ("azure.functions", "azure.durable_functions")
KNOW_THE_HOST = ("function_app", "shared.web.routes")
ENVIRONMENT = ("os.environ", "os.getenv", "os.environb")
OUTSIDE = frozenset({"local", "tests", "function_app"})
IMPURE = frozenset(
    {"asyncio", "http", "logging", "os", "pathlib", "random", "secrets", "shutil", "socket", "subprocess", "sys"}
    | {"tempfile", "threading", "time", "urllib", "uuid", "requests", "azure", "grpc", "durabletask"}
)
"""Modules that the domain may not import: I/O, the clock, ids, randomness."""
IMPURE_CALLS = frozenset({"now", "today", "utcnow", "open", "print", "input"})
READERS = ("shared.repository.files", "shared.repository.scan")
"""The modules of a pure package that read files."""


def rule() -> dict[str, frozenset[str]]:
    """Return each package with the packages that it may import, from the table in the docstring."""
    found = re.findall(r"^    (\w+) +<- +(nothing|\w+(?:, \w+)*)  ", shared.__doc__ or "", re.MULTILINE)
    return {package: frozenset() if others == "nothing" else frozenset(others.split(", ")) for package, others in found}


RULE = rule()


def is_in(name: str, *packages: str) -> bool:
    """Return True if a module is one of the packages or is inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def violations(module: str, source: str) -> list[str]:
    """Return every breach of the rule in one module."""
    tree, package = ast.parse(source), package_of(module)
    found: list[str] = []
    for each in imports(tree):
        breach = _import_breach(module, package, each)
        if breach:
            found.append(f"{module}:{each.line} imports {each.name}: {breach}")
    for node in ast.walk(tree):
        if module != "shared.settings" and isinstance(node, ast.Attribute) and ast.unparse(node) in ENVIRONMENT:
            found.append(f"{module}:{node.lineno} reads the environment")
        if _is_pure(module, package) and isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in IMPURE_CALLS:
                found.append(f"{module}:{node.lineno} calls {name}: the {package} is pure")
    if len(source.splitlines()) > MAX_LINES:
        found.append(f"{module} has more than {MAX_LINES} lines")
    return found


def _import_breach(module: str, package: str, each: Import) -> str:
    name = each.name
    if name.startswith("."):
        return "a relative import"
    top = name.split(".")[0]
    if top in OUTSIDE:
        return "shared must stand alone"
    if top == "shared":
        other = package_of(name)
        allowed = (
            frozenset({"entry", "health", "saga", "web"}) if package == "function_app" else RULE[package] | {package}
        )
        if other not in allowed:
            return f"{package} may not import {other}"
        if (package, other) == ("bootstrap", "adapters") and not each.is_lazy:
            return "adapters are imported on first use"
    if is_in(name, *TRIGGERS):
        return "" if module in KNOW_THE_HOST else "only function_app.py and web.routes know the triggers"
    if top in ("azure", "grpc", "requests") and package != "adapters" and not (package == "bootstrap" and each.is_lazy):
        return "vendors' clients live in adapters"
    if is_in(name, "os.environ", "os.getenv") and package != "settings":
        return "only settings.py reads the environment"
    if _is_pure(module, package) and top in IMPURE:
        return f"the {package} is pure"
    return ""


def _is_pure(module: str, package: str) -> bool:
    return package == "domain" or (package == "repository" and module not in READERS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: module_of(path))
def test_architecture_module_follows_the_rule(path: Path) -> None:
    assert violations(module_of(path), path.read_text()) == []


def test_architecture_table_names_exactly_the_existing_packages() -> None:
    there = {package_of(module_of(path)) for path in SOURCES} - {"shared", "function_app"}
    assert set(RULE) == there
    assert all(others <= there for others in RULE.values())


def test_architecture_rule_has_no_cycle() -> None:
    reached = {package: set(others) for package, others in RULE.items()}
    for _ in RULE:
        for others in reached.values():
            others |= {far for near in set(others) for far in reached[near]}
    assert [package for package, others in reached.items() if package in others] == []


@pytest.mark.parametrize(
    ("module", "source", "expected_text"),
    [
        ("shared.domain.step_graph", "from shared.saga import engine", "domain may not import saga"),
        ("shared.domain.step_graph", "import random", "the domain is pure"),
        ("shared.domain.step_graph", "from datetime import datetime\ndatetime.now()", "calls now"),
        ("shared.domain.step_graph", "def f():\n    open('x')", "calls open"),
        ("shared.repository.order", "import os", "the repository is pure"),
        ("shared.repository.order", "from shared.steps import item", "repository may not import steps"),
        ("shared.steps.item", "from shared.adapters import blobs", "steps may not import adapters"),
        ("shared.saga.submission.acceptance", "import shared.bootstrap", "saga may not import bootstrap"),
        ("shared.saga.submission.acceptance", "def f():\n    import azure.identity", "vendors' clients"),
        ("shared.saga.submission.acceptance", "import azure.functions", "only function_app.py"),
        ("shared.web.api", "import azure.functions", "only function_app.py"),
        ("shared.saga.submission.acceptance", "import os\nos.environ['X']", "reads the environment"),
        ("shared.saga.submission.acceptance", "import os\nos.getenv('X')", "reads the environment"),
        ("shared.saga.submission.acceptance", "from os import environ", "only settings.py"),
        ("shared.saga.submission.acceptance", "from local import stack", "stand alone"),
        ("shared.cli.pack", "from tests import fakes", "stand alone"),
        ("shared.entry", "from shared.cli import pack", "entry may not import cli"),
        ("shared.bootstrap", "from shared.adapters.storage.blobs import BlobStore", "on first use"),
        ("shared.bootstrap", "import azure.identity", "vendors' clients"),
        ("shared.adapters.storage.blobs", "from . import storage", "relative"),
        ("shared.adapters.storage.blobs", "x = 1\n" * 401, "more than 400 lines"),
        ("function_app", "from shared import bootstrap", "function_app may not import bootstrap"),
    ],
)
def test_architecture_planted_violation_is_found(module: str, source: str, expected_text: str) -> None:
    """The rule can fail: each kind of breach in a planted source is reported."""
    found = violations(module, source)
    assert len(found) == 1
    assert expected_text in found[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "shared.bootstrap",
            "def f():\n    from shared.adapters.storage.blobs import BlobStore\n    import azure.identity",
        ),
        ("shared.bootstrap", "if TYPE_CHECKING:\n    from shared.adapters.storage.blobs import BlobStore"),
        ("shared.settings", "import os\nos.environ"),
        ("function_app", "import azure.functions as func\nfrom shared import entry"),
    ],
)
def test_architecture_lawful_source_passes(module: str, source: str) -> None:
    assert violations(module, source) == []


WATCH = """
import collections.abc, os, sys

class Watched(collections.abc.MutableMapping):
    def __init__(self, real): self.real, self.read = real, set()
    def __getitem__(self, name): self.read.add(name); return self.real[name]
    def __setitem__(self, name, value): self.real[name] = value
    def __delitem__(self, name): del self.real[name]
    def __iter__(self): return iter(self.real)
    def __len__(self): return len(self.real)

os.environ = watched = Watched(os.environ)
import function_app
ours = ("FABRIC_", "AZURE_CLIENT", "AZURE_TENANT", "AzureWebJobsStorage", "RETRY_", "COMPENSATION_", "STEP_LEASE",
        "SETTLE_", "WATCHDOG_", "TARGET_", "RESTART_", "FEATURE_", "SWEEP_")
print(sorted(name for name in watched.read if name.startswith(ours)))
heavy = ("requests", "azure.data.tables", "azure.storage", "azure.identity")
print(sorted(name for name in sys.modules if name in heavy))
"""


def test_architecture_importing_the_app_is_cheap_and_reads_no_settings() -> None:
    """A cold start reads none of the app's settings from the environment, and loads no heavy library."""
    done = subprocess.run([sys.executable, "-c", WATCH], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["[]", "[]"]
