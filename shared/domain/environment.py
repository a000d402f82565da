"""Reads declared variables from an environment. Each error names the variable that is wrong.

The environment is passed as a mapping; only settings.py reads the process's own.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping

from shared.domain import address
from shared.domain.declaration import Kind, Variable
from shared.domain.errors import InvalidInputError
from shared.domain.secrets import secret_name
from shared.domain.variables import VARIABLES

_PLAIN = re.compile(r"[\x20-\x7e]*")
_VAULT_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9]|-(?!-)){1,22}[A-Za-z0-9]")


class SettingsError(Exception):
    """An environment variable has a value that cannot be used. The message names it and what is expected."""


def addressed(name: str, parsed: Callable[[], address.Address]) -> address.Address:
    """Return what `parsed` returns. Raises SettingsError, which names the variable, if the address is not valid."""
    try:
        return parsed()
    except address.AddressError as error:
        raise SettingsError(f"{name} {error}") from None


def check_plain(name: str, text: str) -> None:
    """Raise SettingsError if a text has a character that no address, key or word has, such as a byte order mark, curly
    quotes or an invisible space."""
    place = len(_PLAIN.match(text)[0])  # type: ignore[index] - it matches any text
    if place < len(text):
        odd = text[place]
        what = f"U+{ord(odd):04X} {unicodedata.name(odd, '')}".rstrip()
        raise SettingsError(
            f"{name} has a character that is not allowed, at position {place + 1}: {what}; "
            "set it again without that character"
        )


def vault_url(url: str, name: str) -> str:
    """Return the vault's address; if both are set, `url` counts. Raises SettingsError, which does not quote
    it: it may contain a password."""
    if url:
        try:
            found = address.read(url)
        except address.AddressError:
            found = address.Address("", "")
        if found.scheme != "https" or found.path not in ("", "/") or found.query:
            raise SettingsError("KEY_VAULT_URL must be a vault's address: https://<name>.vault.azure.net")
        return url.rstrip("/")
    if name and not _VAULT_NAME.fullmatch(name):
        raise SettingsError(
            f"AZURE_KEY_VAULT_NAME is {name[:64]!r}; a vault's name has 3 to 24 letters, digits and '-'"
        )
    return f"https://{name}.vault.azure.net" if name else ""


_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Reader:
    """Reads declared variables as their rows say; errors name the variable. An empty variable has its default.

    Raises SettingsError for a value that cannot be used, and KeyError or TypeError for a variable that is not declared,
    or not of that kind: that is an error of the program.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def raw(self, name: str, variable: str = "") -> str:
        """Return the value as it is set. `variable` is another spelling of the name."""
        default = VARIABLES[name].default
        return self._environment.get(variable or name, "").strip() or str(default)

    def text(self, name: str, variable: str = "") -> str:
        """Return a word, a key or an address: printable ASCII only, because all of them end in URLs and headers."""
        text = self.raw(name, variable)
        check_plain(variable or name, text)
        return text

    def check_secret(self, variable: str) -> None:
        """Raise SettingsError if a secret contains a character that Entra's secrets never contain. It is not kept."""
        check_plain(variable, self._environment.get(variable, "").strip())

    def secure(self, name: str, what: str = "the token") -> str:
        """Return an address that `what` may be sent to."""
        _declared(name, Kind.ADDRESS)
        text = self.text(name)
        if text and addressed(name, lambda: address.secure(text, what)).query:
            raise SettingsError(f"{name} must not have a '?'")
        return text

    def word(self, name: str) -> str:
        """Return one of the words that the row allows."""
        words, value = _declared(name, Kind.WORD).words, self.text(name)
        if value not in words:
            raise SettingsError(f"{name} is {value[:64]!r}; it must be one of: {', '.join(words)}")
        return value

    def secret_name(self, name: str) -> str:
        """Return the name of a secret in its normal form, or an empty text."""
        _declared(name, Kind.SECRET_NAME)
        text = self.text(name)
        try:
            return secret_name(text) if text else ""
        except InvalidInputError:
            # Not quoted: the secret itself may have been put here.
            raise SettingsError(f"{name} is not the name of a secret: it takes letters, digits and '-'") from None

    def flag(self, name: str) -> bool:
        _declared(name, Kind.FLAG)
        value = self.text(name).lower()
        if value not in _WORDS:
            raise SettingsError(f"{name} is {value[:64]!r}; it must be one of: {', '.join(_WORDS)}")
        return _WORDS[value]

    def policy_fields(self, policy: str) -> dict[str, float]:
        """Return the values of all fields of a policy that rows fill, for `dataclasses.replace`."""
        rows = [row for row in VARIABLES.values() if row.field.startswith(f"{policy}.")]
        return {row.field.partition(".")[2]: self._number(row) for row in rows}

    def _number(self, row: Variable) -> float:
        convert: Callable[[str], float] = int if row.kind is Kind.COUNT else float
        text = self.text(row.name)
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not row.minimum <= value < 1e9:
            raise SettingsError(f"{row.name} is {text[:64]!r}; it must be a number of at least {row.minimum:g}")
        return value


def _declared(name: str, kind: Kind) -> Variable:
    row = VARIABLES[name]
    if row.kind is not kind:
        raise TypeError(f"{name} is declared as {row.kind} in shared/domain/variables.py, and read as {kind}")
    return row
