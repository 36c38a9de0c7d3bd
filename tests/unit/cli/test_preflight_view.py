"""What people see of a preflight: in status, in history, in the log of a watch, in the report."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from sluice.api.preflight import (
    LabelMove,
    PreflightCheck,
    PreflightExample,
    PreflightState,
    PreflightStatus,
    SideAnswers,
)
from sluice.api.status import HistoryEntry, Phase, Verdict
from sluice.cli.next_move import next_move
from sluice.cli.story import scene
from sluice.cli.view import details, phase_in_words
from sluice.report.preflight import preflight
from sluice.report.rollout import report

from .stage import Play

EXAMPLE = PreflightExample(
    line=285,
    why="versicolor became virginica",
    request='{"data": "<script>alert(1)</script>"}',
    stable="[0.1]",
    candidate="[0.9]",
)


def found(state: PreflightState = PreflightState.FAILED, **more: Any) -> PreflightStatus:
    fields: dict[str, Any] = {
        "state": state,
        "message": "agreement: 93.68% of 10000 rows agree",
        "question": "q",
        "revision": "bbbb",
        "stable": "aaaa",
        "attempt": 2,
        "verdict": Verdict.HARM,
        "requests": 10_000,
        "rows": 10_000,
        "agreeing": 9368,
        "started_at": "2026-01-01T00:00:00.000Z",
        "ended_at": "2026-01-01T00:01:00.000Z",
        "requests_hash": "ab" * 32,
        "checks": [
            PreflightCheck(
                name="agreement", verdict=Verdict.HARM, message="less than 99% is shown",
                share=0.9368, low=0.9319, high=0.9415, wanted=0.99, counted=10_000,
            )
        ],
        "moved": [LabelMove(stable="versicolor", candidate="virginica", rows=202)],
        "answers": {"stable": SideAnswers(p50=1.5), "candidate": SideAnswers(failed=3, p50=2.5)},
        "examples": [EXAMPLE],
    }  # fmt: skip
    return PreflightStatus.model_validate(fields | more)


@pytest.fixture
def comparing(play: Play) -> Play:
    play.push("repo/iris:2")
    play.look()
    running = found(PreflightState.RUNNING, message="", attempt=0)
    play.status = play.status.model_copy(
        update={"phase": Phase.PREPARING, "step": None, "preflight": running}
    )
    play.publish()
    return play


def drawn(play: Play) -> str:
    out = io.StringIO()
    console = Console(file=out, width=160, force_terminal=False, highlight=False)
    console.print(details(play.object(), None, play.now))
    return out.getvalue()


def test_status_and_list_say_that_it_is_awaited_and_what_passes_it_over(comparing: Play) -> None:
    assert phase_in_words(comparing.status) == "Preparing (preflight)"
    assert "Running (bbbb against aaaa)" in drawn(comparing)
    assert "`sluice promote` passes that over" in next_move(comparing.status, None, comparing.now)
    assert "preflight Running" in scene(comparing.object())


def test_status_says_what_it_came_to(comparing: Play) -> None:
    comparing.status = comparing.status.model_copy(
        update={"preflight": found(), "phase": Phase.ROLLED_BACK}
    )
    comparing.publish()
    shown = drawn(comparing)
    assert "Failed: agreement: 93.68% of 10000 rows agree (bbbb against aaaa, 2 tries)" in shown
    assert "285" not in shown, "pairs are in the report and in the JSON"
    assert phase_in_words(comparing.status) == "RolledBack"
    assert "preflight" not in scene(comparing.object())


def test_the_report_has_every_number_and_the_pairs_that_differ_most() -> None:
    text = preflight(found())
    for part in (
        "<span class='bad'>Failed</span>",
        "bbbb against aaaa",
        "93.19% to 94.15%",
        "less than 99% is shown",
        "10,000 with 10,000 rows",
        "versicolor became virginica",
        "<td>202</td>",
        "<td>2.5</td>",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
    ):
        assert part in text
    assert "<script>" not in text
    bare = preflight(found(checks=[], moved=[], answers={}, examples=[], requests=None))
    assert "Line" not in bare


def test_the_report_has_a_line_for_every_class_and_says_which_was_not_waited_for() -> None:
    classes = [
        PreflightCheck(
            name="class virginica", verdict=Verdict.HARM, message="12 of 30 rows agree", share=0.4,
            low=0.23, high=0.59, wanted=0.9, counted=30,
        ),
        PreflightCheck(
            name="class setosa", verdict=Verdict.UNDECIDED, message="4 of 4 rows agree", share=1,
            low=0.4, high=1, wanted=0.9, counted=4, harm_only=True,
        ),
    ]  # fmt: skip
    text = preflight(found(checks=classes))
    assert "<td>class virginica</td><td><span class='bad'>Harm</span></td>" in text
    assert "<td>class setosa</td><td>Undecided (not waited for)</td>" in text


def test_the_report_shows_it_in_progress_and_with_the_rollout_it_ended(comparing: Play) -> None:
    now = report("prod/iris", comparing.status, [], now=comparing.now)
    assert "<h2>Preflight</h2>" in now
    entry = HistoryEntry(
        revision="bbbb", predictor="vbbbb", outcome="RolledBack", reason="PreflightFailed",
        message="m", preflight=found(),
    )  # fmt: skip
    ended = comparing.status.model_copy(
        update={"phase": Phase.ROLLED_BACK, "preflight": found(), "history": [entry]}
    )
    text = report("prod/iris", ended, [], now=comparing.now)
    assert text.count("versicolor became virginica") == 1
    assert "<h2>Preflight</h2>" not in text
