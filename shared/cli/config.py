"""The configuration file of the command line: addresses, and defaults of options, so that a shell needs no variables.

    url = "https://NAME.azurewebsites.net"     # or blob-uri, queue-uri and table-uri
    scope = "api://CLIENT-ID/.default"         # if the app signs in its callers
    requested-by = "anna"
    timeout = "30m"

It is `~/.config/fabric-saga/config.toml`, or the file that FABRIC_SAGA_CONFIG names. A file in the current folder is
never read: a repository could send the function key to another address. Secrets do not belong into it.
"""

import argparse
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from shared import settings
from shared.cli.common import seconds
from shared.cli.render.timeline import clean
from shared.domain.errors import InvalidInputError, Problem, Problems
from shared.domain.fields import suggestion, type_name

DEFAULT = Path("~/.config/fabric-saga/config.toml")
ADDRESSES = {
    "url": "FABRIC_SAGA_URL",
    "scope": "FABRIC_SAGA_SCOPE",
    "blob-uri": "AzureWebJobsStorage__blobServiceUri",
    "queue-uri": "AzureWebJobsStorage__queueServiceUri",
    "table-uri": "AzureWebJobsStorage__tableServiceUri",
}
"""The variable that each key stands for."""
DEFAULTS = ("requested-by", "timeout")
_MAX_BYTES = 64 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def apply(options: argparse.Namespace) -> None:
    """Use the file for what neither the environment nor an option gives. Raises InvalidInputError."""
    named = settings.config_file()
    file = Path(named) if named else _default()
    if file is None:
        return
    found = _read(file)
    settings.set_addresses({ADDRESSES[key]: value for key, value in found.items() if key in ADDRESSES})
    if getattr(options, "requested_by", None) == "":
        options.requested_by = found.get("requested-by", "")
    if "timeout" in found and getattr(options, "timeout", 0) is None:
        try:
            options.timeout = seconds(found["timeout"])
        except argparse.ArgumentTypeError as error:
            raise InvalidInputError([Problem(_place(file, "timeout"), str(error))]) from None


def _default() -> Path | None:
    """Return the file in the home folder; None without one. The user of a container may have no home folder, or HOME
    may name that of another user."""
    try:
        file = DEFAULT.expanduser()
        return file if stat.S_ISREG(file.stat().st_mode) else None
    except (OSError, ValueError, RuntimeError):
        return None


def _read(file: Path) -> dict[str, str]:
    try:
        if not stat.S_ISREG(file.stat().st_mode) and file != Path(os.devnull):  # opening a pipe waits for its writer
            raise OSError(None, "it is not a regular file")
        with file.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise InvalidInputError([Problem(_place(file), f"has more than {_MAX_BYTES} bytes")])
        values: dict[str, Any] = tomllib.loads(content.decode())
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError([Problem(_place(file), f"is not TOML: {clean(str(error))}")]) from None
    except UnicodeDecodeError as error:
        raise InvalidInputError([Problem(_place(file), f"is not UTF-8 text (byte {error.start})")]) from None
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it is not a path"
        raise InvalidInputError([Problem(_place(file), f"cannot be read: {why}")]) from None
    problems = Problems()
    known = (*ADDRESSES, *DEFAULTS)
    for key, value in values.items():
        if key not in known:
            near = suggestion(key, known, problems)
            # The value is not quoted, because somebody may have written a key into the file.
            what = f"is not a known key.{near} Known: {', '.join(known)}. A function key comes from FUNCTION_KEY"
            problems.append(Problem(_place(file, key), what))
        elif not isinstance(value, str):
            problems.append(Problem(_place(file, key), f"must be a string, not {type_name(value)}"))
        elif _CONTROL.search(value):  # no variable can have U+0000, and no requester's name more than one line
            problems.append(Problem(_place(file, key), "contains a line end or a control character; remove it"))
    if "url" in values and any(key.endswith("-uri") for key in values):
        problems.append(
            Problem(_place(file, "url"), "cannot be combined with addresses of storage; give one of the two")
        )
    if problems:
        raise InvalidInputError(problems)
    return values


def _place(file: Path, key: str = "") -> str:
    return f"{clean(str(file), 200)}{f', {clean(key, 64)}' if key else ''}"
