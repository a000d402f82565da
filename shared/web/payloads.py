"""Files of a repository, which a caller stores before it submits: each is named by its SHA-256 and stored once."""

import hashlib

from shared.domain.errors import InvalidInputError, Problem
from shared.domain.fields import Fields
from shared.domain.json import SHA256
from shared.web import bodies
from shared.web.backend import Backend
from shared.web.http import OCTETS, HttpError, Reply, Request, bad_request, json_reply, media_type
from shared.web.schemas import MAX_DIGESTS

MAX_BYTES = 100 * 1024 * 1024
"""Bytes of one file. Source: the limit of a request to Azure Functions (FUNCTIONS_REQUEST_BODY_SIZE_LIMIT)."""
_RULE = "is not a SHA-256 in lower-case hex"


def missing_payloads(request: Request, backend: Backend) -> Reply:
    """Return which of the given digests the app has no file of. Raises HttpError 400."""
    problems: list[Problem] = []
    try:
        fields = Fields(bodies.small_json(request, MAX_DIGESTS * 100), "$", problems)
    except InvalidInputError as error:
        raise bad_request(error.problems) from None
    if fields.raw("digests", required=True) is None:
        raise bad_request([Problem("$.digests", "is required: the SHA-256 of each file")])
    digests = fields.texts("digests")
    fields.finish()
    if len(digests) > MAX_DIGESTS:
        problems.append(Problem("$.digests", f"has {len(digests)} entries; at most {MAX_DIGESTS} are accepted"))
    problems += [Problem(f"$.digests[{i}]", _RULE) for i, each in enumerate(digests) if not SHA256.fullmatch(each)]
    if problems:
        raise bad_request(problems)
    return json_reply({"missing": backend.app().services.payloads.blobs.missing(digests)})


def store_payload(request: Request, backend: Backend) -> Reply:
    """Store a file under its digest. Raises HttpError 400, 413 and 415."""
    digest = request.route["digest"]
    media_type(request, (OCTETS,), OCTETS)
    if not SHA256.fullmatch(digest):
        raise bad_request([Problem("path.digest", _RULE)])
    if len(request.body) > MAX_BYTES:
        raise HttpError(413, f"the file has {len(request.body)} bytes; at most {MAX_BYTES} are accepted")
    if hashlib.sha256(request.body).hexdigest() != digest:
        raise bad_request([Problem("$", "has another SHA-256 than the address names; send the file again")])
    backend.app().services.payloads.blobs.put(request.body)
    return json_reply({"digest": digest, "size": len(request.body)})
