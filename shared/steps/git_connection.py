"""Kind `git_connection`: a workspace connected with a branch. It expands to two steps: connect, then initialise.

They are two steps because they are two calls, and after a crash only the connection itself shows whether the first one
took effect. Neither changes an item, so disconnecting compensates both exactly.
"""

from collections.abc import Mapping

from shared.domain.errors import FabricTransientError
from shared.domain.fields import Fields, Words
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Expanded, Fabric
from shared.domain.records import Intent, Resource
from shared.domain.states import IntentAction
from shared.steps import needed
from shared.steps.kind import WORKSPACE_ID, Call, IfExists, ResourceKind, Snapshot, VerificationError
from shared.steps.missing import Missing
from shared.steps.rows import located
from shared.steps.setting import SettingKind

TYPE = "GitConnection"
PROVIDERS = ("AzureDevOps", "GitHub")
STRATEGIES = ("None", "PreferRemote", "PreferWorkspace")
_OWNERS = {"AzureDevOps": ("organizationName", "projectName"), "GitHub": ("ownerName",)}
_NAMES = {"repositoryName": 128, "branchName": 250, "directoryName": 256}
"""The fields of every provider, with their limits. Source: published OpenAPI, GitProviderDetails."""
_OWNER_LIMIT = 100
_DOMAIN = "customDomainName"
"""The domain of GitHub Enterprise with data residency (ghe.com). Source: published OpenAPI, GitHubDetails."""
_EXAMPLES = {
    "organizationName": "contoso",
    "projectName": "sales",
    "ownerName": "contoso",
    "repositoryName": "sales",
    "branchName": "main",
    "directoryName": "/fabric",
}
_EXACT = ("branchName", "directoryName")
NOT_CONNECTED, INITIALISED = "NotConnected", "ConnectedAndInitialized"


class GitConnectionKind:
    """Expand to `<id>/connect` and `<id>/initialise`."""

    name = "git_connection"
    about = "A workspace connected with a branch of a Git repository: expands to connect and initialise."
    outputs: frozenset[str] = frozenset()
    packs = ""

    def check(self, spec: Fields) -> None:
        check_link(spec)
        spec.choice(
            "initializationStrategy",
            STRATEGIES,
            words=Words(
                "The side that counts if both have items. Default: None, with which Fabric refuses such a workspace.",
                "PreferRemote",
            ),
        )

    def runs_last(self, spec: JsonObject) -> bool:
        return False

    def runs_always(self, spec: JsonObject) -> bool:
        return False

    def expand(self, step_id: str, spec: JsonObject) -> list[Expanded] | None:
        """Return both steps; a step that needs the connection waits for its initialisation."""
        link = {name: value for name, value in spec.items() if name != "initializationStrategy"}
        start = {"workspaceId": spec["workspaceId"]}
        start["initializationStrategy"] = spec.get("initializationStrategy") or STRATEGIES[0]
        outputs = GitInitialisationKind.outputs
        return [
            Expanded("/connect", GitLinkKind.name, link, outputs=GitLinkKind.outputs),
            Expanded("/initialise", GitInitialisationKind.name, start, ("/connect",), outputs),
        ]


class GitLinkKind(ResourceKind):
    """Connect a workspace; compensation disconnects it, and leaves its items and the branch as they are."""

    name = "git_link"
    about = "The connection of a workspace with a branch; a step of the kind git_connection expands to it."
    if_exists = IfExists.ADOPT
    outputs = frozenset({"workspaceId", "branchName"})
    keys = ("workspaceId",)
    names_itself_by = ""
    tracks = ""
    tracked_fields: Mapping[str, str] = {}

    def check(self, spec: Fields) -> None:
        check_link(spec)

    def find(self, fabric: Fabric, spec: JsonObject) -> Snapshot | None:
        shown = connection(fabric, spec["workspaceId"])
        if shown["gitConnectionState"] == NOT_CONNECTED:
            return None
        return Snapshot(_resource(spec), {"details": as_object(shown.get("gitProviderDetails")) or {}})

    def changes(self, spec: JsonObject, found: Snapshot) -> list[str]:
        """Return the fields of the branch that differ. Fabric cannot change them: a person must disconnect the
        workspace first."""
        held, wanted = found.image["details"], _details(spec)
        domain = {_DOMAIN: spec.get(_DOMAIN)} if held.get(_DOMAIN) else {}  # no recording shows whether Fabric names it
        wanted = {**{name: value for name, value in wanted.items() if name != _DOMAIN}, **domain}
        return [name for name, value in wanted.items() if _text(name, held.get(name)) != _text(name, value)]

    def missing(self, fabric: Fabric, spec: JsonObject) -> Missing | None:
        return needed.connection(fabric, spec)

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return git/connect, whose response is empty."""
        body: JsonObject = {"gitProviderDetails": _details(spec)}
        if spec.get("connectionId"):
            body["myGitCredentials"] = {"source": "ConfiguredConnection", "connectionId": spec["connectionId"]}
        return [Call("POST", f"{git_path(spec['workspaceId'])}/connect", "git", body)]

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        return _resource(spec)

    def recognises(self, spec: JsonObject, intent: Intent, found: Snapshot, uncertain: bool) -> bool:
        """Return True if the response was lost and the branch is the step's.

        The same connection that somebody else made at that moment cannot be distinguished.
        """
        return uncertain and not self.changes(spec, found)

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Check that the workspace is connected with this branch, also if the connection was there before."""
        found = self.find(fabric, spec)
        if found is None:
            raise VerificationError(f"workspace {spec['workspaceId']} is not connected to Git")
        if wrong := self.changes(spec, found):
            raise VerificationError(
                f"workspace {spec['workspaceId']} is connected to Git with another {' and '.join(wrong)}; "
                "disconnect it first"
            )
        return {"workspaceId": spec["workspaceId"], "branchName": spec["branchName"]}

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        if located(fabric, "/workspaces", None, resource.parent_id or "") is None:
            return None
        return self.find(fabric, spec)

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return git/disconnect; nothing if somebody has connected another branch since."""
        if intent.action is not IntentAction.CREATE or self.changes(spec, found):
            return []
        return [Call("POST", f"{git_path(spec['workspaceId'])}/disconnect", "git")]


class GitInitialisationKind(SettingKind):
    """Initialise a connection, which compares both sides and changes no item. Disconnecting compensates it."""

    name = "git_initialisation"
    about = "The initialisation of a Git connection; a step of the kind git_connection expands to it."
    type = "GitInitialisation"
    outputs = frozenset({"id", "workspaceId"})

    def check_values(self, spec: Fields) -> None:
        spec.choice("initializationStrategy", STRATEGIES, required=True)

    def read(self, fabric: Fabric, spec: JsonObject) -> tuple[str, JsonObject]:
        return "Git connection", {"state": connection(fabric, spec["workspaceId"])["gitConnectionState"]}

    def wanted(self, spec: JsonObject) -> JsonObject:
        return {"state": INITIALISED}

    def set(self, spec: JsonObject, values: JsonObject) -> list[Call]:
        """Return git/initializeConnection, an operation that may be repeated."""
        body: JsonObject = {"initializationStrategy": spec.get("initializationStrategy", STRATEGIES[0])}
        return [Call("POST", f"{git_path(spec['workspaceId'])}/initializeConnection", "initialise Git", body)]

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return an empty list: a connection of this deployment is disconnected, any other one stays initialised."""
        return []


def check_link(spec: Fields) -> None:
    """Check the workspace, the branch and the credentials."""
    spec.guid("workspaceId", required=True, words=WORKSPACE_ID)
    hosted = Words("The provider that hosts the repository.", "AzureDevOps")
    provider = spec.choice("gitProviderType", PROVIDERS, required=True, words=hosted)
    for owner, names in _OWNERS.items():
        for name in names:
            words = Words(f"Required with {owner}.", _EXAMPLES[name])
            given = spec.text(name, maximum=_OWNER_LIMIT, refers=True, words=words)
            if owner == provider and not given:
                spec.problem(name, f"is required with {owner}")
            elif provider and owner != provider and given:
                spec.problem(name, f"is only for {owner}")
    words = Words("With GitHub Enterprise on ghe.com: its domain. Default: github.com.", "contoso.ghe.com")
    if spec.text(_DOMAIN, maximum=_OWNER_LIMIT, refers=True, words=words) and provider == PROVIDERS[0]:
        spec.problem(_DOMAIN, f"is only for {PROVIDERS[1]}")
    for name, maximum in _NAMES.items():
        is_directory = name == "directoryName"
        words = Words("The folder. Default: the root." if is_directory else "As in Git.", _EXAMPLES[name])
        spec.text(name, required=not is_directory, maximum=maximum, refers=True, words=words)
    spec.guid(
        "connectionId",
        words=Words(
            "The connection that signs in. Required for service principals and for GitHub.",
            "3f0d1c9e-52a4-4a35-9d4e-7f2f4f6a1c01",
        ),
    )


def _details(spec: JsonObject) -> JsonObject:
    names = ("gitProviderType", *_OWNERS.get(spec["gitProviderType"], ()), *_NAMES)
    details = {name: spec.get(name) or ("/" if name == "directoryName" else "") for name in names}
    return {**details, **({_DOMAIN: spec[_DOMAIN]} if spec.get(_DOMAIN) else {})}


def _text(name: str, value: object) -> str:
    """Return a field as it is compared: Fabric may show a folder without its slashes. Only a branch and a folder are
    the same in one spelling alone: the providers find an owner, a project and a repository whatever the case."""
    text = str(value or "").strip("/")
    return text if name in _EXACT else text.casefold()


def connection(fabric: Fabric, workspace_id: str) -> JsonObject:
    """Return a workspace's Git connection. Raises FabricTransientError if Fabric does not show its state."""
    shown = fabric.get(f"{git_path(workspace_id)}/connection")
    if not shown.get("gitConnectionState"):
        raise FabricTransientError("Fabric's response has no gitConnectionState", call="GET git/connection")
    return shown


def git_path(workspace_id: str) -> str:
    return f"/workspaces/{workspace_id}/git"


def _resource(spec: JsonObject) -> Resource:
    return Resource(TYPE, f"{spec['workspaceId']}/git", spec["branchName"], spec["workspaceId"])
