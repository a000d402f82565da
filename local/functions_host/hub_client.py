"""The calls of durable clients on a shared task hub: each becomes a message, and reads see what is stored.

Every host serves them to its own functions. The host of the group `durable` runs what the messages ask for
(shared_engine.py).
"""

# Hooks private methods of a library that is pinned exactly, and whose protobuf classes have no types.
# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportIncompatibleMethodOverride=false

import base64
import json
import uuid
from collections.abc import Iterable
from typing import Any

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.testing.in_memory_backend import OrchestrationInstance

from local.functions_host.engine import Engine
from local.functions_host.instances import instance_of
from local.functions_host.task_hub import START, HubMessage, Stored, TaskHub

EVENT, TERMINATE, SUSPEND, RESUME = "event", "terminate", "suspend", "resume"


class HubClient(Engine):
    """The engine of a host that runs no orchestrations."""

    def __init__(self, hub: TaskHub) -> None:
        super().__init__()
        self._hub = hub

    def _run_timers(self) -> None:
        """Do nothing: timers are messages."""

    def _wake(self, *queues: str) -> None:
        """Do nothing: a message wakes only the process that polls its queue."""

    def StartInstance(self, request: Any, context: Any) -> Any:
        """Send the message that starts an instance. An instance that has ended is overwritten."""
        instance_id = request.instanceId or uuid.uuid4().hex
        request.instanceId = instance_id
        if not self._hub.start(self._message(instance_id, START, request)):
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"instance '{instance_id}' already exists")
        self._wake(self._hub.control_queue_of(instance_id))
        return pb.CreateInstanceResponse(instanceId=instance_id)

    def RaiseEvent(self, request: Any, context: Any) -> Any:
        """Send an event. An instance that has ended refuses it."""
        self._send_to_live(request, EVENT, context)
        return pb.RaiseEventResponse()

    def TerminateInstance(self, request: Any, context: Any) -> Any:
        self._send_to_live(request, TERMINATE, context)
        return pb.TerminateResponse()

    def SuspendInstance(self, request: Any, context: Any) -> Any:
        self._send_to_live(request, SUSPEND, context)
        return pb.SuspendResponse()

    def ResumeInstance(self, request: Any, context: Any) -> Any:
        self._send_to_live(request, RESUME, context)
        return pb.ResumeResponse()

    def GetInstance(self, request: Any, context: Any) -> Any:
        """Return an instance as it is stored. One whose first turn has not ended is pending."""
        found = self._find(request.instanceId)
        if found is None:
            return pb.GetInstanceResponse(exists=False)
        return self._build_instance_response(found, request.getInputsAndOutputs)

    def PurgeInstances(self, request: Any, context: Any) -> Any:
        """Delete the history of one instance that has ended."""
        if not request.instanceId:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "this host purges one instance at a time")
        return pb.PurgeInstancesResponse(deletedInstanceCount=int(self._hub.purge(request.instanceId)))

    def WaitForInstanceStart(self, request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "this host does not wait for instances of a shared task hub")

    WaitForInstanceCompletion = WaitForInstanceStart

    def _send_to_live(self, request: Any, kind: str, context: Any) -> None:
        found = self._find(request.instanceId)
        if found is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"instance '{request.instanceId}' not found")
        elif self._is_terminal_status(found.status):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"instance '{request.instanceId}' has ended")
        self._hub.send(self._message(request.instanceId, kind, request))
        self._wake(self._hub.control_queue_of(request.instanceId))

    def _find(self, instance_id: str) -> OrchestrationInstance | None:
        starting = self._hub.starting(instance_id)
        if starting is not None:
            request = pb.CreateInstanceRequest.FromString(starting)
            return OrchestrationInstance(
                instance_id, request.name, pb.ORCHESTRATION_STATUS_PENDING, input=request.input.value
            )
        stored = self._hub.instance(instance_id)
        return None if stored is None else instance_from(stored)

    def _message(self, instance_id: str, kind: str, request: Any, visible_at: float = 0.0) -> HubMessage:
        body = request.SerializeToString()
        return HubMessage(self._hub.control_queue_of(instance_id), instance_id, kind, body, visible_at)


def state_of(row: Iterable[Any]) -> bytes:
    """Return the columns of an instance as the hub stores them."""
    shown = [{"base64": base64.b64encode(v).decode()} if isinstance(v, bytes) else v for v in row]
    return json.dumps(shown).encode()


def instance_from(stored: Stored) -> OrchestrationInstance:
    """Return a stored instance."""
    row: list[Any] = json.loads(stored.state)
    return instance_of([base64.b64decode(v["base64"]) if isinstance(v, dict) else v for v in row])
