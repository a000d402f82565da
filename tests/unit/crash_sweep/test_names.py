"""Names of exchanges: the same in each run, and different for different exchanges."""

from urllib.parse import quote

import pytest

from local.crash_sweep import names

ID = "sweep-0123abcd"
TABLE = "http://127.0.0.1:1/devstoreaccount1/"


@pytest.mark.parametrize(
    ("method", "url", "body", "expected"),
    [
        ("POST", "Tables", '{"TableName": "journal"}', "table create journal"),
        ("GET", f"journal(PartitionKey='{ID}',RowKey='header')", "", "table read journal header"),
        ("GET", "deployments()?$filter=is_open%20eq%20true", "", "table read deployments is_open eq true"),
        (
            "PUT",
            "journal(x)",
            '{"RowKey": "step_00003", "state": "submitted"}',
            "table put journal step_00003=submitted",
        ),
        ("PUT", "locks(x)", '{"RowKey": "a", "expires_at": "1970-01-01T00:00:00"}', "table put locks lease over"),
        ("PUT", "locks(x)", '{"RowKey": "a", "expires_at": "2030-01-01T00:00:00"}', "table put locks lease"),
        (
            "POST",
            "$batch",
            'PUT http://h/a/journal(PartitionKey=1) HTTP/1.1\n\n{"RowKey": "header", "state": "running"}\n'
            '{"RowKey": "audit_000_deployment_1"}\n{"RowKey": "step_00000", "state": "pending"}\n',
            "table batch journal header=running, audit and 1 more",
        ),
    ],
)
def test_name_of_a_table_request_contains_its_rows(method: str, url: str, body: str, expected: str) -> None:
    """Reads are named by key or filter, writes by rows and their states."""
    assert names.of_table(method, TABLE + url, body) == expected


def test_name_of_a_queue_request_contains_its_message() -> None:
    """A send is named by its text, a delete by the message that was received."""
    url = "http://127.0.0.1:1/devstoreaccount1/deployment-steps/messages"
    text = (
        "{&quot;deployment_id&quot;: &quot;x&quot;, &quot;ordinal&quot;: 3, &quot;direction&quot;: &quot;forward&quot;}"
    )
    body = f"<QueueMessage><MessageText>{text}</MessageText></QueueMessage>"
    assert names.of_queue("POST", url, body, "") == "queue send deployment-steps step 3 forward"
    assert names.of_queue("POST", f"{url}?visibilitytimeout=4", body, "").endswith("forward later")
    assert names.of_queue("DELETE", f"{url}/id?popreceipt=x", "", "step 3 forward") == (
        "queue delete deployment-steps step 3 forward"
    )


def test_name_of_a_fabric_call_contains_its_subject() -> None:
    """The path, and the name or principal in the body."""
    url = "http://127.0.0.1:1/v1/workspaces"
    assert names.of_fabric("POST", url, b'{"displayName": "bronze"}') == "fabric POST /workspaces bronze"
    assert names.of_fabric("POST", url, b'{"principal": {"id": "p"}}') == "fabric POST /workspaces p"
    assert names.of_fabric("GET", url, None) == "fabric GET /workspaces"


def test_normal_name_contains_nothing_of_one_run() -> None:
    """Known ids are replaced by names."""
    known, unknown = "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c01", "0f3f6f0e-52a4-4a35-9d4e-7f2f4f6a1c02"
    name = f"fabric GET /workspaces/{known.upper()}/items/{unknown} {ID} {'ab' * 32}"
    assert names.normal(name, ID, {known: f"<Workspace {ID}>"}) == (
        "fabric GET /workspaces/<Workspace {id}>/items/{guid} {id} {digest}"
    )


def test_exchange_that_names_only_other_deployments_is_foreign() -> None:
    """An exchange that names no deployment, or also this one, is not foreign."""
    assert names.is_foreign("about sweep-ffffffff", ID)
    assert not names.is_foreign("about nobody", ID)
    assert not names.is_foreign(f"about sweep-ffffffff and {ID}", ID)


def test_name_contains_no_time() -> None:
    """A filter by time and the keys of the list by time are the same in each run."""
    url = f"{TABLE}deployments()?$filter=due_at%20le%20%27"
    names_of_filters = [
        names.of_table("GET", f"{url}{quote(at)}%27", "")
        for at in ("2026-11-28T16:03:56.0+00:00", "2027-01-01T00:00:00+00:00")
    ]
    assert {names.normal(name, ID, {}) for name in names_of_filters} == {"table read deployments due_at le '{time}'"}
    rows = [f'{{"RowKey": "{key}_{ID}", "state": "running"}}' for key in ("0998204118163653145", "0998204118160954357")]
    found = {names.normal(names.of_table("PUT", f"{TABLE}deploymentsbytime(x)", row), ID, {}) for row in rows}
    assert found == {"table put deploymentsbytime {time}_{id}=running"}
