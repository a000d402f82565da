"""The one place that secrets are read through: a cache with a time to live, in front of a `SecretSource`.

A copy serves while it lives, whatever happens to the source; past its life the source's fault is the caller's error.
Nothing else ever takes a secret's place: there is no default, and no second source.
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
    """What is known of one name. Changed only under the manager's lock."""

    entry: Entry | None = None
    flight: "Future[Entry] | None" = None
    quiet_until: float = float("-inf")
    hits: int = 0
    fetches: int = 0
    faults: int = 0


class SecretManager:
    """Thread-safe. However many ask for a name at once, the source is asked once; those that have a living copy do
    not wait, but for the one that fetches it anew before its end.
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
        """The secret, at most SECRET_CACHE_SECONDS old. `name` in any of its spellings.

        Raises SecretNotFoundError where there is none to use, VaultUnavailableError (VaultAuthError) where no living
        copy is left and the vault cannot be read, InvalidInputError for what is no name.
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
                return _told(key, entry)
            flight, is_mine = self._board(slot)
        if not is_mine:
            return _told(key, flight.result())
        try:
            return _told(key, self._fly(key, slot, flight))
        except Exception as error:
            is_over = freshness(entry, self._now(), self._policy) is Freshness.EXPIRED
            if entry is None or is_over or isinstance(error, SecretNotFoundError):
                raise
            text = error if isinstance(error, SecretError) else f"secret '{key}': {type(error).__name__}"
            log.warning("%s; the copy of before is served while it lives", text)
            return _told(key, entry)

    def refresh(self, name: str) -> Secret:
        """The secret as the source has it now, for who was refused with the copy. Raises as `get_secret`; a fault
        leaves the living copy where it is."""
        key = secret_name(name)
        while True:
            with self._lock:
                slot = self._slots.setdefault(key, _Slot())
                flight, is_mine = self._board(slot)
            if is_mine:
                return _told(key, self._fly(key, slot, flight))
            # One that began before this call may bring what was there before: let it land, and ask again.
            flight.exception()

    def refresh_cache(self) -> None:
        """Ask anew for every name that was ever asked for. Raises VaultUnavailableError naming those that could not be
        read; their copies go on until their end."""
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
        """By name: how often a copy served (`hits`), how often the source was asked (`fetches`) and failed
        (`faults`), and how the copy stands. Never a value."""
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
        """The flight under way, or a new one that the caller has to fly. Under the lock."""
        if slot.flight is not None:
            return slot.flight, False
        slot.flight = Future()
        return slot.flight, True

    def _fly(self, key: str, slot: _Slot, flight: "Future[Entry]") -> Entry:
        """Ask the source, and tell everybody who waits. Raises what the source raises, but for "there is none"."""
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


def _told(key: str, entry: Entry) -> Secret:
    if entry.secret is None:
        raise SecretNotFoundError(entry.missing_reason or f"secret '{key}' is not there")
    return entry.secret
