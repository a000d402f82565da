"""Publishing an environment, and cancelling that.

Source: a recording of microsoft/fabric-cli and a trace of fabric-cicd for the publish, the published OpenAPI.
"""

from local.fabric_simulator import publishing
from local.fabric_simulator.environment_files import environment
from local.fabric_simulator.http import Answer, ApiError, Request
from local.fabric_simulator.route import ID, WORKSPACE, Route
from local.fabric_simulator.world import Body, World

_PUBLISH_RETRY_SECONDS = 120


def publish(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST staging/publish: 202 with `beta=false`, otherwise 200. Only one publish runs at a time."""
    _, item = environment(world, workspace_id, item_id, change=True)
    if item.part(publishing.Publishing).state in publishing.IN_PROGRESS:
        message = "Another publish of the environment is already in progress."
        raise ApiError(400, "InvalidEnvironmentPublish", message)
    is_long = publishing.has_new_libraries(item)
    kind = "publish Environment" if is_long else "publish Environment without libraries"
    result: Body = {}
    answer, operation = world.begin(kind, result, retry_after=_PUBLISH_RETRY_SECONDS)
    publishing.begin(item, operation, world.store.new_id())
    version = item.part(publishing.Publishing).version
    result["publishDetails"] = {"state": "Success", "targetVersion": version}
    if request.query.get("beta", "true").lower() == "false":
        return answer
    if not is_long and operation.over_at is not None:
        operation.over_at = world.clock()  # Recorded: without new libraries, the answer comes after the publish.
    return Answer(200, {"publishDetails": publishing.details(item, world.clock())})


def cancel(world: World, request: Request, workspace_id: str, item_id: str) -> Answer:
    """Answer POST staging/cancelPublish: 200 with the cancelled publish."""
    _, item = environment(world, workspace_id, item_id, change=True)
    if item.part(publishing.Publishing).state not in publishing.IN_PROGRESS:
        raise ApiError(400, "InvalidEnvironmentCancel", "No publish of the environment is in progress.")
    publishing.cancel(item, world.clock())
    return Answer(200, {"publishDetails": publishing.details(item, world.clock())})


_ONE = f"{WORKSPACE}/environments/{ID}"
ROUTES = [
    Route("POST", f"{_ONE}/staging/publish", publish),
    Route("POST", f"{_ONE}/staging/cancelPublish", cancel, synthetic=True),
]
