"""The optional filters of a parameter: item type, item name and file path. A parameter without one applies everywhere.

Source of the rules: microsoft/fabric-cicd 1.4.0, `check_replacement` and `process_input_path`. A pattern that it does
not accept matches nothing there, silently; here it matches nothing with a warning.
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from glob import translate

_MAGIC = re.compile(r"[*?[]")
_TRAVERSAL = ("../", "..%2f", "..%5c")
_COMBINATIONS = ("/**/*/", "**/**", "//", "\\\\")


@dataclass(frozen=True)
class Filters:
    """The parts that a parameter applies to. None means all; an empty tuple means nothing."""

    types: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None
    files: frozenset[str] | None = None

    def match(self, item_type: str, name: str, file: str) -> bool:
        """Return True if the parameter applies to a file of an item."""
        return (
            (self.types is None or item_type in self.types)
            and (self.names is None or name in self.names)
            and (self.files is None or file in self.files)
        )


def is_wildcard(path: str) -> bool:
    """Return True if a path filter is a pattern."""
    return _MAGIC.search(path) is not None


def matching(path: str, files: Iterable[str]) -> set[str]:
    """Return the files of the repository (relative paths) that a path filter without problems names."""
    if not is_wildcard(path):
        # A trailing slash and a leading one make no difference to a plain path.
        wanted = posixpath.normpath(path.lstrip("/\\") or ".")
        return {file for file in files if file == wanted}
    pattern = path.replace("\\", "/")
    if pattern.endswith("/"):  # names directories only
        return set()
    names = "/".join(each for each in pattern.split("/") if each not in ("", "."))
    form = re.compile(translate(names, recursive=True, include_hidden=True, seps="/"))
    return {file for file in files if form.match(file)}


def pattern_problem(path: str) -> str:
    """Return why a pattern matches nothing, whatever files there are; empty if it may match."""
    pattern = path.replace("\\", "/")
    if pattern.startswith("/"):
        return "begins with /; write it relative to the repository"
    if any(each in pattern for each in _COMBINATIONS):
        return "combines wildcards that cannot be combined (/**/*/, **/**, //)"
    if "**" in pattern and "**/" not in pattern and "/**" not in pattern:
        return "has ** inside a name; write **/ or /**"
    if not _is_nested(pattern):
        return "has a bracket or brace without its other half"
    for inside in re.findall(r"\[(.*?)\]", pattern):
        if not inside or inside.startswith(("]", "-")) or "--" in inside:
            return f"has the character class [{inside}], which is not valid"
    if any(each in pattern.lower() for each in _TRAVERSAL):
        return "leads out of the repository"
    return ""


def brace_problem(path: str) -> str:
    """Return why a pattern with braces does not mean what it seems to; fabric-cicd never expands them."""
    has_braces = "{" in path or "}" in path
    return "has braces, which are not expanded; write one pattern for each alternative" if has_braces else ""


def _is_nested(pattern: str) -> bool:
    """Return True if each bracket is closed by its own kind, as fabric-cicd counts them."""
    stack: list[str] = []
    for each in pattern:
        if each in "[{":
            stack.append(each)
        elif each in "]}" and (not stack or stack.pop() + each not in ("[]", "{}")):
            return False
    return not stack
