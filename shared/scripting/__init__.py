"""The package that Python programs import: transactions, retries, circuit breakers and secrets (docs/scripting.md).

Importing this package imports pybreaker and tenacity; it reads no setting and opens no connection.
"""

from shared.scripting.git import FabricGit, GitChange, GitStatus
from shared.scripting.resilience import (
    fabric_retry,
    get_all_circuit_breakers,
    get_circuit_breaker,
    reset_circuit_breaker,
)
from shared.scripting.secrets import get_secret_manager
from shared.scripting.transaction import (
    DeploymentTransaction,
    Pending,
    ResourceType,
    RollbackError,
    RollbackReport,
    RollbackResult,
    RolledBackError,
    TransactionError,
)
from shared.telemetry import track_operation, track_performance

__all__ = [
    "DeploymentTransaction",
    "FabricGit",
    "GitChange",
    "GitStatus",
    "Pending",
    "ResourceType",
    "RollbackError",
    "RollbackReport",
    "RollbackResult",
    "RolledBackError",
    "TransactionError",
    "fabric_retry",
    "get_all_circuit_breakers",
    "get_circuit_breaker",
    "get_secret_manager",
    "reset_circuit_breaker",
    "track_operation",
    "track_performance",
]
