"""Feature flags: off unless said otherwise, read in every spelling that is allowed, and in no other."""

import itertools
import json
from dataclasses import fields

import pytest

from shared import settings
from shared.domain.flags import ALL_ON, FeatureFlags
from tests.conftest import ROOT

NAMES = [FeatureFlags.variable(f.name) for f in fields(FeatureFlags)]


def read(**environment: str) -> FeatureFlags:
    """The flags of an environment."""
    return settings.load({"KEY_VAULT_URL": "https://contoso.vault.azure.net", **environment}).flags


def test_flags_are_those_that_are_promised_and_off_by_default() -> None:
    """Their names stand in other people's settings."""
    of = "SECRET_MANAGER AZURE_KEYVAULT RETRY_LOGIC CIRCUIT_BREAKER ROLLBACK TELEMETRY HEALTH_CHECKS"
    assert read().as_dict() == {f"FEATURE_USE_{name}": False for name in of.split()}


@pytest.mark.parametrize("name", NAMES)
def test_flag_takes_its_words_in_any_case_and_no_other(name: str) -> None:
    """And moves no other flag. What is none of them is an error that names the variable; an empty value is none."""
    others = dict.fromkeys(NAMES, False)
    for word, value in (("true", True), ("1", True), ("yes", True), ("false", False), ("0", False), ("no", False)):
        for spelt in (word, word.upper(), word.title(), f" {word} "):
            assert read(**{name: spelt}).as_dict() == {**others, name: value}
    assert read(**{name: ""}).as_dict() == others
    for word in ("on", "off", "y", "n", "2", "-1", "enabled", "truee", "yes no"):
        with pytest.raises(settings.SettingsError, match=f"{name} is '{word}'; it must be one of: true, 1, yes"):
            read(**{name: word})


def test_flags_are_ready_for_production_only_when_all_are_on() -> None:
    """Of all 128 combinations one is, and each says of itself what is on, what is off, and whether it is."""
    for values in itertools.product(("true", "false"), repeat=len(NAMES)):
        flags = read(**dict(zip(NAMES, values, strict=True)))
        assert flags.is_production_ready() == ("false" not in values) == (flags == ALL_ON)
        on, off, fit = flags.log_status().removeprefix("feature flags on: ").split("; ")
        text = [on.split(", "), off.removeprefix("off: ").split(", ")]
        named = [[n for n, v in zip(NAMES, values, strict=True) if v == word] for word in ("true", "false")]
        assert text == [each or ["none"] for each in named]
        assert fit == ("ready for production" if flags == ALL_ON else "not ready for production")


def test_flags_of_the_sample_are_ready_for_production() -> None:
    """What is shipped as an example has every protection on."""
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    assert settings.load(sample).flags.is_production_ready()
