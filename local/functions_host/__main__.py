"""`python -m local.functions_host APP_DIR`: serve a function app on this machine."""

import argparse
import asyncio
import atexit
import logging
import os
import signal
from pathlib import Path

from local.functions_host.host import Host, Options
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
            Options(
                options.port,
                state=options.state and options.state.absolute(),
                hub=options.hub and options.hub.absolute(),
                hub_lease_seconds=options.hub_lease,
                keys=options.keys and options.keys.absolute(),
                queue_lease_seconds=options.queue_lease,
                drain_seconds=options.drain,
                http_concurrency=options.http_concurrency,
                is_placeholder=options.placeholder,
            ),
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
    parser.add_argument("--hub", type=Path, help="file of the task hub that several hosts share, in place of --state")
    parser.add_argument("--hub-lease", type=float, default=30.0, help="seconds that a dead host keeps its partitions")
    parser.add_argument("--keys", type=Path, help="file for the function keys, created if missing")
    parser.add_argument("--queue-lease", type=float, default=600.0, help="seconds that a handled message is invisible")
    parser.add_argument("--drain", type=float, default=10.0, help="seconds for functions to finish after SIGTERM")
    parser.add_argument(
        "--http-concurrency", type=int, default=0, help="HTTP functions that run at once; the rest waits; 0: no limit"
    )
    parser.add_argument(
        "--placeholder", action="store_true", help="start without app and settings, then load them, as on Flex"
    )
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
