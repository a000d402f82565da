"""The verifier of callers' tokens against the stand-in for Entra, with tokens that are forged, foreign and old."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import HMACAlgorithm

from local.fabric_simulator.http import Request
from local.key_vault.entra import Entra, SigningKey
from shared.adapters import sign_in
from shared.adapters.sign_in import TokenVerifier, caller_of
from shared.domain.access import Role
from shared.domain.errors import SignInError, SignInUnavailableError
from shared.domain.json import JsonObject

TENANT, OTHER_TENANT = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
APP, OTHER_APP = "33333333-3333-4333-8333-333333333333", "44444444-4444-4444-8444-444444444444"
ANNA, TEAM = "aaaaaaaa-0000-4000-8000-aaaaaaaaaaaa", "bbbbbbbb-0000-4000-8000-bbbbbbbbbbbb"
LOGIN = "https://login.example"


class Tenant:
    """The stand-in, a verifier that reads it, and a clock for the verifier."""

    def __init__(self) -> None:
        self.entra = Entra(LOGIN)
        self.reads: list[str] = []
        self.is_away = False
        self.seconds = 1000.0
        self.verifier = TokenVerifier(TENANT, APP, LOGIN, read=self.read, now=lambda: self.seconds)

    def read(self, url: str) -> JsonObject:
        """Answer as Entra does."""
        self.reads.append(url)
        if self.is_away:
            raise SignInUnavailableError("the sign-in service cannot be read: it is away")
        answer = self.entra.handle(Request("GET", url.removeprefix(LOGIN)))
        assert answer.status == 200
        return answer.body

    def token(self, **claims: Any) -> str:
        """Return a valid token, or one whose claims differ."""
        given: dict[str, Any] = {"oid": ANNA, "preferred_username": "anna@contoso.example", "roles": ["Approver"]}
        return self.entra.sign_in(TENANT, APP, **{**given, **claims})


@pytest.fixture(scope="module")
def shared_tenant() -> Tenant:
    return Tenant()


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


def refusal(tenant: Tenant, token: str) -> str:
    """Return why the token is refused. The reason quotes nothing of it."""
    with pytest.raises(SignInError) as caught:
        tenant.verifier.verify(token)
    assert all(part not in str(caught.value) for part in token.split(".") if len(part) > 8)
    return str(caught.value)


def test_valid_token_proves_its_caller(shared_tenant: Tenant) -> None:
    """The caller has the name, the object id in lower case, the roles that the app knows, and the groups."""
    token = shared_tenant.token(oid=ANNA.upper(), roles=["Approver", "Reader", "Admin"], groups=[TEAM.upper()])
    caller = shared_tenant.verifier.verify(token)
    assert (caller.name, caller.object_id) == ("anna@contoso.example", ANNA)
    assert caller.roles == {Role.APPROVER, Role.READER}
    assert caller.groups == {TEAM}
    assert caller.is_signed_in
    assert caller.has_all_groups


def test_token_of_version_1_and_audience_with_scheme_are_valid(shared_tenant: Tenant) -> None:
    token = shared_tenant.token(aud=f"api://{APP}", iss=f"https://sts.windows.net/{TENANT}/", ver="1.0")
    assert shared_tenant.verifier.verify(token).object_id == ANNA


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": 1}, "has expired"),
        ({"exp": None}, "lacks a claim"),
        ({"nbf": 4_000_000_000}, "not valid yet"),
        ({"aud": OTHER_APP}, "for another application"),
        ({"aud": None}, "lacks a claim"),
        ({"aud": "https://management.azure.com"}, "for another application"),
        ({"iss": f"{LOGIN}/{OTHER_TENANT}/v2.0"}, "from another tenant"),
        ({"iss": "https://evil.example/v2.0"}, "from another tenant"),
        ({"iss": None}, "lacks a claim"),
        ({"tid": OTHER_TENANT}, "from another tenant"),
        ({"oid": None}, "no object id"),
        ({"oid": 7}, "no object id"),
        ({"oid": ""}, "no object id"),
    ],
)
def test_token_with_a_wrong_claim_is_refused(shared_tenant: Tenant, claims: JsonObject, reason: str) -> None:
    """The token is expired, not yet valid, for another application or tenant, or without an identity."""
    assert reason in refusal(shared_tenant, shared_tenant.token(**claims))


def test_forged_tokens_are_refused(shared_tenant: Tenant) -> None:
    """Unsigned; signed with a foreign key; signed by HMAC with the public key; a changed claim; no token at all."""
    good = shared_tenant.token()
    head, body, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    foreign = SigningKey("key-1").sign(claims)
    public: Any = jwt.PyJWK(shared_tenant.entra.signing_keys["key-1"].public(), "RS256").key
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    forged_head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"key-1","typ":"JWT"}').rstrip(b"=").decode()
    mac = HMACAlgorithm(HMACAlgorithm.SHA256)
    hashed = base64.urlsafe_b64encode(mac.sign(f"{forged_head}.{body}".encode(), pem)).rstrip(b"=").decode()
    raised = base64.urlsafe_b64encode(json.dumps({**claims, "roles": ["Operator"]}).encode()).rstrip(b"=").decode()
    nothing: Any = None
    unsigned = jwt.encode(claims, nothing, "none", headers={"kid": "key-1"})
    changed = [f"{forged_head}.{body}.{hashed}", f"{head}.{raised}.{signature}", f"{head}.{body}."]
    for token in (unsigned, foreign, *changed):
        refusal(shared_tenant, token)
    for text in ("", "a", "a.b.c", "..", "x" * (sign_in.MAX_TOKEN + 1), "ü.ü.ü", "\udce9.a.b"):
        refusal(shared_tenant, text)


@given(st.text())
def test_no_text_proves_anybody(text: str) -> None:
    """Every text is refused with a reason."""
    verifier = TokenVerifier(
        TENANT, APP, LOGIN, read=lambda url: {"jwks_uri": url, "issuer": "i", "keys": [KEY.public()]}
    )
    with pytest.raises(SignInError):
        verifier.verify(text)


KEY = SigningKey("key-1")


def test_new_key_is_read_when_a_token_names_it(tenant: Tenant) -> None:
    """A rotation needs no restart; unknown keys do not make the app call Entra again and again."""
    tenant.verifier.verify(tenant.token())
    assert len(tenant.reads) == 2
    tenant.entra.signing_keys["key-2"] = SigningKey("key-2")
    rotated = tenant.token()
    assert "not signed with a key" in refusal(tenant, rotated)  # read a moment ago
    tenant.seconds += sign_in.REFRESH_SECONDS
    assert tenant.verifier.verify(rotated).object_id == ANNA
    before = len(tenant.reads)
    stranger = SigningKey("key-9").sign({"aud": APP})
    for _ in range(20):
        refusal(tenant, stranger)
    assert len(tenant.reads) == before


ODD_KEYS: list[Any] = [
    None,
    7,
    {},
    {"kty": "RSA"},
    {"kty": "RSA", "kid": None},
    {"kty": "RSA", "kid": "odd"},
    {"kty": "RSA", "kid": "odd", "n": None, "e": "AQAB"},
    {"kty": "RSA", "kid": "odd", "n": "\u00e9", "e": "AQAB"},
    {"kty": "RSA", "kid": "odd", "n": "AQ", "e": "AQAB"},
    {"kty": "RSA", "kid": "odd", "n": 7, "e": []},
    {"kty": "EC", "kid": "odd", "crv": "none"},
    {"kty": "RSA", "kid": "odd", "use": "enc"},
]


@pytest.mark.parametrize("row", ODD_KEYS)
def test_odd_key_of_entra_locks_nobody_out(tenant: Tenant, row: Any) -> None:
    """Entra may publish keys of other kinds beside those that sign."""
    read = tenant.verifier._read

    def beside(url: str) -> JsonObject:
        document = read(url)
        return {**document, "keys": [row, *document["keys"]]} if "keys" in document else document

    tenant.verifier._read = beside
    assert tenant.verifier.verify(tenant.token()).object_id == ANNA
    tenant.verifier.check()


@pytest.mark.parametrize("keys", [None, {}, [], [{"kty": "RSA", "kid": "odd", "n": "AQ"}]])
def test_keys_that_cannot_be_read_are_an_outage_of_the_sign_in_service(tenant: Tenant, keys: Any) -> None:
    """The caller's token is not to blame, so the answer is not 401."""
    read = tenant.verifier._read
    tenant.verifier._read = lambda url: {**read(url), "keys": keys}
    with pytest.raises(SignInUnavailableError, match="no key that signs"):
        tenant.verifier.verify(tenant.token())


def test_known_keys_serve_while_entra_is_away(tenant: Tenant) -> None:
    """Keys are used past their age while Entra is away. Without any keys no caller can be verified; that is not a
    refusal."""
    tenant.is_away = True
    for _ in range(3):
        with pytest.raises(SignInUnavailableError):
            tenant.verifier.verify(tenant.token())
    assert len(tenant.reads) == 1
    tenant.is_away = False
    tenant.seconds += sign_in.RETRY_SECONDS
    assert tenant.verifier.verify(tenant.token()).object_id == ANNA
    tenant.is_away = True
    tenant.seconds += sign_in.KEYS_SECONDS + 1
    assert tenant.verifier.verify(tenant.token()).object_id == ANNA
    tenant.verifier.check()


def test_groups_that_a_token_does_not_list_are_unknown() -> None:
    """Entra leaves them out of the token of a person with more than 200 groups."""
    many = caller_of({"oid": ANNA, "_claim_names": {"groups": "src1"}})
    assert (many.name, many.groups, many.has_all_groups) == (ANNA, frozenset(), False)
    assert not caller_of({"oid": ANNA, "hasgroups": "true"}).has_all_groups
    assert caller_of({"oid": ANNA, "roles": "Operator", "groups": "x"}).roles == frozenset()


def test_name_of_a_caller_is_one_printable_line() -> None:
    """It ends in the audit, in logs and on the page."""
    assert caller_of({"oid": ANNA, "name": "a\u202eb\nc"}).name == "a\\u202eb\\nc"
    assert len(caller_of({"oid": ANNA, "name": "x" * 999}).name) == 256
