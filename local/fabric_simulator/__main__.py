"""`python -m local.fabric_simulator --port P --profile realistic`: simulate a Fabric tenant on this machine."""

import argparse
import asyncio
import logging
import signal

from local.fabric_simulator.model import FabricModel
from local.fabric_simulator.server import Server, wall_clock


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    model = FabricModel(
        wall_clock,
        seed=options.seed,
        profile=options.profile,
        time_scale=options.time_scale,
        page_size=options.page_size,
    )
    server = Server(model, api_url=options.api_url, operations_url=options.operations_url)
    port, operations_port = await server.start(options.port, options.operations_port)
    address = f"http://127.0.0.1:{port}, operations on port {operations_port}"
    print(f"Fabric simulator ({options.profile}) on {address}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await asyncio.wait_for(server.stop(), 2)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.fabric_simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="the API's port; 0 takes a free one")
    parser.add_argument(
        "--operations-port", type=int, default=0, help="port of long-running operations; 0 takes a free one"
    )
    parser.add_argument("--profile", choices=("instant", "realistic"), default="instant")
    parser.add_argument("--time-scale", type=float, default=1.0, help="10 makes everything ten times as fast")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page-size", type=int, default=1000)
    parser.add_argument("--api-url", default="", help="the API's URL in answers, for a client behind a proxy")
    parser.add_argument("--operations-url", default="", help="the URL of long-running operations in answers")
    options = parser.parse_args()
    if options.time_scale <= 0:
        parser.error("--time-scale must be above 0")
    logging.basicConfig(level=logging.INFO)
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
