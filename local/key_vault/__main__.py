"""`python -m local.key_vault --port P --folder F`: serve the stand-ins. Clients must trust F/ca.pem."""

import argparse
import asyncio
import os
import signal
from pathlib import Path

from local.key_vault.server import KeyVaultServer


async def serve(server: KeyVaultServer) -> None:
    """Serve until SIGTERM or SIGINT."""
    await server.start()
    print(f"Key Vault, Entra and identity endpoint on {server.url}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await server.stop()


def main() -> None:
    """Serve. The identity endpoint requires the header value IDENTITY_HEADER, as in a function app."""
    parser = argparse.ArgumentParser(prog="python -m local.key_vault", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    header = os.environ.get("IDENTITY_HEADER", "")
    asyncio.run(serve(KeyVaultServer(options.folder, port=options.port, identity_header=header)))


if __name__ == "__main__":
    main()
