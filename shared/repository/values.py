"""The values of an entry of parameter.yml by environment, and which of them one environment has."""

from collections.abc import Iterator

from shared.domain.errors import Problem, Problems
from shared.domain.fields import suggestion
from shared.repository.marked import Marked
from shared.repository.parameter_model import NO_ENVIRONMENT

_ALL = "_all_"
_NAMED = 10


class Values:
    """Chooses the value of one environment. `_ALL_`, in upper or lower case, stands for each; it must stand alone."""

    def __init__(self, environment: str, problems: Problems) -> None:
        self.environment = environment
        self.warnings: list[Problem] = []
        self._known: dict[str, None] = {}
        self._problems = problems

    def each(self, values: Marked) -> Iterator[tuple[str, Marked]]:
        """Yield the environments with their values."""
        yield from (values.members or {}).items()

    def chosen(self, values: Marked) -> Marked | None:
        """Return the value of the environment; None if it has none."""
        members = values.members or {}
        self._known |= dict.fromkeys(members)
        every = next((name for name in members if name.lower() == _ALL), None)
        if every is not None and len(members) == 1:
            return members[every]
        if every is not None and self.environment != NO_ENVIRONMENT:
            others = ", ".join(name for name in members if name != every)
            what = f"{every} stands for every environment and must stand alone; remove it, or {others}"
            self._problems.append(Problem(values.keys[every], what))
        return members.get(self.environment)

    def warn_of_unknown(self, file: str) -> None:
        """Warn, before all else, that no entry has a value for the environment: its name may be misspelt."""
        others = [name for name in self._known if name.lower() != _ALL]
        if others and self.environment not in (*self._known, NO_ENVIRONMENT):
            near = suggestion(self.environment, others)
            what = f"has values for {', '.join(others[:_NAMED])}, and none for {self.environment}.{near}"
            self.warnings.insert(0, Problem(file, what))

    def skipped(self, place: str, what: str) -> None:
        """Warn that an entry has no value for the environment."""
        self.warnings.append(Problem(place, f"{what} has no value for {self.environment}, so it is not applied"))
