"""Combine the page's JavaScript modules into one file, so that a browser needs one request instead of one for each.

Each module becomes a function that returns its exports, in the order of the imports. The page's modules keep to a few
forms, which `tests/unit/web/test_bundle.py` checks: `import { a, b } from "./x.js";`, and exported declarations of a
function, class or constant. An exported variable that changes later could not be combined.
"""

import re
from collections.abc import Mapping

_IMPORT = re.compile(r'^import \{([\w\s,]+)\} from "\./([\w-]+\.js)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|class|const) (\w+))", re.MULTILINE)
_LEFT = re.compile(r"^[ \t]*(?:import|export)\b.*", re.MULTILINE)


class BundleError(Exception):
    """The modules cannot be combined; the message names the file and the line."""


def bundle(entry: str, modules: Mapping[str, str]) -> str:
    """Return one module that behaves like `entry` with everything that it imports. Raises BundleError."""
    done: dict[str, str] = {}
    _add(entry, modules, done, ())
    return "\n".join(done.values())


def _add(name: str, modules: Mapping[str, str], done: dict[str, str], above: tuple[str, ...]) -> None:
    if name in done:
        return
    if name in above:
        raise BundleError(f"{name} imports itself, through {', '.join(above)}")
    if name not in modules:
        raise BundleError(f"{above[-1] if above else 'the page'} imports {name}, which does not exist")
    text = modules[name]
    for found in _IMPORT.finditer(text):
        _add(found[2], modules, done, (*above, name))
    done[name] = _wrapped(name, text)


def _wrapped(name: str, text: str) -> str:
    exports = ", ".join(_EXPORT.findall(text))
    text = _IMPORT.sub(lambda found: f"const {{{found[1]}}} = {_variable(found[2])};", text)
    text = _EXPORT.sub("", text)
    left = _LEFT.search(text)
    if left is not None:
        raise BundleError(f"{name}, line {text.count(chr(10), 0, left.start()) + 1}: cannot be combined: {left[0]}")
    return f"// {name}\nconst {_variable(name)} = (() => {{\n{text}\nreturn {{ {exports} }};\n}})();\n"


def _variable(name: str) -> str:
    return "$" + name.removesuffix(".js").replace("-", "_")
