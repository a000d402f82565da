"""`python -m local.functions_host APP_DIR`: serve a function app on this machine."""

import argparse
import asyncio
import atexit
import logging
import os
import signal
from pathlib import Path

from local.functions_host.host import Host
from local.functions_host.worker import trace_of
from shared import logs

log = logging.getLogger("host")


async def serve(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        host = Host(
            Path(options.app),
            options.port,
            state=options.state,
            lease_seconds=options.queue_lease,
            keys=options.keys,
            drain_seconds=options.drain,
        )
        await host.start()
    except RuntimeError as error:
        log.error("the host cannot start: %s", error, exc_info=trace_of(error))
        return 1
    except Exception:
        log.exception("the host cannot start")
        return 1
    await stop.wait()
    await host.stop()
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.functions_host", description=__doc__)
    parser.add_argument("app", help="the folder with function_app.py and host.json")
    parser.add_argument("--port", type=int, default=7071)
    parser.add_argument("--state", type=Path, help="file for the state of orchestrations; default: in memory")
    parser.add_argument("--keys", type=Path, help="file for the function keys, created if missing")
    parser.add_argument("--queue-lease", type=float, default=600.0, help="seconds that a handled message is invisible")
    parser.add_argument("--drain", type=float, default=10.0, help="seconds for functions to finish after SIGTERM")
    options = parser.parse_args()
    level = os.environ.get("LOG_LEVEL", "INFO")
    logs.install()
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)-7s %(name)s %(message)s")
    # At DEBUG, everything is logged, because the canary test needs it.
    for name in () if level == "DEBUG" else ("azure", "azure_functions_runtime", "durabletask"):
        logging.getLogger(name).setLevel(logging.WARNING)
    code = asyncio.run(serve(options))
    # Exit like Python, but without waiting: threads of abandoned invocations must not keep the process alive.
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]  # the public functions wait for threads
    os._exit(code)


if __name__ == "__main__":
    main()
