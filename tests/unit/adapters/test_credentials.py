"""One token for all threads: renewed in time, once, and never told."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from shared.adapters.credentials import (
    REFRESH_BEFORE_SECONDS,
    RETRY_SECONDS,
    SCOPE,
    SimulatorCredential,
    TokenSource,
    build_credential,
)
from shared.adapters.secrets_environment import EnvironmentSecrets
from shared.adapters.service_principal import Proof
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
    """A token as azure-identity gives it."""

    token: str
    expires_on: int


class Issuer:
    """A credential that counts, and fails or waits on demand."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.scopes: list[str] = []
        self.fault: Exception | None = None
        self.gate: threading.Event | None = None
        self.asked = threading.Event()

    def get_token(self, *scopes: str) -> Any:
        """The next token."""
        self.scopes += scopes
        self.asked.set()
        if self.gate is not None:
            assert self.gate.wait(20)
        if self.fault is not None:
            raise self.fault
        return Issued(f"token {len(self.scopes)}", int(self._now() + LIFE))


class World:
    """A token source, its issuer and its time."""

    def __init__(self) -> None:
        self.time = 1_000_000.0
        self.issuer = Issuer(lambda: self.time)
        self.source = TokenSource(lambda: self.issuer, now=lambda: self.time)


@pytest.fixture
def world() -> World:
    """A world in which nothing was asked for yet."""
    return World()


def test_token_is_asked_for_once(world: World) -> None:
    """Nothing is asked for before the first call, and then one token serves all until shortly before its end."""
    assert world.issuer.scopes == []
    for _ in range(3):
        assert world.source.token() == "token 1"
    world.time += LIFE - REFRESH_BEFORE_SECONDS - 1
    assert world.source.token() == "token 1"
    assert world.issuer.scopes == [SCOPE]


def test_token_is_renewed_before_its_end(world: World) -> None:
    """None ends under way: from five minutes before the end there is a new one."""
    world.source.token()
    world.time += LIFE - REFRESH_BEFORE_SECONDS
    assert world.source.token() == "token 2"
    assert world.source.token() == "token 2"


def test_first_token_is_asked_for_by_one_of_sixteen_threads(world: World) -> None:
    """All wait for the one request, and all get its token."""
    assert at_once([world.source.token] * 16) == ["token 1"] * 16
    assert len(world.issuer.scopes) == 1


def test_renewal_is_done_by_one_thread_while_the_others_go_on(world: World) -> None:
    """As long as the old token lives, nobody waits for the new one but who fetches it."""
    world.source.token()
    world.time += LIFE - 10
    world.issuer.gate = threading.Event()
    world.issuer.asked.clear()
    found: list[str] = []
    renewing = threading.Thread(target=lambda: found.append(world.source.token()))
    renewing.start()
    assert world.issuer.asked.wait(60)
    assert at_once([world.source.token] * 15) == ["token 1"] * 15
    world.issuer.gate.set()
    renewing.join(60)
    assert found == ["token 2"]
    assert len(world.issuer.scopes) == 2


def test_renewal_of_an_ended_token_is_one_under_sixteen_threads(world: World) -> None:
    """A dead token serves nobody: all wait for the one renewal."""
    world.source.token()
    world.time += LIFE
    assert at_once([world.source.token] * 16) == ["token 2"] * 16
    assert len(world.issuer.scopes) == 2


def test_old_token_serves_while_renewal_fails(world: World) -> None:
    """A sign-in service that is away costs nothing until the token's end; then it is an error."""
    world.source.token()
    world.time += LIFE - 10
    world.issuer.fault = RuntimeError("away")
    assert world.source.token() == "token 1"
    world.time += 10
    with pytest.raises(FabricAuthError):
        world.source.token()
    world.issuer.fault = None
    assert world.source.token().startswith("token")


def test_check_renews_no_token_that_lives(world: World) -> None:
    """A monitor waits for no sign-in that hangs while the token serves; at its end it learns what the app does."""
    world.source.check()
    world.time += LIFE - 10
    world.issuer.fault = RuntimeError("away")
    world.source.check()
    assert len(world.issuer.scopes) == 1
    world.time += 10
    with pytest.raises(FabricAuthError):
        world.source.check()
    world.issuer.fault = None
    world.source.check()


def test_refused_token_is_forgotten_once(world: World) -> None:
    """A token that Fabric refused is not given again; one that is not the current one changes nothing."""
    first = world.source.token()
    world.source.invalidate(first)
    second = world.source.token()
    assert second != first
    world.source.invalidate(first)
    assert world.source.token() == second
    assert len(world.issuer.scopes) == 2


def test_refused_by_sixteen_threads_is_renewed_once(world: World) -> None:
    """All calls under way are refused together: the first refusal renews, the others find it done."""
    old = world.source.token()

    def replay() -> str:
        world.source.invalidate(old)
        return world.source.token()

    assert at_once([replay] * 16) == ["token 2"] * 16
    assert len(world.issuer.scopes) == 2


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
def test_error_of_signing_in_tells_its_kind_and_no_secret(world: World, name: str, kind: type[Exception]) -> None:
    """azure-identity quotes requests: of its text nothing is kept; an outage is told from a refusal."""
    world.issuer.fault = type(name, (Exception,), {})(f"client_secret={SECRET} at https://login.example")
    with pytest.raises(kind, match=name) as caught:
        world.source.token()
    assert type(caught.value) is kind
    assert SECRET not in str(caught.value)
    assert "login.example" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_credential_that_cannot_be_built_is_built_again(world: World) -> None:
    """A secret that was missing and is there now needs no restart."""
    faults = [ValueError(SECRET), None]

    def make() -> Issuer:
        fault = faults.pop(0)
        if fault is not None:
            raise fault
        return world.issuer

    source = TokenSource(make, now=lambda: world.time)
    with pytest.raises(FabricAuthError) as caught:
        source.token()
    assert SECRET not in str(caught.value)
    assert source.token() == "token 1"


def proof(value: str) -> Proof:
    """A secret that is there, or not."""
    source = EnvironmentSecrets(lambda name: value)
    return Proof(lambda: source.fetch("azure-client-secret"), lambda: source.fetch("azure-client-secret"))


def test_service_principal_names_what_is_missing() -> None:
    """The message names the settings, all of them, and holds no secret."""
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
    """What azure-identity refuses at building is told as one of ours when the first token is asked for."""

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
def test_secret_that_cannot_be_had_is_told_as_a_failed_sign_in(
    world: World, error: Exception, kind: type[FabricError], wait: float | None
) -> None:
    """A vault that is away is waited for and uses up no try; where a person must act, the message says so at once."""
    world.issuer.fault = error
    with pytest.raises(kind, match=str(error)) as caught:
        world.source.token()
    assert type(caught.value) is kind
    assert caught.value.retry_after_seconds == wait
    assert caught.value.counts_as_attempt == (wait is None)


def test_renewal_that_fails_is_not_tried_at_every_call(world: World) -> None:
    """While the old token lives a pause lies between two tries: an outage does not slow every call down."""
    world.source.token()
    world.time += LIFE - 100
    world.issuer.fault = RuntimeError("away")
    for _ in range(5):
        assert world.source.token() == "token 1"
    assert len(world.issuer.scopes) == 2
    world.time += RETRY_SECONDS
    world.issuer.fault = None
    assert world.source.token() == "token 3"


def test_code_of_entra_is_told_and_nothing_else_of_its_text(world: World) -> None:
    """The code is what a person looks up."""
    world.issuer.fault = ValueError(f"Authentication failed: AADSTS7000222: The secret {SECRET} has expired.")
    with pytest.raises(FabricAuthError, match="ValueError, AADSTS7000222") as caught:
        world.source.token()
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
    """Tokens that anybody can make are sent nowhere else."""
    with pytest.raises(ValueError, match="on this machine only"):
        build_credential("simulator", base_url=base)


@pytest.mark.parametrize("base", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
def test_simulator_token_says_who_and_until_when(base: str) -> None:
    """The form that the simulator reads."""
    found = SimulatorCredential(base, life_seconds=60).get_token("any")
    kind, identity, expiry = found.token.split(".")
    assert (kind, len(identity), int(expiry)) == ("sim", 36, found.expires_on)
    assert 50 < found.expires_on - time.time() <= 60
