"""Kind `job`: one run of an item's job on demand, awaited to its end. Fabric calls it a job instance.

ADR 33 says what is proved of a run whose response was lost.
"""

import json
import re
from collections.abc import Mapping

from shared.domain.errors import (
    FabricAmbiguousError,
    FabricAuthError,
    FabricError,
    FabricJobError,
    FabricNotFoundError,
    FabricRefusedError,
    InvalidInputError,
    Problem,
)
from shared.domain.fields import GUID, Fields, Words
from shared.domain.json import JsonObject, as_object
from shared.domain.ports import Fabric, OperationStarted
from shared.domain.records import Intent, Resource
from shared.domain.row_limits import fitting
from shared.steps import items
from shared.steps.job_parameters import check_parameters, execution
from shared.steps.kind import WORKSPACE_ID, Call, NotYetError, Snapshot, VerificationError
from shared.steps.recall import Recall
from shared.steps.run_kind import RunKind

TYPE = "JobInstance"
WHEN = ("on_success", "always")
EFFECTS = ("none", "irreversible")
EXIT_LIMIT = 1_000
"""Characters of an exit value that the journal keeps; the rest is cut."""
_EXIT_ROOM = 3_400
"""Characters of its row that an exit value may take. A character beyond ASCII takes six or twelve."""
_JOB_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_ENDED = frozenset({"Completed", "Failed", "Cancelled", "Deduped"})
"""The states in which a run has ended. Fabric may add others, which count as running until it refuses to cancel them.
Source: published OpenAPI, ItemJobStatus."""
_BY_WORD = {state.lower(): state for state in _ENDED}
_OVER = "JobAlreadyCompleted"
"""The code of the refusal to cancel a run that has ended. Source: published OpenAPI, Cancel Item Job Instance."""
_MANUAL, _NOTEBOOK = "Manual", "Notebook"
_STATUS_LIMIT = 64
_SEEN = 250
"""Runs that an intent names, the latest ones: Fabric lists the last 100 ended runs of an item and all active ones."""
_SHOWN = 8
"""Characters of a run's id that are enough to recognise it among those of one item."""
_SECONDS = 60.0
"""Usual duration of a run whose type has no recording."""


class JobKind(RunKind):
    """Run a job and wait for it. Compensation cancels it while it runs; a run that has ended is left as it is."""

    name = "job"
    about = "One run of an item's job, for example a notebook as a smoke test; the step ends as the job ends."
    outputs = frozenset({"id", "status", "exitValue"})
    keys = ("workspaceId", "itemId")
    expected_seconds: Mapping[str, float] = {"job RunNotebook": 31.0, "job Pipeline": 53.0, "job sparkjob": 110.0}
    """Source: recorded runs of microsoft/fabric-cli."""
    tracks = ""
    tracked_fields: Mapping[str, str] = {}

    def check(self, spec: Fields) -> None:
        spec.guid("workspaceId", required=True, words=WORKSPACE_ID)
        spec.guid("itemId", required=True, words=Words("The id of the item.", "${{ steps.test.outputs.id }}"))
        spec.text(
            "jobType",
            required=True,
            maximum=64,
            pattern=_JOB_TYPE,
            hint="must be letters and digits, such as RunNotebook",
            words=Words(
                "The type of the job, as Fabric names it: RunNotebook, Pipeline, sparkjob, TableMaintenance, Refresh.",
                "RunNotebook",
            ),
        )
        check_parameters(spec)
        spec.choice(
            "effects",
            EFFECTS,
            words=Words(
                "irreversible: its effects cannot be compensated, so the job runs after every other step that "
                "does not need it. Default: none.",
                "irreversible",
            ),
        )
        spec.choice(
            "when",
            WHEN,
            words=Words(
                "on_success: like every other step. always: when all other steps have ended, also after a failure, and "
                "before the rollback. Default: on_success.",
                "always",
            ),
        )
        spec.boolean(
            "mayRunTwice",
            words=Words("Start the job again if it is not known whether it has started. Default: false.", True),
        )
        spec.text(
            "expectExitValue",
            maximum=EXIT_LIMIT,
            refers=True,
            words=Words("The exit value that a notebook must return; with another one the step fails.", "passed"),
        )

    def runs_last(self, spec: JsonObject) -> bool:
        return spec.get("effects") == "irreversible"

    def runs_always(self, spec: JsonObject) -> bool:
        return spec.get("when") == "always"

    def prepare(self, fabric: Fabric, spec: JsonObject, recall: Recall) -> JsonObject:
        """Return the spec with the item's type and name, which show that the item exists. Raises FabricError, and
        InvalidInputError if the job cannot return the exit value that is expected: it must not run in vain."""
        item = fabric.get(f"/workspaces/{spec['workspaceId']}/items/{spec['itemId']}")
        if spec.get("expectExitValue") and item.get("type", _NOTEBOOK) != _NOTEBOOK:
            message = f"only notebooks return an exit value, and the item is a {item['type']}; leave it out"
            raise InvalidInputError([Problem("$.with.expectExitValue", message)])
        return {**spec, "itemType": item.get("type", ""), "displayName": item.get("displayName", spec["itemId"])}

    def may_repeat(self, spec: JsonObject) -> bool:
        return spec.get("mayRunTwice") is True

    def seen(self, fabric: Fabric, spec: JsonObject) -> JsonObject:
        rows = sorted(_runs(fabric, spec), key=lambda row: str(row.get("startTimeUtc") or "~"), reverse=True)
        return {"runs": " ".join(row["id"][:_SHOWN].lower() for row in rows[:_SEEN])}

    def lost(self, fabric: Fabric, spec: JsonObject, intent: Intent) -> Snapshot | None:
        """Search the runs of this type that somebody started by hand or by the API since the intent was written."""
        known = set(str((intent.beside or {}).get("runs", "")).split())
        new = [
            row
            for row in _runs(fabric, spec)
            if row["id"][:_SHOWN].lower() not in known
            and str(row.get("jobType") or spec["jobType"]).lower() == spec["jobType"].lower()
            and (row.get("invokeType") or _MANUAL) == _MANUAL
        ]
        if len(new) == 1:
            return _snapshot(spec, new[0])
        if any(_status(row) not in _ENDED for row in new):
            raise FabricRefusedError(
                f"the response to the start of {_what(spec)} was lost, and {len(new)} runs have begun since then: "
                f"{', '.join(row['id'] for row in new[:5])}. One of them may be this step's; nothing shows which",
                call=f"GET {_path(spec)}",
            )
        return None

    def apply(self, spec: JsonObject, intent: Intent) -> list[Call]:
        """Return the POST that starts the job."""
        path = f"/workspaces/{spec['workspaceId']}/items/{spec['itemId']}/jobs/{spec['jobType']}/instances"
        return [Call("POST", path, _operation(spec), execution(spec))]

    def created(self, spec: JsonObject, answer: JsonObject) -> Resource:
        return _resource(spec, answer["id"])

    def accepted(self, spec: JsonObject, started: OperationStarted) -> Resource:
        """Return the run at the end of the 202's Location, which has no operation id. Source: recorded traffic."""
        found = (started.location or "").partition("?")[0].rstrip("/").rpartition("/")[2]
        if not GUID.fullmatch(found):
            raise FabricAmbiguousError("the answer to the start of the job names no run", call=f"POST {_path(spec)}")
        return _resource(spec, found)

    def verify(self, fabric: Fabric, spec: JsonObject, resource: Resource, intent: Intent) -> JsonObject:
        """Return how the run ended. Raises NotYetError while it runs, FabricJobError if it did not complete."""
        shown = fabric.get(f"{_path(spec)}/{resource.id}")
        status = _status(shown)
        if status not in _ENDED:
            raise NotYetError(f"{_what(spec)} is {status or 'without a status'}", self._usual(spec))
        if status != "Completed":
            raise _failure(spec, resource, status, as_object(shown.get("failureReason")) or {})
        exit_value = _exit_value(fabric, spec, resource)
        expected = spec.get("expectExitValue")
        if expected is not None and exit_value != expected:
            shown_value = exit_value[:EXIT_LIMIT]
            raise VerificationError(f"{_what(spec)} returned {shown_value!r}, not {expected!r} (run {resource.id})")
        return {"id": resource.id, "status": status, "exitValue": fitting(exit_value[:EXIT_LIMIT], _EXIT_ROOM)}

    def locate(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> Snapshot | None:
        """Return the run by its id. A 404 proves its absence only after a list, because a paused capacity sends it
        too; Fabric keeps active runs, so that a run which is absent has ended."""
        try:
            return _snapshot(spec, {"id": resource.id, **fabric.get(f"{_path(spec)}/{resource.id}")})
        except FabricNotFoundError:
            item = Resource(spec.get("itemType", ""), spec["itemId"], "", spec["workspaceId"])
            if items.locate_item(fabric, item) is not None:
                return next(
                    (_snapshot(spec, row) for row in _runs(fabric, spec) if row["id"].lower() == resource.id), None
                )
            return None

    def has_failed(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> bool:
        found = self.locate(fabric, spec, resource)
        if found is None or found.image["status"] in _ENDED - {"Completed"}:
            return True
        expected = spec.get("expectExitValue")
        is_over = found.image["status"] == "Completed"
        return is_over and expected is not None and _exit_value(fabric, spec, resource) != expected

    def compensate(self, spec: JsonObject, intent: Intent, found: Snapshot) -> list[Call]:
        """Return the cancellation of a run that has not ended."""
        if found.image["status"] in _ENDED:
            return []
        return [Call("POST", f"{_path(spec)}/{found.resource.id}/cancel", "cancel job", is_followed=False)]

    def check_stopped(self, fabric: Fabric, spec: JsonObject, resource: Resource) -> None:
        found = self.locate(fabric, spec, resource)
        if found is not None and found.image["status"] not in _ENDED:
            raise NotYetError(f"{_what(spec)} is being cancelled", 5.0)

    def ended(self, spec: JsonObject, found: Snapshot, error: FabricError) -> str | None:
        if error.error_code != _OVER:
            return None
        return self._has_ended(spec, f" (Fabric shows {found.image['status'] or 'no status'})")

    def compensated(self, spec: JsonObject, found: Snapshot) -> str:
        status = found.image["status"]
        if status == "Cancelled" or status not in _ENDED:
            return "its run is cancelled"
        return self._has_ended(spec, f" as {status}")

    def _has_ended(self, spec: JsonObject, how: str) -> str:
        effects = "; its effects are irreversible and stay" if self.runs_last(spec) else ""
        return f"it has ended{how}, and a run that has ended cannot be compensated{effects}"

    def _usual(self, spec: JsonObject) -> float:
        return self.expected_seconds.get(_operation(spec), _SECONDS)


def _operation(spec: JsonObject) -> str:
    return f"job {spec['jobType']}"


def _what(spec: JsonObject) -> str:
    return f"job {spec['jobType']} of '{spec.get('displayName', spec['itemId'])}'"


def _path(spec: JsonObject) -> str:
    return f"/workspaces/{spec['workspaceId']}/items/{spec['itemId']}/jobs/instances"


def _resource(spec: JsonObject, run_id: str) -> Resource:
    name = f"{spec['jobType']} of {spec.get('displayName', spec['itemId'])}"
    return Resource(TYPE, run_id.lower(), name[:200], spec["workspaceId"])


def _snapshot(spec: JsonObject, row: JsonObject) -> Snapshot:
    return Snapshot(_resource(spec, row["id"]), {"status": _status(row)})


def _runs(fabric: Fabric, spec: JsonObject) -> list[JsonObject]:
    return [row for row in fabric.list(_path(spec)) if row.get("id")]


def _status(row: JsonObject) -> str:
    """Return the state of a run, as the published OpenAPI spells it; empty if it is not a word, so that the run counts
    as running."""
    word = row.get("status")
    return _BY_WORD.get(word.strip().lower(), word.strip()[:_STATUS_LIMIT]) if isinstance(word, str) else ""


def _failure(spec: JsonObject, resource: Resource, status: str, reason: JsonObject) -> FabricJobError:
    """Return the error of a run that ended without success; `reason` is Fabric's `failureReason`."""
    why = {
        "Cancelled": "it was cancelled in Fabric",
        "Deduped": "another run of the same job was in progress, so Fabric skipped this one",
    }.get(status, str(reason.get("message") or "Fabric gives no reason"))
    return FabricJobError(
        f"{_what(spec)} ended as {status}: {why}",
        call=f"run {resource.id}",
        error_code=reason.get("errorCode") if isinstance(reason.get("errorCode"), str) else None,
        request_id=reason.get("requestId") if isinstance(reason.get("requestId"), str) else None,
        is_outcome=True,
    )


def _exit_value(fabric: Fabric, spec: JsonObject, resource: Resource) -> str:
    """Return what a notebook gave to `notebookutils.notebook.exit`; empty for every other item.

    The route is in beta: if Fabric refuses it, the exit value is empty, unless the manifest expects one. Raises
    FabricError.
    """
    if spec.get("itemType") != _NOTEBOOK:
        return ""
    path = f"/workspaces/{spec['workspaceId']}/notebooks/{spec['itemId']}/jobs/execute/instances/{resource.id}"
    try:
        shown = fabric.get(path, {"beta": "true"})
    except (FabricRefusedError, FabricNotFoundError, FabricAuthError):
        if spec.get("expectExitValue"):
            raise
        return ""
    value = (as_object(shown.get("properties")) or {}).get("exitValue")
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)  # documented as a text; a number could come as one
