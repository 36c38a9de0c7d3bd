"""`sluice history`: numbers that last, one entry in full, and what was live at a moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sluice.api.status import RolloutStatus
from sluice.api.times import to_wire
from sluice.cli.past import live_at, moment, numbered
from sluice.errors import UsageError

from .stage import Play, StageClock, revision

Sluice = Callable[..., int]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def eventful(play: Play, clock: StageClock) -> Play:
    """iris:2 promoted, iris:3 rolled back, iris:4 promoted."""
    for n, end in (("2", play.promote), ("3", play.harm), ("4", play.promote)):
        play.play(100)
        play.push(f"repo/iris:{n}", gitCommit=f"c0ffee{n}", dataset="d1")
        play.look()
        end()
    clock.set_wall_time(play.now)
    return play


def test_entries_are_numbered_newest_last_and_what_has_the_traffic_is_marked(
    eventful: Play, sluice: Sluice, capsys: Capture
) -> None:
    assert sluice("history", "iris") == 0
    header, *rows, note = capsys.readouterr().out.splitlines()
    assert header.split() == [
        "NUMBER", "REVISION", "OUTCOME", "REASON", "ENDED", "TOOK", "IMAGES", "SOURCE"
    ]  # fmt: skip
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert rows[2].split()[:3] == ["3", "*", revision("repo/iris:4")]
    assert "RolledBack   HarmDetected" in rows[1]
    assert "dataset=d1,gitCommit=c0ffee3" in rows[1]
    assert note == "* has the traffic now"


def test_a_number_stays_when_older_entries_are_dropped(eventful: Play) -> None:
    status = eventful.status.model_copy(update={"history": eventful.status.history[:2]})
    assert [one.number for one in numbered(status)] == [2, 3]


def test_the_controller_counts_on_when_it_drops_entries(play: Play) -> None:
    play.history_limit = 1
    for n in range(2, 5):
        play.push(f"repo/iris:{n}")
        play.look()
        play.harm()
    assert [entry.number for entry in play.status.history] == [3]


def test_entries_without_numbers_are_counted_from_the_oldest_kept(eventful: Play) -> None:
    """As an older controller wrote them, with one of a newer controller on top."""
    bare = [e.model_copy(update={"number": None}) for e in eventful.status.history]
    status = eventful.status.model_copy(update={"history": bare})
    assert [one.number for one in numbered(status)] == [1, 2, 3]
    newest = bare[0].model_copy(update={"number": 12})
    status = eventful.status.model_copy(update={"history": [newest, *bare[1:]]})
    assert [one.number for one in numbered(status)] == [10, 11, 12]
    assert numbered(RolloutStatus()) == []


def test_one_entry_in_full_has_every_number_of_every_check(
    eventful: Play, sluice: Sluice, capsys: Capture
) -> None:
    assert sluice("history", "iris", "--revision", "2") == 0
    by_number = capsys.readouterr().out
    assert sluice("history", "iris", "--revision", revision("repo/iris:3")) == 0
    assert capsys.readouterr().out == by_number
    for part in ("HarmDetected", "c0ffee3", "harmNeeded: 2.3", "candidateSamples: 120"):
        assert part in by_number


def test_an_entry_that_is_not_there_is_an_error_that_lists_those_that_are(
    eventful: Play, sluice: Sluice, capsys: Capture
) -> None:
    assert sluice("history", "iris", "--revision", "9") == 1
    assert f"there are: 1 ({revision('repo/iris:2')})" in capsys.readouterr().err


def test_at_a_moment_the_last_promotion_before_it_was_live(
    eventful: Play, sluice: Sluice, capsys: Capture
) -> None:
    _, rolled_back, first = eventful.status.history
    assert rolled_back.ended_at
    assert sluice("history", "iris", "--at", rolled_back.ended_at) == 0
    said = capsys.readouterr().out
    assert f"revision {first.revision} (repo/iris:2) was live, since {first.ended_at}" in said
    assert "Promoted (#1)" in said
    assert "being rolled out" not in said


def test_a_rollout_that_was_in_progress_is_said_beside(
    eventful: Play, sluice: Sluice, capsys: Capture
) -> None:
    second = eventful.status.history[1]
    assert second.started_at
    assert sluice("history", "iris", "--at", second.started_at, "-o", "json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["revision"] == revision("repo/iris:2")
    assert f"revision {second.revision} was being rolled out (#2" in answer["beside"]


def test_a_candidate_in_progress_now_is_said_beside(eventful: Play) -> None:
    eventful.push("repo/iris:5")
    eventful.look()
    live = live_at(eventful.object(), eventful.now, eventful.now)
    assert live.revision == revision("repo/iris:4")
    assert f"revision {revision('repo/iris:5')} is being rolled out" in live.beside


def with_birth(play: Play) -> dict[str, Any]:
    """The ModelRollout as the API server gives it, made when the play began."""
    obj = play.object()
    obj["metadata"]["creationTimestamp"] = "2023-11-14T22:13:20Z"
    return obj


def test_before_the_first_promotion_it_is_what_the_first_rollout_was_tried_against(
    eventful: Play,
) -> None:
    obj = with_birth(eventful)
    created = moment("2023-11-14T22:13:20Z")
    live = live_at(obj, created + 5, eventful.now)
    assert (live.revision, live.since) == (revision("repo/iris:1"), created)
    assert live.why == "it was the first; #1 (Promoted) was tried against it"
    assert live_at(obj, created - 5, eventful.now).why == "the ModelRollout was not there yet"


def test_between_a_rollback_and_the_first_promotion_the_stable_was_live(play: Play) -> None:
    for n, end in (("2", play.harm), ("3", play.promote)):
        play.play(100)
        play.push(f"repo/iris:{n}")
        play.look()
        end()
    promoted, rolled_back = play.status.history
    for at in (rolled_back.started_at, rolled_back.ended_at, promoted.started_at):
        live = live_at(with_birth(play), moment(str(at)), play.now)
        assert live.revision == revision("repo/iris:1"), at


def test_before_what_the_history_keeps_it_is_not_guessed(eventful: Play) -> None:
    obj = with_birth(eventful)
    obj["status"]["history"].pop()  # the oldest
    obj["status"]["history"].pop()
    began = moment(obj["status"]["history"][0]["startedAt"])
    before = live_at(obj, began - 1, eventful.now)
    assert before.revision is None
    assert before.why.startswith("the history does not reach back so far")
    during = live_at(obj, began, eventful.now)
    assert (during.revision, during.since) == (revision("repo/iris:2"), None)


def test_without_history_the_stable_was_live_from_the_beginning(play: Play) -> None:
    obj = play.object()
    obj["metadata"]["creationTimestamp"] = "2023-11-14T22:13:20Z"
    live = live_at(obj, play.now, play.now)
    assert (live.revision, live.why) == (revision("repo/iris:1"), "it was the first")
    assert live.since == moment("2023-11-14T22:13:20Z")


def test_moments_are_utc_unless_they_say_otherwise(play: Play) -> None:
    assert moment("2026-11-20T12:00") == moment("2026-11-20T12:00Z")
    assert moment("2026-11-20T12:00+01:00") == moment("2026-11-20T11:00Z")
    with pytest.raises(UsageError, match="2026-11-20T12:00Z"):
        moment("yesterday")
    with pytest.raises(UsageError, match="has not come yet"):
        live_at(play.object(), play.now + 1, play.now)


def test_a_rollout_without_history_says_so(play: Play, sluice: Sluice, capsys: Capture) -> None:
    assert sluice("history", "iris") == 0
    assert capsys.readouterr().err == "prod/iris has no ended rollout yet.\n"
    assert sluice("history", "iris", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["entries"] == []


def test_revision_and_at_together_are_refused(play: Play, sluice: Sluice) -> None:
    assert sluice("history", "iris", "--revision", "1", "--at", to_wire(play.now)) == 2
