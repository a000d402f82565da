"""The vault: secrets with versions and attributes, and the challenge that names the token endpoint."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local.fabric_simulator.http import Answer, Request

RESOURCE = "https://vault.azure.net"


@dataclass(frozen=True)
class Version:
    """One version of a secret; times in epoch seconds."""

    id: str
    value: str
    created: int
    enabled: bool = True
    not_before: int | None = None
    expires: int | None = None
    content_type: str | None = None


@dataclass
class Vault:
    """One vault. `accepts` returns True for a valid bearer token; names of secrets are not case-sensitive."""

    url: str
    authority: str
    accepts: Callable[[str], bool]
    now: Callable[[], float] = time.time
    secrets: dict[str, list[Version]] = field(default_factory=lambda: dict[str, list[Version]]())
    is_forbidden: bool = False

    def put(self, name: str, value: str, **attributes: Any) -> str:
        """Add a version, which becomes the latest one (a rotation); return its id."""
        version = Version(uuid.uuid4().hex, value, int(self.now()), **attributes)
        self.secrets.setdefault(name.lower(), []).append(version)
        return version.id

    def remove(self, name: str) -> None:
        self.secrets.pop(name.lower(), None)

    def handle(self, request: Request) -> Answer:
        """Answer GET secrets/{name} and GET secrets/{name}/{version}."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not token or not self.accepts(token):
            challenge = f'Bearer authorization="{self.authority}", resource="{RESOURCE}"'
            text = "AKV10000: Request is missing a Bearer or PoP token." if not token else "AKV10022: Invalid audience."
            return _refusal(401, "Unauthorized", text, {"WWW-Authenticate": challenge})
        parts = request.path.strip("/").split("/")
        if request.method != "GET" or parts[0] != "secrets" or len(parts) not in (2, 3):
            return _refusal(405, "MethodNotAllowed", "Only secrets are read here.")
        if self.is_forbidden:
            text = "Caller is not authorized to perform action on resource."
            return _refusal(403, "Forbidden", text, inner="ForbiddenByRbac")
        versions = self.secrets.get(parts[1].lower(), [])
        wanted = [v for v in versions if len(parts) == 2 or v.id == parts[2]]
        if not wanted:
            text = f"A secret with (name/id) {parts[1]} was not found in this key vault."
            return _refusal(404, "SecretNotFound", text)
        if not wanted[-1].enabled:
            text = "Operation get is not allowed on a disabled secret."
            return _refusal(403, "Forbidden", text, inner="SecretDisabled")
        return Answer(200, self._bundle(parts[1], wanted[-1]))

    def _bundle(self, name: str, version: Version) -> dict[str, Any]:
        attributes: dict[str, Any] = {"enabled": True, "created": version.created, "updated": version.created}
        attributes |= {"recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90}
        for key, value in (("nbf", version.not_before), ("exp", version.expires)):
            if value is not None:
                attributes[key] = value
        bundle: dict[str, Any] = {"value": version.value, "id": f"{self.url}/secrets/{name}/{version.id}"}
        if version.content_type:
            bundle["contentType"] = version.content_type
        return {**bundle, "attributes": attributes, "tags": {}}


def _refusal(
    status: int, code: str, message: str, headers: dict[str, str] | None = None, inner: str | None = None
) -> Answer:
    error: dict[str, Any] = {"code": code, "message": message}
    if inner:
        error["innererror"] = {"code": inner}
    return Answer(status, {"error": error}, headers or {})
