"""The libraries of environments, staged and published.

Source: recordings of microsoft/fabric-cli, the published OpenAPI.
"""

import email.policy
import re
from collections.abc import Mapping
from email.parser import BytesParser

import yaml

from local.fabric_simulator import publishing
from local.fabric_simulator.environment_files import environment, invalid, read_yaml
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.parts import parts_of, put_parts
from local.fabric_simulator.publishing import LIBRARIES
from local.fabric_simulator.route import ID, WORKSPACE, Route
from local.fabric_simulator.store import Item
from local.fabric_simulator.world import Body, World, list_field, rows_field

_PUBLIC = f"{LIBRARIES}PublicLibraries/environment.yml"
_CUSTOM = f"{LIBRARIES}CustomLibraries/"
_KINDS = {".whl": "wheelFiles", ".py": "pyFiles", ".jar": "jarFiles", ".gz": "rTarFiles"}


def _packages(parts: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Return names and versions of the packages that environment.yml requires."""
    found: list[tuple[str, str]] = []
    required = read_yaml(parts.get(_PUBLIC, b""))
    rows = list_field(required, "dependencies")
    rows += [text for row in rows_field(required, "dependencies") for text in list_field(row, "pip")]
    for row in rows:
        if isinstance(row, dict):
            continue
        name, _, version = re.sub("[<>=~!]+", "=", str(row), count=1).partition("=")
        found.append((name.strip(), version.strip()))
    return found


def _libraries(parts: Mapping[str, bytes], request: Request, what: str) -> Answer:
    custom = [path.removeprefix(_CUSTOM) for path in parts if path.startswith(_CUSTOM)]
    if not custom and _PUBLIC not in parts:
        state, verb = ("staged", "upload") if what == "staging" else ("published", "publish")
        message = f"This environment does not have any {state} libraries. Please {verb} libraries."
        raise ApiError(404, "EnvironmentLibrariesNotFound", message)
    if request.query.get("beta", "true").lower() == "false":
        rows: list[Body] = [{"libraryType": "Custom", "name": name} for name in custom]
        rows += [{"libraryType": "External", "name": n, "version": v} for n, v in _packages(parts)]
        return Answer(200, {"libraries": rows})
    by_kind: Body = {kind: [n for n in custom if n.endswith(end)] for end, kind in _KINDS.items()}
    return Answer(200, {"customLibraries": by_kind, "environmentYml": parts.get(_PUBLIC, b"").decode()})


def staged_libraries(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer GET staging/libraries; 404 if there are none."""
    return _libraries(parts_of(environment(world, workspace_id, item_id)[1]), request, "staging")


def published_libraries(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer GET libraries; 404 if none was published."""
    item = environment(world, workspace_id, item_id)[1]
    return _libraries(item.part(publishing.Publishing).published, request, "published")


def upload(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST staging/libraries, with the files as a form: 200 and an empty object."""
    item = environment(world, workspace_id, item_id, change=True)[1]
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    form = BytesParser(policy=email.policy.HTTP).parsebytes(head + request.body)
    files = {f.get_filename(): f.get_payload(decode=True) for f in form.iter_parts()} if form.is_multipart() else {}
    if not files:
        raise invalid("The request must be a form with a file.")
    for name, data in files.items():
        _stage(item, str(name), data if isinstance(data, bytes) else b"")
    return Answer(200, {})


def upload_one(world: World, request: Request, workspace_id: str, item_id: str, name: str) -> Answer:
    """Answer POST staging/libraries/{name}, with the file as the body."""
    _stage(environment(world, workspace_id, item_id, change=True)[1], name, request.body)
    return Answer(200, empty=True)


def _stage(item: Item, name: str, data: bytes) -> None:
    if name == "environment.yml":
        read_yaml(data)
        put_parts(item, {**parts_of(item), _PUBLIC: data})
    elif name.endswith(tuple(_KINDS)) and "/" not in name:
        put_parts(item, {**parts_of(item), f"{_CUSTOM}{name}": data})
    else:
        raise invalid(f"{name[:200]} is not a library: the extensions are {', '.join(_KINDS)}.")


def import_external(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST importExternalLibraries, with environment.yml as the body."""
    _stage(environment(world, workspace_id, item_id, change=True)[1], "environment.yml", request.body)
    return Answer(200, empty=True)


def remove_external(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST removeExternalLibrary: {name, version}."""
    item, body = environment(world, workspace_id, item_id, change=True)[1], request.json()
    parts = parts_of(item)
    wanted = (str(body.get("name")), str(body.get("version")))
    left = [pair for pair in _packages(parts) if pair != wanted]
    if len(left) == len(_packages(parts)):
        raise invalid(f"The library {wanted[0][:200]} {wanted[1][:200]} is not staged.")
    del parts[_PUBLIC]
    if left:
        rows = {"dependencies": [{"pip": [f"{n}=={v}" if v else n for n, v in left]}]}
        parts[_PUBLIC] = yaml.safe_dump(rows).encode()
    put_parts(item, parts)
    return Answer(200, empty=True)


def remove(world: World, request: Request, workspace_id: str, item_id: str, name: str = "") -> Answer:
    """Answer DELETE of a staged library, which the path or `libraryToDelete` names."""
    item = environment(world, workspace_id, item_id, change=True)[1]
    wanted = name or request.query.get("libraryToDelete", "")
    parts = parts_of(item)
    path = _PUBLIC if wanted == "environment.yml" else f"{_CUSTOM}{wanted}"
    if path not in parts:
        raise invalid(f"The library {wanted[:200]} is not staged.")
    del parts[path]
    put_parts(item, parts)
    return Answer(200, empty=True)


_ONE = f"{WORKSPACE}/environments/{ID}"
ROUTES = [
    Route("GET", f"{_ONE}/staging/libraries", staged_libraries),
    Route("GET", f"{_ONE}/libraries", published_libraries),
    Route("POST", f"{_ONE}/staging/libraries", upload),
    Route("DELETE", f"{_ONE}/staging/libraries", remove, synthetic=True),
    Route("POST", f"{_ONE}/staging/libraries/importExternalLibraries", import_external, synthetic=True),
    Route("POST", f"{_ONE}/staging/libraries/removeExternalLibrary", remove_external, synthetic=True),
    Route("POST", f"{_ONE}/staging/libraries/([^/]+)", upload_one, synthetic=True),
    Route("DELETE", f"{_ONE}/staging/libraries/([^/]+)", remove, synthetic=True),
]
