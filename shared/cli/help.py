"""What `--help` says beside the arguments: the commands in groups, exit codes, the environment, an example each."""

from collections.abc import Mapping

from shared.domain.version import VERSION as VERSION
from shared.saga.command.verbs import VERBS, Verb

DESCRIPTION = "Transactional deployments to Microsoft Fabric: all applied, or all put back."
COMMAND = "python -m shared.cli"

GROUPS: dict[str, tuple[str, ...]] = {
    "Write a manifest": ("init", "validate", "plan"),
    "Deploy": ("submit", "follow", "status", "list"),
    "Decide": tuple(verb.value for verb in VERBS if verb is not Verb.REFUSE),
    "Prove": ("audit", "verify-journal"),
    "Operate": ("health", "breakers"),
    "Shell": ("completion",),
}
EXAMPLES: dict[str, str] = {
    "init": "init deployment.yaml",
    "validate": "validate deployment.yaml",
    "plan": "plan deployment.yaml --detailed-exitcode",
    "submit": "submit deployment.yaml --id build-4711 --wait --timeout 30m",
    "follow": "follow build-4711 --timeout 30m",
    "status": "status build-4711 --json",
    "list": "list --open --target contoso-sales-dev",
    "audit": "audit build-4711",
    "verify-journal": "verify-journal build-4711",
    "health": "health --url https://NAME.azurewebsites.net",
    "breakers": "breakers reset items",
    "completion": "completion bash",
    **{verb.value: f"{verb.value} build-4711 {spec.example}" for verb, spec in VERBS.items() if spec.example},
}
_SHORT: dict[str, str] = {
    "verify-journal": "prove that the audit is whole and the journal is what it says",
    "health": "show how the app is",
    "breakers": "show the circuit breakers; breakers reset NAME closes one",
    "completion": "print the completion for bash or zsh",
    "init": "write a commented example of a manifest",
    "validate": "check a manifest and all the files it names",
    "plan": "say what it would do to the live workspace",
}
"""Where a line says less than the command's own help."""

_REST = """
exit codes
  0  succeeded                       5    storage, the API or Fabric unreachable
  1  failed and put back             8    cancelled
  2  bad request                     9    timed out; the deployment goes on
  3  not put back (stuck, held,      130  interrupted; the deployment goes on
     or failed)                      141  nobody reads the output
  4  not authorised                  70   the command line itself failed
  plan, verify-journal and health have a few of their own: see their help.

environment
  AzureWebJobsStorage                the storage account: a connection string, or, signed in,
  AzureWebJobsStorage__blobServiceUri, __queueServiceUri, __tableServiceUri
  FABRIC_SAGA_URL, FUNCTION_KEY      in place of storage: the app's HTTP API and its key (as --url)
  HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE  the proxy, what goes around it, whom to trust
  TRACEPARENT                        the span that a submission is part of

COMMAND --help says more of one. docs/cli.md has a page."""


def overview(texts: Mapping[str, str]) -> str:
    """Commands by group, exit codes, the environment; `texts` says what each command does."""
    lines: list[str] = []
    for group, names in GROUPS.items():
        lines += [group.lower(), *(f"  {name:15} {_SHORT.get(name, texts.get(name, ''))}" for name in names), ""]
    return "\n".join(lines) + _REST


def example_of(name: str) -> str:
    """Return the last line of a command's help; '' for a command without an example, which a test finds."""
    return f"example: {COMMAND} {EXAMPLES[name]}" if name in EXAMPLES else ""
