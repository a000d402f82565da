"""Check parts of a repository's items that Fabric would refuse later, after other items were changed."""

from collections.abc import Callable, Iterable, Iterator

from shared.cli import part_checks
from shared.domain.errors import Problem, Problems
from shared.repository.compile import Analysis, made_up
from shared.repository.model import Item
from shared.repository.render import RenderError, render


def warnings(
    items: Iterable[Item], analysis: Analysis, read: Callable[[str], bytes], name: str, problems: Problems
) -> Iterator[Problem]:
    """Yield what is doubtful in the rendered parts; what Fabric would refuse is appended to `problems`. `name` is what
    messages call the folder of the repository."""
    for item in items:
        for part in item.parts:
            if not part_checks.is_checked(item.type, part.path):
                continue
            place = f"{name}/{part.file}" if name else part.file
            try:
                content = render(read(part.file), True, analysis.compiled.of(part.file), made_up)
            except RenderError as error:
                problems.append(Problem(place, str(error)))
                continue
            yield from part_checks.check(item.type, part.path, content, place, problems)
