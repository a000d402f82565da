"""Reading declared variables from an environment, each error naming the variable that is wrong.

An environment is a mapping that is given; only settings.py has the process's own.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping

from shared.domain import address
from shared.domain.errors import InvalidInputError
from shared.domain.secrets import secret_name
from shared.domain.variables import VARIABLES

_PLAIN = re.compile(r"[\x20-\x7e]*")


class SettingsError(Exception):
    """An environment variable has a value that cannot be used. The message names it and what is expected."""


def addressed(name: str, parsed: Callable[[], address.Address]) -> address.Address:
    """Call `parsed`, naming the variable in its error. Raises SettingsError."""
    try:
        return parsed()
    except address.AddressError as error:
        raise SettingsError(f"{name} {error}") from None


def check_plain(name: str, text: str) -> None:
    """Raise SettingsError for what no address, key or word has: a byte order mark, curly quotes, an invisible space."""
    place = len(_PLAIN.match(text)[0])  # type: ignore[index] - it matches any text
    if place < len(text):
        odd = text[place]
        what = f"U+{ord(odd):04X} {unicodedata.name(odd, '')}".rstrip()
        raise SettingsError(
            f"{name} has a character that cannot stand there, at position {place + 1}: {what}; "
            "set it again without that character"
        )


_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Reader:
    """Reads declared variables, saying which one is wrong. An empty one counts as absent: its default is read.

    Raises KeyError for a name that is not declared: that is a fault of the program.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def raw(self, name: str, variable: str = "") -> str:
        """As it is set, `variable` being another spelling of its name."""
        default = VARIABLES[name].default
        return self._environment.get(variable or name, "").strip() or str(default)

    def text(self, name: str, variable: str = "") -> str:
        """A word, a key, an address: nothing but printable ASCII, because all of them end in URLs and headers."""
        text = self.raw(name, variable)
        check_plain(variable or name, text)
        return text

    def check_secret(self, variable: str) -> None:
        """Raise SettingsError if a secret has a character that Entra's secrets have not. It is not kept."""
        check_plain(variable, self._environment.get(variable, "").strip())

    def secure(self, name: str, what: str = "the token") -> str:
        """An address that `what` may be sent to."""
        text = self.text(name)
        if text and addressed(name, lambda: address.secure(text, what)).query:
            raise SettingsError(f"{name} must not have a '?'")
        return text

    def word(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name)
        if value not in allowed:
            raise SettingsError(f"{name} is {value[:64]!r}; it must be one of: {', '.join(allowed)}")
        return value

    def secret_name(self, name: str) -> str:
        text = self.text(name)
        try:
            return secret_name(text) if text else ""
        except InvalidInputError:
            # Not quoted: the secret itself may have been put here.
            raise SettingsError(f"{name} is no secret's name: it takes letters, digits and '-'") from None

    def flag(self, name: str) -> bool:
        value = self.text(name).lower()
        if value not in _WORDS:
            raise SettingsError(f"{name} is {value[:64]!r}; it must be one of: {', '.join(_WORDS)}")
        return _WORDS[value]

    def seconds(self, name: str, *, minimum: float = 0.0) -> float:
        return self._number(name, float, minimum)

    def count(self, name: str, *, minimum: int = 1) -> int:
        return self._number(name, int, minimum)

    def _number[T: (int, float)](self, name: str, convert: Callable[[str], T], minimum: T) -> T:
        text = self.text(name)
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not minimum <= value < 1e9:
            raise SettingsError(f"{name} is {text[:64]!r}; it must be a number of at least {minimum}")
        return value
