"""`sluice list -w`: many rollouts on one screen, or one line a change in a log."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from sluice.cli.following import BACK, Follower, Key
from sluice.cli.output import VERDICT_STYLES, console
from sluice.cli.row_screen import RowScreen
from sluice.cli.view import list_row
from sluice.clock import Clock, SystemClock
from sluice.kube.client import Client

Object = dict[str, Any]
HEADERS = ["NAME", "PHASE", "STEP", "WEIGHT", "VERDICT", "STABLE", "CANDIDATE", "AGE"]
_ROLLING_BACK = ("RollingBack", "RolledBack")
# Left out one after the other where the terminal is too narrow: what tells least comes first.
_DISPENSABLE = ("AGE", "STABLE", "CANDIDATE", "NAMESPACE", "STEP")


class Board:
    """All rollouts as rows; a row is made anew only when its rollout has changed."""

    def __init__(self, *, with_namespace: bool, clock: Clock) -> None:
        self.headers = ["NAMESPACE", *HEADERS] if with_namespace else list(HEADERS)
        self._with_namespace = with_namespace
        self._clock = clock
        self._rows: dict[Key, list[str]] = {}
        self._shown: list[list[str]] = []
        self._note = ""

    def tell(self, note: str) -> None:
        """A line below the rows; an old picture must not look like a new one."""
        self._note = "" if note == BACK else note

    def change(self, key: Key, obj: Object | None) -> list[str] | None:
        """Take a change in; returns the new row, None when it looks as before or is gone."""
        if obj is None:
            self._rows.pop(key, None)
            row = None
        else:
            row = list_row(obj, with_namespace=self._with_namespace, now=self._clock.now())
            if self._rows.get(key) == row:
                return None
            self._rows[key] = row
        # Replaced whole, for another thread draws from it.
        self._shown = [self._rows[k] for k in sorted(self._rows)]
        return row

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = self._shown
        room = max(1, (options.height or console.size.height) - 4)
        # Where not all fit, those in progress go first; each part keeps its order.
        shown = rows if len(rows) <= room else sorted(rows, key=self._quiet)[:room]
        columns = fitting(self.headers, rows, options.max_width)
        widths = _widths(self.headers, rows)
        yield _line([self.headers[i] for i in columns], [widths[i] for i in columns], bold=True)
        for row in shown:
            yield _line([row[i] for i in columns], [widths[i] for i in columns])
        hidden = len(rows) - len(shown)
        if hidden:
            yield Text(f"… {hidden} more", style="dim")
        elif not rows:
            yield Text("no rollouts", style="dim")
        if self._note:
            yield Text(self._note, style="yellow", no_wrap=True, overflow="ellipsis")

    def _quiet(self, row: list[str]) -> bool:
        return row[self.headers.index("PHASE")] == "Idle"


def fitting(headers: list[str], rows: list[list[str]], width: int) -> list[int]:
    """The indices of the columns that fit into `width`, in their order."""
    widths = _widths(headers, rows)
    kept = list(range(len(headers)))
    for name in _DISPENSABLE:
        if sum(widths[i] for i in kept) + 2 * (len(kept) - 1) <= width:
            break
        if name in headers:
            kept.remove(headers.index(name))
    return kept


def follow_list(
    client: Client,
    scope: str | None,
    selector: str,
    *,
    with_namespace: bool,
    clock: Clock | None = None,
) -> None:
    """Show the rollouts of the namespace `scope` (None: of all) until interrupted."""
    clock = clock or SystemClock()
    board = Board(with_namespace=with_namespace, clock=clock)
    live = sys.stdout.isatty()
    tell = board.tell if live else _to_log
    follower = Follower(client, scope, label_selector=selector, clock=clock, tell=tell)
    if not live:
        _append(follower, board)
        return
    with RowScreen(console(), board, _to_terminal).shown():
        for change in follower.changes():
            board.change(change.key, change.object)


def _to_log(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _to_terminal(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _append(follower: Follower, board: Board) -> None:
    """kubectl get -w: the rows that are there, then a row for each change."""
    floor = [max(len(header), 9) for header in board.headers]
    sys.stdout.write(_text(board.headers, floor) + "\n")
    for change in follower.changes():
        row = board.change(change.key, change.object)
        if change.object is None:
            sys.stdout.write(f"{'/'.join(change.key)} deleted\n")
        elif row is not None:
            sys.stdout.write(_text(row, floor) + "\n")
        sys.stdout.flush()


def _text(row: list[str], widths: list[int]) -> str:
    return "   ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()


def _widths(headers: list[str], rows: list[list[str]]) -> list[int]:
    return [max(len(headers[i]), *(len(row[i]) for row in rows), 0) for i in range(len(headers))]


def _line(cells: list[str], widths: list[int], *, bold: bool = False) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis", style="bold" if bold else "")
    for cell, width in zip(cells, widths, strict=True):
        style = VERDICT_STYLES.get(cell, "red" if cell in _ROLLING_BACK else "")
        line.append(cell.ljust(width), style=style)
        line.append("  ")
    line.rstrip()
    return line
