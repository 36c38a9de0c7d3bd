"""The loop: rows in, requests in a bounded window, lines out in the order of the input."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from sluice.batch.pace import StoppedError
from sluice.batch.rows import Outcome, Row
from sluice.batch.sending import Sender
from sluice.batch.writing import Output
from sluice.clock import Clock
from sluice.errors import SluiceError

_TICK = 0.25
# One row that is tried again must not stop the others: they may run ahead so far.
_WINDOW_ROWS = 20_000
_WINDOW_REQUESTS = (4, 64)  # for each sender, at least and at most
_GRACE = 10.0


class TooManyFailedError(SluiceError):
    """More rows failed than were allowed for."""


@dataclass(frozen=True)
class Limits:
    """`parallel` requests at once, of `rows` rows each; `checkpoint` seconds between fsyncs.

    `max_failed` rows may fail (None: any number).
    """

    parallel: int = 4
    rows: int = 1
    checkpoint: float = 1.0
    max_failed: int | None = None


class _Wake:
    """Put into the queue of results to make the loop look around."""


_Result = tuple[int, "list[Outcome] | BaseException"] | _Wake


class Run:
    """One run over one file. `hold` says why nothing may be sent at present, "" if it may."""

    def __init__(
        self,
        rows: Iterator[Row],
        sender: Sender,
        output: Output,
        limits: Limits,
        clock: Clock,
        *,
        stop: threading.Event,
        hold: Callable[[], str] = lambda: "",
        tell: Callable[[], None] = lambda: None,
    ) -> None:
        self._rows = rows
        self._sender = sender
        self._output = output
        self._limits = limits
        self._clock = clock
        self._stop = stop
        self._hold = hold
        self._tell = tell
        self._jobs: queue.SimpleQueue[tuple[int, list[Row]] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        self._interrupts = 0

    def interrupt(self) -> None:
        """End soon: what is under way is finished if that is quick, a second time not even that.

        Safe in a signal handler.
        """
        self._interrupts += 1
        self._results.put(_Wake())

    @property
    def interrupted(self) -> bool:
        """Whether `interrupt` was called."""
        return self._interrupts > 0

    def run(self) -> None:
        """Work until the input ends, or `interrupt`.

        Whatever it raises (OutageError, TargetRefusedError, WritingError, TooManyFailedError,
        UsageError of a broken input), what was done before is checkpointed, if that can be.
        """
        progress = self._output.progress
        progress.runs += 1
        before, began = progress.seconds, self._clock.monotonic()
        for index in range(self._limits.parallel):
            threading.Thread(target=self._send, name=f"sender-{index}", daemon=True).start()
        try:
            self._loop(before, began)
            progress.done = not self.interrupted
        finally:
            self._stop.set()
            for _ in range(self._limits.parallel):
                self._jobs.put(None)
            progress.seconds = before + self._clock.monotonic() - began
            self._output.checkpoint()
            self._tell()

    def _loop(self, before: float, began: float) -> None:
        output, clock, limits = self._output, self._clock, self._limits
        skip = output.progress.rows
        skipped = sum(1 for _ in islice(self._rows, skip))
        if skipped < skip:
            raise SluiceError(
                f"the input ends after {skipped:,} rows, of which the journal says that "
                f"{skip:,} are done: it was changed"
            )
        least, most = (limits.parallel * each for each in _WINDOW_REQUESTS)
        window = max(least, min(most, _WINDOW_ROWS // limits.rows))
        sent = written = 0
        exhausted = False
        waiting: dict[int, list[Outcome]] = {}
        saved, give_up = clock.monotonic(), float("inf")
        self._tell()
        while True:
            held = bool(self._hold())
            while not (exhausted or held or self.interrupted) and sent - written < window:
                if rows := list(islice(self._rows, limits.rows if self._sender.joins else 1)):
                    self._jobs.put((sent, rows))
                    sent += 1
                else:
                    exhausted = True
            if written == sent and (exhausted or self.interrupted):
                return
            if self.interrupted:
                give_up = min(give_up, clock.monotonic() + _GRACE)
                if self._interrupts > 1 or clock.monotonic() >= give_up:
                    return
            for number, found in self._arrived():
                if isinstance(found, BaseException):
                    raise found
                waiting[number] = found
            while written in waiting:
                output.add(waiting.pop(written))
                written += 1
            self._check_failed()
            now = clock.monotonic()
            if now - saved >= limits.checkpoint:
                output.progress.seconds = before + now - began
                output.checkpoint()
                saved = now
            self._tell()

    def _check_failed(self) -> None:
        failed, most = self._output.progress.failed, self._limits.max_failed
        if most is not None and failed > most:
            raise TooManyFailedError(f"{failed:,} rows failed, --max-failed allows {most:,}")

    def _arrived(self) -> list[tuple[int, list[Outcome] | BaseException]]:
        """What has come since, after waiting a moment for the first of it."""
        found: list[tuple[int, list[Outcome] | BaseException]] = []
        try:
            one = self._results.get(timeout=_TICK)
            while True:
                if not isinstance(one, _Wake):
                    found.append(one)
                one = self._results.get_nowait()
        except queue.Empty:
            return found

    def _send(self) -> None:
        while (job := self._jobs.get()) is not None:
            number, rows = job
            try:
                self._results.put((number, self._sender.send(rows)))
            except StoppedError:
                return
            except BaseException as error:  # the loop ends for it, whatever it is
                self._results.put((number, error))
                return
