"""`spec.monitoring` says what is wrong with it, and old statuses are read as before."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sluice.api.monitoring import Monitoring
from sluice.api.status import RolloutStatus

JOB = {"job": {"cronJob": "retrain"}}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({}, "needs drift or decay"),
        ({"decay": {}, "onDrift": JOB}, "onDrift without drift never happens"),
        ({"drift": {}, "onDecay": JOB}, "onDecay without decay never happens"),
        ({"drift": {}, "onDrift": {}}, "exactly one of job"),
        (
            {"drift": {}, "onDrift": {**JOB, "webhook": {"url": "https://a.example/x"}}},
            "exactly one of job",
        ),
        ({"drift": {"threshold": 1.0}}, "must be below 1 for ks"),
        ({"drift": {"distance": "js", "threshold": 0.7}}, "must be below 0.69 for js"),
        ({"drift": {"distance": "hellinger"}}, "'ks', 'tv', 'psi', 'kl' or 'js'"),
        ({"drift": {"threshold": 0}}, "greater than 0"),
        ({"drift": {"features": ["a", "b", "a"]}}, "each once"),
        ({"drift": {"learning": "15d"}}, "at most 14d"),
        ({"drift": {"learning": "soon"}}, "expected a duration"),
        ({"decay": {"tolerance": 1}}, "less than 1"),
        ({"decay": {"levelFeedback": 5}}, "greater than or equal to 20"),
        ({"decay": {"measure": "F1"}}, "'Outcomes' or 'Rewards'"),
        ({"drift": {}, "falseAlarms": 0}, "greater than 0"),
        ({"drift": {}, "cooldown": "0s"}, "at least 1s"),
        ({"drift": {}, "maxPerWeek": 0}, "greater than or equal to 1"),
        ({"drift": {}, "onDrift": {"job": {"cronJob": "No Name"}}}, "pattern"),
        ({"drift": {}, "onDrift": {"webhook": {"url": "ftp://a.example/"}}}, "pattern"),
        (
            {"drift": {}, "onDrift": {"webhook": {"url": "https://a.example/", "timeout": "31s"}}},
            "at most 30s",
        ),
        ({"drift": {}, "onDrfit": JOB}, "Extra inputs"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(spec: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Monitoring.model_validate(spec)


def test_what_is_omitted_is_careful() -> None:
    found = Monitoring.model_validate({"drift": {}, "decay": {}})
    assert found.drift is not None
    assert found.decay is not None
    assert (found.drift.distance, found.drift.threshold, found.drift.learning) == ("ks", 0.1, 86400)
    assert (found.decay.tolerance, found.decay.level_feedback) == (0.02, 500)
    assert (found.cooldown, found.max_per_week) == (86400, 2)
    assert found.rate == found.false_alarms / 2, "over both"
    assert Monitoring.model_validate({"drift": {}}).rate == 0.01


def test_a_status_of_an_earlier_version_has_none_and_a_later_ones_is_read() -> None:
    assert RolloutStatus.model_validate({"phase": "Idle"}).monitoring is None
    later = {"monitoring": {"predictor": "v1", "revision": "1", "novelty": 3}}
    found = RolloutStatus.model_validate(later).monitoring
    assert found is not None
    assert found.features == []
