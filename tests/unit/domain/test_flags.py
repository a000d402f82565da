"""Feature flags: off by default, and read in every allowed spelling and no other."""

import itertools
import json
from dataclasses import fields

import pytest

from shared import settings
from shared.domain.flags import ALL_ON, FeatureFlags
from tests.conftest import ROOT

NAMES = [FeatureFlags.variable(f.name) for f in fields(FeatureFlags)]


def read(**environment: str) -> FeatureFlags:
    """Return the flags of an environment."""
    return settings.load({"KEY_VAULT_URL": "https://contoso.vault.azure.net", **environment}).flags


def test_flags_have_their_documented_names_and_are_off_by_default() -> None:
    """Other people's settings contain these names."""
    of = "SECRET_MANAGER AZURE_KEYVAULT RETRY_LOGIC CIRCUIT_BREAKER ROLLBACK TELEMETRY HEALTH_CHECKS"
    assert read().as_dict() == {f"FEATURE_USE_{name}": False for name in of.split()}


@pytest.mark.parametrize("name", NAMES)
def test_flag_accepts_its_words_in_any_case_and_no_other(name: str) -> None:
    """It changes no other flag. Any other word is an error that names the variable; an empty value counts as absent."""
    others = dict.fromkeys(NAMES, False)
    for word, value in (("true", True), ("1", True), ("yes", True), ("false", False), ("0", False), ("no", False)):
        for spelt in (word, word.upper(), word.title(), f" {word} "):
            assert read(**{name: spelt}).as_dict() == {**others, name: value}
    assert read(**{name: ""}).as_dict() == others
    for word in ("on", "off", "y", "n", "2", "-1", "enabled", "truee", "yes no"):
        with pytest.raises(settings.SettingsError, match=f"{name} is '{word}'; it must be one of: true, 1, yes"):
            read(**{name: word})


def test_flags_are_ready_for_production_only_when_all_are_on() -> None:
    """Exactly one of all 128 combinations is, and each one lists what is on and what is off."""
    for values in itertools.product(("true", "false"), repeat=len(NAMES)):
        flags = read(**dict(zip(NAMES, values, strict=True)))
        assert flags.is_production_ready() == ("false" not in values) == (flags == ALL_ON)
        on, off, fit = flags.log_status().removeprefix("feature flags on: ").split("; ")
        text = [on.split(", "), off.removeprefix("off: ").split(", ")]
        named = [[n for n, v in zip(NAMES, values, strict=True) if v == word] for word in ("true", "false")]
        assert text == [each or ["none"] for each in named]
        assert fit == ("ready for production" if flags == ALL_ON else "not ready for production")


def test_flags_of_the_sample_are_ready_for_production() -> None:
    """The sample that is shipped has every protection on."""
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    assert settings.load(sample).flags.is_production_ready()
