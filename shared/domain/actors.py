"""Who writes to the journal, as the audit names it; for a command it is the requester."""

ENGINE = "engine"
ORCHESTRATOR = "orchestrator"
SWEEPER = "sweeper"
SCRIPT = "script"
ACCEPT = "accept"
RELEASE = "release"
POISON_QUEUE = "poison-queue"
