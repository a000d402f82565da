"""What a plan shows of an update beside its fields."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Details:
    """An update as a plan shows it, beside its fields: the files that differ, the differences as lines, how completely
    a rollback restores what was there (`exact`, `lossy` or `no`; empty if the kind does not say), and what it does in
    the words of the kind, if it has any."""

    files: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    restorable: str = ""
    will: str = ""
