"""A model that is fast, fails nothing and is wrong: only what it answers tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trial import CANARY, Trial

from sluice.api.status import Phase, Verdict

Start = Callable[[str], Trial]

# Good versions are up to 2 points apart on what the load asks, the wrong one is 29. Errors and
# latency have had their say when the answers begin to count.
PREDICTIONS = {
    "name": "predictions",
    "metric": "predictions",
    "warmup": "20s",
    "difference": {"acceptable": 0.06, "unacceptable": 0.2},
}


def canary(*checks: dict[str, Any]) -> dict[str, Any]:
    return {"checks": [*CANARY["checks"], *checks]}


def test_a_fast_and_wrong_model_is_rolled_back_by_what_it_predicts(start: Start) -> None:
    rollout = start("wrong")
    rollout.create()
    stable = rollout.status().stable
    rollout.change("shuffled", canary=canary(PREDICTIONS))
    status = rollout.until_ended("RolledBack")
    assert (status.phase, status.history[0].reason) == (Phase.ROLLED_BACK, "HarmDetected")
    found = {check.name: check for check in status.history[0].checks}
    assert {name: check.verdict for name, check in found.items()} == {
        "errors": Verdict.PASS,
        "latency": Verdict.PASS,
        "predictions": Verdict.HARM,
    }
    assert found["predictions"].about in ("versicolor", "virginica")
    assert "of the candidate's answers" in status.history[0].message
    assert status.stable == stable
    assert stable is not None
    assert rollout.predictors() == {stable.predictor: 100}
    assert rollout.failures() == []


def test_a_wrong_answer_in_one_slice_is_found_there(start: Start) -> None:
    rollout = start("slice")
    rollout.create()
    # As a whole no share differs by 40 points; that of virginica in long petals does, by 80.
    sliced = {"acceptable": 0.4, "unacceptable": 0.7, "slices": ["petal length (cm)"]}
    rollout.change("shuffled", canary=canary({**PREDICTIONS, "difference": sliced}))
    status = rollout.until_ended("RolledBack")
    (check,) = [c for c in status.history[0].checks if c.verdict is Verdict.HARM]
    assert check.name == "predictions"
    assert check.about is not None
    assert check.about.startswith("petal length (cm)=")


def test_a_better_model_passes_the_same_check_and_is_promoted(start: Start) -> None:
    rollout = start("right")
    rollout.create()
    rollout.change("better", canary=canary(PREDICTIONS))
    status = rollout.until_ended("Promoted")
    entry = status.history[0]
    assert entry.reason == "AllChecksPassed"
    promoting = next(each for each in entry.decisions if each.reason == "Promoting")
    for name in ("errors", "latency", "predictions"):
        assert f"{name} Pass" in (promoting.checks or "")
    # With 5% of the traffic beside it, a Pass may be open again when the bake ends.
    assert Verdict.HARM not in {check.verdict for check in entry.checks}
    assert rollout.failures() == []
