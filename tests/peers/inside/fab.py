"""Runs one command of the Fabric CLI. Runs in the peers' environment: `fab.py COMMAND ARGUMENT ...`."""

import os
import sys

from loopback import lead_to, ports, token


def main() -> None:
    lead_to(*ports())
    os.environ["FAB_TOKEN"] = token("https://analysis.windows.net/powerbi/api")
    os.environ["FAB_TOKEN_ONELAKE"] = token("https://storage.azure.com")
    from fabric_cli.main import main as fab

    sys.argv = ["fab", *sys.argv[1:]]
    fab()


if __name__ == "__main__":
    main()
