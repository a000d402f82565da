"""The audit of a deployment over HTTP, in pages.

A deployment has at most 3,000 steps, but each attempt of a stuck one adds entries, so the audit has no bound. The app
reads it once for all pages and for all who follow it. The tag of a page has two parts: the first represents the rows of
the deployment, so a follower to whom nothing has happened costs only a look at their numbers; the second represents the
page, so one that is complete is not sent again when others grow.
"""

import hashlib
import json
import re

from shared.domain.deployment_ids import is_deployment_id
from shared.domain.errors import Problem
from shared.domain.json import canonical
from shared.web import cursors
from shared.web.backend import Backend
from shared.web.bodies import Query
from shared.web.deployments import sequences_of, steps_of
from shared.web.http import HttpError, Reply, Request, bad_request, tags_of, unchanged
from shared.web.watching import Sequences

PAGE, MAX_PAGE = 1_000, 5_000
"""Entries of a page. One takes some 370 bytes."""
_POSITION = re.compile(r"(\d{1,9}):([0-9a-f]{16})")


def get_audit(request: Request, backend: Backend) -> Reply:
    """Return a page of the audit, oldest first. It is kept after the deployment is forgotten. Raises HttpError 404."""
    query = Query(request)
    limit, after = query.count("limit", PAGE, MAX_PAGE), _position(query)
    query.finish()
    deployment_id, given = request.route["id"], tags_of(request)

    def sequences() -> Sequences:
        return sequences_of(backend, deployment_id)

    def read() -> tuple[Sequences | None, bytes]:
        before = _sequences_or_none(backend, deployment_id)
        content = _entries(backend, deployment_id)
        # A move and its entry are one write: equal numbers before and after prove that the entries belong to them.
        return before if before == _sequences_or_none(backend, deployment_id) else None, content

    def is_known(tag: str) -> bool:
        return "*" in given or any(each.startswith(f"{tag[:-1]}.") for each in given)

    try:
        tag, entries = backend.watching.look(f"{deployment_id}/audit", sequences, read, is_known if given else None)
    except HttpError:  # the deployment is past its retention, or never existed
        tag, entries = "", _entries(backend, deployment_id)
    if entries is None:
        return unchanged(next((each for each in given if each.startswith(f"{tag[:-1]}.")), tag))
    body = _page(entries.split(b"\n"), after, limit)
    if not tag:
        return Reply(200, body)
    own = f'.{hashlib.sha256(body).hexdigest()[:16]}"'
    tag = f"{tag[:-1]}{own}"
    if any(each.endswith(own) for each in given):
        return unchanged(tag)
    return Reply(200, body, headers={"ETag": tag})


def _position(query: Query) -> tuple[int, str] | None:
    """Return the position after which the page begins, or None for the first page."""
    cursor = query.text("cursor")
    if cursor is None:
        return None
    match = _POSITION.fullmatch(cursors.decode(cursor))
    if match is None:
        query.problem("cursor", cursors.UNKNOWN)
        return None
    return int(match[1]), match[2]


def _page(entries: list[bytes], after: tuple[int, str] | None, limit: int) -> bytes:
    """Return the body of a page. Raises HttpError 400 if the audit has no entry at the cursor."""
    start = 0 if after is None else _index(entries, *after) + 1
    end = min(start + limit, len(entries))
    following = cursors.encode(f"{end - 1}:{_mark(entries[end - 1])}") if end < len(entries) else None
    return b'{"items": [%s], "next": %s}' % (b", ".join(entries[start:end]), json.dumps(following).encode())


def _index(entries: list[bytes], index: int, mark: str) -> int:
    """Return where the entry of a cursor is. An entry of a worker whose clock is behind may stand before it now."""
    if index < len(entries) and _mark(entries[index]) == mark:
        return index
    found = next((i for i, entry in enumerate(entries) if _mark(entry) == mark), None)
    if found is None:
        raise bad_request([Problem("query.cursor", cursors.UNKNOWN)])
    return found


def _mark(entry: bytes) -> str:
    """Return what identifies an entry, also when its step is forgotten."""
    row = {name: value for name, value in json.loads(entry).items() if name != "step_id"}
    return hashlib.sha256(canonical(row).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _sequences_or_none(backend: Backend, deployment_id: str) -> Sequences | None:
    try:
        return sequences_of(backend, deployment_id)
    except HttpError:
        return None


def _entries(backend: Backend, deployment_id: str) -> bytes:
    """Return the entries as JSON, one in each line. Raises HttpError 404 without entries."""
    found = backend.app().services.journal.audit(deployment_id) if is_deployment_id(deployment_id) else []
    if not found:
        backend.header(deployment_id)
    names = {f"step_{step.ordinal:05d}": step.step_id for step in steps_of(backend, deployment_id)}
    rows = [(entry, names.get(entry.subject)) for entry in found]
    items = [{**e.to_json(), **({"step_id": name} if name else {})} for e, name in rows]
    return b"\n".join(json.dumps(item, ensure_ascii=True).encode() for item in items)
