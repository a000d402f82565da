"""The environment variables of the engine: retries, leases, the watchdog and the sweeper. variables.py says what a row
is, and lists these among the others."""

from shared.domain.declaration import Kind, Variable, count, seconds

RETRIES = (
    count(
        "RETRY_MAX_ATTEMPTS",
        "forward.max_attempts",
        "Attempts of a forward action that meets transient errors. A throttled call (429) is not an attempt.",
    ),
    seconds(
        "RETRY_BASE_SECONDS",
        "forward.base_seconds",
        "The wait before attempt n is random, from zero to base x 2^n. A Retry-After is obeyed exactly instead.",
    ),
    seconds("RETRY_MAX_SECONDS", "forward.max_seconds", "The longest random wait."),
    count(
        "COMPENSATION_MAX_ATTEMPTS",
        "backward.max_attempts",
        "Attempts of a compensating action before it is `compensation_failed` and the deployment `stuck`.",
    ),
    seconds("COMPENSATION_BASE_SECONDS", "backward.base_seconds", "As `RETRY_BASE_SECONDS`."),
    seconds(
        "COMPENSATION_MAX_SECONDS",
        "backward.max_seconds",
        "The longest wait before the next attempt, even if Fabric's Retry-After names a later time.",
    ),
    seconds(
        "COMPENSATION_TIMEOUT_SECONDS",
        "engine.compensation_timeout_seconds",
        "How long one attempt of a compensation may take, waits included.",
        minimum=1,
    ),
    seconds(
        "LATE_CALL_SECONDS",
        "engine.late_call_seconds",
        "How long a call whose answer was lost may take to have its effect. A step with such a call is not "
        "compensated before, and its resource is looked for until then.",
    ),
)
LEASES = (
    seconds(
        "STEP_LEASE_SECONDS",
        "engine.step_lease_seconds",
        "How long a worker without a heartbeat keeps its step. A running worker sends three heartbeats in this "
        "time, so calls to Fabric may take longer.",
        minimum=1,
    ),
    count(
        "CONTENT_MEMORY_MIB",
        "engine.content_memory_mib",
        "How much content of items the deliveries of one process have in memory at a time, in MiB of files. A delivery "
        "that finds no room comes back later. For a moment an item takes about seven times as much: with 128, an "
        "instance of 2 GiB has room for all of it.",
    ),
    seconds(
        "WATCHDOG_SECONDS",
        "engine.watchdog_seconds",
        "How often an orchestration compares its progress with the journal; sooner if a claim ends before that.",
        minimum=1,
    ),
    seconds(
        "WATCHDOG_MAX_SECONDS",
        "engine.watchdog_max_seconds",
        "The longest time between two such comparisons, while all steps wait for a person, or for a later time that "
        "Fabric named. Less than half of `TARGET_LEASE_SECONDS`, because the lease is renewed at each of them.",
        minimum=1,
    ),
    seconds(
        "TARGET_LEASE_SECONDS",
        "engine.target_lease_seconds",
        "How long a deployment without a heartbeat holds its target.",
        minimum=1,
    ),
    seconds(
        "TARGET_RETRY_SECONDS",
        "engine.target_retry_seconds",
        "When a deployment that waits for its target asks for it again if no event has woken it. The waits grow "
        "with its age. A script, which no event reaches, asks this often.",
        minimum=1,
    ),
    seconds(
        "TARGET_RETRY_MAX_SECONDS",
        "engine.target_retry_max_seconds",
        "The longest wait of such a deployment, if the event that wakes it is lost.",
        minimum=1,
    ),
    seconds(
        "STALLED_SECONDS",
        "engine.stalled_seconds",
        "How old the last heartbeat of a running orchestration must be before the sweeper wakes it. At one and a "
        "half times that age it is ended, and the next sweep starts another. Never less than twice the longest of "
        "the waits above.",
    ),
    seconds(
        "SCRIPT_LEASE_SECONDS",
        "engine.script_lease_seconds",
        "How long a script with a `DeploymentTransaction` may send no heartbeat before the sweeper rolls it back "
        "([scripting.md](scripting.md)). The app and the scripts need the same value, and their clocks must "
        "agree within it.",
        minimum=1,
    ),
    Variable(
        "SWEEP_SCHEDULE",
        "NCRONTAB of the sweeper. It must be set, because the trigger names it. The sample and infra/ have "
        "`0 */5 * * * *`.",
        sample="0 */5 * * * *",
        in_azure=True,
        is_late=True,
    ),
    Variable("SWEEP_DRY_RUN", "`true`: the sweeper logs what it would do, and does nothing.", Kind.FLAG, value=False),
    seconds(
        "RESTART_GRACE_SECONDS",
        "engine.restart_grace_seconds",
        "How old a deployment without an orchestration must be before the sweeper restarts it.",
    ),
    seconds(
        "STUCK_RETRY_MAX_SECONDS",
        "engine.stuck_retry_max_seconds",
        "The longest time between two tries of a stuck deployment. The first tries follow each other with every sweep; "
        "the pauses grow to a quarter of the time since its first compensation began.",
    ),
    seconds(
        "DRIFT_WATCH_SECONDS",
        "engine.drift_watch_seconds",
        "How often the sweeper plans the last successful deployment of each target again, and reports what has drifted "
        "([drift.md](drift.md)): 86400 for once a day. 0: never.",
    ),
    seconds(
        "ORPHAN_GRACE_SECONDS",
        "engine.orphan_grace_seconds",
        "How long after a rollback the sweeper looks for resources that a late call created. It must be longer "
        "than `functionTimeout`.",
    ),
    seconds(
        "RETENTION_SECONDS",
        "engine.retention_seconds",
        "How long an ended deployment stays in the journal (ninety days). Its audit stays, and its id stays taken.",
        minimum=3600,
        in_azure=True,
    ),
)
