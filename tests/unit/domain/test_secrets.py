"""Only `reveal()` returns a secret's value; every secret has one name; a cached copy has a lifetime."""

import copy
import json
import logging
import pickle
import string
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.errors import InvalidInputError
from shared.domain.secrets import (
    NAME_CHARACTERS,
    CachePolicy,
    Entry,
    Freshness,
    Secret,
    environment_name,
    freshness,
    secret_name,
)

VALUE = "k9!never-to-be-seen"


def test_secret_prints_as_stars(caplog: pytest.LogCaptureFixture) -> None:
    """However it is converted: str, repr, every format, inside a container, in a log line, in a traceback."""

    @dataclass(frozen=True)
    class Holder:
        secret: Secret

    secret = Secret(VALUE)
    logging.getLogger("test").warning("secret %s %r", secret, {"s": secret})
    texts = [str(secret), repr(secret), f"{secret}", f"{secret:>40}", f"{secret!r:.3}", f"{secret!a}", "%s" % secret]  # noqa: UP031 - this form too
    texts += [str([secret]), repr(Holder(secret)), caplog.text, str(ValueError(secret)), str(dir(secret))]
    assert all(VALUE not in text for text in texts)
    assert texts[0] == "***"
    assert secret.reveal() == VALUE


def test_secret_cannot_be_serialised() -> None:
    """Neither pickle nor JSON accepts a secret, and it has no dictionary of its fields; a copy is the same object."""
    secret = Secret(VALUE)
    for serialise in (pickle.dumps, json.dumps, vars, hash):
        with pytest.raises(TypeError) as caught:
            serialise(secret)
        assert VALUE not in str(caught.value)
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


@given(st.text(), st.text())
def test_secrets_are_equal_if_their_values_are(one: str, other: str) -> None:
    """A secret is equal only to another secret: a comparison with a text reveals nothing."""
    assert (Secret(one) == Secret(other)) == (one == other)
    assert Secret(one) != one
    assert bool(Secret(one)) == bool(one)


@given(st.from_regex(r"[A-Za-z0-9]{1,20}([-_. :]{1,2}[A-Za-z0-9]{1,20}){0,4}", fullmatch=True))
def test_name_is_the_same_in_every_spelling(text: str) -> None:
    """Case and separators change nothing, a name is its own name, and the environment's spelling leads back to it."""
    name = secret_name(text)
    assert set(name) <= set(string.ascii_lowercase + string.digits + "-")
    assert len(name) <= NAME_CHARACTERS
    spellings = [
        text.upper(),
        text.lower(),
        text.replace("-", "_"),
        text.replace(" ", "."),
        name,
        environment_name(text),
    ]
    assert {secret_name(spelling) for spelling in spellings} == {name}


@pytest.mark.parametrize("text", ["", "-", "___", "schlüssel", "a/b", "a\nb", "a" * 128, "päss", "sëcret=hunter2"])
def test_name_that_is_not_valid_is_refused_without_a_quotation(text: str) -> None:
    """People easily put the value where its name belongs, so the message does not repeat the text."""
    with pytest.raises(InvalidInputError) as caught:
        secret_name(text)
    assert len(text) < 4 or text not in str(caught.value)


@given(st.floats(0, 1e5), st.floats(0, 1e5), st.floats(0, 1e5), st.floats(0.1, 1), st.booleans(), st.floats(-1e6, 1e6))
def test_copy_has_one_lifetime(
    ttl: float, missing: float, age: float, renew_at: float, is_there: bool, start: float
) -> None:
    """It is fresh, then due (a value only), then expired; nothing outlives the lifetime, whatever else is set."""
    policy = CachePolicy(ttl, missing, renew_at)
    entry = Entry(Secret(VALUE) if is_there else None, start)
    state = freshness(entry, start + age, policy)
    life = ttl if is_there else min(ttl, missing)
    age = (start + age) - start
    assert (state is Freshness.EXPIRED) == (age >= life)
    assert state is not Freshness.DUE or (is_there and age >= life * renew_at)


def test_missing_copy_is_expired() -> None:
    assert freshness(None, 0.0, CachePolicy()) is Freshness.EXPIRED
