"""`python -m local.key_vault --port P --folder F`: serve the stand-ins; F/ca.pem is what clients have to trust."""

import argparse
import asyncio
import os
import signal
from pathlib import Path

from local.key_vault.server import KeyVaultServer


async def serve(server: KeyVaultServer) -> None:
    """Serve until SIGTERM or SIGINT."""
    await server.start()
    print(f"key vault, entra and identity endpoint on {server.url}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await server.stop()


def main() -> None:
    """Read the command line and serve. IDENTITY_HEADER is what the identity endpoint asks for, as in a function app."""
    parser = argparse.ArgumentParser(prog="python -m local.key_vault", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    header = os.environ.get("IDENTITY_HEADER", "")
    asyncio.run(serve(KeyVaultServer(options.folder, port=options.port, identity_header=header)))


if __name__ == "__main__":
    main()
