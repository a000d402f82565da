"""The error for a deployment that is past its retention; apart from errors.py, because it holds a record."""

from shared.domain.errors import NotFoundError
from shared.domain.records import DeploymentRecord


class ForgottenError(NotFoundError):
    """A deployment is past its retention. `record` is what is kept of its header: the hash and the final state.

    Its audit is kept, and as long as it is, no other deployment can have the id.
    """

    def __init__(self, record: DeploymentRecord) -> None:
        since = f" since {record.forgotten_at:%Y-%m-%d}" if record.forgotten_at is not None else ""
        super().__init__(
            f"deployment '{record.deployment_id}' ended {record.state.value} and is past its retention{since}: "
            "only its audit is kept, and its id cannot be used again"
        )
        self.record = record
