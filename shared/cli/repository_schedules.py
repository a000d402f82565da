"""Check the schedules of a repository's items before anything is sent."""

from collections.abc import Callable, Iterable, Iterator

from shared.domain.errors import Problem, Problems
from shared.repository.compile import Analysis, made_up
from shared.repository.model import Item
from shared.repository.render import RenderError, render
from shared.repository.schedules import PART, left_out, schedules_in
from shared.steps.schedules import JOBS


def warnings(
    items: Iterable[Item], analysis: Analysis, read: Callable[[str], bytes], name: str, problems: Problems
) -> Iterator[Problem]:
    """Yield what Fabric's API cannot set; an unusable part is appended to `problems`. `name` is what messages call the
    folder of the repository."""
    for item in items:
        part = item.part(PART) if item.type in JOBS else None
        if part is None:
            continue
        place = f"{name}/{part.file}" if name else part.file
        try:
            text = render(read(part.file), True, analysis.compiled.of(part.file), made_up).decode()
            schedules_in(text)
            if unknown := left_out(text):
                yield Problem(
                    place, f"{', '.join(unknown)} of schedules cannot be set by Fabric's API, and is not sent"
                )
        except (ValueError, RenderError) as error:
            problems.append(Problem(place, str(error)))
