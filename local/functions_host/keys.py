"""The host's keys, and the file that stores them."""

import hmac
import logging
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
    """The host's keys: `default` is accepted for functions of level `function`, `master` for everything."""

    default: str
    master: str

    @classmethod
    def read(cls, path: Path) -> "Keys":
        """Read the keys from the file. Raises files.DamagedError, and OSError."""
        found = files.read_object(path)
        default, master = found.get("default"), found.get("master")
        if not (isinstance(default, str) and isinstance(master, str) and default and master):
            raise files.DamagedError(f"{path} is damaged (it does not contain both keys)")
        return cls(default, master)

    @classmethod
    def load(cls, path: Path | None) -> "Keys":
        """Read the keys from the file; create it (mode 0600) if it is missing or damaged.

        Without a file, each start has new keys. Raises RuntimeError if the file cannot be read.
        """
        if path is not None and path.exists():
            try:
                return cls.read(path)
            except files.DamagedError as error:
                log.error("%s: it is kept as %s, and new keys were made", error, files.set_aside(path).name)
            except OSError as error:
                raise RuntimeError(f"the keys in {path} cannot be read: {error.strerror}") from None
        keys = cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_object(path, asdict(keys))
        return keys

    def open(self, request: "web.Request", level: str) -> bool:
        """Return True if the request has a key for this level."""
        if level == "anonymous":
            return True
        text = request.headers.get("x-functions-key") or request.query.get("code") or ""
        given = text.encode(errors="surrogatepass")
        allowed = [self.master] if level == "admin" else [self.master, self.default]
        return any(hmac.compare_digest(given, key.encode()) for key in allowed)
