"""HTTP triggers: keys, routes, answers; the host's admin endpoints."""

import itertools
import json
import threading
from collections.abc import Callable

import pytest

from local.functions_host.web import routes_of
from tests.host.hosts import Served
from tests.waiting import eventually


def test_http_anonymous_route_gives_route_parameters_and_query(host: Served) -> None:
    """Parameters of the route and of the query arrive as the app declared them."""
    answer = host.http("GET", "/api/items/7/name?q=a&r=b%20c")
    assert answer.status == 200
    assert answer.json == {"route": {"id": "7", "part": "name"}, "query": {"q": "a", "r": "b c"}}
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-sample"] == "yes"


def test_http_optional_parameter_may_be_left_out(host: Served) -> None:
    """`{part?}` matches an empty segment too."""
    assert host.http("GET", "/api/items/7").json["route"] == {"id": "7"}


def test_http_constrained_parameter_refuses_other_values(host: Served) -> None:
    """`{id:int}` does not match a word."""
    assert host.http("GET", "/api/items/seven").status == 404


def test_http_literal_segment_wins_over_a_parameter(host: Served) -> None:
    """`items/special` is not taken for an id; a function may return plain text."""
    answer = host.http("GET", "/api/items/special")
    assert (answer.status, answer.text) == (200, "special")


def test_http_catch_all_takes_the_rest_of_the_path(host: Served) -> None:
    """`{*path}` includes the slashes."""
    assert host.http("GET", "/api/files/a/b/c.txt").text == "a/b/c.txt"


@pytest.mark.parametrize(
    ("path", "key", "expected"),
    [
        ("echo", "", 401),
        ("echo", "wrong", 401),
        ("echo", "default", 201),
        ("echo", "master", 201),
        ("secret", "", 401),
        ("secret", "default", 401),
        ("secret", "master", 200),
    ],
)
@pytest.mark.parametrize("place", ["header", "query"])
def test_http_auth_level_requires_its_key(host: Served, path: str, key: str, expected: int, place: str) -> None:
    """A function key opens `function`, only the master key opens `admin`; in the header as in the query."""
    value = host.keys.get(key, key)
    method = "POST" if path == "echo" else "GET"
    target = f"/api/{path}" + (f"?code={value}" if place == "query" and value else "")
    headers = {"x-functions-key": value} if place == "header" and value else {}
    assert host.http(method, target, b"text" if method == "POST" else None, headers).status == expected


@pytest.mark.parametrize(("path", "place"), [("echo", "header"), ("secret", "header"), ("echo", "query")])
@pytest.mark.parametrize("key", ["\xe9", "\xff\xfe", "%ED%B3%A9", "%FF"])
def test_http_key_that_is_not_ascii_is_a_wrong_key(host: Served, path: str, place: str, key: str) -> None:
    """The answer is 401, whatever bytes the key has."""
    headers = {"x-functions-key": key} if place == "header" else {}
    target = f"/api/{path}" + (f"?code={key}" if place == "query" and key.isascii() else "")
    assert host.http("POST" if path == "echo" else "GET", target, None, headers).status == 401


@pytest.mark.parametrize("path", ["/api/items/7/", "/api/items/7/name/", "/api/items/special/"])
def test_http_slash_at_the_end_is_not_part_of_a_route(host: Served, path: str) -> None:
    """Azure's host ignores it; the value of a parameter does not contain it."""
    assert host.http("GET", path).text == host.http("GET", path.rstrip("/")).text
    assert host.http("GET", path).status == 200
    assert host.http("GET", path + "/").status == 404


def test_http_encoded_body_is_passed_on_unchanged(host: Served) -> None:
    """Nothing is unpacked, and a body that cannot be unpacked is not refused."""
    headers = {"x-functions-key": host.keys["default"], "Content-Encoding": "gzip"}
    answer = host.http("POST", "/api/echo", b"as it came", headers)
    assert (answer.status, answer.text) == (201, "as it came")


def test_http_answer_of_the_host_without_a_body_has_no_type(host: Served) -> None:
    """Azure's host answers 401 and 404 with a status and a length only."""
    for method, path, status in (
        ("GET", "/api/nowhere", 404),
        ("POST", "/api/echo", 401),
        ("GET", "/admin/host/status", 401),
    ):
        answer = host.http(method, path)
        assert (answer.status, answer.text, answer.headers.get("content-type")) == (status, "", None)


def test_http_body_and_method_reach_the_function(host: Served) -> None:
    """The body comes back byte for byte, with the status that the function chose."""
    headers = {"x-functions-key": host.keys["default"]}
    answer = host.http("PUT", "/api/echo", "æ\n\x00".encode(), headers)
    assert (answer.status, answer.text, answer.headers["x-method"]) == (201, "æ\n\x00", "PUT")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/nowhere"), ("GET", "/items/7"), ("GET", "/api/echo"), ("HEAD", "/api/items/7"), ("GET", "/")],
)
def test_http_unknown_route_or_method_is_404_without_a_body(host: Served, method: str, path: str) -> None:
    """A known route does not serve another method either: Azure's host answers 404 there, not 405."""
    answer = host.http(method, path)
    assert (answer.status, answer.text) == (404, "")


def test_http_exception_is_500_without_its_text(host: Served) -> None:
    """The caller gets nothing of the exception; the log has it."""
    answer = host.http("GET", "/api/boom")
    assert answer.status == 500
    assert "do not show" not in answer.text
    assert "do not show this to the caller" in host.log


def test_http_response_without_a_body(host: Served) -> None:
    """204 stays 204."""
    answer = host.http("DELETE", "/api/nothing")
    assert (answer.status, answer.text) == (204, "")


def test_http_function_may_also_write_to_a_queue(host: Served) -> None:
    """The function has an output binding beside the response."""
    assert host.http("POST", "/api/put", b"from http").status == 202
    assert "from http" in host.take("out", 1)


def test_http_route_templates_become_aiohttps() -> None:
    """The template has the prefix of host.json, and optional, constrained and catch-all parameters."""
    assert routes_of("a/{b:int}", "api") == ["/api/a/{b:-?\\d+}"]
    assert routes_of("/a/{b?}", "") == ["/a", "/a/{b:[^/]+}"]
    assert routes_of("{*rest}", "x") == ["/x/{rest:.*}"]
    assert routes_of("{id:guid}/z", "api") == ["/api/{id:[0-9a-fA-F-]{36}}/z"]
    assert routes_of("{name:alpha}/{n:range(1,5)}", "api") == ["/api/{name:[^/]+}/{n:[^/]+}"]


@pytest.mark.parametrize("key", ["", "default"])
def test_admin_requires_the_master_key(host: Served, key: str) -> None:
    """No other key opens the admin endpoints and the durable webhooks."""
    headers = {"x-functions-key": host.keys[key]} if key else {}
    assert host.http("POST", "/admin/functions/tick", {}, headers).status == 401
    assert host.http("GET", "/runtime/webhooks/durabletask/instances/x", None, headers).status == 401
    assert host.http("DELETE", "/runtime/webhooks/durabletask/instances/x", None, headers).status == 401
    assert host.http("GET", "/admin/host/status", None, headers).status == 401
    assert host.http("GET", "/admin/host/metrics", None, headers).status == 401
    assert host.http("GET", "/admin/host/ping", None, headers).status == 200


def test_admin_fires_a_timer_on_request(host: Served) -> None:
    """POST /admin/functions/NAME runs a timer function now."""
    headers = {"x-functions-key": host.keys["master"]}
    before = len(host.traces("tick"))
    assert host.http("POST", "/admin/functions/tick", {"input": ""}, headers).status == 202
    assert host.http("POST", "/admin/functions/tick", None, headers).status == 202
    assert len(host.traces("tick")) == before + 2


def test_admin_puts_a_message_for_a_queue_function(host: Served) -> None:
    """POST /admin/functions/NAME passes its input to a queue function."""
    headers = {"x-functions-key": host.keys["master"]}
    assert host.http("POST", "/admin/functions/relay", {"input": "by hand"}, headers).status == 202
    eventually(lambda: host.traces("relay", body="by hand"))


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [("nobody", b"{}", 404), ("echo", b"{}", 400), ("relay", b"{not json", 400), ("relay", b"[1]", 400)],
)
def test_admin_refuses_a_request_that_cannot_be_run(host: Served, name: str, body: bytes, expected: int) -> None:
    """An unknown function, one of another kind, and a body that is not a JSON object."""
    headers = {"x-functions-key": host.keys["master"]}
    assert host.http("POST", f"/admin/functions/{name}", body, headers).status == expected


def test_admin_lists_functions_and_their_cost(host: Served) -> None:
    """Status and metrics are JSON."""
    host.http("GET", "/api/items/1")
    key = {"x-functions-key": host.keys["master"]}
    assert "relay" in host.http("GET", "/admin/host/status", None, key).json["functions"]
    usage = json.loads(host.http("GET", "/admin/host/metrics", None, key).text)["functions"]
    assert usage["item"]["invocations"] >= 1


def test_keys_file_is_private_and_kept(host: Served) -> None:
    """Only the owner may read the file, and a new start reads the same keys."""
    file = host.folder / "keys.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(host.keys["default"]) > 20
    assert host.keys["default"] != host.keys["master"]


def test_http_concurrency_limits_the_functions_that_run_at_once(make: Callable[..., Served]) -> None:
    """The limit works as perInstanceConcurrency on Flex Consumption (for Python, one by default); other requests
    wait."""
    with make(options=["--http-concurrency", "1"]) as served:
        asking = [
            threading.Thread(target=lambda: answers.append(served.http("GET", "/api/pause?seconds=1").status))
            for _ in range(3)
        ]
        answers: list[int] = []
        for each in asking:
            each.start()
        for each in asking:
            each.join()
        assert answers == [200, 200, 200]
        began = sorted(t["at"] for t in served.traces("pause begins"))
        assert all(later - earlier >= 0.9 for earlier, later in itertools.pairwise(began))
