"""Read parameter.yml: the replacements for one environment, and the parts that they apply to.

Source of the rules: microsoft/fabric-cicd 1.4.0, whose files are accepted unchanged. A mistake that it notices only
when it publishes is a problem here, with file and line; docs/adr lists where the two differ.
"""

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from shared.domain.errors import Problem, Problems
from shared.repository import marked
from shared.repository.marked import Marked
from shared.repository.parameter_model import Parameters
from shared.repository.parameter_rules import Rules
from shared.repository.variables import ENV

PARAMETER_FILE = "parameter.yml"
SECTIONS = ("find_replace", "key_value_replace", "spark_pool", "semantic_model_binding", "gateway_binding")
_ENV_TOKEN = re.compile(rf"{re.escape(ENV)}(\w+)")


type ReadText = Callable[[str], str | None]
"""Returns the text of a file by its path; None if the file is missing."""


def load(
    read: ReadText, file: str, environment: str, env: Mapping[str, str] | None, problems: Problems
) -> Parameters | None:
    """Return the parameters of a file for one environment, with those of its templates (`extend`).

    None if the file is missing, which fabric-cicd allows, or if there was a problem. `env` are the environment
    variables that `$ENV:NAME` stands for; None switches that off, as without the feature flag of fabric-cicd.
    """
    before = len(problems)
    source = _Source(read, env, problems)
    root = source.document(file)
    if root is None:
        return None
    top = _extended(root, file, source, problems)
    _check_names(top, problems)
    loaded = Rules(environment, source.values(), env is not None, problems).parameters(top)
    return None if len(problems) > before else replace(loaded, environment_variables=tuple(sorted(source.used)))


class _Source:
    """Reads the documents, with the environment variables in them replaced."""

    def __init__(self, read: ReadText, env: Mapping[str, str] | None, problems: Problems) -> None:
        self._read, self._env, self._problems = read, env, problems
        self.used: set[str] = set()

    def document(self, file: str) -> Marked | None:
        text = self._read(file)
        if text is None:
            return None
        root = marked.load(self._with_variables(text), file, self._problems)
        if root is not None and root.members is None:
            what = f"must be a mapping of {', '.join(SECTIONS)}, not {root.what}"
            self._problems.append(Problem(root.place, what))
            return None
        return root

    def values(self) -> tuple[str, ...]:
        """Return the values of the environment variables that a document has named."""
        return tuple((self._env or {})[name] for name in sorted(self.used))

    def _with_variables(self, text: str) -> str:
        env = self._env
        if env is None:
            return text

        def value(match: re.Match[str]) -> str:
            if match[1] not in env:
                return match[0]
            self.used.add(match[1])
            return env[match[1]]

        return _ENV_TOKEN.sub(value, text)


def _extended(root: Marked, file: str, source: _Source, problems: Problems) -> dict[str, Marked]:
    """Return the top level with the templates merged into it. fabric-cicd skips a template that cannot be read."""
    top = dict(root.members or {})
    extend = top.get("extend")
    if extend is None or not extend.value:
        return top  # an empty `extend` is an unknown name, as in fabric-cicd
    del top["extend"]
    if extend.rows is None:
        problems.append(Problem(extend.place, f"extend must be a list of files, not {extend.what}"))
        return top
    seen: set[str] = set()
    for row in extend:
        name = str(row.value)
        if name in seen:
            continue
        seen.add(name)
        template = posixpath.normpath(posixpath.join(posixpath.dirname(file), name))
        before = len(problems)
        document = source.document(template)
        if document is None:
            if len(problems) == before:
                problems.append(Problem(row.place, f"the template {name[:200]!r} does not exist"))
        elif document.get("extend") is not None:
            place = document.keys["extend"]
            problems.append(Problem(place, "a template may not extend others; name them in the first file"))
        else:
            top = _merged(top, document.members or {}, problems)
    return top


def _merged(base: dict[str, Marked], more: dict[str, Marked], problems: Problems) -> dict[str, Marked]:
    """Return both mappings as one: lists one after the other, mappings merged, anything else is a problem."""
    found = dict(base)
    for key, value in more.items():
        own = found.get(key)
        if own is None:
            found[key] = value
        elif own.rows is not None and value.rows is not None:
            found[key] = Marked(None, own.place, rows=[*own.rows, *value.rows])
        elif own.members is not None and value.members is not None:
            members = _merged(own.members, value.members, problems)
            found[key] = Marked(None, own.place, members=members, keys={**value.keys, **own.keys})
        else:
            what = f"{key} is {value.what} here and {own.what} in {own.place}; only lists and mappings are merged"
            problems.append(Problem(value.place, what))
    return found


def _check_names(top: dict[str, Marked], problems: Problems) -> None:
    for name, value in top.items():
        if name not in SECTIONS:
            known = f"{', '.join(SECTIONS)} and extend (a list of files)"
            what = f"{name[:64]!r} is not a parameter; the parameters are {known}"
            problems.append(Problem(value.place, what))
        elif value.rows is None and (name != "semantic_model_binding" or value.members is None):
            problems.append(Problem(value.place, f"{name} must be a list of parameters, not {value.what}"))
    if top and not any(name in top for name in SECTIONS):
        return  # each name is reported already
    if not top:
        problems.append(Problem(PARAMETER_FILE, "has no parameters; remove the file, or write them into it"))
