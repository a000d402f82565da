"""Identify the caller of each request, and refuse what the caller may not do."""

from dataclasses import replace

from shared.domain.access import BY_KEY, Caller, role_refusal
from shared.domain.errors import SignInError, SignInUnavailableError
from shared.web.backend import Backend, Route
from shared.web.http import HttpError, Reply, Request, json_reply

PAGE_TOKEN = "x-ms-token-aad-id-token"  # noqa: S105 - the name of a header
"""The header in which App Service authentication passes on the token of a browser that is signed in with a cookie:
https://learn.microsoft.com/azure/app-service/configure-authentication-oauth-tokens. Its signature is verified like that
of any token, so it proves its caller also if a client sends it."""
FROM_PAGE = "x-fabric-saga-page"
"""The header that the page sends. A page of another origin cannot send it without this app's permission (CORS), so a
cookie alone cannot change anything."""
SIGN_IN = "/.auth/login/aad"
"""Where a browser signs in: https://learn.microsoft.com/azure/app-service/configure-authentication-customize-sign-in-out."""
RETRY_SECONDS = 5
_READS = ("GET", "HEAD")


def guarded(route: Route) -> Route:
    """Return the route with a handler that answers 401 and 403 if sign-in is configured. If it is not, the host has
    checked the function key."""
    if route.is_anonymous:
        return route

    def handler(request: Request, backend: Backend) -> Reply:
        caller = identified(request, backend)
        if refusal := role_refusal(caller, route.roles):
            raise forbidden(refusal)
        return route.handler(request, replace(backend, caller=caller))

    return replace(route, handler=handler)


def identified(request: Request, backend: Backend) -> Caller:
    """Return the caller of a request. Raises HttpError 401, 403, or 503 while tokens cannot be verified."""
    if not backend.signs_in:
        return BY_KEY
    token = _bearer(request.headers.get("authorization", ""))
    if not token and request.headers.get(PAGE_TOKEN, "").strip():
        if request.method not in _READS and FROM_PAGE not in request.headers:
            raise forbidden(f"a request with a cookie must come from the page, which sends the header {FROM_PAGE}")
        token = request.headers[PAGE_TOKEN].strip()
    if not token:
        detail = "sign in: send a token of this app's registration as Authorization: Bearer <token>"
        raise HttpError(401, detail, headers={"WWW-Authenticate": "Bearer"}, sign_in=SIGN_IN)
    try:
        return backend.app().callers.verify(token)
    except SignInError as error:
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise HttpError(401, f"{error}", headers=challenge, sign_in=SIGN_IN) from None
    except SignInUnavailableError as error:
        raise HttpError(503, f"{error}; try again", headers={"Retry-After": str(RETRY_SECONDS)}) from None


def check_target(backend: Backend, target: str) -> None:
    """Raise HttpError 403 if the caller may not change a target (in its normal form)."""
    if backend.signs_in and (refusal := backend.app().targets.refusal(backend.caller, target)):
        raise forbidden(refusal)


def forbidden(reason: str) -> HttpError:
    """Return 403 with its reason."""
    return HttpError(403, reason)


def me(request: Request, backend: Backend) -> Reply:
    """Return who the caller is, and which roles the caller has, so that the page shows what is possible."""
    caller = backend.caller
    body = {
        "signed_in": caller.is_signed_in,
        "name": caller.name,
        "object_id": caller.object_id,
        "roles": sorted(role.value for role in caller.roles),
    }
    return json_reply(body)


def _bearer(header: str) -> str:
    """Return the token of an Authorization header, or ''."""
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
