"""Run the real app on a machine without Azure: a functions host, a simulator of Fabric, and Azurite.

All of them listen on loopback, and a proxy would look for these addresses on the proxy's own machine. Importing this
package therefore adds loopback to NO_PROXY, in this process and in every process that it starts.
"""

import os
from collections.abc import MutableMapping

LOOPBACK = ("127.0.0.1", "localhost")


def reach_loopback_directly(environment: MutableMapping[str, str]) -> None:
    """Add loopback to NO_PROXY and no_proxy. The name in lower case takes precedence, as in other programs."""
    named = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host for host in named.replace(" ", "").split(",") if host]
    if "*" not in hosts:
        hosts += [host for host in LOOPBACK if host not in hosts]
    environment["NO_PROXY"] = environment["no_proxy"] = ",".join(hosts)


reach_loopback_directly(os.environ)
