"""Truths come late, in a shadow never: what a rollout waits for all the same."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.policy import CanaryPolicySpec
from sluice.api.status import CheckStatus, Phase, Verdict

from .small_cluster import POLICY, SmallCluster, verdict

TRUTHS = {"name": "truths", "metric": "feedback", "difference": {}}


def with_truths() -> CanaryPolicySpec:
    wire = POLICY.to_dict()
    return CanaryPolicySpec.model_validate(wire | {"checks": [*wire["checks"], TRUTHS]})


def cluster(kind: Verdict, *, strategy: dict[str, Any] | None = None, **more: Any) -> SmallCluster:
    """Errors pass; feedback says this."""
    made = SmallCluster(strategy=strategy or {"canary": {}}, policy=with_truths()).begun()
    told = CheckStatus(name="truths", verdict=kind, reason="NoFeedback", **more)
    made.checks = (verdict(Verdict.PASS), told)
    return made


def test_steps_do_not_wait_for_the_first_truth_but_the_promotion_does() -> None:
    made = cluster(Verdict.UNDECIDED)
    made.run(120)
    assert made.routes == {"vaaaa": 50, "vbbbb": 50}
    assert "truths Undecided: NoFeedback" in made.status.message
    made.checks = tuple(c.model_copy(update={"verdict": Verdict.PASS}) for c in made.checks)
    made.run(60)
    assert made.status.history[0].reason == "AllChecksPassed"


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (Verdict.ERROR, {}),
        (Verdict.NO_DATA, {}),
        (Verdict.UNDECIDED, {"harm_evidence": 1.5, "harm_needed": 2.0}),
    ],
)
def test_a_step_waits_for_what_cannot_be_read_or_leans_to_harm(
    kind: Verdict, more: dict[str, float]
) -> None:
    made = cluster(kind, **more)
    made.run(120)
    assert made.routes == {"vaaaa": 95, "vbbbb": 5}


@pytest.mark.parametrize("form", ["canary", "blueGreen"])
def test_a_shadow_ends_without_truths(form: str) -> None:
    made = cluster(Verdict.UNDECIDED, strategy={form: {"shadow": {"percent": 50, "hold": "20s"}}})
    made.until(Phase.SHADOWING)
    made.until(Phase.STEPPING, Phase.BAKING)


def test_a_blue_green_bake_ends_without_truths_and_does_not_claim_them() -> None:
    made = cluster(Verdict.UNDECIDED, strategy={"blueGreen": {}}).until(Phase.BAKING)
    made.run(60)
    assert made.status.history[0].outcome == "Promoted"
    assert made.status.history[0].reason == "BakedWithoutHarm"


def test_answers_that_cannot_be_compared_hold_a_blue_green_bake() -> None:
    made = cluster(Verdict.ERROR, strategy={"blueGreen": {}}).until(Phase.BAKING)
    made.run(60)
    assert made.status.phase is Phase.BAKING
