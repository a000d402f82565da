"""The host's keys, and the file that they are kept in."""

import hmac
import json
import logging
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local import files

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger("host")


@dataclass(frozen=True)
class Keys:
    """The host's keys: `default` opens functions of level `function`, `master` everything."""

    default: str
    master: str

    @classmethod
    def read(cls, path: Path) -> "Keys":
        """From the file. Raises files.DamagedError, and OSError."""
        found = files.read_object(path)
        default, master = found.get("default"), found.get("master")
        if not (isinstance(default, str) and isinstance(master, str) and default and master):
            raise files.DamagedError(f"{path} is damaged (it does not hold both keys)")
        return cls(default, master)

    @classmethod
    def load(cls, path: Path | None) -> "Keys":
        """From the file, which is made (mode 0600) where it is absent and made again where it is damaged; without a
        file, new keys each start. Raises RuntimeError if the file cannot be read."""
        if path is not None and path.exists():
            try:
                return cls.read(path)
            except files.DamagedError as error:
                log.error("%s: it is kept as %s, and there are new keys", error, files.set_aside(path).name)
            except OSError as error:
                raise RuntimeError(f"the keys in {path} cannot be read: {error.strerror}") from None
        keys = cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(".new")  # whole or not at all: a start after a kill must be able to read it
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(asdict(keys), file)
            fresh.replace(path)
        return keys

    def open(self, request: "web.Request", level: str) -> bool:
        """Whether the request carries a key for that level."""
        if level == "anonymous":
            return True
        text = request.headers.get("x-functions-key") or request.query.get("code") or ""
        given = text.encode(errors="surrogatepass")
        allowed = [self.master] if level == "admin" else [self.master, self.default]
        return any(hmac.compare_digest(given, key.encode()) for key in allowed)
