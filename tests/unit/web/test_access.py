"""The rights of callers: every role on every route and verb, forged and foreign tokens, approvers, targets."""

import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from local.fabric_simulator.http import Request as EntraRequest
from local.key_vault.entra import Entra, SigningKey
from shared.adapters.sign_in import TokenVerifier
from shared.domain.access import AccessPolicy, Role, read_target_rules
from shared.domain.approval import APPROVAL
from shared.domain.errors import SignInUnavailableError
from shared.domain.json import JsonObject
from shared.domain.records import StepRecord
from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S
from shared.saga.command.verbs import VERBS, Verb
from shared.web.access import FROM_PAGE, PAGE_TOKEN
from shared.web.api import ROUTES
from shared.web.backend import Route
from shared.web.http import Reply, Request
from tests.unit.web.conftest import MANIFEST, Api, json_body

TENANT, APP = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
ANNA, BEN, TEAM = (str(uuid.UUID(int=number)) for number in (10, 11, 12))
LOGIN = "https://login.example"
KEY, FOREIGN_KEY = SigningKey("key-1"), SigningKey("key-1")


class SignedApi(Api):
    """The API of an app that signs in its callers."""

    def __init__(self, **policy: bool) -> None:
        self.entra = Entra(LOGIN, signing_keys={"key-1": KEY})
        self.is_away = False
        verifier = TokenVerifier(TENANT, APP, LOGIN, read=self._read)
        super().__init__(callers=verifier, access=AccessPolicy(signs_in=True, **policy))

    def _read(self, url: str) -> JsonObject:
        if self.is_away:
            raise SignInUnavailableError("the sign-in service cannot be read: it is away")
        return self.entra.handle(EntraRequest("GET", url.removeprefix(LOGIN))).body

    def token(self, *roles: Role, oid: str = ANNA, **claims: Any) -> str:
        """Return a token of a caller with these roles."""
        given = {"oid": oid, "preferred_username": "anna" if oid == ANNA else "ben", "roles": [str(r) for r in roles]}
        return self.entra.sign_in(TENANT, APP, **{**given, **claims})

    def send(self, method: str, path: str, token: str = "", body: Any = b"", **headers: str) -> Reply:
        """Send a request with a token."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask(method, path, body, {**sent, **({"Authorization": f"Bearer {token}"} if token else {})})


@pytest.fixture
def signed() -> SignedApi:
    return SignedApi()


PROTECTED = [route for route in ROUTES if not route.is_anonymous]
ALLOWED: Mapping[str, str] = {
    "submit_deployment": "D",
    "redeploy_deployment": "D",
    "list_deployments": "RDAO",
    "get_deployment": "RDAO",
    "get_audit": "RDAO",
    "get_graph": "RDAO",
    "get_parts": "RDAO",
    "cancel_deployment": "DO",
    "approve_deployment": "A",
    "refuse_deployment": "A",
    "resume_deployment": "DO",
    "compensate_deployment": "DO",
    "retire_deployment": "DO",
    "release_deployment": "O",
    "plan_manifest": "DO",
    "missing_payloads": "DO",
    "store_payload": "DO",
    "list_breakers": "RDAO",
    "reset_breaker": "O",
    "list_orphans": "RDAO",
    "who_am_i": "RDAO-",
    "health": "RDAO",
    "health_head": "RDAO",
}
"""The roles that open each route, by their first letter; `-` is a signed-in caller without a role. Written by hand, so
that a changed row of the code is seen here."""
LETTERS = {"-": None, **{role.value[0]: role for role in Role}}


def test_every_protected_route_has_a_row_in_this_table() -> None:
    missing, unknown = {route.name for route in PROTECTED} - set(ALLOWED), set(ALLOWED) - {r.name for r in PROTECTED}
    assert not missing, f"tests/unit/web/test_access.py: add to ALLOWED the roles of {sorted(missing)}"
    assert not unknown, f"tests/unit/web/test_access.py: ALLOWED has routes that do not exist: {sorted(unknown)}"


def sent(api: SignedApi, route: Route, token: str) -> Reply:
    """Send a request to a route that would be answered if the caller may."""
    path = route.path.replace("{id}", "d").replace("{name}", "items").replace("{digest}", "0" * 64)
    body: Any = MANIFEST if route.name in ("submit_deployment", "plan_manifest") else b""
    return api.send(route.method, path, token, body)


@pytest.mark.parametrize("letter", LETTERS)
@pytest.mark.parametrize("route", PROTECTED, ids=lambda route: route.name)
def test_role_opens_exactly_its_routes(signed: SignedApi, route: Route, letter: str) -> None:
    """Every role x route x verb: allowed, or 403 with the role that is needed; and nothing is done then."""
    signed.saga.deployment(D.RUNNING, S.PENDING)
    role = LETTERS[letter]
    before = signed.journal.audit("d")
    reply = sent(signed, route, signed.token(*([role] if role else [])))
    if letter in ALLOWED[route.name]:
        assert reply.status not in (401, 403)
        return
    assert reply.status == 403
    assert "needs the app role" in json_body(reply)["detail"]
    assert signed.journal.audit("d") == before
    assert not signed.queue
    assert not signed.engine.received


@pytest.mark.parametrize("route", PROTECTED, ids=lambda route: route.name)
def test_protected_route_needs_a_valid_token(signed: SignedApi, route: Route) -> None:
    """No token, a forged one, an expired one, one for another application: 401 that says where to sign in. A header
    that names a principal proves nothing, whoever sent it."""
    signed.saga.deployment(D.RUNNING, S.PENDING)
    everything = list(Role)
    forged = FOREIGN_KEY.sign({"aud": APP, "oid": ANNA, "roles": everything, "exp": 4e9, "iss": LOGIN})
    tokens = ["", forged, "x", signed.token(*everything, exp=1), signed.token(*everything, aud="other")]
    for token in tokens:
        reply = sent(signed, route, token)
        assert (reply.status, reply.headers["WWW-Authenticate"][:6]) == (401, "Bearer")
        assert json_body(reply)["sign_in"].startswith("/.auth/")
        assert not token or token not in reply.body.decode()
    headers = {"x_ms_client_principal_name": "anna", "x_ms_client_principal": "e30=", "x_functions_key": "key"}
    path = route.path.replace("{id}", "d").replace("{name}", "items").replace("{digest}", "0" * 64)
    assert signed.send(route.method, path, "", b"", **headers).status == 401


def test_anonymous_routes_need_no_token(signed: SignedApi) -> None:
    signed.is_away = True
    for route in ROUTES:
        if route.is_anonymous and "{" not in route.path:
            assert signed.send(route.method, route.path).status == 200


def test_nobody_is_let_in_while_tokens_cannot_be_verified(signed: SignedApi) -> None:
    """The answer is 503 with the time to try again; it is neither a refusal nor an open door."""
    signed.is_away = True
    reply = signed.send("GET", "deployments", signed.token(*Role))
    assert (reply.status, reply.headers["Retry-After"]) == (503, "5")


def test_cookie_of_a_browser_cannot_change_anything_from_another_page(signed: SignedApi) -> None:
    """App Service passes on the token of a cookie. A browser sends the cookie for a foreign page too, but not the
    header that the page of this app sends."""
    signed.saga.deployment(D.RUNNING, S.PENDING)
    cookie = {PAGE_TOKEN: signed.token(Role.OPERATOR)}
    assert signed.ask("GET", "deployments", headers=cookie).status == 200
    refused = signed.ask("POST", "deployments/d/cancel", {}, cookie)
    assert refused.status == 403
    assert FROM_PAGE in json_body(refused)["detail"]
    assert signed.ask("POST", "deployments/d/cancel", {}, {**cookie, FROM_PAGE: "1"}).status == 202
    forged = {PAGE_TOKEN: "a.b.c", FROM_PAGE: "1"}
    assert signed.ask("POST", "deployments/d/cancel", {}, forged).status == 401


def test_caller_is_recorded_with_name_and_object_id(signed: SignedApi) -> None:
    """The audit has the name that is proven, not the name that the request gives."""
    signed.send("POST", "deployments?id=d&requested_by=mallory", signed.token(Role.DEPLOYER), MANIFEST)
    header = signed.saga.header()
    assert (header.requested_by, header.requester_id) == (f"anna ({ANNA})", ANNA)
    signed.send("POST", "deployments/d/cancel", signed.token(Role.DEPLOYER, oid=BEN), {"requested_by": "anna"})
    assert signed.journal.audit("d")[-1].actor == f"ben ({BEN})"
    me = json_body(signed.send("GET", "me", signed.token(Role.DEPLOYER, Role.READER)))
    assert me == {"signed_in": True, "name": "anna", "object_id": ANNA, "roles": ["Deployer", "Reader"]}


def test_caller_with_a_key_is_nobody(api: Api) -> None:
    """Without sign-in, a key has every role and no name."""
    me = json_body(api.ask("GET", "me"))
    assert (me["signed_in"], me["name"], len(me["roles"])) == (False, "", len(Role))


def asking(api: Api, requester: str = "", **spec: Any) -> None:
    """Put a deployment into the journal whose step waits for a person."""
    question: JsonObject = {"message": "Go?", **spec}
    step = StepRecord(
        "d", 0, "gate", APPROVAL, question, (), {}, 60.0, state=S.PENDING, started_at=api.saga.clock.now()
    )
    api.saga.deployment(D.RUNNING, step, requester_id=requester)


@pytest.mark.parametrize(
    ("spec", "requester", "verb", "status"),
    [
        ({}, "", Verb.APPROVE, 202),
        ({"approvers": [ANNA]}, "", Verb.APPROVE, 202),
        ({"approvers": [TEAM]}, "", Verb.APPROVE, 202),
        ({"approvers": [BEN]}, "", Verb.APPROVE, 403),
        ({"approvers": [BEN]}, "", Verb.REFUSE, 403),
        ({"approvers": ["anna"]}, "", Verb.APPROVE, 403),
        ({"separationOfDuties": True}, ANNA, Verb.APPROVE, 403),
        ({"separationOfDuties": True}, BEN, Verb.APPROVE, 202),
        ({"separationOfDuties": True}, "", Verb.APPROVE, 403),
        ({"separationOfDuties": True}, ANNA, Verb.REFUSE, 202),
        ({"separationOfDuties": True, "approvers": [TEAM]}, ANNA, Verb.APPROVE, 403),
        ({"separationOfDuties": False, "approvers": [TEAM]}, ANNA, Verb.APPROVE, 202),
    ],
)
def test_approval_is_decided_by_its_approvers_alone(
    signed: SignedApi, spec: JsonObject, requester: str, verb: Verb, status: int
) -> None:
    """Object ids of users and groups count, names do not; the requester may refuse and, if the duties are separate,
    not approve. A refusal is in the audit, and the step still waits."""
    asking(signed, requester, **spec)
    token = signed.token(Role.APPROVER, groups=[TEAM])
    reply = signed.send("POST", f"deployments/d/{verb}", token, {"step": "gate"})
    assert reply.status == status
    step = signed.journal.steps("d")[0].record
    if status == 403:
        assert step.state is S.PENDING
        assert "not accepted" in signed.journal.audit("d")[-1].reason
    else:
        assert step.state is (S.SUCCEEDED if verb is Verb.APPROVE else S.FAILED)


def submitted(api: SignedApi, **spec: Any) -> Reply:
    """Submit a manifest with an approval."""
    steps = [*MANIFEST["steps"], {"id": "gate", "kind": "approval", "with": {"message": "Go?", **spec}}]
    return api.send("POST", "deployments?id=d", api.token(Role.DEPLOYER), {**MANIFEST, "steps": steps})


def test_manifest_whose_approvers_cannot_be_checked_is_rejected(signed: SignedApi) -> None:
    """With sign-in, a name that nobody can prove; without sign-in, the separation of duties."""
    assert "is not the object id" in json_body(submitted(signed, approvers=["data team"]))["problems"][0]["message"]
    assert submitted(SignedApi(), approvers=[TEAM], separationOfDuties=True).status == 202
    by_key = Api()
    steps = [{"id": "gate", "kind": "approval", "with": {"message": "Go?", "separationOfDuties": True}}]
    reply = by_key.ask("POST", "deployments?id=d", {**MANIFEST, "steps": [*MANIFEST["steps"], *steps]})
    assert reply.status == 400
    assert "configure sign-in" in json_body(reply)["problems"][0]["message"]


def test_target_is_changed_only_by_those_whom_its_rule_names() -> None:
    """Submission, plan and every verb; reading is open to every role. A target without a rule belongs to nobody."""
    signed = SignedApi(queue_needs_identity=True)
    object.__setattr__(signed.app, "targets", read_target_rules(f'{{"m": ["{TEAM}"], "free*": ["*"]}}'))
    roles = (Role.DEPLOYER, Role.OPERATOR, Role.APPROVER)
    member, other = signed.token(*roles, groups=[TEAM]), signed.token(*roles, groups=[BEN])
    for path in ("deployments?id=d", "plan"):
        assert signed.send("POST", path, other, MANIFEST).status == 403
        elsewhere = {**MANIFEST, "target": "Somewhere else"}
        assert "nobody" in json_body(signed.send("POST", path, member, elsewhere))["detail"]
    free = signed.send("POST", "deployments?id=f", other, {**MANIFEST, "target": "FREE 1"})
    assert free.status == 202
    assert signed.send("POST", "deployments?id=d", member, MANIFEST).status == 202
    for verb in VERBS:
        body = {"step": "w", "reason": "r"}
        assert signed.send("POST", f"deployments/d/{verb}", other, body).status == 403
        assert signed.send("POST", f"deployments/d/{verb}", member, body).status in (202, 409)
    assert signed.send("GET", "deployments/d", signed.token(Role.READER, oid=BEN)).status == 200


def test_request_of_the_host_keeps_the_headers_of_sign_in() -> None:
    """The host gives header names in any case."""
    read = Request.of("get", "http://h/api/me", {}, {"AUTHORIZATION": "Bearer x"}, lambda: b"")
    assert read.headers["authorization"] == "Bearer x"
