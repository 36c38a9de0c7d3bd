"""One run: take events in, write the sample now and then, and once more at the end."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics

from sluice.api.times import to_wire
from sluice.capture.collecting import WHY, Collecting, Outcome, Snapshot
from sluice.capture.packing import packed
from sluice.capture.places import Place, is_lasting
from sluice.capture.server import CaptureServer
from sluice.clock import Clock
from sluice.errors import SluiceError

log = structlog.get_logger()

_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Pace:
    """`every`: seconds between writes. `lasting`: seconds until it ends by itself, `until`: or so
    many requests. A sample that was there before is replaced only by one of `at_least` requests.
    """

    every: float = 60.0
    at_least: int = 1
    lasting: float | None = None
    until: int | None = None


class CaptureMetrics:
    """Its own metrics, in a registry of their own."""

    def __init__(self) -> None:
        # A second series for each counter, with its start time: nobody reads it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.events = Counter(
            "sluice_capture_events",
            "Events of the request logger, by what became of them.",
            ["outcome"],
            registry=self.registry,
        )
        self.kept = Gauge(
            "sluice_capture_requests", "Requests in the sample.", registry=self.registry
        )
        self.size = Gauge(
            "sluice_capture_bytes", "Bytes of the sample, unpacked.", registry=self.registry
        )
        self.written = Gauge(
            "sluice_capture_written_timestamp_seconds",
            "When the sample was last written.",
            registry=self.registry,
        )
        self.failures = Counter(
            "sluice_capture_write_failures", "Writes that failed.", registry=self.registry
        )
        for outcome in Outcome:
            self.events.labels(outcome.value)


class Run:
    """See the module. `stop` ends it, from any thread or a signal."""

    def __init__(
        self, collecting: Collecting, place: Place, pace: Pace, clock: Clock, listen: str
    ) -> None:
        self._collecting, self._place, self._pace, self._clock = collecting, place, pace, clock
        self.metrics = CaptureMetrics()
        self.metrics.kept.set_function(lambda: len(collecting.sample))
        self.metrics.size.set_function(lambda: collecting.sample.bytes)
        self._told: set[Outcome] = set()
        self._stop = threading.Event()
        self._replaces = False
        self._digest = ""
        self._shrunk = self._shown_nodes = False
        self._begun = clock.now()
        self.written = 0
        self.server = CaptureServer(listen, collecting, self.metrics.registry, self._tell)

    def stop(self) -> None:
        """End after a last write."""
        self._stop.set()

    def run(self) -> None:
        """Until `stop`, or the pace says so. Raises SluiceError for what lasts: at the start where
        the place cannot be written to, at the end where the last write failed."""
        try:
            self._look()
            self.server.start()
            log.info("capturing", port=self.server.port, into=self._place.where)
            self._serve()
        finally:
            self.server.stop()
        self.write(last=True)

    def _look(self) -> None:
        try:
            self._replaces = self._place.look()
        except SluiceError as error:
            if is_lasting(error):
                raise
            # An API server that is away for a moment is no reason to lose the traffic.
            log.warning("cannot look at the place yet", error=str(error))
            self._replaces = True

    def _serve(self) -> None:
        start = self._clock.monotonic()
        due = start + self._pace.every
        while not self._stop.is_set():
            now = self._clock.monotonic()
            if self._pace.lasting is not None and now - start >= self._pace.lasting:
                return
            if self._pace.until is not None and self._collecting.seen >= self._pace.until:
                return
            if now >= due:
                self.write()
                due = now + self._pace.every
            self._clock.wait(self._stop, min(_LOOK_SECONDS, max(0.0, due - now)))

    def write(self, *, last: bool = False) -> None:
        """Write the sample if it has changed. A failure is logged; the `last` one's is raised."""
        found = self._collecting.snapshot()
        if not found.bodies:
            return
        if self._replaces and len(found.bodies) < self._pace.at_least:
            log.info(
                "the sample that is there stays: this one is not large enough yet",
                kept=len(found.bodies),
                at_least=self._pace.at_least,
            )
            return
        try:
            self._write(found)
        except SluiceError as error:
            self.metrics.failures.inc()
            if last:
                raise
            log.error("the sample is not written; tried again", error=str(error))

    def _write(self, found: Snapshot) -> None:
        content = packed(found.bodies, zipped=self._place.zipped, most=self._place.room())
        if not content.count:
            raise SluiceError(f"{self._place.where}: not even one request fits into what is left")
        digest = hashlib.sha256(content.content).hexdigest()
        if digest == self._digest:
            return
        if content.count < len(found.bodies) and not self._shrunk:
            self._shrunk = True
            log.warning(
                "the whole sample does not fit: a part of it, drawn by lot, is written",
                kept=len(found.bodies),
                written=content.count,
            )
        self._place.write(
            content.content,
            {
                "deployment": self._collecting.wanted.deployment,
                "seen": str(found.seen),
                "kept": str(content.count),
                "from": to_wire(self._begun),
                "to": to_wire(self._clock.now()),
            },
        )
        self._digest, self._replaces, self.written = digest, False, content.count
        self.metrics.written.set(self._clock.now())
        log.info("written", requests=content.count, seen=found.seen, bytes=len(content.content))

    def _tell(self, outcome: Outcome) -> None:
        self.metrics.events.labels(outcome.value).inc()
        if outcome in WHY and outcome not in self._told:
            self._told.add(outcome)
            log.warning("not kept (the first of its kind)", outcome=outcome.value, why=WHY[outcome])
        if not self._shown_nodes and len(nodes := self._collecting.nodes) > 1:
            self._shown_nodes = True
            log.warning(
                "several nodes of the graph log: only what its root gets is a user's request",
                nodes=nodes,
            )
