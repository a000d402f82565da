"""The text of `--help`: the commands in groups, their examples, the exit codes and the environment."""

import sys
from collections.abc import Mapping
from pathlib import Path

from shared.domain.version import VERSION as VERSION
from shared.saga.command.verbs import VERBS, Verb

DESCRIPTION = "Transactional deployments to Microsoft Fabric: everything applied or everything rolled back."
COMMAND = "saga" if Path(sys.argv[0]).stem == "saga" else "python -m shared.cli"
"""As it was started: the installed command, or the module."""

GROUPS: dict[str, tuple[str, ...]] = {
    "Write a manifest": ("init", "validate", "plan"),
    "Deploy": ("submit", "redeploy", "follow", "status", "list"),
    "Decide": tuple(verb.value for verb in VERBS if verb is not Verb.REFUSE),
    "Prove": ("audit", "verify-journal"),
    "Operate": ("health", "breakers"),
    "Git": ("git",),
    "Shell": ("completion",),
}
EXAMPLES: dict[str, str] = {
    "init": "init deployment.yaml",
    "validate": "validate deployment.yaml",
    "plan": "plan deployment.yaml --detailed-exitcode",
    "submit": "submit deployment.yaml --id build-4711 --wait --timeout 30m",
    "redeploy": "redeploy build-4711 --wait",
    "follow": "follow build-4711 --timeout 30m",
    "status": "status build-4711 --json",
    "list": "list --open --target contoso-sales-dev",
    "audit": "audit build-4711",
    "verify-journal": "verify-journal build-4711",
    "health": "health --url https://NAME.azurewebsites.net",
    "breakers": "breakers reset items",
    "git": 'git commit 3f0d1c9e-52a4-4a35-9d4e-7f2f4f6a1c01 --comment "Mend the load"',
    "completion": "completion bash",
    **{verb.value: f"{verb.value} build-4711 {spec.example}" for verb, spec in VERBS.items() if spec.example},
}
_SHORT: dict[str, str] = {
    "verify-journal": "check that audit and journal are complete and unchanged",
    "git": "show or commit the changes of a workspace connected with Git",
    "health": "show the app's health",
    "breakers": "show the circuit breakers; breakers reset NAME closes one",
    "completion": "print the completion for bash or zsh",
    "init": "write a commented example of a manifest",
    "validate": "check a manifest and all files that it names",
    "plan": "show what a deployment would change, and change nothing",
}
"""Shorter descriptions for the overview."""

_REST = """
exit codes
  0  succeeded                       5    storage, the API or Fabric does not respond
  1  failed and rolled back          8    cancelled and rolled back
  2  bad request                     9    timed out; the deployment continues
  3  not rolled back (stuck, held,   130  interrupted; the deployment continues
     or failed)                      141  the output is closed
  4  not authorised                  70   the command line itself failed
  plan, verify-journal, health and git have codes of their own: see their help.

environment
  AzureWebJobsStorage                the storage account: a connection string; with an identity,
  AzureWebJobsStorage__blobServiceUri, __queueServiceUri, __tableServiceUri
  FABRIC_SAGA_URL, FUNCTION_KEY      instead of storage: the app's HTTP API (like --url) and its key
  FABRIC_SAGA_CONFIG                 a file with addresses and defaults (docs/cli.md)
  HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE  the proxy, its exceptions, trusted certificates
  TRACEPARENT                        the trace that a submission belongs to

COMMAND --help describes one command. docs/cli.md describes all."""


def overview(texts: Mapping[str, str]) -> str:
    """Return the overview of all commands by group; `texts` has the description of each."""
    lines: list[str] = []
    for group, names in GROUPS.items():
        lines += [group.lower(), *(f"  {name:15} {_SHORT.get(name, texts.get(name, ''))}" for name in names), ""]
    return "\n".join(lines) + _REST


def example_of(name: str) -> str:
    """Return the last line of a command's help; '' for a command without an example, which a test finds."""
    return f"example: {COMMAND} {EXAMPLES[name]}" if name in EXAMPLES else ""
