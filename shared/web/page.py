"""The page: the files of the folder `dashboard`, unchanged, except that `app.js` contains all modules.

The files contain no secret: the page asks for the key or, if the app signs in its callers, lets the browser sign in.

The page's address works with and without a slash at its end, so the page names its files `/api/dashboard/<file>`.
"""

import hashlib
from functools import cache
from pathlib import Path

from shared.web.bundle import bundle
from shared.web.http import HttpError, Reply, Request, tagged

FOLDER = Path(__file__).resolve().parent / "dashboard"
INDEX = "index.html"
SCRIPT = "app.js"
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


_PLAIN = b'<html lang="en">'


@cache
def files(folder: Path, sign_in: str = "") -> dict[str, tuple[bytes, str]]:
    """Return content and tag of each file by name. They are read once, because a deployed folder does not change."""
    found = {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.suffix in TYPES}
    modules = {name: content.decode() for name, content in found.items() if name.endswith(".js")}
    if SCRIPT in modules:
        found[SCRIPT] = bundle(SCRIPT, modules).encode()
    if sign_in and INDEX in found:
        found[INDEX] = found[INDEX].replace(_PLAIN, f'<html lang="en" data-sign-in="{sign_in}">'.encode())
    return {name: (content, f'"{hashlib.sha256(content).hexdigest()[:32]}"') for name, content in found.items()}


def serve(request: Request, folder: Path = FOLDER, *, sign_in: str = "") -> Reply:
    """Return one file. The name is looked up and never used as a path. Raises HttpError 404.

    `sign_in` is the path where a browser signs in; empty if callers have a key.
    """
    name = request.route.get("file", INDEX)
    if name not in files(folder, sign_in):
        raise HttpError(404, "the page does not have this file")
    content, tag = files(folder, sign_in)[name]
    return tagged(request, tag, Reply(200, content, TYPES[Path(name).suffix], HEADERS))
