"""The details of an update that a plan and the audit show beside its fields."""

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


@dataclass(frozen=True)
class Drift:
    """A difference that does not come from the manifest: the resource has changed in Fabric since it was deployed.

    `remark` says what is known of it. `is_all` is False if the manifest also asks for something else now.
    """

    remark: str
    is_all: bool

    @property
    def reason(self) -> str:
        """Return the reason of the update, as the audit has it."""
        return f"{'drift: ' if self.is_all else ''}{self.remark} (its before-image is kept)"
