"""A verb is declared once, and a surface that lacks it is named here, not at import."""

import re
from collections.abc import Mapping

import pytest

from shared.cli.help import EXAMPLES, GROUPS, example_of
from shared.cli.parser import parser
from shared.saga.command.handling import ACTIONS
from shared.saga.command.verbs import VERBS, Verb, VerbSpec
from shared.web.api import ROUTES
from tests.conftest import ROOT


def forgotten(verbs: Mapping[Verb, VerbSpec]) -> list[str]:
    """Return what each verb lacks."""
    cli_page = (ROOT / "docs" / "cli.md").read_text()
    glossary = (ROOT / "docs" / "glossary.md").read_text()
    routes = {route.name for route in ROUTES}
    help_text = parser().format_help()
    found: list[str] = []
    for verb in Verb:
        spec = verbs.get(verb)
        command = "approve" if verb is Verb.REFUSE else verb.value
        has = {
            "row in VERBS (shared/saga/command/verbs.py)": spec is not None,
            "state that allows it": spec is not None and len(spec.states) > 0,
            "label, summary and effect": spec is not None and all((spec.label, spec.summary, spec.effect)),
            "action in ACTIONS (shared/saga/command/handling.py)": verb in ACTIONS,
            "route, and so no operation in the OpenAPI document": f"{verb.value}_deployment" in routes,
            "command in `python -m shared.cli --help`": re.search(rf"(?m)^  {command} ", help_text) is not None,
            "example of its command": spec is not None and (command != verb.value or spec.example != ""),
            "row in docs/cli.md": f"`{command} ID" in cli_page,
            "entry in docs/glossary.md": re.search(rf"(?m)^\| [^|]*\b{verb.value}\b[^|]* \|", glossary) is not None,
        }
        found += [f"the verb '{verb.value}' has no {what}" for what, is_there in has.items() if not is_there]
    return found


def test_verb_is_on_every_surface() -> None:
    """The surfaces are the queue, the API, the command line and the documentation; test_diagrams compares the
    page's."""
    messages = forgotten(VERBS)
    assert not messages, "\n".join(messages)


@pytest.mark.parametrize("verb", Verb)
def test_forgotten_row_is_named(verb: Verb) -> None:
    verbs = {each: spec for each, spec in VERBS.items() if each is not verb}
    assert f"the verb '{verb.value}' has no row in VERBS (shared/saga/command/verbs.py)" in forgotten(verbs)


def test_command_without_an_example_breaks_no_help() -> None:
    assert example_of("unknown") == ""
    assert {name for names in GROUPS.values() for name in names} == set(EXAMPLES)


def test_summary_can_begin_a_line_of_help() -> None:
    """The command line shows it with a small first letter and a full stop."""
    assert all(spec.summary[0].isupper() and not spec.summary.endswith(".") for spec in VERBS.values())
