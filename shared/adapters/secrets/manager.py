"""The cache that all secrets are read through, in front of a `SecretSource`.

A copy is used for its time to live, even if the source fails; after that, the source's failure is the caller's error.
Nothing else ever replaces a secret: it has no default and no second source.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from shared.domain.errors import SecretError, SecretNotFoundError, VaultUnavailableError
from shared.domain.ports import SecretSource
from shared.domain.secrets import CachePolicy, Entry, Freshness, Secret, freshness, secret_name

log = logging.getLogger(__name__)


@dataclass
class _Slot:
    """The state of one name. It is changed only under the manager's lock."""

    entry: Entry | None = None
    flight: "Future[Entry] | None" = None
    quiet_until: float = float("-inf")
    hits: int = 0
    fetches: int = 0
    faults: int = 0


class SecretManager:
    """Thread-safe. Concurrent requests for a name read the source once. A caller with a valid copy does not wait,
    except for the one that renews it before its end.
    """

    def __init__(
        self, source: SecretSource, policy: CachePolicy | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._policy = policy or CachePolicy()
        self._now = now
        self._lock = threading.Lock()
        self._slots: dict[str, _Slot] = {}

    def get_secret(self, name: str) -> Secret:
        """Return the secret, at most SECRET_CACHE_SECONDS old. `name` may have any of its spellings.

        Raises SecretNotFoundError if the secret cannot be used, VaultUnavailableError or VaultAuthError if the copy has
        expired and the vault cannot be read, InvalidInputError if the name is not valid.
        """
        key = secret_name(name)
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            entry, now = slot.entry, self._now()
            state = freshness(entry, now, self._policy)
            is_served = entry is not None and (
                state is Freshness.FRESH
                or (state is Freshness.DUE and (slot.flight is not None or now < slot.quiet_until))
            )
            if entry is not None and is_served:
                slot.hits += 1
                return _secret_of(key, entry)
            flight, is_mine = self._board(slot)
        if not is_mine:
            return _secret_of(key, flight.result())
        try:
            return _secret_of(key, self._fly(key, slot, flight))
        except Exception as error:
            is_over = freshness(entry, self._now(), self._policy) is Freshness.EXPIRED
            if entry is None or is_over or isinstance(error, SecretNotFoundError):
                raise
            text = error if isinstance(error, SecretError) else f"secret '{key}': {type(error).__name__}"
            log.warning("%s; the cached copy is used until it expires", text)
            return _secret_of(key, entry)

    def refresh(self, name: str) -> Secret:
        """Return the secret as the source has it now, after a refusal of the copy. Raises as `get_secret`; a failure
        keeps a valid copy."""
        key = secret_name(name)
        while True:
            with self._lock:
                slot = self._slots.setdefault(key, _Slot())
                flight, is_mine = self._board(slot)
            if is_mine:
                return _secret_of(key, self._fly(key, slot, flight))
            # A read that started before this call may return the old value: wait for it, and read again.
            flight.exception()

    def refresh_cache(self) -> None:
        """Read every name again that was ever requested. Raises VaultUnavailableError, which names the secrets that
        could not be read; their copies are used until they expire."""
        with self._lock:
            names = sorted(self._slots)
        failed: list[str] = []
        for name in names:
            try:
                self.refresh(name)
            except SecretNotFoundError:
                continue
            except SecretError:
                failed.append(name)
        if failed:
            raise VaultUnavailableError(f"not refreshed: {', '.join(failed)}; the log says why")

    def get_cache_stats(self) -> dict[str, Any]:
        """Return, by name, how often a copy was used (`hits`), how often the source was read (`fetches`) and failed
        (`faults`), and the state of the copy. It contains no secret."""
        with self._lock:
            now = self._now()
            return {
                "cache_seconds": self._policy.cache_seconds,
                "hits": sum(slot.hits for slot in self._slots.values()),
                "fetches": sum(slot.fetches for slot in self._slots.values()),
                "faults": sum(slot.faults for slot in self._slots.values()),
                "names": {name: self._stats(slot, now) for name, slot in sorted(self._slots.items())},
            }

    def _stats(self, slot: _Slot, now: float) -> dict[str, Any]:
        return {
            "hits": slot.hits,
            "fetches": slot.fetches,
            "faults": slot.faults,
            "state": freshness(slot.entry, now, self._policy).value,
            "is_missing": slot.entry is not None and slot.entry.secret is None,
        }

    def _board(self, slot: _Slot) -> "tuple[Future[Entry], bool]":
        """Return the read in progress, or a new one that the caller must make (True). Call it under the lock."""
        if slot.flight is not None:
            return slot.flight, False
        slot.flight = Future()
        return slot.flight, True

    def _fly(self, key: str, slot: _Slot, flight: "Future[Entry]") -> Entry:
        """Read the source, and pass the result to all waiting callers. Raises what the source raises, except that a
        missing secret is a result."""
        began = self._now()
        try:
            try:
                entry = Entry(self._source.fetch(key), began)
            except SecretNotFoundError as error:
                entry = Entry(None, began, str(error))
        except BaseException as error:
            with self._lock:
                slot.fetches, slot.faults, slot.flight = slot.fetches + 1, slot.faults + 1, None
                slot.quiet_until = self._now() + self._policy.pause_seconds
            flight.set_exception(error)
            raise
        with self._lock:
            slot.entry, slot.fetches, slot.flight = entry, slot.fetches + 1, None
            slot.quiet_until = float("-inf")
        flight.set_result(entry)
        return entry


def _secret_of(key: str, entry: Entry) -> Secret:
    if entry.secret is None:
        raise SecretNotFoundError(entry.missing_reason or f"secret '{key}' does not exist")
    return entry.secret
