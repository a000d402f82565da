"""The environment variables that only the command line reads; a part of the table in variables.py."""

from shared.domain.declaration import Kind, Variable

OF_THE_COMMAND_LINE: tuple[Variable, ...] = (
    Variable(
        "FABRIC_SAGA_URL",
        "The app's address, to use its [HTTP API](api.md) in place of storage (as `--url`).",
        Kind.ADDRESS,
    ),
    Variable(
        "FABRIC_SAGA_SCOPE",
        "The scope of the app's registration (`api://<client id>/.default`), if the app signs in its callers: the "
        "command line gets a token from azure-identity's chain and sends no function key.",
        is_late=True,
    ),
    Variable(
        "FUNCTION_KEY",
        "The function key for it. It is read when it is sent and kept nowhere else.",
        is_late=True,
        is_secret=True,
    ),
    Variable(
        "FABRIC_SAGA_CONFIG",
        "The configuration file with addresses and defaults ([cli.md](cli.md#the-configuration-file)), if it is not "
        "`~/.config/fabric-saga/config.toml`.",
        Kind.PATH,
        is_late=True,
    ),
    Variable(
        "TRACEPARENT",
        "The span that a submission is part of (W3C). An invalid value starts a new trace.",
        Kind.PATH,
    ),
    Variable(
        "GITHUB_ACTIONS",
        "`true`, as GitHub Actions sets it: the output is written for that runner.",
        Kind.PATH,
        is_late=True,
    ),
    Variable("GITHUB_STEP_SUMMARY", "As GitHub Actions sets it: the file for the summary.", Kind.PATH, is_late=True),
    Variable(
        "TF_BUILD",
        "`True`, as Azure Pipelines sets it: the output is written for that runner.",
        Kind.PATH,
        is_late=True,
    ),
    Variable("AGENT_TEMPDIRECTORY", "As Azure Pipelines sets it: the folder for the summary.", Kind.PATH, is_late=True),
)
