"""microsoft/fabric-cicd itself, in this process: what it would send for a repository, part by part.

Its endpoint is replaced; nothing reaches a network. All items exist in the workspace already, so every item is sent as
an update of its definition and no part depends on the order of types.
"""

import base64
import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import fabric_cicd  # pyright: ignore[reportMissingTypeStubs] - the package has no types
import fabric_cicd._parameter._utils  # pyright: ignore[reportMissingTypeStubs] - the package has no types
import jsonpath_ng.ext  # pyright: ignore[reportMissingTypeStubs] - the package has no types
import yaml
from azure.core.credentials import AccessToken
from fabric_cicd import constants  # pyright: ignore[reportMissingTypeStubs] - the package has no types

from shared.repository.model import Kind, Ref

WORKSPACE_ID = "5f1a2b3c-0000-4000-8000-000000000001"
WORKSPACE_NAME = "Sales & Ops PROD"
OTHER_WORKSPACE, OTHER_WORKSPACE_ID = "Shared.Data", "5f1a2b3c-0000-4000-8000-000000000002"
OTHER_ITEM_ID = "5f1a2b3c-0000-4000-8000-000000000003"
POOLS = (
    ("Workspace", "Big", "9b000000-0000-4000-8000-000000000001"),
    ("Capacity", "Cap", "9b000000-0000-4000-8000-000000000002"),
)
_PLURALS = {
    "lakehouses": "Lakehouse",
    "mirroreddatabases": "MirroredDatabase",
    "warehouses": "Warehouse",
    "sqldatabases": "SQLDatabase",
    "eventhouses": "Eventhouse",
    "kqldatabases": "KQLDatabase",
}


class RefusedError(Exception):
    """fabric-cicd does not deploy the repository; the message is its own."""


@dataclass
class Sent:
    """The parts by item key and path that fabric-cicd sent, and the shortcuts of lakehouses."""

    parts: dict[str, dict[str, bytes]] = field(default_factory=dict[str, dict[str, bytes]])
    formats: dict[str, str] = field(default_factory=dict[str, str])
    shortcuts: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    folders: set[str] = field(default_factory=set[str])
    kept: int = 0
    """How often YAML in which no key matches was left alone."""


def item_id(key: str) -> str:
    """Return the id that the made-up workspace has for an item."""
    return f"17e40000-0000-4000-9000-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def attribute(key: str, name: str) -> str:
    """Return an attribute of an item of the made-up workspace."""
    number = item_id(key)[-12:]
    return {
        "id": item_id(key),
        "sqlendpoint": f"{number}.datawarehouse.fabric.microsoft.com",
        "sqlendpointid": f"5e000000-0000-4000-8000-{number}",
        "queryserviceuri": f"https://{number}.kusto.fabric.microsoft.com",
    }[name]


def resolve(ref: Ref) -> str:
    """Return the same values to the code under test."""
    if ref.kind is Kind.POOL:
        return next(pool_id for kind, name, pool_id in POOLS if (kind, name) == (ref.type, ref.name))
    if ref.kind is Kind.ITEM:
        return OTHER_ITEM_ID if ref.workspace else attribute(f"{ref.type}/{ref.name}", ref.attribute)
    if ref.workspace:
        return OTHER_WORKSPACE_ID
    return {"id": WORKSPACE_ID, "name": WORKSPACE_NAME, "name_encoded": "Sales%20%26%20Ops%20PROD"}[ref.attribute]


@cache
def _patch() -> None:
    """Let fabric-cicd parse each JSONPath once, and leave YAML alone in which no key matches.

    It computes the tables of the grammar for each JSONPath of each part otherwise. It writes YAML again in any case,
    and JSON with a byte order mark too, which it takes for YAML: two differences in bytes that docs/adr names.
    """
    utils = fabric_cicd._parameter._utils
    parse = jsonpath_ng.ext.parse = utils.parse = lru_cache(jsonpath_ng.ext.parse)
    original = utils.replace_key_value

    def replaced(workspace: Any, entry: dict[str, Any], content: str, env: str, is_yaml: bool = False) -> str:
        if is_yaml and _is_json(content.removeprefix("\ufeff")):
            return original(workspace, entry, content.removeprefix("\ufeff"), env)
        if is_yaml:
            values = utils.process_environment_key(env, entry["replace_value"])
            if env not in values or not parse(entry["find_key"]).find(yaml.safe_load(content)):
                workspace.endpoint.sent.kept += 1
                return content
        return original(workspace, entry, content, env, is_yaml)

    utils.replace_key_value = replaced


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def send(root: Path, environment: str, *, env: Mapping[str, str] | None = None, has_parameters: bool = True) -> Sent:
    """Return what fabric-cicd sends for a directory. Raises RefusedError if it refuses the repository."""
    flags = {"enable_shortcut_publish"} | ({"enable_environment_variable_replacement"} if env is not None else set())
    _patch()
    with _flags(flags), _environment(env or {}):
        try:
            workspace = fabric_cicd.FabricWorkspace(
                repository_directory=str(root),
                token_credential=_Credential(),
                environment=environment,
                workspace_id=WORKSPACE_ID,
                skip_parameterization=not has_parameters,
            )
            endpoint = _Endpoint()
            setattr(workspace, "endpoint", endpoint)  # noqa: B010 - it is typed as the real one
            workspace._refresh_repository_items()
            endpoint.items = [
                (item.type, item.name) for named in workspace.repository_items.values() for item in named.values()
            ]
            fabric_cicd.publish_all_items(workspace)
        except Exception as error:  # it raises its own classes, and bare ones where it fails by accident
            causes = "".join(f"; {name}: {cause!r}" for name, cause in getattr(error, "errors", []))
            raise RefusedError(f"{type(error).__name__}: {error}{causes}") from error
    return endpoint.sent


def accepts(root: Path, environment: str, *, env: Mapping[str, str] | None = None) -> bool:
    """Return True if fabric-cicd accepts parameter.yml before it publishes anything."""
    flags = {"enable_environment_variable_replacement"} if env is not None else set[str]()
    _patch()
    with _flags(flags), _environment(env or {}):
        try:
            fabric_cicd.FabricWorkspace(
                repository_directory=str(root),
                token_credential=_Credential(),
                environment=environment,
                workspace_id=WORKSPACE_ID,
            )
        except Exception:
            return False
    return True


class _Credential:
    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken("made-up", 4_000_000_000)


class _Endpoint:
    """Answers as Fabric would, and keeps what is sent."""

    def __init__(self) -> None:
        self.sent = Sent()
        self.items: list[tuple[str, str]] = []
        self._folders: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def invoke(self, method: str, url: str, body: Any = None, **options: Any) -> dict[str, Any]:
        with self._lock:
            path = url.split("/v1", 1)[1].split("?")[0]
            return {"status_code": 200, "header": {}, "body": self._answer(method, path, body)}

    def _answer(self, method: str, path: str, body: Any) -> dict[str, Any]:
        tail = path.removeprefix(f"/workspaces/{WORKSPACE_ID}")
        if method == "GET":
            return self._read(path, tail)
        by_id = {item_id(f"{kind}/{name}"): f"{kind}/{name}" for kind, name in self.items}
        if found := re.fullmatch(r"/items/([^/]+)/updateDefinition", tail):
            key = by_id[found[1]]
            assert key not in self.sent.parts, f"{key} is sent twice"
            definition = body["definition"]
            self.sent.parts[key] = {part["path"]: base64.b64decode(part["payload"]) for part in definition["parts"]}
            self.sent.formats[key] = definition.get("format", "")
        elif found := re.fullmatch(r"/items/([^/]+)/shortcuts", tail):
            self.sent.shortcuts.setdefault(by_id[found[1]], []).append(body)
        elif tail == "/folders":
            folder = {"id": f"f01d0000-0000-4000-8000-{len(self._folders):012x}", **body}
            self._folders.append(folder)
            self.sent.folders.add(self._folder_path(folder))
            return folder
        return {"id": "unused"}

    def _folder_path(self, folder: dict[str, Any]) -> str:
        parent = next((each for each in self._folders if each["id"] == folder.get("parentFolderId")), None)
        return (self._folder_path(parent) if parent is not None else "") + f"/{folder['displayName']}"

    def _read(self, path: str, tail: str) -> dict[str, Any]:
        by_id = {item_id(f"{kind}/{name}"): f"{kind}/{name}" for kind, name in self.items}
        if path == "/workspaces":
            names = ((WORKSPACE_NAME, WORKSPACE_ID), (OTHER_WORKSPACE, OTHER_WORKSPACE_ID))
            return {"value": [{"displayName": name, "id": each} for name, each in names]}
        if tail == "":
            return {"displayName": WORKSPACE_NAME, "capacityId": "c"}
        if path == f"/workspaces/{OTHER_WORKSPACE_ID}/items":
            return {"value": [{"type": "Lakehouse", "displayName": "Hub", "id": OTHER_ITEM_ID}]}
        if tail == "/items":
            rows = [{"type": kind, "displayName": name, "description": ""} for kind, name in self.items]
            return {"value": [{**row, "id": item_id(f"{row['type']}/{row['displayName']}")} for row in rows]}
        if tail == "/spark/pools":
            return {"value": [{"type": kind, "name": name, "id": pool_id} for kind, name, pool_id in POOLS]}
        if tail == "/environments/":
            names = [name for kind, name in self.items if kind == "Environment"]
            published = {"publishDetails": {"state": "Success"}}
            return {"value": [{"displayName": name, "properties": published} for name in names]}
        if found := re.fullmatch(r"/(\w+)/([0-9a-f-]+)", tail):
            return {"properties": _properties(by_id[found[2]]) if found[1].lower() in _PLURALS else {}}
        return {"value": []}


def _properties(key: str) -> dict[str, Any]:
    endpoint = {
        "provisioningStatus": "Success",
        "connectionString": attribute(key, "sqlendpoint"),
        "id": attribute(key, "sqlendpointid"),
    }
    return {
        "sqlEndpointProperties": endpoint,
        "connectionString": attribute(key, "sqlendpoint"),
        "serverFqdn": attribute(key, "sqlendpoint"),
        "queryServiceUri": attribute(key, "queryserviceuri"),
    }


@contextmanager
def _flags(names: set[str]) -> Generator[None]:
    """Switch features on, and fabric-cicd's log off: most of the time would go into it."""
    before, level = set(constants.FEATURE_FLAG), logging.root.manager.disable
    constants.FEATURE_FLAG.update(names)
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(level)
        constants.FEATURE_FLAG.clear()
        constants.FEATURE_FLAG.update(before)


@contextmanager
def _environment(values: Mapping[str, str]) -> Generator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
