"""Runs the app for real on a machine without Azure: a functions host, a simulator of Fabric, Azurite.

All of them listen on this machine, and a proxy would look for them on its own. So whatever runs here, and every process
that it starts, has loopback in NO_PROXY beside what the environment says.
"""

import os
from collections.abc import MutableMapping

LOOPBACK = ("127.0.0.1", "localhost")


def reach_loopback_directly(environment: MutableMapping[str, str]) -> None:
    """Add loopback to NO_PROXY in both spellings; the one in lower case counts first, as everywhere."""
    named = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host for host in named.replace(" ", "").split(",") if host]
    if "*" not in hosts:
        hosts += [host for host in LOOPBACK if host not in hosts]
    environment["NO_PROXY"] = environment["no_proxy"] = ",".join(hosts)


reach_loopback_directly(os.environ)
