"""What a policy would have said about canaries that were recorded."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from sluice.api.builtin import BALANCED
from sluice.api.policy import CanaryPolicySpec, OnUndecided, Step, UndecidedAction
from sluice.api.status import Phase, Verdict
from sluice.errors import UsageError
from sluice.evidence import EvidenceBank, judge, plans_of
from sluice.metrics.dialects import SeldonDialect
from sluice.metrics.observe import Observer
from sluice.replay.asking import Chosen, Question, choose, from_file
from sluice.replay.play import Played, play
from sluice.replay.result import MOST_ENTRIES, Replay, data, thinned
from sluice.replay.traffic import KEY, count

from .canary import SCRAPE, T0, Past, Serves, canary

QUICK = BALANCED.model_copy(
    update={
        "steps": [Step(weight=10, hold=60.0), Step(weight=50, hold=120.0)],
        "bake": 120.0,
        "checks": [check.model_copy(update={"warmup": None}) for check in BALANCED.checks],
    }
)
PAIR = Question(stable="main", candidate="next")


def chosen(past: Past, question: Question = PAIR) -> Chosen:
    return choose(from_file(past.recording(), question), question)


def judged(past: Past, policy: CanaryPolicySpec = QUICK) -> tuple[Played, Replay]:
    what = chosen(past)
    played = play(what.recording, what.sides, "quick", policy, what.begin, what.last)
    traffic = count(what.recording, what.sides, what.begin, what.last)
    return played, Replay(what.recording, what.sides, traffic, what.begin, what.last, [played])


def answers(past: Past, predictor: str, code: str = "", until: float = math.inf) -> float:
    """What the pods of a predictor had counted at a moment (seconds after T0)."""
    found = past.client.query(
        SeldonDialect().counts(chosen(past).sides.targets), T0 + min(until, past.seconds)
    )
    return sum(
        s.value
        for s in found
        if s.labels["predictor_name"] == predictor and s.labels["code"].startswith(code)
    )


def test_a_candidate_with_harm_is_rolled_back() -> None:
    past = canary(errors=0.05)
    played, replay = judged(past)
    found = data(replay)["results"][0]
    assert (found["outcome"], found["reason"]) == ("rolledBack", "HarmDetected")
    assert found["checks"][0]["verdict"] == "Harm"
    # Numbers of that moment, not of the whole recording.
    at = played.seconds + 60
    assert 60 < at < 300
    assert found["candidateRequests"] == answers(past, "next", until=at)
    assert found["badRequests"] == answers(past, "next", "5", until=at)
    assert found["timeline"][-1]["weightByPolicy"] == 0


def test_a_healthy_candidate_is_promoted_after_its_steps_and_baked() -> None:
    played, replay = judged(canary(seconds=2400))
    found = data(replay)["results"][0]
    assert found["outcome"] == "promoted"
    assert found["seconds"] >= 180
    assert {c["verdict"] for c in found["checks"]} == {"Pass"}
    assert found["bake"] == {"seconds": 120.0, "complete": True}
    steps = [e["seconds"] for e in found["events"] if e["reason"] == "StepStarted"]
    assert steps[0] == 0
    assert steps[1] == pytest.approx(60, abs=1)
    assert played.status.phase is Phase.IDLE
    shares = [e["share"] for e in found["timeline"] if e["share"] is not None]
    assert sum(shares) / len(shares) == pytest.approx(1 / 3, abs=0.05)


def test_a_step_ends_with_its_hold_not_with_the_next_look() -> None:
    uneven = [Step(weight=10, hold=65.0), Step(weight=50, hold=120.0)]
    played, _ = judged(canary(seconds=300), QUICK.model_copy(update={"steps": uneven}))
    steps = [h.seconds for h in played.happenings if h.reason == "StepStarted"]
    assert steps == [0.0, 65.0]


def test_every_check_says_what_the_live_evidence_says() -> None:
    """The same canary, watched while it happens: instant queries, an outage that refuses them."""
    past = canary(seconds=900, out=[(400, 520)], restarts=(300.0,))
    what = chosen(past)
    never = QUICK.model_copy(update={"steps": [Step(weight=10, hold=86400.0)]})
    played = play(what.recording, what.sides, "never", never, what.begin, what.last)
    observer = Observer(past.client, SeldonDialect(), interval=SCRAPE)
    bank = EvidenceBank()
    bank.open(KEY, plans_of(never), observer.edges)
    observer.track(what.sides.pair)
    compared = 0
    for look in played.looks:
        if look.seconds < never.warmup:
            assert look.checks == ()
            continue
        if look.problem:
            continue
        now = T0 + 60 + look.seconds
        if not compared:
            bank.remember(observer.history([KEY], now))
        pulse = observer.pulse(now)
        bank.update(pulse.increments)
        fresh = pulse.freshness[KEY]
        seen = fresh.candidate_seen and fresh.stable_seen
        assert look.checks == tuple(judge(e, fresh=seen) for e in bank.results(KEY))
        compared += 1
    assert compared > 40


def test_an_outage_of_the_recorded_prometheus_holds() -> None:
    whole, _ = judged(canary(seconds=2400))
    decided = whole.seconds + 60
    begins = decided - 2 * SCRAPE
    past = canary(seconds=2400, out=[(begins, begins + 300)])
    held, replay = judged(past)
    assert held.outcome == "promoted"
    assert held.seconds + 60 >= begins + 300
    blind = [look for look in held.looks if look.problem]
    assert blind
    assert {look.phase for look in blind} == {Phase.STEPPING}
    assert len(data(replay)["recording"]["outages"]) == 1


def test_an_outage_does_not_hide_harm_for_longer_than_it_lasts() -> None:
    played, _ = judged(canary(errors=0.2, out=[(90, 400)]))
    assert played.outcome == "rolledBack"
    back = 405 - 60  # the first scrape after it, in seconds of the rollout
    assert back <= played.seconds <= back + SCRAPE


def test_a_counter_that_starts_anew_neither_harms_nor_helps() -> None:
    calm, _ = judged(canary(seconds=900))
    restless, replay = judged(canary(seconds=900, restarts=(200.0, 333.0, 470.0)))
    assert restless.outcome != "rolledBack"
    requests, _ = replay.traffic.until(replay.first, replay.last)
    expected = 10 * 840
    assert requests[0] == pytest.approx(expected, rel=0.05)
    assert calm.outcome != "rolledBack"


def test_silence_promotes_nothing() -> None:
    played, replay = judged(canary(seconds=900, rps=0.004))
    found = data(replay)["results"][0]
    assert (found["outcome"], found["reason"]) == ("undecided", "RecordingEnded")
    assert found["at"] is None
    assert found["seconds"] is None
    assert found["bake"] is None
    assert played.status.phase is Phase.STEPPING


def test_slow_answers_are_harm_as_well() -> None:
    played, _ = judged(canary(slow=4.0))
    assert played.outcome == "rolledBack"
    assert [c.name for c in played.checks if c.verdict is Verdict.HARM] == ["latency"]


def test_harm_in_the_bake_switches_back() -> None:
    main = Serves("main", -60, 2400, 20, errors=0.005, pods=2)
    good, _ = judged(canary(seconds=2400))
    turns = 60 + good.seconds + 2 * SCRAPE
    bad = Serves("next", turns, 3000, 10, errors=0.5)
    past = Past((main, Serves("next", 60, turns, 10, errors=0.005), bad), 2400)
    policy = QUICK.model_copy(update={"bake": 1200.0})
    played, replay = judged(past, policy)
    assert played.baked is not None
    assert "Promoting" in [h.reason for h in played.happenings]
    assert (played.outcome, played.reason) == ("rolledBack", "HarmDetected")
    assert data(replay)["results"][0]["bake"]["complete"] is False


def test_too_little_evidence_ends_as_the_policy_says() -> None:
    past = canary(seconds=900, rps=0.3)
    wait = OnUndecided(after=300.0, action=UndecidedAction.PAUSE)
    paused, _ = judged(past, QUICK.model_copy(update={"on_undecided": wait}))
    assert (paused.outcome, paused.reason) == ("undecided", "Undecided")
    wait = OnUndecided(after=300.0, action=UndecidedAction.ROLL_BACK)
    back, _ = judged(past, QUICK.model_copy(update={"on_undecided": wait}))
    assert (back.outcome, back.reason) == ("rolledBack", "Undecided")


def test_the_warm_up_of_the_candidate_does_not_count() -> None:
    cold = Serves("next", 60, 120, 10, errors=0.9)
    warm = Serves("next", 120, 900, 10, errors=0.005)
    past = Past((Serves("main", -60, 900, 20, errors=0.005), cold, warm), 900)
    assert judged(past)[0].outcome == "rolledBack"
    patient, replay = judged(past, QUICK.model_copy(update={"warmup": 75.0}))
    assert patient.outcome != "rolledBack"
    assert data(replay)["results"][0]["badRequests"] > 500


def test_a_candidate_that_was_taken_away_ends_the_comparison() -> None:
    past = Past((Serves("main", -60, 3000, 20), Serves("next", 60, 300, 0.3)), 3000)
    what = chosen(past)
    assert what.recording.time(what.last) - T0 <= 300 + 4 * SCRAPE


def test_messages_have_the_recordings_own_time() -> None:
    played, _ = judged(canary(seconds=210))
    assert "hold until 2026-03-01T10:04:00" in played.message


def test_a_timeline_keeps_every_change() -> None:
    played, _ = judged(canary(seconds=2400))
    looks = played.looks
    many = [replace(looks[0], index=i, seconds=float(i)) for i in range(5000)]
    many[3333] = replace(many[3333], step="2/3")
    kept = thinned(many)
    assert len(kept) <= MOST_ENTRIES + 3
    assert many[3333] in kept
    assert many[3334] in kept
    assert kept[-1] is many[-1]
    assert thinned(looks) == looks


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (Question(stable="main"), "give both --stable and --candidate"),
        (Question(stable="main", candidate="main"), "both main"),
        (Question(stable="main", candidate="nxt"), "no deployment has both main .* main, next"),
        (Question("stage", None, "main", "next"), "no predictor in namespace stage"),
        (Question(stable="main", candidate="next", start="2020-01-01T00:00:00Z"), ""),
        (Question(stable="main", candidate="next", end="2020-01-01T00:00:00Z"), "leave nothing"),
        (Question(stable="main", candidate="next", start="yesterday"), "--start 'yesterday'"),
        (
            Question(stable="main", candidate="next", start="2026-03-01T10:00:00"),
            "the zone is missing",
        ),
        (Question(stable="main", candidate="next", end="2026-03-01T10:00:45Z"), "has no metrics"),
        (Question(stable="main", candidate="next", step="20s"), "a look every 15 s"),
        (Question(stable="main", candidate="next", step="often"), "--step: expected a duration"),
    ],
)
def test_an_absurd_question_is_answered_with_what_to_do(
    past: Past, question: Question, said: str
) -> None:
    if not said:  # before the recording began: what there is
        assert chosen(past, question).first == 3
        return
    with pytest.raises(UsageError, match=said):
        chosen(past, question)


def test_names_in_two_deployments_must_be_told_apart(past: Past) -> None:
    source = from_file(past.recording(), PAIR)
    twice = [*source.found]
    twice += [replace(f, target=replace(f.target, deployment="wine")) for f in source.found]
    with pytest.raises(UsageError, match=r"several deployments \(prod/iris, prod/wine\)"):
        choose(replace(source, found=twice), PAIR)


def test_a_part_of_a_recording_can_be_judged(past: Past) -> None:
    question = replace(PAIR, start="2026-03-01T10:05:00Z", end="1m ago")
    what = chosen(past, question)
    assert what.recording.time(what.begin) == T0 + 300
    assert what.recording.time(what.last) == T0 + 840
