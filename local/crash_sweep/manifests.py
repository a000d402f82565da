"""The deployments that are swept, each under a name of its own for every kill, and what each must leave behind."""

import json
import secrets
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.crash_sweep.names import ids_in
from local.stack import ROOT
from shared.cli.pack import packed
from shared.domain.states import DeploymentState

EXAMPLES = ROOT / "examples"
_ENDS = {"medallion": DeploymentState.SUCCEEDED, "failing": DeploymentState.COMPENSATED}
NAMES = tuple(_ENDS)


@dataclass(frozen=True)
class Manifest:
    """One of them, packed as the command line packs it."""

    name: str
    content: Any
    end: DeploymentState

    @classmethod
    def load(cls, name: str) -> "Manifest":
        """By the name of its example."""
        file: Path = EXAMPLES / f"{name}.yaml"
        return cls(name, packed(file.read_text(), EXAMPLES), _ENDS[name])

    def submission(self, deployment_id: str) -> str:
        """The message: target and workspace bear the deployment's id, so no two kills share anything."""
        text = json.dumps(self.content).replace(self.content["target"], deployment_id)
        return json.dumps({"deployment_id": deployment_id, "manifest": json.loads(text), "requested_by": "crash sweep"})

    @property
    def items(self) -> list[str]:
        """The items that a success leaves in the workspace; the failing one makes them too, and takes them away."""
        return sorted(s["with"]["displayName"] for s in self.content["steps"] if s["kind"] == "lakehouse")

    @property
    def roles(self) -> list[str]:
        """The principals that hold a role then, but for the one who made the workspace."""
        lists = [s["with"]["csv"] for s in self.content["steps"] if s["kind"] == "principals"]
        return sorted(principal for text in lists for principal in ids_in(text))

    @property
    def creations(self) -> Counter[str]:
        """Calls that create something, by the last word of their path: each must have an effect exactly once."""
        return Counter({"workspaces": 1, "lakehouses": len(self.items), "roleAssignments": len(self.roles)})


def new_id() -> str:
    """A name that no other run has."""
    return f"sweep-{secrets.token_hex(4)}"
