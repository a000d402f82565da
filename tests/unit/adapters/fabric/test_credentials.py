"""One token for all threads: renewed in time, once, and never exposed."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from shared.adapters.fabric.credentials import (
    REFRESH_BEFORE_SECONDS,
    RETRY_SECONDS,
    SCOPE,
    SimulatorCredential,
    TokenSource,
    build_credential,
)
from shared.adapters.fabric.service_principal import Proof
from shared.adapters.secrets.environment import EnvironmentSecrets
from shared.domain.errors import (
    FabricAuthError,
    FabricError,
    FabricTransientError,
    SecretNotFoundError,
    VaultAuthError,
    VaultUnavailableError,
)
from tests.contract.harness import at_once

LIFE = 3600.0


@dataclass(frozen=True)
class Issued:
    """A token as azure-identity returns it."""

    token: str
    expires_on: int


class Issuer:
    """A credential that counts its calls, and fails or waits on request."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.scopes: list[str] = []
        self.fault: Exception | None = None
        self.gate: threading.Event | None = None
        self.asked = threading.Event()

    def get_token(self, *scopes: str) -> Any:
        """Return the next token."""
        self.scopes += scopes
        self.asked.set()
        if self.gate is not None:
            assert self.gate.wait(20)
        if self.fault is not None:
            raise self.fault
        return Issued(f"token {len(self.scopes)}", int(self._now() + LIFE))


class SignIn:
    """A token source with its issuer and its time."""

    def __init__(self) -> None:
        self.time = 1_000_000.0
        self.issuer = Issuer(lambda: self.time)
        self.source = TokenSource(lambda: self.issuer, now=lambda: self.time)


@pytest.fixture
def sign_in() -> SignIn:
    """Return a token source that has requested no token yet."""
    return SignIn()


def test_token_is_requested_once(sign_in: SignIn) -> None:
    """Nothing is requested before the first call, and then one token is used until shortly before its end."""
    assert sign_in.issuer.scopes == []
    for _ in range(3):
        assert sign_in.source.token() == "token 1"
    sign_in.time += LIFE - REFRESH_BEFORE_SECONDS - 1
    assert sign_in.source.token() == "token 1"
    assert sign_in.issuer.scopes == [SCOPE]


def test_token_is_renewed_before_its_end(sign_in: SignIn) -> None:
    """From five minutes before the end there is a new token, so that no token ends during a call."""
    sign_in.source.token()
    sign_in.time += LIFE - REFRESH_BEFORE_SECONDS
    assert sign_in.source.token() == "token 2"
    assert sign_in.source.token() == "token 2"


def test_first_token_is_requested_by_one_of_sixteen_threads(sign_in: SignIn) -> None:
    """All threads wait for the one request and get its token."""
    assert at_once([sign_in.source.token] * 16) == ["token 1"] * 16
    assert len(sign_in.issuer.scopes) == 1


def test_renewal_is_done_by_one_thread_while_the_others_continue(sign_in: SignIn) -> None:
    """While the old token is valid, only the renewing thread waits for the new one."""
    sign_in.source.token()
    sign_in.time += LIFE - 10
    sign_in.issuer.gate = threading.Event()
    sign_in.issuer.asked.clear()
    found: list[str] = []
    renewing = threading.Thread(target=lambda: found.append(sign_in.source.token()))
    renewing.start()
    assert sign_in.issuer.asked.wait(60)
    assert at_once([sign_in.source.token] * 15) == ["token 1"] * 15
    sign_in.issuer.gate.set()
    renewing.join(60)
    assert found == ["token 2"]
    assert len(sign_in.issuer.scopes) == 2


def test_renewal_of_an_expired_token_is_done_once_for_sixteen_threads(sign_in: SignIn) -> None:
    """An expired token cannot be used, so all threads wait for the one renewal."""
    sign_in.source.token()
    sign_in.time += LIFE
    assert at_once([sign_in.source.token] * 16) == ["token 2"] * 16
    assert len(sign_in.issuer.scopes) == 2


def test_old_token_is_used_while_renewal_fails(sign_in: SignIn) -> None:
    """An unavailable sign-in service has no effect until the token's end, and raises an error after it."""
    sign_in.source.token()
    sign_in.time += LIFE - 10
    sign_in.issuer.fault = RuntimeError("away")
    assert sign_in.source.token() == "token 1"
    sign_in.time += 10
    with pytest.raises(FabricAuthError):
        sign_in.source.token()
    sign_in.issuer.fault = None
    assert sign_in.source.token().startswith("token")


def test_check_renews_no_valid_token(sign_in: SignIn) -> None:
    """A monitor must not wait for a slow sign-in while the token is valid; after its end the check reports what the
    app gets."""
    sign_in.source.check()
    sign_in.time += LIFE - 10
    sign_in.issuer.fault = RuntimeError("away")
    sign_in.source.check()
    assert len(sign_in.issuer.scopes) == 1
    sign_in.time += 10
    with pytest.raises(FabricAuthError):
        sign_in.source.check()
    sign_in.issuer.fault = None
    sign_in.source.check()


def test_refused_token_is_discarded_once(sign_in: SignIn) -> None:
    """A token that Fabric refused is not used again; a token that is not the present one changes nothing."""
    first = sign_in.source.token()
    sign_in.source.invalidate(first)
    second = sign_in.source.token()
    assert second != first
    sign_in.source.invalidate(first)
    assert sign_in.source.token() == second
    assert len(sign_in.issuer.scopes) == 2


def test_token_refused_for_sixteen_threads_is_renewed_once(sign_in: SignIn) -> None:
    """All calls in progress are refused together: the first refusal renews the token for the others."""
    old = sign_in.source.token()

    def replay() -> str:
        sign_in.source.invalidate(old)
        return sign_in.source.token()

    assert at_once([replay] * 16) == ["token 2"] * 16
    assert len(sign_in.issuer.scopes) == 2


SECRET = "hunter2-secret"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ClientAuthenticationError", FabricAuthError),
        ("CredentialUnavailableError", FabricAuthError),
        ("ValueError", FabricAuthError),
        ("ServiceRequestError", FabricTransientError),
        ("ServiceResponseError", FabricTransientError),
        ("ServiceRequestTimeoutError", FabricTransientError),
    ],
)
def test_sign_in_error_contains_its_type_and_no_secret(sign_in: SignIn, name: str, kind: type[Exception]) -> None:
    """azure-identity quotes requests, so nothing of its text is kept; an outage is distinguished from a refusal."""
    sign_in.issuer.fault = type(name, (Exception,), {})(f"client_secret={SECRET} at https://login.example")
    with pytest.raises(kind, match=name) as caught:
        sign_in.source.token()
    assert type(caught.value) is kind
    assert SECRET not in str(caught.value)
    assert "login.example" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_credential_that_cannot_be_built_is_built_again(sign_in: SignIn) -> None:
    """A secret that was missing needs no restart when it is added."""
    faults = [ValueError(SECRET), None]

    def make() -> Issuer:
        fault = faults.pop(0)
        if fault is not None:
            raise fault
        return sign_in.issuer

    source = TokenSource(make, now=lambda: sign_in.time)
    with pytest.raises(FabricAuthError) as caught:
        source.token()
    assert SECRET not in str(caught.value)
    assert source.token() == "token 1"


def proof(value: str) -> Proof:
    """Return a secret with this value; an empty value stands for a missing secret."""
    source = EnvironmentSecrets(lambda name: value)
    return Proof(lambda: source.fetch("azure-client-secret"), lambda: source.fetch("azure-client-secret"))


def test_service_principal_names_the_missing_settings() -> None:
    """The message names all of them and contains no secret."""
    with pytest.raises(FabricAuthError) as caught:
        build_credential("service_principal", base_url="https://x", proof=proof(""))
    for setting in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH"):
        assert setting in str(caught.value)
    with pytest.raises(FabricAuthError) as caught:
        build_credential("service_principal", base_url="https://x", tenant_id="t", proof=proof(SECRET))
    assert "AZURE_CLIENT_ID" in str(caught.value)
    assert "AZURE_TENANT_ID" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_bad_tenant_is_an_error_without_secrets() -> None:
    """A value that azure-identity refuses raises one of the app's errors when the first token is requested."""

    def make() -> Any:
        return build_credential(
            "service_principal",
            base_url="https://x",
            tenant_id=f"not a tenant {SECRET}!",
            client_id="c",
            proof=proof(SECRET),
        )

    with pytest.raises(FabricAuthError) as caught:
        TokenSource(make).token()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "kind", "wait"),
    [
        (SecretNotFoundError("secret 'x' is not in the vault"), FabricAuthError, None),
        (VaultAuthError("secret 'x': HTTP 403"), FabricAuthError, None),
        (VaultUnavailableError("secret 'x': HTTP 503"), FabricTransientError, 10.0),
        (VaultUnavailableError("secret 'x': HTTP 429", retry_after_seconds=42.0), FabricTransientError, 42.0),
        (VaultUnavailableError("secret 'x': HTTP 429", retry_after_seconds=9e9), FabricTransientError, 300.0),
    ],
)
def test_secret_that_cannot_be_read_is_a_failed_sign_in(
    sign_in: SignIn, error: Exception, kind: type[FabricError], wait: float | None
) -> None:
    """The call waits for an unavailable vault without using up an attempt; if a person must act, the error says so at
    once."""
    sign_in.issuer.fault = error
    with pytest.raises(kind, match=str(error)) as caught:
        sign_in.source.token()
    assert type(caught.value) is kind
    assert caught.value.retry_after_seconds == wait
    assert caught.value.counts_as_attempt == (wait is None)


def test_renewal_that_fails_is_not_retried_at_every_call(sign_in: SignIn) -> None:
    """While the old token is valid there is a pause between two attempts, so that an outage does not slow down every
    call."""
    sign_in.source.token()
    sign_in.time += LIFE - 100
    sign_in.issuer.fault = RuntimeError("away")
    for _ in range(5):
        assert sign_in.source.token() == "token 1"
    assert len(sign_in.issuer.scopes) == 2
    sign_in.time += RETRY_SECONDS
    sign_in.issuer.fault = None
    assert sign_in.source.token() == "token 3"


def test_code_of_entra_is_kept_and_nothing_else_of_its_text(sign_in: SignIn) -> None:
    """A person can look the code up."""
    sign_in.issuer.fault = ValueError(f"Authentication failed: AADSTS7000222: The secret {SECRET} has expired.")
    with pytest.raises(FabricAuthError, match="ValueError, AADSTS7000222") as caught:
        sign_in.source.token()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "base",
    [
        "https://api.fabric.microsoft.com",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1@evil.example",
        "http://evil.example#127.0.0.1",
        "",
    ],
)
def test_simulator_identity_is_for_this_machine_only(base: str) -> None:
    """Tokens that anybody can create are sent nowhere else."""
    with pytest.raises(ValueError, match="on this machine only"):
        build_credential("simulator", base_url=base)


@pytest.mark.parametrize("base", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
def test_simulator_token_contains_identity_and_expiry(base: str) -> None:
    """The token has the format that the simulator reads."""
    found = SimulatorCredential(base, life_seconds=60).get_token("any")
    kind, identity, expiry = found.token.split(".")
    assert (kind, len(identity), int(expiry)) == ("sim", 36, found.expires_on)
    assert 50 < found.expires_on - time.time() <= 60
