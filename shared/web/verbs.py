"""What a person may ask of a deployment: cancel, approve, refuse, resume, compensate, retire, release."""

from shared.domain.errors import NotFoundError, Problem
from shared.saga.command.handling import Verb, allowed_verbs, command, handle
from shared.web import bodies
from shared.web.backend import Backend, Handler
from shared.web.http import HttpError, Reply, Request, bad_request, json_reply

_STEP_VERBS = (Verb.APPROVE, Verb.REFUSE)


def command_handler(verb: Verb) -> Handler:
    """The handler of one verb: 202 where it is granted (or was already), 409 where the state does not allow it."""

    def ask(request: Request, backend: Backend) -> Reply:
        fields = bodies.texts(request, requested_by=256, reason=500, step=256)
        header = backend.header(request.route["id"])
        if verb in _STEP_VERBS and not fields["step"]:
            raise bad_request([Problem("$.step", f"is required: the id of the step to {verb.value}")])
        if verb is Verb.RELEASE and not fields["reason"]:
            raise bad_request([Problem("$.reason", "is required: why what stands may stay as it is")])
        app = backend.app()
        requester = backend.requester(request, fields["requested_by"])
        requested = command(verb, header.deployment_id, requester, fields["reason"], fields["step"])
        try:
            answer = handle(app.services, app.locks, backend.engine(), requested)
        except NotFoundError:  # purged since it was read
            raise HttpError(404, f"there is no deployment '{header.deployment_id}'") from None
        finally:
            backend.watching.forget(header.deployment_id)
        state = answer.state.value
        if not answer.accepted:
            steps = [row.record for row in app.services.journal.steps(header.deployment_id)]
            allowed = [each.value for each in allowed_verbs(backend.header(header.deployment_id), steps)]
            raise HttpError(409, answer.message, deployment_id=header.deployment_id, state=state, allowed=allowed)
        body = {"deployment_id": header.deployment_id, "state": state, "message": answer.message}
        return json_reply(body, 202, {"Location": request.path.rstrip("/").rsplit("/", 1)[0]})

    return ask
