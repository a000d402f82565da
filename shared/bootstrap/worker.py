"""The thread pool of the Python worker, which runs every synchronous function and every turn of an orchestration.

The worker reads PYTHON_THREADPOOL_THREAD_COUNT when it makes the pool. A placeholder instance of Flex Consumption makes
its pool before it receives the app's settings, and does not make it again (proxy_worker/dispatcher.py,
`_handle__function_environment_reload_request`, and azure_functions_runtime 1.3.0). So the pool has the default size of
five threads on one core, and some deliveries wait for a thread. `resize_thread_pool` makes the pool again.
"""

import logging
import sys
from typing import Any

from shared.saga.health.monitor import Finding, Status

log = logging.getLogger(__name__)

_RUNTIME = "azure_functions_runtime"


def resize_thread_pool() -> bool:
    """Make the worker's pool again, with the size that the settings name now. Return True if that was possible.

    Call it while no function runs, at the import of the app. The runtime's functions are not a public interface:
    without them nothing happens, and health reports the size that the pool then has.
    """
    start = getattr(sys.modules.get(_RUNTIME), "start_threadpool_executor", None)
    if not callable(start):
        return False
    try:
        start()
    except Exception as error:  # an exception at import would make every function vanish
        log.warning("the worker's thread pool keeps its size (%s: %s)", type(error).__name__, error)
        return False
    return True


def thread_pool_size() -> int | None:
    """Return the size of the worker's pool; None if this process has no worker, or the worker does not report it."""
    pool: Any = getattr(sys.modules.get(_RUNTIME), "get_threadpool_executor", lambda: None)()
    size = getattr(pool, "_max_workers", None)
    return size if isinstance(size, int) else None


def thread_pool(wanted: int | None) -> Finding:
    """Report the size of the worker's pool; a size below `wanted`, which the settings name, is a warning."""
    size = thread_pool_size()
    if size is None:
        return Finding(measurement="size", unit="threads", output="the worker does not report the size of its pool")
    is_small = wanted is not None and size < wanted
    output = f"PYTHON_THREADPOOL_THREAD_COUNT is {wanted}: deliveries wait for a thread (docs/host.md)"
    return Finding(Status.WARN if is_small else Status.PASS, "size", "", size, "threads", output if is_small else "")
