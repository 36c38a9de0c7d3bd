"""Checks of answers over a recording: what is read, kept and decided."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sluice.api.policy import CanaryPolicySpec
from sluice.evidence.spec import answer_plans_of
from sluice.metrics.answer_queries import wants_of
from sluice.metrics.answers import AnswerObserver, AnswerPair
from sluice.metrics.dialects import Labels, SeldonDialect
from sluice.metrics.queries import AS_USUAL
from sluice.replay.dump import load, save
from sluice.replay.play import Played, play
from sluice.replay.reading import Span, find, read
from sluice.replay.recording import LEAD, Answers, Family, Recording
from sluice.replay.traffic import Sides, count_answers

from .canary import LOST, SCRAPE, T0, USUAL, Past, Serves, canary

SIDES = Sides("prod", "iris", "main", "next")
REGIONS = {"eu": 0.7, "us": 0.3}
PREDICTIONS = {"name": "predictions", "metric": "predictions", "difference": {"acceptable": 0.03}}
SLICED = {**PREDICTIONS, "difference": {"acceptable": 0.03, "slices": ["region"]}}
FEEDBACK = {"name": "feedback", "metric": "feedback", "difference": {"perClass": True}}
ERRORS = {"name": "errors", "metric": "error-rate", "compare": {"negligibleBelow": 0.02}}


def policy(*checks: object) -> CanaryPolicySpec:
    content = {"steps": [{"weight": 50, "hold": "1m"}], "bake": "1m", "warmup": "30s"}
    return CanaryPolicySpec.model_validate(content | {"checks": list(checks)})


def answering(seconds: float = 900.0, **how: object) -> Past:
    """`next` beside `main`, both with the kit in them; `how` is about `next`."""
    main = Serves("main", -60, seconds, 12, says=USUAL, region=REGIONS, restarts=(400.0,))
    given: dict[str, object] = {"since": 60, "until": seconds, "rps": 6, "says": USUAL}
    given |= {"region": REGIONS, **how}
    return Past((main, Serves("next", **given)), seconds, out=((500.0, 560.0),))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def alike() -> Past:
    return answering()


@pytest.fixture(scope="module")
def lost() -> Recording:
    return answering(600.0, says=LOST, wrong=0.3).recording()


def played(recording: Recording, asked: CanaryPolicySpec) -> Played:
    return play(recording, SIDES, "p", asked, LEAD + 3, recording.moments - 1)


def test_a_recording_gives_the_counts_and_the_past_that_prometheus_would_have(alike: Past) -> None:
    recording = alike.recording()
    wants = wants_of(answer_plans_of(policy(SLICED, FEEDBACK)))
    pair = AnswerPair("k", "prod", "iris", "main", "next", wants)
    live = AnswerObserver(alike.client, AS_USUAL, interval=SCRAPE)
    past = AnswerObserver(Answers(recording, SIDES.targets, wants), AS_USUAL, interval=SCRAPE)
    began = recording.time(LEAD + 3)
    for observer in (live, past):
        observer.track(pair, began)
    compared = 0
    for index in range(LEAD + 3, recording.moments):
        if recording.blind[index]:
            continue
        now = recording.time(index)
        a, b = live.pulse(now), past.pulse(now)
        assert a.missing == b.missing
        assert set(a.increments) == set(b.increments)
        for key, one in a.increments.items():
            other = b.increments[key]
            # Other slices' counters may be in the recording; none here has any.
            assert set(one.cells) == set(other.cells)
            order = [other.cells.index(cell) for cell in one.cells]
            assert one.candidate.tolist() == other.candidate[order].tolist()
            assert one.stable.tolist() == other.stable[order].tolist()
            compared += 1
        if index == 40:
            (cells, found), (others, told) = (
                live.history(["k"], now)["k"],
                past.history(["k"], now)["k"],
            )
            order = [others.index(cell) for cell in cells]
            # The recording begins later than the hour; the end of both is the same.
            assert found.any()
            assert np.array_equal(found[-30:], told[:, order][-30:])
    assert compared > 30
    assert live.shown("k") == past.shown("k")


def test_a_class_that_is_lost_is_rolled_back_by_its_predictions(lost: Recording) -> None:
    found = played(lost, policy(ERRORS, PREDICTIONS))
    assert found.outcome == "rolledBack"
    assert found.left_out == ()
    by_name = {check.name: check for check in found.checks}
    assert by_name["predictions"].about == "virginica"
    assert by_name["errors"].verdict != "Harm"


def test_a_class_that_is_wrong_more_often_is_rolled_back_by_its_truths(lost: Recording) -> None:
    found = played(lost, policy(ERRORS, FEEDBACK))
    assert found.outcome == "rolledBack"
    assert next(c for c in found.checks if c.name == "feedback").verdict == "Harm"


def test_versions_alike_pass_as_a_whole_and_by_slice(alike: Past) -> None:
    found = played(alike.recording(), policy(SLICED))
    assert (found.outcome, found.reason) == ("promoted", "AllChecksPassed")


def test_a_slice_that_no_profile_has_is_said_and_holds(alike: Past) -> None:
    nowhere = {**PREDICTIONS, "difference": {"slices": ["country"]}}
    found = played(alike.recording(), policy(ERRORS, nowhere))
    assert found.outcome == "undecided"
    assert [c.reason for c in found.checks if c.name == "predictions"] == ["SliceNotCounted"]


def test_a_candidate_without_the_kit_is_said_to_be_without() -> None:
    recording = answering(400.0, says=None).recording()
    found = played(recording, policy(ERRORS, PREDICTIONS))
    assert [c.reason for c in found.checks if c.name == "predictions"] == ["AnswersNotCounted"]
    assert count_answers(recording, SIDES, LEAD, recording.moments - 1) is not None


def test_a_dump_keeps_the_answers_and_says_so(lost: Recording, tmp_path: Path) -> None:
    path = tmp_path / "lost.jsonl.gz"
    save(lost, path)
    again = load(path)
    asked = policy(ERRORS, PREDICTIONS, FEEDBACK)
    assert played(again, asked) == played(lost, asked)
    assert set(again.families) >= {Family.PROFILES, Family.OUTCOMES, Family.LAST_PREDICTIONS}


def test_only_a_recording_with_answers_is_one_of_the_second_version(
    lost: Recording, recording: Recording, tmp_path: Path
) -> None:
    versions = []
    for each in (recording, lost):
        path = tmp_path / "dump.jsonl"
        save(each, path)
        versions.append(json.loads(path.read_text().splitlines()[0])["version"])
    assert versions == [1, 2]
    assert not recording.has_answers


def test_what_is_not_asked_for_costs_no_query_and_where_nobody_has_the_kit_one() -> None:
    asked = []
    for past, answers in (
        (canary(300), False), (canary(300), True), (answering(300), False), (answering(300), True)
    ):  # fmt: skip
        span = Span(T0, T0 + 300, SCRAPE)
        found = find(past.client, SeldonDialect(), span)
        before = past.prometheus.range_queries
        targets = [f.target for f in found]
        made = read(past.client, "seldon", Labels(), targets, span, answers=answers)
        asked.append(past.prometheus.range_queries - before)
        assert made.has_answers == (asked[-1] > 7)
    assert asked == [6, 7, 6, 15]


def test_what_was_answered_is_counted_for_the_picture(lost: Recording) -> None:
    found = count_answers(lost, SIDES, LEAD, lost.moments - 1)
    assert found is not None
    assert found.labels[found.telling() or 0] == "virginica"
    shares = found.predictions.sum(axis=0) / found.predictions.sum(axis=(0, 2))[:, None]
    assert shares[:, found.labels.index("virginica")] == pytest.approx([0.1, 0.2], abs=0.02)
    wrong = found.wrong.sum(axis=0) / found.told.sum(axis=0)
    assert wrong == pytest.approx([0.3, 0.07], abs=0.03)


def test_a_recording_without_answers_has_none_for_the_picture(recording: Recording) -> None:
    assert Family.PROFILES not in {f for f in recording.families if recording.series(f)}
    assert count_answers(recording, SIDES, LEAD, recording.moments - 1) is None
