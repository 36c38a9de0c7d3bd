"""`sluice list` and `status` while things change: one watch, stable rows, plain lines in a log."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from sluice.cli.following import BACK, Follower
from sluice.cli.live_list import Board, fitting
from sluice.cli.live_status import Picture
from sluice.cli.row_screen import RowScreen
from sluice.resources import MODEL_ROLLOUTS

from .stage import Play, ScriptedKube, StageClock, rollout

Sluice = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def row_of(name: str, phase: str = "Idle") -> dict[str, Any]:
    obj = rollout(name)
    obj["metadata"]["creationTimestamp"] = "2023-11-14T22:00:00Z"
    return {**obj, "status": {"phase": phase}}


def drawn(board: Board, width: int = 80, height: int = 24) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, height=height, highlight=False).print(board)
    return out.getvalue().splitlines()


def test_rows_are_sorted_and_only_changed_ones_are_made_anew() -> None:
    board = Board(with_namespace=False, clock=StageClock())
    for name in ("b", "c", "a"):
        assert board.change(("prod", name), row_of(name)) is not None
    assert [line.split()[0] for line in drawn(board)] == ["NAME", "a", "b", "c"]
    assert board.change(("prod", "b"), row_of("b")) is None, "it looks as before"
    changed = board.change(("prod", "b"), row_of("b", "Stepping"))
    assert changed is not None
    assert changed[1] == "Stepping"
    board.change(("prod", "a"), None)
    assert [line.split()[0] for line in drawn(board)] == ["NAME", "b", "c"]


def test_200_rollouts_fit_the_terminal_and_those_in_progress_come_first() -> None:
    board = Board(with_namespace=False, clock=StageClock())
    for n in range(200):
        phase = "Stepping" if n == 199 else "Idle"
        board.change(("prod", f"m{n:03}"), row_of(f"m{n:03}", phase))
    lines = drawn(board, height=24)
    assert len(lines) <= 24
    assert lines[1].startswith("m199")
    assert lines[2].startswith("m000")
    assert lines[-1] == f"… {200 - (len(lines) - 2)} more"


def test_on_the_screen_only_changed_rows_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(with_namespace=False, clock=StageClock())
    for n in range(15):
        board.change(("prod", f"m{n:03}"), row_of(f"m{n:03}"))
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    written: list[str] = []
    screen = RowScreen(console, board, written.append)
    screen.draw()
    screen.draw()
    assert len(written) == 1, "nothing has changed"
    board.change(("prod", "m007"), row_of("m007", "Idle") | {"status": {"verdict": "Pass"}})
    screen.draw()
    assert len(written) == 2
    assert written[1].startswith("\x1b[9;1Hm007")
    assert written[1].count("\x1b[K") == 1
    console.width = 79
    screen.draw()
    assert written[2].count("\x1b[K") == 16, "another size: all of it"
    for n in range(5):
        board.change(("prod", f"m{n:03}"), None)
    screen.draw()
    assert written[3].endswith("\x1b[16;1H\x1b[K"), "rows that are gone are wiped out"


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_loses_columns_not_the_line(width: int) -> None:
    board = Board(with_namespace=True, clock=StageClock())
    board.change(
        ("prod", "a-rather-long-name-of-a-model"), row_of("a-rather-long-name", "Stepping")
    )
    lines = drawn(board, width=width)
    assert len(lines) == 2, "no row is folded"
    assert max(map(len, lines)) <= width
    assert "PHASE" in lines[0]


def test_every_column_is_there_where_there_is_room() -> None:
    assert fitting(["NAME", "AGE"], [["iris", "2m"]], 80) == [0, 1]
    assert fitting(["NAME", "AGE"], [["iris", "2m"]], 5) == [0]


def test_list_w_in_a_log_appends_a_line_a_change_over_one_watch_at_a_time(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    def end() -> None:
        scripted.client().delete(MODEL_ROLLOUTS, "iris", "prod")
        scripted.fail_next("watch", status=403)

    play.push("repo/iris:2")
    scripted.acts = [play.look, play.harm, end]
    assert sluice("list", "-w") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "NAME"
    assert [line.split()[1] for line in lines[1:3]] == ["Idle", "Preparing"]
    assert lines[-1] == "prod/iris deleted"
    assert scripted.count("list") == 1


def test_list_selects_by_labels(play: Play, scripted: ScriptedKube, sluice: Sluice) -> None:
    assert sluice("list", "-l", "team=search") == 0
    [call] = [seen for seen in scripted.calls if seen.verb == "list"]
    assert call.query["labelSelector"] == "team=search"


def test_list_w_has_no_json_and_says_what_has(sluice: Sluice, scripted: ScriptedKube) -> None:
    assert sluice("list", "-w", "-o", "json") == 2


def test_status_w_in_a_log_tells_the_story_then_the_whole_picture(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    play.push("repo/iris:2")
    scripted.acts = [play.look, play.promote]
    assert sluice("status", "iris", "-w") == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    lines = shown.splitlines()
    assert "Preparing" in lines[1]
    assert any(line.startswith("Name ") for line in lines)


def test_status_w_ends_with_3_on_a_rollback_and_with_5_when_it_is_late(
    play: Play, scripted: ScriptedKube, clock: StageClock, sluice: Sluice, capsys: Capture
) -> None:
    play.push("repo/iris:2")
    scripted.acts = [play.look, lambda: clock.advance(91)]
    assert sluice("status", "iris", "-w", "--timeout", "1m30s") == 5
    assert "within 90s: it is in phase Stepping" in capsys.readouterr().err
    scripted.acts = [play.harm]
    assert sluice("status", "iris", "-w") == 3


def test_status_w_as_json_is_one_object_a_change(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    assert sluice("status", "iris", "-w", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["metadata"]["name"] == "iris"


def test_a_follower_delivers_what_was_missed_while_it_was_away(
    play: Play, scripted: ScriptedKube
) -> None:
    """Deleted and made anew while the watch was broken: both are told."""
    client = scripted.client()

    def meanwhile() -> None:
        client.delete(MODEL_ROLLOUTS, "iris", "prod")
        client.create(MODEL_ROLLOUTS, rollout("tulip"), "prod")
        scripted.compact()

    scripted.acts = [meanwhile, lambda: None]
    told: list[str] = []
    changes = Follower(client, "prod", clock=StageClock(), tell=told.append).changes()
    seen = [next(changes) for _ in range(3)]
    assert [(c.key[1], c.object is None, c.initial) for c in seen] == [
        ("iris", False, True),
        ("iris", True, False),
        ("tulip", False, False),
    ]
    assert told == [], "one broken watch is not worth a word"


def test_an_old_picture_does_not_look_like_a_new_one(play: Play, scripted: ScriptedKube) -> None:
    """While the API server is away both live views say so."""
    board = Board(with_namespace=False, clock=StageClock())
    board.tell("the API server is away")
    assert drawn(board)[-1] == "the API server is away"
    board.tell(BACK)
    assert "API server" not in " ".join(drawn(board))
    picture = Picture(scripted.client(), StageClock())
    picture.take(play.object())
    picture.tell("the API server is away")
    out = io.StringIO()
    Console(file=out, width=80).print(picture.draw())
    assert out.getvalue().splitlines()[-1] == "the API server is away"


def test_in_a_log_a_lost_server_is_said_on_standard_error(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    def lose() -> None:
        scripted.fail_next("watch", status=0, times=3)

    play.push("repo/iris:2")
    scripted.acts = [lose, play.look, play.promote]
    assert sluice("status", "iris", "-w") == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[0].startswith("the API server is away, trying again: ")
    assert said.err.splitlines()[-1] == "the API server is back"
    assert "API server" not in said.out
