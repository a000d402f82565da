"""The app that the tests of the functions host serve. Each function appends a line to the file that TRACE names."""

# The vendor annotates **kwargs of its decorators as unknown.
# pyright: reportUnknownMemberType=false

import atexit
import json
import os
import time
from collections.abc import Generator
from datetime import timedelta
from typing import Any, List  # noqa: UP035 - the worker knows no list[...]

import azure.durable_functions as df
import azure.functions as func
from durabletask import task

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)
STORAGE = "AzureWebJobsStorage"
Steps = Generator[Any, Any, Any]


def trace(what: str, **facts: Any) -> None:
    """Append a line in one write, so that lines of threads and processes are not mixed."""
    line = json.dumps({"what": what, "at": time.time(), **facts}) + "\n"
    file = os.open(os.environ["TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line.encode())
    os.close(file)


atexit.register(trace, "process ends")


# Queues


@app.queue_trigger(arg_name="message", queue_name="%PREFIX%-in", connection=STORAGE)
@app.queue_output(arg_name="out", queue_name="%PREFIX%-out", connection=STORAGE)
def relay(message: func.QueueMessage, out: func.Out[str]) -> None:
    """Put the message's text on the output queue, in capitals."""
    trace("relay", body=message.get_body().decode())
    out.set(message.get_body().decode().upper())


@app.queue_trigger(arg_name="message", queue_name="%PREFIX%-split", connection=STORAGE)
@app.queue_output(arg_name="out", queue_name="%PREFIX%-out", connection=STORAGE)
def split(message: func.QueueMessage, out: func.Out[List[str]]) -> None:  # noqa: UP006
    """Put one message for each word."""
    out.set(message.get_body().decode().split())


@app.queue_trigger(arg_name="message", queue_name="%PREFIX%-slow", connection=STORAGE)
def slow(message: func.QueueMessage) -> None:
    """Run as many seconds as the message says."""
    body = message.get_json()
    trace("slow begins", body=body, tries=message.dequeue_count)
    time.sleep(body["seconds"])
    trace("slow ends", body=body)


@app.queue_trigger(arg_name="message", queue_name="%PREFIX%-fails", connection=STORAGE)
def fails(message: func.QueueMessage) -> None:
    """Fail at each delivery."""
    trace("fails", body=message.get_body().decode(), tries=message.dequeue_count, id=message.id)
    raise RuntimeError("as always")


@app.queue_trigger(arg_name="message", queue_name="%PREFIX%-fails-poison", connection=STORAGE)
def poisoned(message: func.QueueMessage) -> None:
    """Receive what `fails` could not handle."""
    trace("poisoned", body=message.get_body().decode(), tries=message.dequeue_count)
    if message.get_body() == b"never":
        raise ValueError("as asked")


@app.queue_trigger(arg_name="message", queue_name="%PREFIX%-picky", connection=STORAGE)
def picky(message: func.QueueMessage) -> None:
    """Succeed at the second delivery."""
    trace("picky", tries=message.dequeue_count)
    if message.dequeue_count == 1:
        raise RuntimeError("not at once")


@app.queue_trigger(arg_name="message", queue_name="%PREFIX%-unwritable", connection=STORAGE)
@app.queue_output(arg_name="out", queue_name="%PREFIX%-out", connection=STORAGE)
def unwritable(message: func.QueueMessage, out: func.Out[bytes]) -> None:
    """Return an output that cannot be put on a queue of text."""
    trace("unwritable", tries=message.dequeue_count)
    out.set(b"\xff\xfe")


@app.queue_trigger(arg_name="message", queue_name="%PREFIX%-begin", connection=STORAGE)
@app.durable_client_input(client_name="client")
def begin(message: func.QueueMessage, client: Any) -> None:
    """Start the orchestration that the message describes."""
    body = message.get_json()
    client.schedule_new_orchestration(body["name"], input=body.get("input"), instance_id=body["id"])


# HTTP


@app.route(route="items/{id:int}/{part?}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def item(req: func.HttpRequest) -> func.HttpResponse:
    """Return the route's parameter and the query."""
    body = {"route": dict(req.route_params), "query": dict(req.params)}
    return func.HttpResponse(json.dumps(body), mimetype="application/json", headers={"x-sample": "yes"})


@app.route(route="items/special", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def special(req: func.HttpRequest) -> str:
    """Serve a literal segment beside a parameter, with a text in place of a response."""
    return "special"


@app.route(route="files/{*path}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def files(req: func.HttpRequest) -> func.HttpResponse:
    """Return the rest of the path."""
    return func.HttpResponse(req.route_params["path"])


@app.route(route="echo", methods=["POST", "PUT"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    """Return the body and the method; needs a function key."""
    return func.HttpResponse(req.get_body(), status_code=201, headers={"x-method": req.method})


@app.route(route="secret", methods=["GET"], auth_level=func.AuthLevel.ADMIN)
def secret(req: func.HttpRequest) -> func.HttpResponse:
    """Return a text; needs the master key."""
    return func.HttpResponse("secret")


@app.route(route="boom", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def boom(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("do not show this to the caller")


@app.route(route="nothing", methods=["DELETE"], auth_level=func.AuthLevel.ANONYMOUS)
def nothing(req: func.HttpRequest) -> func.HttpResponse:
    """Return a response without a body."""
    return func.HttpResponse(status_code=204)


@app.route(route="pause", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def pause(req: func.HttpRequest) -> func.HttpResponse:
    """Answer late."""
    trace("pause begins")
    time.sleep(float(req.params["seconds"]))
    return func.HttpResponse("rested")


@app.route(route="put", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@app.queue_output(arg_name="out", queue_name="%PREFIX%-out", connection=STORAGE)
def put(req: func.HttpRequest, out: func.Out[str]) -> func.HttpResponse:
    """Return a response, and put a queue message."""
    out.set(req.get_body().decode())
    return func.HttpResponse(status_code=202)


# Timers


@app.timer_trigger(arg_name="timer", schedule="%TICK%", run_on_startup=False)
def tick(timer: func.TimerRequest) -> None:
    """Fire on the schedule."""
    trace("tick", past_due=timer.past_due)


@app.timer_trigger(arg_name="timer", schedule="%SPAN%", run_on_startup=True)
def span(timer: func.TimerRequest) -> None:
    """Fire at the start, and then at intervals."""
    trace("span", past_due=timer.past_due)


# Durable: clients


@app.route(route="start/{name}/{id}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@app.durable_client_input(client_name="client")
async def start(req: func.HttpRequest, client: Any) -> func.HttpResponse:
    """Start an orchestration through the asynchronous client."""
    await client.start_new(req.route_params["name"], req.route_params["id"], req.get_json())
    return client.create_check_status_response(req, req.route_params["id"])


@app.route(route="events/{id}/{event}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@app.durable_client_input(client_name="client")
def send(req: func.HttpRequest, client: Any) -> func.HttpResponse:
    """Raise an event through the synchronous client."""
    client.raise_orchestration_event(req.route_params["id"], req.route_params["event"], data=req.get_json())
    return func.HttpResponse(status_code=202)


@app.route(route="state/{id}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
@app.durable_client_input(client_name="client")
def state(req: func.HttpRequest, client: Any) -> func.HttpResponse:
    """Return an orchestration's state through the synchronous client."""
    found = client.get_orchestration_state(req.route_params["id"])
    return func.HttpResponse(found.runtime_status.name if found else "", status_code=200 if found else 404)


# Durable: orchestrations


@app.orchestration_trigger(context_name="context", orchestration="fan_out")
def fan_out(context: Any, count: Any) -> Steps:
    """Run many activities at once, and return the sum."""
    return sum((yield task.when_all([context.call_activity("double", input=n) for n in range(count)])))


@app.orchestration_trigger(context_name="context", orchestration="sleeper")
def sleeper(context: Any, seconds: Any) -> Steps:
    """Wait for a timer, and return how long that took on the orchestration's own clock."""
    began = context.current_utc_datetime
    yield context.create_timer(timedelta(seconds=seconds))
    return (context.current_utc_datetime - began).total_seconds()


@app.orchestration_trigger(context_name="context", orchestration="collector")
def collector(context: Any, state: Any) -> Steps:
    """Wait for `total` events, continuing as new after every `every`, and return their payloads in order."""
    event: list[Any] = state.get("heard", [])
    if state.get("delay"):
        yield context.create_timer(timedelta(seconds=state["delay"]))
    for _ in range(state["every"]):
        event.append((yield context.wait_for_external_event("item")))
        if len(event) == state["total"]:
            return event
    context.continue_as_new({**state, "delay": 0, "heard": event}, save_events=True)
    return None


@app.orchestration_trigger(context_name="context", orchestration="parent")
def parent(context: Any, numbers: Any) -> Steps:
    """Run two children at once, one of which has a timer."""
    children = [
        context.call_sub_orchestrator("fan_out", input=numbers, instance_id=f"{context.instance_id}-a"),
        context.call_sub_orchestrator("sleeper", input=0.2),
    ]
    total, slept = yield task.when_all(children)
    return [total, slept >= 0.2]


@app.orchestration_trigger(context_name="context", orchestration="parent_of_failure")
def parent_of_failure(context: Any, given: Any) -> Steps:
    """Run a child that fails."""
    try:
        yield context.call_sub_orchestrator("fails_at_once", input=given)
    except task.TaskFailedError as error:
        return f"caught {error}"
    return "nothing to catch"


@app.orchestration_trigger(context_name="context", orchestration="fails_at_once")
def fails_at_once(context: Any, given: Any) -> Steps:
    """Fail in the orchestrator itself."""
    if given != "never":
        raise ValueError("no good")
    yield context.create_timer(timedelta(seconds=1))


@app.orchestration_trigger(context_name="context", orchestration="retrying")
def retrying(context: Any, state: Any) -> Steps:
    """Run an activity that fails, with a retry policy."""
    policy = task.RetryPolicy(first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=state["attempts"])
    return (yield context.call_activity("flaky", input=state, retry_policy=policy))


@app.orchestration_trigger(context_name="context", orchestration="catching")
def catching(context: Any, message: Any) -> Steps:
    """Return what an orchestrator receives of an activity's exception."""
    try:
        yield context.call_activity("explode", input=message)
    except task.TaskFailedError as error:
        return {"type": error.details.error_type, "message": error.details.message}
    return "nothing to catch"


@app.orchestration_trigger(context_name="context", orchestration="mirror")
def mirror(context: Any, values: Any) -> Steps:
    """Send each value through an activity and back, one after the other."""
    back: list[Any] = []
    for value in values:
        back.append((yield context.call_activity("same", input=value)))
    return back


@app.orchestration_trigger(context_name="context", orchestration="heavy")
def heavy(context: Any, megabytes: Any) -> Steps:
    """Produce a history of some megabytes."""
    length = 0
    for _ in range(megabytes):
        length += len((yield context.call_activity("megabyte", input=None)))
    return length


@app.orchestration_trigger(context_name="context", orchestration="steps")
def steps(context: Any, state: Any) -> Steps:
    """Run `total` activities one after the other, with timers, continuing as new after every `every`."""
    done: list[int] = state.get("done", [])
    for _ in range(state["every"]):
        done.append((yield context.call_activity("step", input={"id": context.instance_id, "step": len(done)})))
        if len(done) == state["total"]:
            return done
        yield context.create_timer(timedelta(seconds=state["rest"]))
    context.continue_as_new({**state, "done": done})
    return None


@app.orchestration_trigger(context_name="context", orchestration="two_timers")
def two_timers(context: Any, state: Any) -> Steps:
    """Leave a short timer behind in the first execution, and return how long the second one's timer took."""
    timer = context.create_timer(timedelta(seconds=state["seconds"]))
    if state["generation"] == 0:
        yield context.wait_for_external_event("on")
        context.continue_as_new({"generation": 1, "seconds": state["then"]})
        return None
    began = context.current_utc_datetime
    yield timer
    return (context.current_utc_datetime - began).total_seconds()


@app.orchestration_trigger(context_name="context", orchestration="two_activities")
def two_activities(context: Any, state: Any) -> Steps:
    """Leave an activity behind in the first execution, and return what the second one's activity answered."""
    work = context.call_activity("rest", input=state)
    if state["generation"] == 0:
        yield context.wait_for_external_event("on")
        context.continue_as_new({"generation": 1, "seconds": state["then"]})
        return None
    return (yield work)


@app.orchestration_trigger(context_name="context", orchestration="two_children")
def two_children(context: Any, state: Any) -> Steps:
    """Leave a child behind in the first execution, and return what the second one's child answered."""
    child_id = f"{context.instance_id}-{state['generation']}"
    child = context.call_sub_orchestrator("sleeper", input=state["seconds"], instance_id=child_id)
    if state["generation"] == 0:
        yield context.wait_for_external_event("on")
        context.continue_as_new({"generation": 1, "seconds": state["then"]})
        return None
    return (yield child)


@app.activity_trigger(input_name="number", activity="double")
def double(number: int) -> int:
    return 2 * number


@app.activity_trigger(input_name="value", activity="same")
def same(value: Any) -> Any:
    return value


@app.activity_trigger(input_name="given", activity="megabyte")
def megabyte(given: Any) -> str:
    return "m" * (1 << 20)


@app.activity_trigger(input_name="message", activity="explode")
def explode(message: str) -> None:
    """Raise an exception with that message."""
    raise ValueError(message)


@app.activity_trigger(input_name="state", activity="flaky")
def flaky(state: Any) -> str:
    """Fail as often as the input says."""
    trace("flaky", id=state["id"])
    with open(os.environ["TRACE"]) as lines:
        tries = sum(line["what"] == "flaky" and line["id"] == state["id"] for line in map(json.loads, lines))
    if tries <= state["failures"]:
        raise ConnectionError(f"try {tries} failed")
    return f"try {tries} succeeded"


@app.activity_trigger(input_name="given", activity="step")
def step(given: Any) -> int:
    trace("step", **given)
    return given["step"]


@app.activity_trigger(input_name="state", activity="rest")
def rest(state: Any) -> int:
    """Run for some time, or until a file exists, and return the generation of the input."""
    trace("rest begins", **state)
    time.sleep(state["seconds"])
    while "until" in state and not os.path.exists(state["until"]):
        time.sleep(0.05)
    trace("rest ends", **state)
    return state["generation"]
