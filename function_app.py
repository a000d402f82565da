"""Every trigger of the app, each with a body of one line.

Nothing is read, built or connected at import: an exception here would make every function vanish in Azure, and
every import here is paid at each cold start. Only the worker's thread pool gets its size
(shared/bootstrap/worker.py). Bodies live in shared/saga and take what they need as arguments.
"""

# The vendor annotates **kwargs of its decorators as unknown.
# pyright: reportUnknownMemberType=false

from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

from shared import entry, health
from shared.saga.orchestration import names, orchestrator
from shared.web.routes import blueprint

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)
HEALTH = {"health_live": health.live, "health_ready": health.ready, "health": health.details}
app.register_functions(blueprint(HEALTH))  # the HTTP API, health and the page: shared/web/api.py lists the routes
STORAGE = "AzureWebJobsStorage"


@app.function_name("accept_deployment")
@app.queue_trigger(arg_name="message", queue_name="deployments", connection=STORAGE)
@app.durable_client_input(client_name="client")
def accept_deployment(message: func.QueueMessage, client: str) -> None:
    """Handle a submission or a command from the queue."""
    entry.accept(message.get_body(), message.id or "", client)


@app.function_name("execute_step")
@app.queue_trigger(arg_name="message", queue_name="deployment-steps", connection=STORAGE)
@app.durable_client_input(client_name="client")
def execute_step(message: func.QueueMessage, client: str) -> None:
    """Move one step as far as it can go now."""
    entry.execute_step(message.get_body(), client)


@app.function_name("poisoned_deployment")
@app.queue_trigger(arg_name="message", queue_name="deployments-poison", connection=STORAGE)
def poisoned_deployment(message: func.QueueMessage) -> None:
    """Record a submission or a command whose every delivery failed."""
    entry.poisoned_deployment(message.get_body(), message.id or "", message.dequeue_count or 1)


@app.function_name("poisoned_step")
@app.queue_trigger(arg_name="message", queue_name="deployment-steps-poison", connection=STORAGE)
@app.durable_client_input(client_name="client")
def poisoned_step(message: func.QueueMessage, client: str) -> None:
    """Fail a step whose every delivery failed; the deployment is rolled back."""
    entry.poisoned_step(message.get_body(), client, message.dequeue_count or 1)


@app.function_name("notify")
@app.queue_trigger(arg_name="message", queue_name="deployment-notices", connection=STORAGE)
def notify(message: func.QueueMessage) -> None:
    """Send an event to the webhook of notifications."""
    entry.notify(message.get_body())


@app.function_name("poisoned_notice")
@app.queue_trigger(arg_name="message", queue_name="deployment-notices-poison", connection=STORAGE)
def poisoned_notice(message: func.QueueMessage) -> None:
    """Give up a notice whose every delivery failed."""
    entry.poisoned_notice(message.get_body(), message.dequeue_count or 1)


@app.orchestration_trigger(context_name="context", orchestration="run_deployment")
def run_deployment(context: Any, state: Any) -> Generator[Any, Any, Any]:
    """Run the saga of one deployment."""
    return (yield from orchestrator.run(context, state))


@app.durable_client_input(client_name="client")
@app.activity_trigger(input_name="deployment_id", activity=names.BEGIN_DEPLOYMENT)
def begin_deployment(deployment_id: str, client: str) -> Any:
    """Acquire the target and start, or continue after a crash."""
    return entry.begin(deployment_id, client)


@app.activity_trigger(input_name="request", activity=names.DISPATCH_STEPS)
def dispatch_steps(request: Any) -> float:
    """Send a message for each step that is ready."""
    return entry.dispatch(request)


@app.activity_trigger(input_name="deployment_id", activity=names.RECORD_FAILURE)
def record_failure(deployment_id: str) -> Any:
    """Record that a step failed: no further step starts."""
    return entry.record_failure(deployment_id)


@app.durable_client_input(client_name="client")
@app.activity_trigger(input_name="deployment_id", activity=names.BEGIN_COMPENSATION)
def begin_compensation(deployment_id: str, client: str) -> Any:
    """Start compensating, when no step is in flight any more."""
    return entry.begin_compensation(deployment_id, client)


@app.activity_trigger(input_name="request", activity=names.RECONCILE_DEPLOYMENT)
def reconcile_deployment(request: Any) -> Any:
    """Compare the progress with the journal, and resend lost messages (the watchdog)."""
    return entry.reconcile(request)


@app.durable_client_input(client_name="client")
@app.activity_trigger(input_name="deployment_id", activity=names.FINISH_DEPLOYMENT)
def finish_deployment(deployment_id: str, client: str) -> Any:
    """Write the final state that the journal proves."""
    return entry.finish(deployment_id, client)


@app.function_name("sweep")
@app.timer_trigger(arg_name="timer", schedule="%SWEEP_SCHEDULE%", run_on_startup=False)
@app.durable_client_input(client_name="client")
def sweep(timer: func.TimerRequest, client: str) -> None:
    """Restart, expire and forget deployments, and delete orphans."""
    entry.sweep(client)


entry.resize_thread_pool()
