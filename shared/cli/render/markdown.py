"""The end of a deployment, or a plan, as a page of Markdown, which GitHub and Azure Pipelines show for a run."""

from collections.abc import Sequence

from shared.cli.render.output import failures, last_error, retry, verdict
from shared.cli.render.timeline import clean, timeline
from shared.domain.records import DeploymentRecord, StepRecord

LIMIT_BYTES = 1024 * 1024
"""The limit of GitHub for the summary of a step; a larger summary is refused as a whole."""
_LADDER = (1_000, 300, 100, 30, 0)
"""Numbers of steps to try: the page shows the largest number that fits."""


def document(header: DeploymentRecord, steps: Sequence[StepRecord], room_bytes: int = LIMIT_BYTES) -> str:
    """Return the page of at most `room_bytes` of UTF-8; empty if not even the verdict fits."""
    for maximum in _LADDER:
        text = _page(header, steps, maximum)
        if len(text.encode("utf-8", "backslashreplace")) <= room_bytes:
            return text
    return ""


def plan(name: str, lines: Sequence[str], room_bytes: int = LIMIT_BYTES) -> str:
    """Return the page of a plan; the last line is the totals. The sign of a line gives it its colour."""
    *changes, total = [clean(line.replace("`", "'"), 300).strip() for line in lines]
    for maximum in _LADDER:
        left = [f"{len(changes) - maximum} more are in the log"] if len(changes) > maximum else []
        text = "\n".join(
            [f"### Plan of {escape_markdown(name)}", "", "```diff", *changes[:maximum], *left, "```", "", total, "", ""]
        )
        if len(text.encode("utf-8", "backslashreplace")) <= room_bytes:
            return text
    return ""


def _page(header: DeploymentRecord, steps: Sequence[StepRecord], maximum: int) -> str:
    errors = {
        s.step_id: f"{repeated}: {last.message}" for s in steps if (repeated := retry(s)) and (last := last_error(s))
    }
    errors |= {step.step_id: error.message for step, _, error in failures(steps)}
    # If not all steps fit, the failed steps come first.
    shown = steps if len(steps) <= maximum else sorted(steps, key=lambda s: s.step_id not in errors)[:maximum]
    lines = [f"### Deployment {escape_markdown(header.deployment_id)}", "", escape_markdown(verdict(header), 1500), ""]
    if shown:
        lines += ["| step | kind | state | failed attempts | seconds | error |", "|---|---|---|--:|--:|---|"]
        lines += [_row(step, errors.get(step.step_id, "")) for step in shown]
    if left := len(steps) - len(shown):
        lines += ["", f"{left} more steps are in the log."]
    if bars := timeline(header, shown):
        lines += ["", "```text", *(clean(line.replace("`", "'"), 300) for line in bars), "```"]
    return "\n".join([*lines, "", ""])


def _row(step: StepRecord, error: str) -> str:
    took = ""
    if step.started_at and step.finished_at:
        took = f"{(step.finished_at - step.started_at).total_seconds():.2f}"
    cells = [
        escape_markdown(step.step_id, 80),
        escape_markdown(step.kind, 40),
        step.state.value,
        str(step.attempt or ""),
    ]
    return f"| {' | '.join([*cells, took, escape_markdown(error, 300)])} |"


def escape_markdown(text: str, maximum: int = 500) -> str:
    """Return foreign text as code, so that it contains no markup, link or mention.

    Characters that would end the code or the table cell are replaced.
    """
    shown = clean(text, maximum).replace("`", "'").replace("|", "\u00a6").strip()
    return f"`{shown}`" if shown else ""
