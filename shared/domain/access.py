"""Who may do what: the roles, the caller of a request, who may decide an approval, and who may change which target.

The roles are the app roles of the app's registration in Microsoft Entra ID, so a person or a pipeline gets them there:
https://learn.microsoft.com/entra/identity-platform/howto-add-app-roles-in-apps. Without sign-in, a function key proves
only that somebody may call; then every caller has every role and no identity.
"""

import fnmatch
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from shared.domain.fields import GUID
from shared.domain.json import JsonObject, as_list, as_object
from shared.domain.names import normal_target


class Role(StrEnum):
    """Spell the app roles as the claim `roles` of a token does."""

    READER = "Reader"
    DEPLOYER = "Deployer"
    APPROVER = "Approver"
    OPERATOR = "Operator"


ANY_ROLE = frozenset(Role)
"""The roles of a route that only reads: every role includes it."""
SIGNED_IN = frozenset[Role]()
"""The roles of a route that needs no role, only a caller who is signed in."""
DEPLOYERS = frozenset({Role.DEPLOYER})
APPROVERS = frozenset({Role.APPROVER})
OPERATORS = frozenset({Role.OPERATOR})


@dataclass(frozen=True)
class Caller:
    """The sender of a request.

    `object_id` is the object id in Entra of the person or service principal, in lower case; empty if the caller is not
    signed in. `groups` are the object ids of the caller's groups. `has_all_groups` is False if the token does not list
    them because there are too many; then no group can be proven.
    """

    name: str = ""
    object_id: str = ""
    roles: frozenset[Role] = ANY_ROLE
    groups: frozenset[str] = frozenset()
    has_all_groups: bool = True

    @property
    def is_signed_in(self) -> bool:
        """Return True if the identity is proven."""
        return bool(self.object_id)

    def is_one_of(self, principals: Iterable[str]) -> bool:
        """Return True if the caller, or a group of the caller, is among the object ids."""
        wanted = {principal.strip().lower() for principal in principals}
        return bool(wanted & {self.object_id, *self.groups} - {""})

    def has_role(self, needed: frozenset[Role]) -> bool:
        """Return True if the caller has one of the roles, or if none is needed."""
        return not needed or bool(self.roles & needed)


BY_KEY = Caller()
"""Somebody with a function key, or with the right to write to a queue: every role, no identity."""


def role_refusal(caller: Caller, needed: frozenset[Role]) -> str:
    """Return why the caller may not do what one of the roles may do; '' if the caller may."""
    if caller.has_role(needed):
        return ""
    has = f"has {_listed(caller.roles)}" if caller.roles else "has none"
    return (
        f"{caller.name} needs the app role {_listed(needed, ' or ')} and {has}; "
        "an administrator assigns it to the user, group or service principal under the app's enterprise application"
    )


def decision_refusal(caller: Caller, approvers: Iterable[str], *, separate_from: str | None = None) -> str:
    """Return why the caller may not decide an approval, if sign-in is configured; '' if the caller may.

    `approvers` are object ids of users, groups and service principals; without any, everyone with the role may decide.
    `separate_from` is the object id of the requester, who may not decide; None if that does not matter.
    """
    named = list(approvers)
    if not caller.is_signed_in and (named or separate_from is not None):
        return "who decides cannot be proven; decide over the HTTP API, signed in"
    if separate_from is not None and not separate_from:
        return "its deployment was submitted without a signed-in requester, so the separation of duties is not proven"
    if separate_from is not None and caller.object_id == separate_from:
        return f"{caller.name} submitted the deployment, and somebody else must decide (separationOfDuties)"
    if not named or caller.is_one_of(named):
        return ""
    unknown = "" if caller.has_all_groups else "; the token does not list the groups, because they are too many"
    return f"{caller.name} ({caller.object_id}) is not one of its approvers{unknown}"


def approvers_problem(approvers: Iterable[str]) -> str:
    """Return what is wrong with the approvers of a manifest, if sign-in is configured; '' if nothing is."""
    odd = [approver for approver in approvers if not GUID.fullmatch(approver.strip())]
    if not odd:
        return ""
    return f"'{odd[0][:64]}' is not the object id of a user, group or service principal, so no caller could prove it"


@dataclass(frozen=True)
class AccessPolicy:
    """The proofs of identity that the settings require of callers.

    With `signs_in`, every caller of the HTTP API is signed in. With `queue_needs_identity`, a message of the queue
    `deployments` starts nothing and commands nothing, because it cannot prove who wrote it.
    """

    signs_in: bool = False
    queue_needs_identity: bool = False


KEYS = AccessPolicy()
"""Without sign-in: a function key opens everything."""


@dataclass(frozen=True)
class TargetRules:
    """Which principals may change which targets. Without rules, everyone with the role may change every target.

    `rules` are pairs of a pattern (`*` and `?`, compared without regard to case) and object ids. The first pattern that
    matches a target decides; a target that no pattern matches may be changed by nobody. Targets are in the form that
    `normal_target` returns.
    """

    rules: tuple[tuple[str, frozenset[str]], ...] = ()

    def refusal(self, caller: Caller, target: str) -> str:
        """Return why the caller may not change the target; '' if the caller may."""
        if not self.rules:
            return ""
        for pattern, principals in self.rules:
            # A bracket is a character like others: without this, `sales [prod]` would not match its own target.
            if fnmatch.fnmatchcase(target, pattern.replace("[", "[[]")):
                if "*" in principals or caller.is_one_of(principals):
                    return ""
                return f"{caller.name or 'this caller'} may not change the target '{target}' (ALLOWED_TARGETS)"
        return f"no rule of ALLOWED_TARGETS names the target '{target}', so nobody may change it"


EVERY_TARGET = TargetRules()
"""Without rules: the roles alone decide."""


def read_target_rules(text: str) -> TargetRules:
    """Return the rules in a JSON object of pattern to list of object ids, or `["*"]` for everyone.

    Raises ValueError, which says what is wrong and where.
    """
    if not text.strip():
        return EVERY_TARGET
    try:
        value = as_object(json.loads(text, object_pairs_hook=_once))
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON (column {error.colno}: {error.msg})") from None
    if not value:
        raise ValueError('must be a JSON object such as {"sales-*": ["<object id>"]}, with at least one rule')
    rules = [(_pattern(name), _principals(name, ids)) for name, ids in value.items()]
    patterns = [pattern for pattern, _ in rules]
    if twice := next((each for each in patterns if patterns.count(each) > 1), ""):
        raise ValueError(f"has the pattern '{twice[:64]}' twice; case and spaces do not matter")
    return TargetRules(tuple(rules))


def _once(pairs: list[tuple[str, object]]) -> JsonObject:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"has the pattern '{twice[:64]}' twice")
    return dict(pairs)


def _pattern(name: str) -> str:
    if not name.strip():
        raise ValueError("has an empty pattern")
    return normal_target(name)


def _principals(name: str, value: object) -> frozenset[str]:
    ids = as_list(value)
    if not ids:
        raise ValueError(f"'{name[:64]}' must have a list of object ids with at least one entry")
    for each in ids:
        if each != "*" and not (isinstance(each, str) and GUID.fullmatch(each.strip())):
            raise ValueError(f"'{name[:64]}' has an entry that is neither an object id nor '*'")
    return frozenset(str(each).strip().lower() for each in ids)


def _listed(roles: Iterable[Role], between: str = ", ") -> str:
    return between.join(role.value for role in Role if role in roles)
