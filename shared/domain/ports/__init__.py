"""What the engine needs of the outside, as Protocols that adapters (and the tests' in-memory twins) satisfy."""

from shared.domain.ports.breakers import BreakerDesk, BreakerStore
from shared.domain.ports.engine import Clock, Orchestrations
from shared.domain.ports.fabric import Fabric, FabricReply, Gate, OperationStarted, OperationStatus, Tokens, Transport
from shared.domain.ports.journal import Change, Journal, JournalReads, Misfit, NoteHead, Versioned
from shared.domain.ports.kinds import KindRules
from shared.domain.ports.secrets import SecretSource
from shared.domain.ports.storage import Blobs, LastSweep, Lock, Locks, Poisonings, QueueDepth, Signals, StepQueue
from shared.domain.ports.telemetry import Telemetry

__all__ = [
    "Blobs",
    "BreakerDesk",
    "BreakerStore",
    "Change",
    "Clock",
    "Fabric",
    "FabricReply",
    "Gate",
    "Journal",
    "JournalReads",
    "KindRules",
    "LastSweep",
    "Lock",
    "Locks",
    "Misfit",
    "NoteHead",
    "OperationStarted",
    "OperationStatus",
    "Orchestrations",
    "Poisonings",
    "QueueDepth",
    "SecretSource",
    "Signals",
    "StepQueue",
    "Telemetry",
    "Tokens",
    "Transport",
    "Versioned",
]
