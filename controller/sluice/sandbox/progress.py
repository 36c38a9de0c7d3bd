"""What the sandbox is doing, on screen: a spinner on a terminal, plain lines elsewhere.

A step says what happens, why, and about how long it takes, because the first `make parts` builds an
API server: minutes in which silence would look like a hang.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

from rich.console import Console

HEARTBEAT_SECONDS = 20.0


class Step(Protocol):
    """A step in progress. `detail` replaces its last line (a compiler's package, a pip line)."""

    def detail(self, text: str) -> None: ...


class Progress(Protocol):
    """Where progress goes. `step` is a context; a failure inside it is shown as such."""

    def note(self, text: str) -> None: ...

    def step(
        self, what: str, why: str = "", about_seconds: float = 0.0
    ) -> AbstractContextManager[Step]: ...


def spell_seconds(seconds: float) -> str:
    """`75` -> `1 m 15 s`, `3.14` -> `3.1 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} m {seconds % 60:02.0f} s"


def _headline(what: str, why: str, about_seconds: float) -> str:
    about = f" (about {spell_seconds(about_seconds)})" if about_seconds >= 2 else ""
    return f"{what}{about}" + (f": {why}" if why else "")


class _PlainStep:
    def __init__(self) -> None:
        self.last = ""

    def detail(self, text: str) -> None:
        self.last = text


class PlainProgress:
    """One line when a step starts, one when it ends, one every 20 s between (logs, CI)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def note(self, text: str) -> None:
        print(text, file=self._stream or sys.stderr, flush=True)

    @contextmanager
    def step(self, what: str, why: str = "", about_seconds: float = 0.0) -> Iterator[Step]:
        started = time.monotonic()
        state = _PlainStep()
        done = threading.Event()

        def beat() -> None:
            while not done.wait(HEARTBEAT_SECONDS):
                passed = spell_seconds(time.monotonic() - started)
                self.note(f"  ... {what}: {passed}" + (f" ({state.last})" if state.last else ""))

        self.note(f"- {_headline(what, why, about_seconds)}")
        beater = threading.Thread(target=beat, name="progress", daemon=True)
        beater.start()
        try:
            yield state
        except BaseException:
            self.note(f"  {what}: not done, after {spell_seconds(time.monotonic() - started)}")
            raise
        finally:
            done.set()
        self.note(f"  {what}: done in {spell_seconds(time.monotonic() - started)}")


class _RichStep:
    def __init__(self) -> None:
        self.last = ""

    def detail(self, text: str) -> None:
        self.last = text


class RichProgress:
    """A spinner with the elapsed time, and a tick or a cross when the step ends."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def note(self, text: str) -> None:
        self._console.print(text, highlight=False)

    @contextmanager
    def step(self, what: str, why: str = "", about_seconds: float = 0.0) -> Iterator[Step]:
        started = time.monotonic()
        state = _RichStep()
        done = threading.Event()
        headline = _headline(what, why, about_seconds)

        with self._console.status(headline) as status:

            def tick() -> None:
                while not done.wait(0.5):
                    passed = spell_seconds(time.monotonic() - started)
                    tail = f" [dim]{state.last[:60]}[/dim]" if state.last else ""
                    status.update(f"{headline} [dim]{passed}[/dim]{tail}")

            threading.Thread(target=tick, name="progress", daemon=True).start()
            try:
                yield state
            except BaseException:
                passed = spell_seconds(time.monotonic() - started)
                self._console.print(f"[red]x[/red] {what} [dim]{passed}[/dim]", highlight=False)
                raise
            finally:
                done.set()
        passed = spell_seconds(time.monotonic() - started)
        self._console.print(f"[green]✓[/green] {what} [dim]{passed}[/dim]", highlight=False)


class Silent:
    """Says nothing: for tests, and for calls whose parts are known to be there."""

    def note(self, text: str) -> None:
        del text

    @contextmanager
    def step(self, what: str, why: str = "", about_seconds: float = 0.0) -> Iterator[Step]:
        del what, why, about_seconds
        yield _PlainStep()


def screen(console: Console | None = None) -> Progress:
    """The progress that fits where standard error goes: a terminal or a log."""
    console = console or Console(stderr=True)
    return RichProgress(console) if console.is_terminal else PlainProgress()
