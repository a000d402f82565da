"""The audit in pages: each entry once, and a page that has not changed is not sent again."""

import base64
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.records import AuditEntry
from shared.domain.states import DeploymentState as D
from shared.domain.states import StepState as S
from shared.web.audit import MAX_PAGE, PAGE
from tests.fakes import START
from tests.unit.web.conftest import Api, json_body


def noted(api: Api, *numbers: int) -> None:
    """Add notes to the audit."""
    for number in numbers:
        at = START + timedelta(seconds=1 + number)
        entry = AuditEntry(at, "deployment", "running", "running", "anna", f"refused {number}", 0)
        api.journal.note("d", entry)


def texts(page: dict[str, Any]) -> list[str]:
    return [item["reason"] for item in page["items"]]


@given(count=st.integers(1, 12), limit=st.integers(1, 5), more=st.integers(0, 3))
def test_pages_contain_each_entry_exactly_once(count: int, limit: int, more: int) -> None:
    """In the order of the whole audit, also if entries come while the pages are read, or the deployment is purged."""
    api = Api()
    api.saga.deployment(D.RUNNING, S.PENDING)
    noted(api, *range(count))
    found: list[str] = []
    query = f"deployments/d/audit?limit={limit}"
    for turn in range(100):
        page = json_body(api.ask("GET", query))
        assert len(page["items"]) <= limit
        found += texts(page)
        if page["next"] is None:
            break
        query = f"deployments/d/audit?limit={limit}&cursor={page['next']}"
        noted(api, *(100 + turn * more + i for i in range(more if turn < 2 else 0)))
    whole = texts(json_body(api.ask("GET", f"deployments/d/audit?limit={MAX_PAGE}")))
    assert found == whole
    assert len(set(found)) == len(found) > count


def test_page_has_a_default_size_and_a_maximum(api: Api) -> None:
    api.saga.deployment(D.RUNNING, S.PENDING)
    noted(api, *range(PAGE))
    page = json_body(api.ask("GET", "deployments/d/audit"))
    assert len(page["items"]) == PAGE
    assert len(json_body(api.ask("GET", f"deployments/d/audit?cursor={page['next']}"))["items"]) == 1
    assert api.ask("GET", f"deployments/d/audit?limit={MAX_PAGE + 1}").status == 400


def test_page_that_is_complete_is_not_sent_again_when_the_audit_grows(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pages share one read of the journal."""
    api.saga.deployment(D.RUNNING, S.PENDING)
    noted(api, 0, 1, 2)
    first = api.ask("GET", "deployments/d/audit?limit=3")
    second = f"deployments/d/audit?limit=3&cursor={json_body(first)['next']}"
    last = api.ask("GET", second)
    noted(api, 3)
    reads: list[str] = []
    audit = api.journal.audit
    monkeypatch.setattr(api.journal, "audit", lambda found: reads.append(found) or audit(found))
    same = api.ask("GET", "deployments/d/audit?limit=3", headers={"If-None-Match": first.headers["ETag"]})
    assert (same.status, same.body) == (304, b"")
    grown = api.ask("GET", second, headers={"If-None-Match": last.headers["ETag"]})
    assert (grown.status, texts(json_body(grown))) == (200, ["refused 2", "refused 3"])
    assert reads == ["d"]
    again = api.ask("GET", second, headers={"If-None-Match": f'"x", W/{grown.headers["ETag"]}'})
    assert (again.status, again.headers["ETag"]) == (304, grown.headers["ETag"])


def test_cursor_holds_when_an_entry_of_a_slow_clock_comes_before_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages go on after the entry that the cursor names; so nothing is sent twice."""
    api.saga.deployment(D.RUNNING, S.PENDING)
    noted(api, *range(4))
    page = json_body(api.ask("GET", "deployments/d/audit?limit=3"))
    audit = api.journal.audit
    late = AuditEntry(START, "deployment", "running", "running", "bob", "late", 0)
    monkeypatch.setattr(api.journal, "audit", lambda found: [audit(found)[0], late, *audit(found)[1:]])
    api.saga.change(0, deliveries=1)
    rest = json_body(api.ask("GET", f"deployments/d/audit?cursor={page['next']}"))
    assert not set(texts(rest)) & set(texts(page))
    assert "refused 3" in texts(rest)


@pytest.mark.parametrize("position", ["", "x", "1", "0:zz", f"0:{'0' * 16}", f"{'9' * 9}:{'a' * 16}", f"-1:{'a' * 16}"])
def test_cursor_that_no_page_had_is_refused(api: Api, position: str) -> None:
    api.saga.deployment(D.RUNNING, S.PENDING)
    cursor = base64.urlsafe_b64encode(position.encode()).decode()
    reply = api.ask("GET", f"deployments/d/audit?cursor={cursor}")
    assert reply.status == 400
    assert json_body(reply)["problems"][0]["path"] == "query.cursor"


def test_cursor_holds_after_the_deployment_is_forgotten(api: Api) -> None:
    """Its steps have no names then."""
    api.saga.deployment(D.RUNNING, S.PENDING)
    api.saga.change(0, state=S.SKIPPED)
    api.saga.change_header(state=D.SUCCEEDED)
    noted(api, 0)
    page = json_body(api.ask("GET", "deployments/d/audit?limit=3"))
    assert page["items"][2]["step_id"] == "s0"
    api.journal.purge("d")
    rest = json_body(api.ask("GET", f"deployments/d/audit?cursor={page['next']}"))
    assert (len(rest["items"]), rest["next"]) == (1, None)
