"""Roles, approvers and the targets that a caller may change."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.access import (
    ANY_ROLE,
    BY_KEY,
    SIGNED_IN,
    Caller,
    Role,
    TargetRules,
    approvers_problem,
    decision_refusal,
    read_target_rules,
    role_refusal,
)

ANNA, BEN, TEAM = (f"{digit * 8}-0000-4000-8000-{digit * 12}" for digit in "abc")
anna = Caller("anna", ANNA, frozenset({Role.APPROVER}), frozenset({TEAM}))
ben = Caller("ben", BEN, frozenset({Role.DEPLOYER}))


def test_role_is_needed_and_named() -> None:
    """A caller with one of the roles may; the refusal names what is needed and what the caller has."""
    assert role_refusal(ben, frozenset({Role.DEPLOYER, Role.OPERATOR})) == ""
    assert role_refusal(ben, SIGNED_IN) == ""
    text = role_refusal(ben, frozenset({Role.APPROVER}))
    assert "ben needs the app role Approver and has Deployer" in text
    assert "has none" in role_refusal(Caller("eve", BEN, frozenset()), ANY_ROLE)
    assert role_refusal(BY_KEY, frozenset({Role.OPERATOR})) == ""


@pytest.mark.parametrize(
    ("caller", "approvers", "separate_from", "refusal"),
    [
        (anna, [], None, ""),
        (anna, [ANNA], None, ""),
        (anna, [f" {ANNA.upper()} "], None, ""),
        (anna, [TEAM], None, ""),
        (anna, [BEN], None, "is not one of its approvers"),
        (anna, ["anna"], None, "is not one of its approvers"),
        (anna, [TEAM], ANNA, "submitted the deployment"),
        (anna, [TEAM], BEN, ""),
        (anna, [], "", "without a signed-in requester"),
        (BY_KEY, [], None, ""),
        (BY_KEY, [""], None, "cannot be proven"),
        (BY_KEY, [TEAM], None, "cannot be proven"),
        (BY_KEY, [], ANNA, "cannot be proven"),
        (BY_KEY, [], "", "cannot be proven"),
    ],
)
def test_decision_needs_an_approver(
    caller: Caller, approvers: list[str], separate_from: str | None, refusal: str
) -> None:
    """Approvers are object ids of users and groups. A caller without an identity is never one of them."""
    found = decision_refusal(caller, approvers, separate_from=separate_from)
    assert refusal in found
    assert bool(found) == bool(refusal)


def test_decision_says_that_groups_are_missing_from_the_token() -> None:
    """A token of a person in more than 200 groups does not list them."""
    many = Caller("anna", ANNA, frozenset({Role.APPROVER}), has_all_groups=False)
    assert "does not list the groups" in decision_refusal(many, [TEAM])
    assert decision_refusal(many, [ANNA]) == ""


def test_approver_that_is_no_object_id_is_a_problem() -> None:
    assert approvers_problem([ANNA, TEAM]) == ""
    assert approvers_problem([]) == ""
    assert "'data team' is not the object id" in approvers_problem([ANNA, "data team"])


def test_first_rule_that_matches_a_target_decides() -> None:
    """A target without a rule may be changed by nobody; without any rules, by everyone."""
    rules = read_target_rules(json.dumps({"Sales  Prod": [TEAM], "sales *": ["*"], "hr?": [BEN.upper()]}))
    assert rules.refusal(anna, "sales prod") == ""
    assert "ALLOWED_TARGETS" in rules.refusal(ben, "sales prod")
    assert rules.refusal(ben, "sales dev") == ""
    assert rules.refusal(ben, "hr1") == ""
    assert "nobody may change it" in rules.refusal(ben, "finance")
    assert TargetRules().refusal(BY_KEY, "anything") == ""
    assert "sales prod" in rules.refusal(BY_KEY, "sales prod")


def test_bracket_in_a_pattern_is_a_character_like_others() -> None:
    """Names of workspaces have them. As a set of characters, the rule would leave its own target to the next one."""
    rules = read_target_rules(json.dumps({"Sales [PROD]": [TEAM], "hr [*]": [TEAM], "*": ["*"]}))
    assert rules.refusal(anna, "sales [prod]") == ""
    for target in ("sales [prod]", "hr [test]"):
        assert "may not change the target" in rules.refusal(ben, target)
    assert rules.refusal(ben, "sales p") == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON (column"),
        ("[]", "must be a JSON object"),
        ("{}", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ('{"": ["*"]}', "empty pattern"),
        ('{"a": "*"}', "must have a list"),
        ('{"a": []}', "must have a list"),
        ('{"a": ["team"]}', "neither an object id nor '*'"),
        ('{"a": [7]}', "neither an object id nor '*'"),
        ('{"a": ["*"], "a": ["*"]}', "twice"),
        ('{"Sales Prod": ["*"], "sales  prod": ["*"]}', "has the pattern 'sales prod' twice; case and spaces"),
    ],
)
def test_rules_that_cannot_be_used_are_errors(text: str, message: str) -> None:
    """Nothing is guessed, because a rule that is read wrongly opens a target."""
    with pytest.raises(ValueError, match=re.escape(message)):
        read_target_rules(text)


@given(st.text(), st.text())
def test_caller_by_key_is_never_an_approver(name: str, principal: str) -> None:
    """This holds for every text that the manifest names, also an empty one."""
    assert not Caller(name).is_one_of([principal, "", " "])
