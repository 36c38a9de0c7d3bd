"""Whatever happens, retrainings keep their distance: one at a time, a cooldown, so many a week."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.api.monitoring import Monitoring
from sluice.api.monitoring_status import MonitoringStatus, Retraining, RetrainingState
from sluice.api.rollout import Rollout, parse_rollout
from sluice.api.status import Phase, RolloutStatus
from sluice.api.times import from_wire
from sluice.engine.monitoring import Answer
from sluice.engine.retraining import (
    WEEK,
    Outcome,
    job_name,
    job_of,
    job_outcome,
    open_one,
    request_body,
    step,
    to_be_looked_at,
)

HOUR = 3600.0
SPEC = Monitoring.model_validate(
    {
        "drift": {},
        "decay": {},
        "onDrift": {"job": {"cronJob": "retrain"}},
        "onDecay": {"job": {"cronJob": "retrain"}},
        "cooldown": "20h",
        "maxPerWeek": 3,
    }
)
TRUE: Answer = ("True", "Drifted", "it is so")
FALSE: Answer = ("False", "WithinThreshold", "")


def rollout(name: str = "iris") -> Rollout:
    template = {"spec": {"predictors": [{"graph": {"name": "m"}}]}}
    return parse_rollout(
        {
            "metadata": {"name": name, "namespace": "prod", "uid": "u1"},
            "spec": {"template": template},
            "status": {"stable": {"revision": "r1", "predictor": "v1", "images": ["iris:1"]}},
        }
    )


MOMENTS = st.lists(
    st.tuples(
        st.sampled_from([0.1, 1.0, 6.0, 30.0]),  # hours that pass
        st.booleans(),  # drifted
        st.booleans(),  # decayed
        st.sampled_from(["", "Running", "Succeeded", "Failed", "Pending"]),
        st.booleans(),  # a rollout is under way
        st.booleans(),  # the monitoring has seen the stable
    ),
    max_size=120,
)


@settings(max_examples=200, deadline=None)
@given(MOMENTS)
def test_their_distances_hold_whatever_happens(moments: list[Any]) -> None:
    found = MonitoringStatus(predictor="v1", revision="r1")
    now = 1_000_000_000.0
    ever: dict[int, Retraining] = {}
    for hours, drifted, decayed, outcome, active, current in moments:
        now += hours * HOUR
        answers = {"Drifted": TRUE if drifted else FALSE, "Decayed": TRUE if decayed else FALSE}
        before = open_one(found)
        came = None
        if before and to_be_looked_at(SPEC, answers, before, current=current) and outcome:
            came = Outcome(RetrainingState(outcome), "so", job="j")
        status = RolloutStatus(phase=Phase.STEPPING if active else Phase.IDLE)
        went = step(rollout(), SPEC, status, found, answers, came, now, current=current)
        found = found.model_copy(update={"retrainings": went.retrainings})
        assert sum(one.state.open for one in found.retrainings) <= 1
        newest = found.retrainings[0] if found.retrainings else None
        if newest and from_wire(newest.at) == now:
            assert not active
            assert current
            assert drifted or decayed
        ever |= {one.number: one for one in found.retrainings}
    assert len(found.retrainings) <= 20
    numbers = [one.number for one in found.retrainings]
    assert numbers == sorted(numbers, reverse=True)
    assert len({one.id for one in ever.values()}) == len(ever)
    kept = [
        from_wire(one.at) or 0.0
        for _, one in sorted(ever.items())
        if one.state is not RetrainingState.CANCELLED
    ]
    for one, other in itertools.pairwise(kept):
        assert other - one >= SPEC.cooldown - 1e-3
    for at in kept:
        assert sum(at <= other < at + WEEK - 1e-3 for other in kept) <= SPEC.max_per_week


ENTRY = Retraining(
    number=1,
    id="abc",
    trigger="Drifted",
    state=RetrainingState.PENDING,
    at="2026-01-01T00:00:00.000Z",
    revision="r1",
)
FOUND = MonitoringStatus(predictor="v1", revision="r1", retrainings=[ENTRY])


def test_the_job_keeps_the_template_and_leaves_it_as_it_was() -> None:
    own = [{"name": "SLUICE_RETRAIN_REASON", "value": "mine"}, {"name": "A", "value": "1"}]
    pod = {"initContainers": [{"name": "i"}], "containers": [{"name": "c", "env": own}]}
    cron_job = {"spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}
    job = job_of(rollout(), cron_job, ENTRY, request_body(rollout(), FOUND, ENTRY))
    made = job["spec"]["template"]["spec"]
    for container in (*made["initContainers"], *made["containers"]):
        names = [one["name"] for one in container["env"]]
        assert names[-2:] == ["SLUICE_RETRAIN_REASON", "SLUICE_RETRAIN_INPUT"]
        assert len(set(names)) == len(names)
    assert pod["containers"][0]["env"] == own, "the watch's copy is nobody's to change"


def test_names_are_short_enough_for_pods_and_labels() -> None:
    long = rollout("a-very-long-name.with.dots-" + "x" * 60)
    name = job_name(long, ENTRY)
    assert len(name) <= 63
    assert "." not in name
    job = job_of(long, {}, ENTRY, {})
    assert all(len(value) <= 63 for value in job["metadata"]["labels"].values())


def test_a_job_that_is_suspended_or_young_is_running_and_one_that_is_gone_has_failed() -> None:
    suspended = {"status": {"conditions": [{"type": "Suspended", "status": "True"}]}}
    assert job_outcome(suspended, "j").state is RetrainingState.RUNNING
    assert job_outcome({}, "j").state is RetrainingState.RUNNING
    assert job_outcome(None, "j").state is RetrainingState.FAILED
    # Before a Job is complete Kubernetes says that it will be.
    soon = {"status": {"conditions": [{"type": "SuccessCriteriaMet", "status": "True"}]}}
    assert job_outcome(soon, "j").state is RetrainingState.RUNNING
