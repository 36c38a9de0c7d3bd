"""How far a batch is: a bar on a terminal, a line every ten seconds in a log."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import IO, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from sluice.api.base import format_duration
from sluice.clock import Clock

_LINE_SECONDS = 10.0
_BAR_SECONDS = 0.25
_ALL = 1000


class Meter:
    """Tells of rows done, failed, a second, and of what is wrong; on standard error."""

    def __init__(self, clock: Clock, *, quiet: bool = False, stream: IO[str] | None = None) -> None:
        stream = stream or sys.stderr
        self._clock = clock
        self._stream = stream
        self._quiet = quiet
        self._bar: Progress | None = None
        if stream.isatty() and not quiet:
            self._bar = Progress(
                BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[told]}", markup=False),
                console=Console(file=stream), transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task("", total=_ALL, told="")
        self._began = self._last = clock.monotonic()
        self._first: tuple[int, float] | None = None
        self._trouble = ""

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, text: str) -> None:
        """One line, above the bar. Warnings are said with --quiet too."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            self._stream.write(text + "\n")
            self._stream.flush()

    def tell(self, rows: int, failed: int, share: float, trouble: str) -> None:
        """`share` of the input is read, from 0 to 1; `trouble` says what is waited for."""
        now = self._clock.monotonic()
        if self._first is None:
            self._first = (rows, share)
        if trouble != self._trouble and not self._bar and not self._quiet:
            self.say(f"waiting: {trouble}" if trouble else "going on")
        self._trouble = trouble
        if now - self._last < (_BAR_SECONDS if self._bar else _LINE_SECONDS) or self._quiet:
            return
        self._last = now
        text = self._words(rows, failed, share, now - self._began)
        if self._bar:
            shown = f"{text}  waiting: {trouble}" if trouble else text
            self._bar.update(self._task, completed=share * _ALL, told=shown)
        else:
            self.say(f"{share:.0%}  {text}")

    def _words(self, rows: int, failed: int, share: float, seconds: float) -> str:
        first_rows, first_share = self._first or (0, 0.0)
        words = f"{rows:,} rows, {failed:,} failed"
        if seconds <= 0 or rows <= first_rows:
            return words
        words += f", {(rows - first_rows) / seconds:,.0f} a second"
        if share > first_share:
            left = (1 - share) * seconds / (share - first_share)
            words += f", about {format_duration(round(left))} left"
        return words
