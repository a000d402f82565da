"""The verbs over HTTP."""

from shared.domain.errors import NotFoundError, Problem
from shared.saga.command.commands import command
from shared.saga.command.handling import handle
from shared.saga.command.verbs import VERBS, Verb, allowed_verbs
from shared.saga.waking_locks import by_event
from shared.web import bodies
from shared.web.access import check_target, forbidden
from shared.web.backend import Backend, Handler
from shared.web.http import HttpError, Reply, Request, bad_request, json_reply


def command_handler(verb: Verb) -> Handler:
    """Return the handler of a verb: 202 if it is accepted or in effect already, 409 if the state does not allow it."""
    spec = VERBS[verb]

    def ask(request: Request, backend: Backend) -> Reply:
        fields = bodies.texts(request, requested_by=256, reason=500, step=256)
        header = backend.header(request.route["id"])
        if spec.is_for_step and not fields["step"]:
            raise bad_request([Problem("$.step", f"is required: the id of the step to {verb.value}")])
        if spec.reason and not fields["reason"]:
            raise bad_request([Problem("$.reason", f"is required: {spec.reason}")])
        app = backend.app()
        check_target(backend, header.target)
        requester = backend.requester(fields["requested_by"])
        requested = command(verb, header.deployment_id, requester, fields["reason"], fields["step"], backend.caller)
        engine = backend.engine()
        locks = by_event(app.locks, app.services.journal, engine)
        try:
            answer = handle(app.services, locks, engine, requested)
        except NotFoundError:  # deleted since it was read
            raise HttpError(404, f"there is no deployment '{header.deployment_id}'") from None
        finally:
            backend.watching.forget(header.deployment_id)
        state = answer.state.value
        if answer.is_forbidden:
            raise forbidden(answer.message)
        if not answer.accepted:
            steps = [row.record for row in app.services.journal.steps(header.deployment_id)]
            allowed = [each.value for each in allowed_verbs(backend.header(header.deployment_id), steps)]
            raise HttpError(409, answer.message, deployment_id=header.deployment_id, state=state, allowed=allowed)
        body = {"deployment_id": header.deployment_id, "state": state, "message": answer.message}
        return json_reply(body, 202, {"Location": request.path.rstrip("/").rsplit("/", 1)[0]})

    return ask
