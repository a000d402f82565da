"""What each field of a manifest means, and an example: what editors show beside it. Kept with docs/manifest.md."""

from typing import Any

REFERENCE = "${{ steps.workspace.outputs.id }}"
PRINCIPAL: dict[str, Any] = {
    "principalId": "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01",
    "principalType": "Group",
    "role": "Contributor",
}
PART: dict[str, Any] = {"path": "notebook-content.py", "text": "print('sales')"}

_WORKSPACE_ID = ("The workspace, by its id.", REFERENCE)
_DESCRIPTION = ("For people; Fabric shows it.", "Sales analytics, development")
_IF_EXISTS = (
    "What happens to a thing of that name that is there already: adopt it as it is, update it (what it was before is "
    "kept and can be put back), or fail.",
    "adopt",
)

WORDS: dict[str, dict[str, tuple[str, Any]]] = {
    "manifest": {
        "id": ("The deployment's id and idempotency key; the command line's --id counts before it.", "build-4711"),
        "name": ("For people.", "sales"),
        "target": (
            "What one deployment at a time may change, whatever the case of its letters; the name where it is absent.",
            "contoso-sales-dev",
        ),
        "concurrency": ("While another deployment holds the target: queue up, or be rejected.", "queue"),
        "onFailure": ("When a step fails: rollback puts everything back, hold keeps it for inspection.", "rollback"),
        "keepFor": ("With hold: when this time is over, what is held is put back. Absent: never.", "1d"),
        "expiresAfter": ("When this time is over after its success, the whole deployment is put back.", "7d"),
        "requestedBy": ("Who asks, for the audit.", "release pipeline"),
        "description": ("For people.", "Bronze, silver and gold, for the sales team"),
        "traceparent": (
            "The span that this deployment is part of, as W3C Trace Context writes it.",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        "steps": (
            "What is to be there at the end. Steps that do not need each other run side by side.",
            [{"id": "workspace", "kind": "workspace", "with": {"displayName": "contoso-sales-dev"}}],
        ),
    },
    "step": {
        "id": ("Unique in the manifest.", "bronze"),
        "kind": ("What it makes; says what may stand under `with`.", "lakehouse"),
        "with": ("The kind's own fields.", {"displayName": "contoso-sales-dev"}),
        "needs": ("Ids of steps that must have succeeded first. A reference implies it.", ["workspace"]),
        "timeout": ("From its first delivery; when it is over, the step fails. Default 30m.", "10m"),
        "onFailure": ("When this step fails; the deployment's where it is absent.", "hold"),
    },
    "workspace": {
        "displayName": ("Unique in the tenant, whatever the case of its letters.", "contoso-sales-dev"),
        "description": _DESCRIPTION,
        "capacityId": ("The capacity that it is assigned to, by its id.", "6a3b1c7e-2f0d-4a55-9a0f-1b2c3d4e5f60"),
        "ifExists": _IF_EXISTS,
    },
    "lakehouse": {
        "workspaceId": _WORKSPACE_ID,
        "displayName": ("Letters, digits and underscores; a letter first.", "bronze"),
        "description": _DESCRIPTION,
        "enableSchemas": ("Whether its tables stand in schemas.", True),
        "waitForSqlEndpoint": ("Whether the step is done only when its SQL endpoint answers.", True),
        "ifExists": _IF_EXISTS,
    },
    "item": {
        "workspaceId": _WORKSPACE_ID,
        "type": ("Any type of Fabric's items API.", "Notebook"),
        "displayName": ("Unique among the workspace's items of that type.", "Clean sales"),
        "description": _DESCRIPTION,
        "definition": ("What it consists of, part by part.", {"parts": [PART]}),
        "folder": (
            "A folder in Fabric's source-control format, relative to the manifest; gives type and name too. The "
            "command line packs it.",
            "notebook/Clean sales.Notebook",
        ),
        "format": ("Beside a folder: the definition's format, if it cannot be inferred from the files.", "ipynb"),
        "creationPayload": ("As Fabric's own API takes it; not beside a definition.", {"enableSchemas": True}),
        "ifExists": _IF_EXISTS,
    },
    "definition": {
        "format": ("If the type has several; inferred from the paths of the parts if absent.", "ipynb"),
        "parts": ("Its files.", [PART]),
    },
    "part": {
        "path": ("Relative to the item.", "notebook-content.py"),
        "payload": ("Its content in base64, wrapped or not; or text.", "cHJpbnQoJ3NhbGVzJyk="),
        "payloadType": ("Fabric knows one.", "InlineBase64"),
        "text": ("Its content as it is; or payload.", "print('sales')"),
    },
    "role_assignment": {
        "workspaceId": _WORKSPACE_ID,
        "principalId": ("Who gets the role: the object id in Entra.", PRINCIPAL["principalId"]),
        "principalType": ("What kind of principal that is.", "Group"),
        "role": ("The role in the workspace.", "Contributor"),
        "description": ("Who that is, for people; Fabric does not get it.", "Data platform team"),
        "ifExists": (f"{_IF_EXISTS[0]} Default: update.", "update"),
    },
    "principals": {
        "workspaceId": _WORKSPACE_ID,
        "principals": ("Who gets which role.", [PRINCIPAL]),
        "file": ("A CSV file, relative to the manifest; the command line packs it.", "principals.csv"),
        "csv": (
            "The text of such a file.",
            f"principal_id,role,description,type\n{PRINCIPAL['principalId']},Admin,,User",
        ),
        "source": ("What the text's file is called, for errors; the command line sets it.", "principals.csv"),
        "ifExists": (f"{_IF_EXISTS[0]} Default: update.", "update"),
    },
    "approval": {
        "message": ("What is asked.", "Silver is loaded. Shall gold be replaced?"),
        "approvers": ("Who may answer: shown, not checked.", ["data platform team"]),
        "default": ("What happens when the step's timeout is over.", "reject"),
    },
}
"""By object and field: (description, example)."""

KINDS: dict[str, str] = {
    "workspace": "A workspace, by its name.",
    "lakehouse": "A lakehouse in a workspace.",
    "item": "An item of any type, bare or with a definition.",
    "role_assignment": "One principal's role in a workspace.",
    "principals": "The roles of many principals in a workspace: becomes one role_assignment step each.",
    "approval": "Waits for a person; makes no call to Fabric.",
}
