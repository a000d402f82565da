"""The ports: Protocols of the external services, which adapters and the tests' in-memory twins implement."""

from shared.domain.ports.breakers import BreakerAdmin, BreakerStore
from shared.domain.ports.callers import Callers
from shared.domain.ports.deployed import DeployedItem, DeployedItems
from shared.domain.ports.engine import Clock, Orchestrations
from shared.domain.ports.fabric import Fabric, FabricReply, Gate, OperationStarted, OperationStatus, Tokens, Transport
from shared.domain.ports.journal import Change, CorruptRow, Journal, JournalReads, NoteHead, Versioned
from shared.domain.ports.kinds import Expanded, KindRules
from shared.domain.ports.rates import RateStore
from shared.domain.ports.receiver import Receiver, Refusal
from shared.domain.ports.secrets import SecretSource
from shared.domain.ports.storage import (
    Blobs,
    DriftedTarget,
    DriftSignal,
    Lock,
    Locks,
    PoisonSignal,
    QueueDepth,
    Signals,
    StepQueue,
    SweepSignal,
)
from shared.domain.ports.telemetry import Telemetry

__all__ = [
    "Blobs",
    "BreakerAdmin",
    "BreakerStore",
    "Callers",
    "Change",
    "Clock",
    "CorruptRow",
    "DeployedItem",
    "DeployedItems",
    "DriftSignal",
    "DriftedTarget",
    "Expanded",
    "Fabric",
    "FabricReply",
    "Gate",
    "Journal",
    "JournalReads",
    "KindRules",
    "Lock",
    "Locks",
    "NoteHead",
    "OperationStarted",
    "OperationStatus",
    "Orchestrations",
    "PoisonSignal",
    "QueueDepth",
    "RateStore",
    "Receiver",
    "Refusal",
    "SecretSource",
    "Signals",
    "StepQueue",
    "SweepSignal",
    "Telemetry",
    "Tokens",
    "Transport",
    "Versioned",
]
