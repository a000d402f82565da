"""Name exchanges by what they do to which row, message or resource, without ids, times or addresses.

The names are the same in each run: the deployment's own id becomes `{id}`. An exchange that names only other
deployments of the sweep is not counted, because it does not belong to the run.
"""

import html
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from shared.domain.fields import GUID
from shared.domain.json import as_object

DEPLOYMENT = re.compile(r"sweep-[0-9a-f]{8}")
"""The id of a deployment of the sweep, which is also its target and the name of its workspace."""
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d)|\b\d{19}(?=_)")
"""Times in filters, and the reversed times at the start of the keys in the list by time."""
_ROWS_SHOWN = 2


def is_foreign(text: str, deployment_id: str) -> bool:
    """Return True if the text names other deployments of the sweep, but not this one."""
    named = set(DEPLOYMENT.findall(text))
    return bool(named) and deployment_id not in named


def of_table(method: str, url: str, body: str) -> str:
    """Name a table request: a read by its key or filter, a write by its rows and their new states."""
    address = urlsplit(url)
    path = unquote(address.path).split("/", 2)[-1]
    if path == "$batch":
        rows = [json.loads(line) for line in body.splitlines() if line.startswith("{")]
        table = re.search(r"^(?:POST|PUT|PATCH|MERGE) \S+?/([a-z]+)(?:\(|\s)", body, re.MULTILINE)
        shown = ", ".join(_row(row) for row in rows[:_ROWS_SHOWN])
        more = f" and {len(rows) - _ROWS_SHOWN} more" if len(rows) > _ROWS_SHOWN else ""
        return f"table batch {table[1] if table else '?'} {shown}{more}"
    if path.startswith("Tables"):
        name = (as_object(_json(body)) or {}).get("TableName", "")
        return f"table {'create' if method == 'POST' else 'list'} {name}".rstrip()
    name, _, key = path.partition("(")
    if method == "GET":
        row = re.search(r"RowKey='([^']*)'", key)
        query = parse_qs(address.query).get("$filter", [""])[0]
        return f"table read {name} {row[1] if row else query}".rstrip()
    return f"table {method.lower()} {name} {_row(as_object(_json(body)) or {})}".rstrip()


def _row(row: Mapping[str, Any]) -> str:
    key = str(row.get("RowKey", ""))
    if key.startswith("audit_"):
        return "audit"
    if "expires_at" in row:
        return "lease over" if str(row["expires_at"]).startswith("1970") else "lease"
    return f"{key}={row['state']}" if "state" in row else key


def of_queue(method: str, url: str, body: str, message: str) -> str:
    """Name a queue request. `message` describes the handled message, because such requests contain only a receipt."""
    address = urlsplit(url)
    parts = unquote(address.path).strip("/").split("/")[1:]
    queue = parts[0] if parts else ""
    query = parse_qs(address.query)
    if len(parts) == 1:
        return f"queue {'create' if method == 'PUT' else method.lower()} {queue}"
    if method == "POST":
        text = re.search(r"<MessageText>(.*)</MessageText>", body, re.DOTALL)
        later = " later" if query.get("visibilitytimeout", ["0"]) != ["0"] else ""
        return f"queue send {queue} {of_message(html.unescape(text[1]) if text else '')}{later}"
    word = {"DELETE": "delete", "PUT": "renew", "GET": "receive"}.get(method, method.lower())
    return f"queue {word} {queue} {message}".rstrip()


def of_message(text: str) -> str:
    """Name a message: a step's by its ordinal and direction, any other as a submission."""
    data = as_object(_json(text)) or {}
    return f"step {data['ordinal']} {data['direction']}" if "ordinal" in data else "submission"


def of_blob(method: str, url: str) -> str:
    """Name a blob request by its container only, because blobs are named by the hash of their content."""
    address = urlsplit(url)
    parts = unquote(address.path).strip("/").split("/")[1:]
    if len(parts) == 1:
        return f"blob create container {parts[0]}"
    return f"blob {'write' if method == 'PUT' else 'read'} {parts[0]}" if parts else f"blob {method.lower()}"


def of_fabric(method: str, url: str, body: bytes | None) -> str:
    """Name a call to Fabric by its method, its path, and the name or principal in its body."""
    path = unquote(urlsplit(url).path).removeprefix("/v1")
    content = as_object(_json((body or b"").decode("utf-8", "replace"))) or {}
    principal = as_object(content.get("principal")) or {}
    about = content.get("displayName") or principal.get("id") or ""
    return f"fabric {method} {path} {about}".rstrip()


def normal(name: str, deployment_id: str, known: Mapping[str, str]) -> str:
    """Remove what differs between runs from a name. `known` maps ids to the names that replace them."""
    name = _TIME.sub("{time}", _DIGEST.sub("{digest}", name))
    name = GUID.sub(lambda found: known.get(found[0].lower(), "{guid}"), name)
    return name.replace(deployment_id, "{id}")


def ids_in(text: str) -> tuple[str, ...]:
    """Return every GUID in a text, in lower case. Those in a manifest are the same in each run."""
    return tuple(dict.fromkeys(found.lower() for found in GUID.findall(text)))


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None
