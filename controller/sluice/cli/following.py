"""What happens to rollouts, as one stream of changes: one list, then one watch.

A watch that ends or breaks is taken up again where it stood; one that is too old begins with a new
list, and what was missed in between is delivered. Nothing here draws or decides.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sluice.clock import Clock, SystemClock
from sluice.errors import (
    ApiError,
    ApiUnavailableError,
    ForbiddenError,
    GoneError,
    NotFoundError,
    WaitTimeoutError,
)
from sluice.kube.client import Client
from sluice.kube.watching import WatchStream
from sluice.resources import MODEL_ROLLOUTS

Object = dict[str, Any]
Key = tuple[str, str]

BACK = "the API server is back"
"""What `tell` is given then: a live view can take its warning off."""

_WATCH_SECONDS = 300
_BACKOFF_SECONDS = (0.5, 1.0, 2.0, 4.0, 5.0)
# An API server that has just started refuses what it will allow (its own caches of roles and of
# custom kinds fill first). Refusals after a broken connection are believed after so long.
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Change:
    """`object` is None when the rollout is gone. `initial`: it was there at the first list."""

    key: Key
    object: Object | None
    initial: bool = False


def _silent(_: str) -> None:
    return None


class Follower:
    """The changes of the rollouts in `namespace` (None: of all), or of the one called `name`.

    `seconds` bounds the whole of it (None: no bound); then `changes` raises WaitTimeoutError.
    `tell` is given a sentence when the API server is lost and when it is back.
    """

    def __init__(
        self,
        client: Client,
        namespace: str | None,
        *,
        name: str | None = None,
        label_selector: str = "",
        seconds: float | None = None,
        clock: Clock | None = None,
        tell: Callable[[str], None] = _silent,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._labels = label_selector
        self._fields = f"metadata.name={name}" if name else ""
        self._clock = clock or SystemClock()
        self._deadline = None if seconds is None else self._clock.monotonic() + seconds
        self._tell = tell
        self._never = threading.Event()
        self._known: dict[Key, str] = {}
        self._version = ""
        self._failures = 0
        self._lost_at: float | None = None

    def changes(self) -> Iterator[Change]:
        """Every change, first what is there. Ends only by an error or by the caller.

        Raises WaitTimeoutError at the bound, ForbiddenError and NotFoundError when the server
        means it; an unreachable server is waited for, but for the very first list.
        """
        yield from self._list(initial=True)
        while True:
            self._in_time()
            try:
                if not self._version:
                    yield from self._list(initial=False)
                yield from self._watch()
            except GoneError:
                self._version = ""
            except ApiUnavailableError as error:
                self._pause(error)
            except (ForbiddenError, NotFoundError) as error:
                if not self._recovering():
                    raise
                self._pause(error)

    @property
    def left(self) -> float | None:
        """Seconds until the bound; None without one."""
        return None if self._deadline is None else self._deadline - self._clock.monotonic()

    def _list(self, *, initial: bool) -> Iterator[Change]:
        found = self._client.list(
            MODEL_ROLLOUTS,
            self._namespace,
            label_selector=self._labels,
            field_selector=self._fields,
        )
        self._back()
        current = {key_of(obj): obj for obj in found.items if self._concerns(obj)}
        gone = [key for key in self._known if key not in current]
        if initial and self._name and not current:
            gone.append((self._namespace or "", self._name))
        for key in gone:
            self._known.pop(key, None)
            yield Change(key, None)
        for key, obj in current.items():
            if self._is_new(key, obj):
                yield Change(key, obj, initial)
        self._version = found.resource_version

    def _watch(self) -> Iterator[Change]:
        left = self.left
        seconds = _WATCH_SECONDS if left is None else max(1, min(_WATCH_SECONDS, int(left) + 1))
        stream = self._client.watch(
            MODEL_ROLLOUTS,
            self._namespace,
            resource_version=self._version,
            timeout_seconds=seconds,
            label_selector=self._labels,
            field_selector=self._fields,
        )
        with stream, self._bounded(stream):
            self._back()
            for event in stream:
                obj = event.object
                if event.type == "BOOKMARK" or not self._concerns(obj):
                    pass
                elif event.type == "DELETED":
                    if self._known.pop(key_of(obj), None) is not None:
                        yield Change(key_of(obj), None)
                elif self._is_new(key_of(obj), obj):
                    yield Change(key_of(obj), obj)
                # From here a broken watch goes on.
                self._version = obj["metadata"].get("resourceVersion") or self._version

    def _is_new(self, key: Key, obj: Object) -> bool:
        version = str(obj["metadata"].get("resourceVersion"))
        if self._known.get(key) == version:
            return False
        self._known[key] = version
        return True

    def _concerns(self, obj: Object) -> bool:
        return self._name is None or obj["metadata"].get("name") in (self._name, None)

    @contextmanager
    def _bounded(self, stream: WatchStream) -> Iterator[None]:
        """End the stream when the time is up, however silent it is."""
        if self._deadline is None:
            yield
            return
        done = threading.Event()

        def end() -> None:
            if not self._clock.wait(done, self.left or 0.0):
                stream.stop()

        closer = threading.Thread(target=end, name="wait-timeout", daemon=True)
        closer.start()
        try:
            yield
        finally:
            done.set()
            closer.join()

    def _in_time(self) -> None:
        if self.left is not None and self.left <= 0:
            raise WaitTimeoutError("the time is up")

    def _recovering(self) -> bool:
        now = self._clock.monotonic()
        return self._lost_at is not None and now - self._lost_at < _PATIENCE_SECONDS

    def _pause(self, error: ApiError) -> None:
        if self._lost_at is None:
            self._lost_at = self._clock.monotonic()
        if self._failures == 1:  # one broken watch is everyday life, and not worth a word
            self._tell(f"the API server is away, trying again: {error}")
        delay = _BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)]
        self._failures += 1
        if isinstance(error, ApiUnavailableError) and error.retry_after:
            delay = max(delay, error.retry_after)
        if self.left is not None:
            delay = min(delay, max(0.0, self.left))
        self._clock.wait(self._never, delay)

    def _back(self) -> None:
        if self._failures > 1:
            self._tell(BACK)
        self._failures = 0
        # `_lost_at` stays for a while on purpose: the first answers after a start are the odd ones.
        if not self._recovering():
            self._lost_at = None


def key_of(obj: Object) -> Key:
    """(namespace, name)."""
    meta = obj["metadata"]
    return str(meta.get("namespace", "")), str(meta["name"])
