"""Blue-green and shadow with both loops: the evidence that crosses from one phase to the next."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.status import Phase, Verdict
from sluice.resources import SELDON_DEPLOYMENTS

from .small_loop import CANARY, SmallLoop

COMMON = {key: CANARY[key] for key in ("bake", "warmup", "checks")}
SHADOW = {"percent": 100, "hold": "20s"}


def loop(form: str, **fields: Any) -> SmallLoop:
    own = CANARY if form == "canary" else COMMON
    return SmallLoop().rolling_out(strategy={form: {**own, **fields}})


def samples(made: SmallLoop) -> int:
    """Requests of the candidate that count."""
    return made.status.checks[0].candidate_samples


def until(made: SmallLoop, *phases: Phase, ticks: int = 60) -> None:
    for _ in range(ticks):
        if made.status.phase in phases:
            return
        made.tick()
    raise AssertionError(f"{made.status.phase}: {made.status.message}")


def test_green_is_switched_to_once_blue_is_known_and_blue_goes_after_the_bake() -> None:
    strict = {**CANARY["checks"][0], "compare": {"negligibleBelow": 0.002}}
    made = loop("blueGreen", checks=[strict])
    candidate = made.candidate()
    until(made, Phase.PROMOTING, Phase.BAKING)
    assert made.answered[candidate] == 0, "no user before the switch"
    until(made, Phase.IDLE)
    assert made.weights() == {candidate: 100}
    entry = made.status.history[0]
    assert (entry.outcome, entry.reason) == ("Promoted", "BakedWithoutHarm")
    assert [c.verdict for c in entry.checks] == [Verdict.UNDECIDED]


def test_a_failing_green_is_switched_back_by_blues_past_alone() -> None:
    made = loop("blueGreen")
    made.failing.add(made.candidate())
    until(made, Phase.ROLLED_BACK)
    assert made.status.history[0].reason == "HarmDetected"
    assert len(made.weights()) == 1


def test_too_few_requests_of_blue_hold_the_switch_and_the_status_says_how_many() -> None:
    made = loop("blueGreen")
    made.requests = 1
    made.tick(20)
    assert made.status.phase is Phase.PREVIEWING
    assert "more requests of the stable until its past can be compared with" in made.status.message
    left = made.status.checks[0].stable_left
    assert left is not None
    assert left > 0
    made.requests = 600
    until(made, Phase.BAKING, ticks=10)


def test_an_outage_of_the_metrics_holds_the_switch() -> None:
    made = loop("blueGreen")
    made.prometheus.down = True
    made.tick(20)
    assert made.status.phase is Phase.PREVIEWING
    made.prometheus.down = False
    until(made, Phase.BAKING, ticks=10)


def test_requests_of_people_who_try_green_are_no_evidence() -> None:
    made = loop("blueGreen", autoSwitch=False)
    green = made.candidate()
    made.failing.add(green)
    for _ in range(6):
        made.ask(green, 300)
        made.tick()
    assert made.status.phase is Phase.PREVIEWING
    assert samples(made) == 0
    made.failing.clear()
    made.apply("repo/iris:2", strategy={"blueGreen": COMMON})
    until(made, Phase.BAKING, ticks=10)
    switched = made.answered[green]
    until(made, Phase.IDLE)
    assert 0 < made.status.history[0].checks[0].candidate_samples <= made.answered[green] - switched
    assert made.status.history[0].outcome == "Promoted"


@pytest.mark.parametrize("restarts", [False, True])
def test_the_evidence_of_the_shadow_is_kept_while_the_pods_are_made_anew(restarts: bool) -> None:
    made = loop("blueGreen", shadow=SHADOW, autoSwitch=False)
    green = made.candidate()
    until(made, Phase.SHADOWING)
    until(made, Phase.PREVIEWING)
    counted = made.answered[green]
    made.prometheus.remove_pod(f"iris-{green}-0")  # the shadow's pod is gone, the new one unasked
    if restarts:
        made.start_controller()
    made.tick(40)  # until Prometheus has forgotten it
    assert made.answered[green] == counted, "at 0% nobody asks it"
    check = made.status.checks[0]
    assert check.verdict is Verdict.PASS
    assert 0 < check.candidate_samples <= counted
    assert "`sluice promote`" in made.status.message
    predictors = made.client.get(SELDON_DEPLOYMENTS, "iris", "prod")["spec"]["predictors"]
    assert [p.get("shadow") for p in predictors] == [None, None]


def test_a_good_shadow_goes_on_as_a_canary_with_its_evidence() -> None:
    made = loop("canary", shadow=SHADOW)
    candidate = made.candidate()
    until(made, Phase.SHADOWING)
    until(made, Phase.STEPPING)
    before = made.answered[candidate]
    made.tick()
    assert samples(made) > made.answered[candidate] - before, "what the shadow showed counts on"
    until(made, Phase.IDLE)
    assert made.weights() == {candidate: 100}


def test_a_failing_shadow_is_taken_out_before_a_user_saw_it() -> None:
    made = loop("canary", shadow=SHADOW | {"hold": "60s"})
    made.failing.add(made.candidate())
    for _ in range(20):
        assert sorted(made.weights().values()) in ([100], [0, 100])
        made.tick()
        if made.status.phase is Phase.ROLLED_BACK:
            break
    assert made.status.history[0].reason == "HarmDetected"
    assert made.mirrors() == {}


@pytest.mark.parametrize(("warmup", "ticks"), [("30s", 2), ("5s", 1)])
def test_requests_in_the_second_warm_up_do_not_count(warmup: str, ticks: int) -> None:
    """Nor where it is over before the pulse has seen that the shadow has ended."""
    made = loop("canary", shadow=SHADOW, warmup=warmup)
    candidate = made.candidate()
    until(made, Phase.SHADOWING)
    until(made, Phase.STEPPING)
    made.failing.add(candidate)
    made.tick(ticks)
    made.failing.clear()
    until(made, Phase.IDLE)
    entry = made.status.history[0]
    assert entry.outcome == "Promoted"
    assert entry.checks[0].candidate == 0


def test_changed_checks_after_the_shadow_begin_a_shadow_again() -> None:
    made = loop("blueGreen", shadow=SHADOW, autoSwitch=False)
    until(made, Phase.SHADOWING)
    until(made, Phase.PREVIEWING)
    other = [{**CANARY["checks"][0], "compare": {"unacceptableRatio": 4}}]
    strategy = {"blueGreen": {**COMMON, "checks": other, "shadow": SHADOW, "autoSwitch": False}}
    made.apply("repo/iris:2", strategy=strategy)
    made.tick(3)
    assert "ShadowAgain" in made.told.reasons
    until(made, Phase.PREVIEWING)
    assert made.status.checks[0].verdict is Verdict.PASS
