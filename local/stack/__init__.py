"""Run the whole app on one machine: Azurite, the Fabric simulator and the functions host, together called a stack.

`python -m local.stack up|down|status|env`. A stack is named by STACK (or --name), and has its own ports and its own
data folder in .local/stacks; its stack.json records the addresses and process ids.
"""

from local.stack.description import APPLICATION
from local.stack.stack import Stack, StackError, from_environment

__all__ = ["APPLICATION", "Stack", "StackError", "from_environment"]
