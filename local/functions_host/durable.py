"""Serve Durable Functions: run the engine as a gRPC server, and pass its work items to the app.

The app receives them in the wire format of the real extension (2.x: protobuf in base64).
"""

# The protobuf classes have no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import base64
import json
import logging
from collections.abc import Coroutine
from typing import Any

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as stubs
from google.protobuf.wrappers_pb2 import StringValue

from local.functions_host.engine import CHANNEL_OPTIONS, Engine
from local.functions_host.worker import Function, InvocationError, Worker, log_error, protocol

log = logging.getLogger("host.durable")

_REOPEN_SECONDS = 0.1


class Durable:
    """Runs the engine's work items in the app's orchestrators and activities."""

    def __init__(self, worker: Worker, config: dict[str, Any], engine: Engine, *, is_runner: bool = True) -> None:
        """With `is_runner` false, this host has durable clients only; another host runs the work items."""
        self._worker, self._engine, self._is_runner = worker, engine, is_runner
        self._orchestrators = _by_name(worker.of_type("orchestrationTrigger"), "orchestration")
        self._activities = _by_name(worker.of_type("activityTrigger"), "activity")
        if worker.of_type("entityTrigger"):
            raise RuntimeError("this host does not serve durable entities; run the app with `func start` instead")
        self._hub = config.get("hubName", "TestHubName")
        self._orchestrating = asyncio.Semaphore(config.get("maxConcurrentOrchestratorFunctions", 50))
        self._acting = asyncio.Semaphore(config.get("maxConcurrentActivityFunctions", 50))
        self._tasks: set[asyncio.Task[None]] = set()
        self._stub: Any = None

    async def start(self, base_url: str, code: str) -> None:
        """Start the engine, and set the content of durable client bindings. `code` is the key in their addresses."""
        address = self._engine.start()
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._stub = stubs.TaskHubSidecarServiceStub(self._channel)
        base = f"{base_url}/runtime/webhooks/durabletask"
        instance = f"{base}/instances/INSTANCEID"
        self._worker.durable_client = json.dumps(
            {
                "taskHubName": self._hub,
                "connectionName": "Storage",
                "rpcBaseUrl": f"http://{address}",
                "baseUrl": base,
                "httpBaseUrl": base,
                "requiredQueryStringParameters": f"code={code}",
                "maxGrpcMessageSizeInBytes": 0,
                "creationUrls": {
                    "createNewInstancePostUri": f"{base}/orchestrators/{{functionName}}[/{{instanceId}}]?code={code}"
                },
                "managementUrls": {
                    "id": "INSTANCEID",
                    "statusQueryGetUri": f"{instance}?code={code}",
                    "sendEventPostUri": f"{instance}/raiseEvent/{{eventName}}?code={code}",
                    "terminatePostUri": f"{instance}/terminate?reason={{text}}&code={code}",
                    "purgeHistoryDeleteUri": f"{instance}?code={code}",
                },
            }
        )
        if self._is_runner:
            self._spawn(self._pump())

    async def stop(self) -> None:
        """Take no more work items; unfinished ones run again at the next start."""
        for task in list(self._tasks):
            task.cancel()
        await self._channel.close()
        self._engine.stop(0)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pump(self) -> None:
        while True:
            try:
                async for item in self._stub.GetWorkItems(pb.GetWorkItemsRequest()):
                    self._spawn(self._run(item))
            except grpc.aio.AioRpcError as error:
                log.error("the stream of work items broke (%s); it is opened again", error.details())
            await asyncio.sleep(_REOPEN_SECONDS)

    async def _run(self, item: Any) -> None:
        try:
            if item.HasField("orchestratorRequest"):
                async with self._orchestrating:
                    answer = await self._orchestrate(item.orchestratorRequest)
                answer.completionToken = item.completionToken
                await self._stub.CompleteOrchestratorTask(answer)
            elif item.HasField("activityRequest"):
                async with self._acting:
                    answer = await self._act(item.activityRequest)
                answer.completionToken = item.completionToken
                await self._stub.CompleteActivityTask(answer)
            else:
                log.error("dropped a work item of a kind that this host does not serve")
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("a work item failed unexpectedly; it runs again when the host starts")

    async def _orchestrate(self, request: Any) -> Any:
        events = reversed([*request.pastEvents, *request.newEvents])
        name = next(e.executionStarted.name for e in events if e.HasField("executionStarted"))
        try:
            function = self._orchestrators.get(name.lower())
            if function is None:
                raise LookupError(f"the app has no orchestrator function '{name}'")
            sent = base64.b64encode(request.SerializeToString()).decode()
            answer, _ = await self._worker.invoke(function, protocol.TypedData(string=sent))
            return pb.OrchestratorResponse.FromString(base64.b64decode(getattr(answer, "string", "")))
        except (InvocationError, LookupError) as error:
            log_error(f"orchestrator {name}", error, log)
            complete = pb.CompleteOrchestrationAction(
                orchestrationStatus=pb.ORCHESTRATION_STATUS_FAILED, failureDetails=_failure(error)
            )
            action = pb.OrchestratorAction(id=-1, completeOrchestration=complete)
            return pb.OrchestratorResponse(instanceId=request.instanceId, actions=[action])

    async def _act(self, request: Any) -> Any:
        answer = pb.ActivityResponse(instanceId=request.orchestrationInstance.instanceId, taskId=request.taskId)
        try:
            function = self._activities.get(request.name.lower())
            if function is None:
                raise LookupError(f"the app has no activity function '{request.name}'")
            value, _ = await self._worker.invoke(function, protocol.TypedData(string=request.input.value or "null"))
            if value is not None:
                answer.result.value = getattr(value, value.WhichOneof("data") or "string")
        except (InvocationError, LookupError) as error:
            log_error(f"activity {request.name}", error, log)
            answer.failureDetails.CopyFrom(_failure(error))
        return answer

    # The part of the extension's HTTP management API that people and tests need.

    async def status(self, instance_id: str) -> dict[str, Any] | None:
        """Return an instance as the real endpoint shows it, or None if it does not exist."""
        answer = await self._stub.GetInstance(pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True))
        if not answer.exists:
            return None
        state = answer.orchestrationState
        word = pb.OrchestrationStatus.Name(state.orchestrationStatus).removeprefix("ORCHESTRATION_STATUS_")
        failed = state.HasField("failureDetails")
        return {
            "name": state.name,
            "instanceId": instance_id,
            "runtimeStatus": word.title().replace("_", ""),
            "input": _json(state.input.value),
            "output": state.failureDetails.errorMessage if failed else _json(state.output.value),
            "customStatus": _json(state.customStatus.value),
            "createdTime": state.createdTimestamp.ToJsonString(),
            "lastUpdatedTime": state.lastUpdatedTimestamp.ToJsonString(),
        }

    async def raise_event(self, instance_id: str, name: str, text: str) -> None:
        await self._stub.RaiseEvent(
            pb.RaiseEventRequest(instanceId=instance_id, name=name, input=StringValue(value=text))
        )

    async def terminate(self, instance_id: str, reason: str) -> None:
        output = StringValue(value=json.dumps(reason))
        await self._stub.TerminateInstance(pb.TerminateRequest(instanceId=instance_id, output=output))

    async def purge(self, instance_id: str) -> int:
        """Delete an instance; return the number of deleted ones."""
        answer = await self._stub.PurgeInstances(pb.PurgeInstancesRequest(instanceId=instance_id))
        return int(answer.deletedInstanceCount)


def _by_name(functions: list[Function], key: str) -> dict[str, Function]:
    return {(f.setting(key) or f.name).lower(): f for f in functions}


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


def _failure(error: Exception) -> Any:
    """Return the failure details. Like the extension, keep only the first line of an exception's message."""
    if isinstance(error, InvocationError):
        first = error.text.split("\n")[0].rstrip()
        stack = StringValue(value=error.stack)
        return pb.TaskFailureDetails(errorType=error.kind, errorMessage=first or error.kind, stackTrace=stack)
    return pb.TaskFailureDetails(errorType=type(error).__name__, errorMessage=str(error), isNonRetriable=True)
