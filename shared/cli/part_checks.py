"""Check the parts of an item that Fabric would refuse, or take in another way than they were meant: schedules, and the
Spark compute and libraries of an environment. The rules are in `shared/repository`; here they get file and line."""

from collections.abc import Callable

from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.json import as_object
from shared.domain.text import utf8
from shared.repository import marked, schedule_rules, schedules
from shared.repository.environment_rules import check_compute, check_packages
from shared.repository.marked import Marked
from shared.steps.environment import LIBRARIES, SPARK, TYPE
from shared.steps.schedules import JOBS


def is_checked(item_type: str, path: str) -> bool:
    """Return True if `check` knows the rules of a part."""
    return (item_type in JOBS and path == schedules.PART) or (item_type == TYPE and path in _CHECKS)


def check(item_type: str, path: str, content: bytes, place: str, problems: Problems) -> list[Problem]:
    """Return what is doubtful in a part; what Fabric would refuse is appended to `problems`. `place` is what messages
    call its file."""
    try:
        text = utf8(content).removeprefix("\ufeff")
    except InvalidInputError as error:
        problems.append(Problem(place, error.problems[0].message))
        return []
    if path == schedules.PART:
        return _schedules(text, JOBS[item_type], place, problems)
    return _CHECKS[path](text, place, problems)


def _schedules(text: str, job_type: str, place: str, problems: Problems) -> list[Problem]:
    found = schedule_rules.check(text, job_type)
    problems += [Problem(f"{place}:{line}", what) for line, what in found.problems]
    if not found.problems:
        try:
            schedules.schedules_in(text)
        except ValueError as error:
            problems.append(Problem(place, str(error)))
    return [Problem(f"{place}:{line}", what) for line, what in found.warnings]


def _compute(text: str, place: str, problems: Problems) -> list[Problem]:
    root, found = _mapping(text, place, problems), list[Problem]()
    if root is not None:
        value = as_object(root.value) or {}
        check_compute(
            value,
            lambda name, what: problems.append(Problem(_place(root, name), what)),
            lambda name, what: found.append(Problem(_place(root, name), what)),
        )
    return found


def _libraries(text: str, place: str, problems: Problems) -> list[Problem]:
    """Check the shape, and return what is doubtful about the packages of pip: a file of Fabric may have more than the
    packages of a manifest. Options of pip, such as the address of another index, are left as they are."""
    doubtful = list[Problem]()
    root = _mapping(text, place, problems)
    rows = root.get("dependencies") if root is not None else None
    if root is None or rows is None or rows.value is None:
        return []
    if rows.rows is None:
        problems.append(Problem(rows.place, f"`dependencies` must be a list, not {rows.what}"))
        return []
    for each in rows:
        listed = each.get("pip")
        if each.text is None and (listed is None or listed.rows is None):
            what = "each entry of `dependencies` must be a package, or `pip` with a list of packages"
            problems.append(Problem(each.place, what))
        elif listed is not None:
            own = [row for row in listed if row.text is None or not row.text.startswith("-")]
            check_packages(
                [row.value for row in own],
                lambda i, what, own=own: doubtful.append(Problem(own[i].place, what)),
            )
    return doubtful


def _mapping(text: str, place: str, problems: Problems) -> Marked | None:
    """Return the mapping of a YAML file; None if it is empty, or is not one, which is a problem."""
    found = Problems()
    root = marked.load(text, place, found, is_lenient=True) if text.strip() else None
    if root is None or root.members is None:
        problems += [each for each in found if "is empty" not in each.message]
        if root is not None:
            problems.append(Problem(root.place, f"must be a mapping, not {root.what}"))
        return None
    return root


def _place(root: Marked, name: str) -> str:
    """Return the place of a field, or of the mapping that lacks it."""
    at = root
    place = root.place
    for each in name.split("."):
        place = at.keys.get(each, place)
        at = at.get(each) or at
    return place


_CHECKS: dict[str, Callable[[str, str, Problems], list[Problem]]] = {SPARK: _compute, LIBRARIES: _libraries}
