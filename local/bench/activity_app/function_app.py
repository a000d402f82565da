"""The baseline of a benchmark: an orchestrator that calls activities that do nothing, one after the other."""

# The vendor annotates **kwargs of its decorators as unknown.
# pyright: reportUnknownMemberType=false

from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.function_name("start")
@app.route(route="start/{count}", methods=["POST"], auth_level=func.AuthLevel.FUNCTION, trigger_arg_name="request")
@app.durable_client_input(client_name="client")
def start(request: func.HttpRequest, client: Any) -> func.HttpResponse:
    """Start a chain of `count` activities; return the instance id."""
    count = int(request.route_params["count"])
    return func.HttpResponse(client.schedule_new_orchestration("chain", input=count))


@app.orchestration_trigger(context_name="context", orchestration="chain")
def chain(context: Any, count: Any) -> Generator[Any, Any, Any]:
    for i in range(count):
        yield context.call_activity("nothing", input=i)


@app.activity_trigger(input_name="number", activity="nothing")
def nothing(number: int) -> int:
    return number
