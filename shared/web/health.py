"""Health over HTTP. function_app.py supplies the answers, because they come from the path of the triggers."""

from shared.web.backend import Backend, Handler
from shared.web.http import Reply, Request, health_reply


def health_handler(name: str) -> Handler:
    """Return the handler of one health route; `name` selects its answer in `Backend.health`."""

    def report(request: Request, backend: Backend) -> Reply:
        return health_reply(*backend.health[name]())

    return report
