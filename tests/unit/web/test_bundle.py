"""The page's modules in one file."""

import shutil
import subprocess
from pathlib import Path

import pytest

from shared.web import page
from shared.web.bundle import BundleError, bundle
from tests.conftest import require

MODULES = {file.name: file.read_text() for file in page.FOLDER.glob("*.js")}
SMALL = {
    "app.js": 'import { twice, A } from "./b.js";\nimport { one } from "./c.js";\n'
    "console.log(twice(one()), new A().n);\n",
    "b.js": 'import { one } from "./c.js";\n\nexport const TWO = 2;\nexport function twice(n) {\n  return TWO * n;\n}\n'
    "export class A {\n  n = one();\n}\n",
    "c.js": "const hidden = 3;\nexport function one() {\n  return hidden;\n}\n",
}


def run(script: str, tmp_path: Path, *options: str) -> str:
    """Return what Node.js prints."""
    require(shutil.which("node") is not None, "needs Node.js")
    (tmp_path / "x.mjs").write_text(script)
    done = subprocess.run(["node", *options, str(tmp_path / "x.mjs")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bundle_behaves_like_its_modules(tmp_path: Path) -> None:
    """Each module keeps its own names, and runs once, after those that it imports."""
    assert run(bundle("app.js", SMALL), tmp_path) == "6 3\n"


def test_bundle_of_the_page_is_valid_and_complete(tmp_path: Path) -> None:
    """Every module is in it, and the browser asks for no other; tests/page runs it."""
    served = page.files(page.FOLDER)["app.js"][0].decode()
    run(served, tmp_path, "--check")
    assert all(f"// {name}\n" in served for name in MODULES)
    assert 'from "./' not in served


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"c.js": "export let n = 1;\n"}, "c.js, line 1: cannot be combined: export let n = 1;"),
        ({"c.js": "export default 1;\n"}, "c.js, line 1: cannot be combined"),
        ({"c.js": 'import { twice } from "./b.js";\n'}, "b.js imports itself, through app.js, b.js, c.js"),
        ({"b.js": 'import { x } from "./none.js";\n'}, "b.js imports none.js, which does not exist"),
        ({"c.js": '\nimport * as b from "./b.js";\n'}, "c.js, line 2: cannot be combined"),
    ],
)
def test_bundle_refuses_what_it_would_change(changes: dict[str, str], expected: str) -> None:
    """A form that it does not know is an error, not a page that fails in the browser."""
    with pytest.raises(BundleError, match=expected):
        bundle("app.js", {**SMALL, **changes})
