"""The dashboard: the files of the folder `dashboard`, as they are. They hold nothing secret; the page asks for the key.

The page may be asked for with and without a slash at its end, so it names its files as `/api/dashboard/<file>`.
"""

import hashlib
from functools import cache
from pathlib import Path

from shared.web.http import HttpError, Reply, Request, tagged

FOLDER = Path(__file__).resolve().parent / "dashboard"
INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; font-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@cache
def files(folder: Path) -> dict[str, tuple[bytes, str]]:
    """Content and tag of each file that may be served, by name. Read once: a deployed folder does not change."""
    found = {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.suffix in TYPES}
    return {name: (content, f'"{hashlib.sha256(content).hexdigest()[:32]}"') for name, content in found.items()}


def serve(request: Request, folder: Path = FOLDER) -> Reply:
    """One file. A name is looked up among those that are there and never made into a path. Raises HttpError 404."""
    name = request.route.get("file", INDEX)
    if name not in files(folder):
        raise HttpError(404, "the page has no such file")
    content, tag = files(folder)[name]
    return tagged(request, tag, Reply(200, content, TYPES[Path(name).suffix], HEADERS))
