"""A full screen of lines, of which only those that changed are written: no flicker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType

_ENTER = "\x1b[?1049h\x1b[?25l"
_LEAVE = "\x1b[?25h\x1b[?1049l"
_CLEAR = "\x1b[2J"
_REDRAW_SECONDS = 0.25


class RowScreen:
    """Draws `content` on the terminal of `console`; `write` takes what the terminal is to get."""

    def __init__(
        self, console: Console, content: RenderableType, write: Callable[[str], None]
    ) -> None:
        self._console = console
        self._content = content
        self._write = write
        self._lines: list[str] = []
        self._size: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def draw(self) -> None:
        """Bring the terminal up to date; everything is written anew after a change of its size."""
        with self._lock:
            size = (self._console.size.width, self._console.size.height)
            with self._console.capture() as captured:
                self._console.print(self._content)
            lines = captured.get().splitlines()[: size[1]]
            out = []
            if size != self._size:
                self._size, self._lines = size, []
                out.append(_CLEAR)
            for number in range(max(len(lines), len(self._lines))):
                new = lines[number] if number < len(lines) else ""
                old = self._lines[number] if number < len(self._lines) else None
                if new != old:
                    out.append(f"\x1b[{number + 1};1H{new}\x1b[K")
            self._lines = lines
            if out:
                self._write("".join(out))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Take the terminal over, redraw in the background, and give it back as it was."""
        done = threading.Event()

        def keep() -> None:
            while not done.wait(_REDRAW_SECONDS):
                self.draw()

        self._write(_ENTER)
        drawer = threading.Thread(target=keep, name="screen", daemon=True)
        drawer.start()
        try:
            self.draw()
            yield
        finally:
            done.set()
            drawer.join()
            self._write(_LEAVE)
