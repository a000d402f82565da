"""The writers of the journal, as the audit names them. The writer of a command is its requester."""

ENGINE = "engine"
ORCHESTRATOR = "orchestrator"
SWEEPER = "sweeper"
SCRIPT = "script"
ACCEPT = "accept"
RELEASE = "release"
POISON_QUEUE = "poison-queue"
