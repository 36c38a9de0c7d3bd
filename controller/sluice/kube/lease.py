"""One writer at a time: leader election over a `coordination.k8s.io` Lease.

Clocks of different machines are never compared. A candidate takes a lease over only after *it* has
seen the record unchanged for the record's whole duration. A leader trusts itself for
`renew_deadline`, counted by its own monotonic clock from *before* it sent the last renewal that
succeeded: that ends earlier than any candidate's count, by at least
``duration - renew_deadline``.
"""

from __future__ import annotations

import math
import random
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog

from sluice.clock import Clock
from sluice.errors import ApiError, ConflictError, NotFoundError
from sluice.kube.client import Client
from sluice.kube.transport import Timeout
from sluice.resources import LEASES

Object = dict[str, Any]

RELEASE_TIMEOUT = Timeout(0.5, 1.0)
_SHORTEST_WAIT = 0.05
_log = structlog.get_logger(__name__)


def new_identity() -> str:
    """The host's name and a random part: two processes are never one holder."""
    return f"{socket.gethostname()}_{secrets.token_hex(6)}"


def _nothing() -> None:
    return None


class Elector:
    """Takes part in one election; `run` once per instance.

    `duration`: seconds after which others may take over; `renew_deadline`: seconds for which a
    renewal is trusted; `retry`: seconds between attempts. duration > renew_deadline > 2 * retry,
    else ValueError. `on_started` and `on_stopped` are called in the thread of `run`, at most once
    each, and must return soon: nothing is renewed meanwhile.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        clock: Clock,
        rng: random.Random,
        duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry: float = 2.0,
        on_started: Callable[[], None] = _nothing,
        on_stopped: Callable[[], None] = _nothing,
    ) -> None:
        if not duration > renew_deadline > 2 * retry > 0:
            raise ValueError(
                f"expected duration > renew_deadline > 2 * retry > 0, found {duration}, "
                f"{renew_deadline}, {retry}"
            )
        self._client = client
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._clock = clock
        self._rng = rng
        self._duration = duration
        self._deadline = renew_deadline
        self._retry = retry
        self._on_started = on_started
        self._on_stopped = on_stopped
        self._lock = threading.Lock()
        self._leading = False
        self._valid_until = -math.inf  # monotonic
        self._record: Object | None = None
        self._seen_at = -math.inf  # monotonic: when the record was first seen as it is

    def is_leader(self) -> bool:
        """Whether writing is safe now. Ask before each write; from any thread.

        Once it has been true and then false, it stays false.
        """
        with self._lock:
            return self._clock.monotonic() < self._valid_until

    @property
    def leader(self) -> str:
        """Who holds the lease, as last seen; "" if nobody."""
        return str(((self._record or {}).get("spec") or {}).get("holderIdentity") or "")

    def run(self, stop: threading.Event) -> bool:
        """Wait for the lease, then keep it, then release it. True: stopped. False: lost.

        Who gets False should exit: what it started may be in the middle of something.
        """
        if not self._acquire(stop):
            return True
        _log.info("lease_acquired", lease=self._name, identity=self.identity)
        try:
            self._leading = True
            self._on_started()
            kept = self._keep(stop)
        finally:
            # In this order: nobody writes any more when the next one is let in.
            with self._lock:
                self._valid_until = -math.inf
            self._on_stopped()
        if not kept:
            _log.error("lease_lost", lease=self._name, identity=self.identity, leader=self.leader)
        self._release()
        return kept

    # --- standing by

    def _acquire(self, stop: threading.Event) -> bool:
        while not stop.is_set():
            wait = self._retry * self._rng.uniform(1.0, 1.2)
            try:
                if self._attempt(self._deadline):
                    return True
            except ApiError as error:
                _log.warning("lease_not_reachable", lease=self._name, error=str(error))
                wait = max(wait, error.retry_after or 0.0)
            else:
                wait = min(wait, max(self._expires_in(), _SHORTEST_WAIT))
            self._clock.wait(stop, wait)
        return False

    def _attempt(self, budget: float) -> bool:
        """Take or renew the lease if that is allowed, spending about `budget` seconds at most."""
        client = self._client.with_timeout(Timeout(budget / 4, budget / 4))
        try:
            self._observe(client.get(LEASES, self._name, self._namespace))
        except NotFoundError:
            return self._write(client, None)
        if self.leader not in ("", self.identity) and self._expires_in() > 0:
            return False
        return self._write(client, self._record)

    def _observe(self, record: Object) -> None:
        spec, before = record.get("spec"), (self._record or {}).get("spec")
        if self._record is None or spec != before:
            self._seen_at = self._clock.monotonic()
        self._record = record

    def _expires_in(self) -> float:
        """Seconds until the record, if it stays as it is, may be taken over."""
        spec = (self._record or {}).get("spec") or {}
        if not spec.get("holderIdentity"):
            return 0.0
        lasts = float(spec.get("leaseDurationSeconds") or self._duration)
        return self._seen_at + lasts - self._clock.monotonic()

    # --- leading

    def _keep(self, stop: threading.Event) -> bool:
        """Renew until stopped (True) or lost (False)."""
        while not self._clock.wait(stop, self._pause()):
            left = self._valid_until - self._clock.monotonic()
            if left <= 0:
                return False
            try:
                if not self._renew(left):
                    return False
            except ApiError as error:
                _log.warning(
                    "lease_not_renewed", lease=self._name, valid_for=left, error=str(error)
                )
        return True

    def _pause(self) -> float:
        left = self._valid_until - self._clock.monotonic()
        return min(self._retry, max(left, 0.0))

    def _renew(self, left: float) -> bool:
        # What it takes at most must fit into what is left, or a hanging server would keep this
        # thread past the deadline.
        client = self._client.with_timeout(Timeout(left / 2, left / 2))
        try:
            return self._write(client, self._record)
        except NotFoundError:
            self._record = None
            return self._write(client, None)
        except ConflictError:
            # Somebody wrote, or a renewal of ours arrived whose answer did not.
            self._observe(client.get(LEASES, self._name, self._namespace))
        return self.leader == self.identity and self._write(client, self._record)

    # --- writing

    def _write(self, client: Client, record: Object | None) -> bool:
        """Write ourselves into the record. False: another was quicker."""
        sent = self._clock.monotonic()
        spec = self._spec(record)
        try:
            if record is None:
                meta = {"name": self._name, "namespace": self._namespace}
                stored = client.create(LEASES, self._object(meta, spec))
            else:
                stored = client.replace(LEASES, self._object(record["metadata"], spec))
        except ConflictError:
            if record is not None and self.is_leader():
                raise
            return False
        self._observe(stored)
        with self._lock:
            now = self._clock.monotonic()
            if self._leading and now >= self._valid_until:
                return False  # others were told that we lead no more: that is not taken back
            # A late answer counts from its question: it may be worth nothing any more.
            self._valid_until = sent + self._deadline
            return now < self._valid_until

    def _spec(self, record: Object | None) -> Object:
        old = (record or {}).get("spec") or {}
        now = _micro_time(self._clock.now())
        ours = old.get("holderIdentity") == self.identity
        transitions = int(old.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self._duration),
            "acquireTime": old.get("acquireTime") if ours else now,
            "renewTime": now,
            "leaseTransitions": transitions if ours or record is None else transitions + 1,
        }

    @staticmethod
    def _object(meta: Object, spec: Object) -> Object:
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": meta,
            "spec": spec,
        }

    def _release(self) -> None:
        """Let the next one in at once. Failing that, it waits out the duration."""
        client = self._client.with_timeout(RELEASE_TIMEOUT)
        record = self._record
        for _ in range(2):
            if record is None or (record.get("spec") or {}).get("holderIdentity") != self.identity:
                return
            spec = {**record["spec"], "leaseDurationSeconds": 1}
            spec["renewTime"] = _micro_time(self._clock.now())
            del spec["holderIdentity"]
            try:
                self._record = client.replace(LEASES, self._object(record["metadata"], spec))
                _log.info("lease_released", lease=self._name, identity=self.identity)
            except ConflictError:
                # Our own last renewal, if its answer was lost.
                with suppress(ApiError):
                    record = client.get(LEASES, self._name, self._namespace)
            except ApiError as error:
                _log.warning("lease_not_released", lease=self._name, error=str(error))
                return
            else:
                return


def _micro_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
