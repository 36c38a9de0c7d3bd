"""What `sluice lint` says of `spec.monitoring`."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.api.monitoring import Monitoring
from sluice.simulation.findings import Level
from sluice.simulation.lint_monitoring import lint_monitoring

JOB = {"job": {"cronJob": "retrain"}}


def said(**spec: Any) -> dict[str, Level]:
    found = lint_monitoring(Monitoring.model_validate(spec))
    return {finding.where.removeprefix("spec.monitoring."): finding.level for finding in found}


def test_the_defaults_are_fine() -> None:
    assert said(drift={}, decay={}, onDrift=JOB, onDecay=JOB) == {}
    assert lint_monitoring(None) == []


@pytest.mark.parametrize(
    ("spec", "where", "level"),
    [
        ({"drift": {"learning": "1h"}}, "drift.learning", Level.WARNING),
        ({"decay": {"learning": "0s"}}, "decay.learning", Level.WARNING),
        ({"decay": {"levelFeedback": 50}}, "decay.levelFeedback", Level.NOTE),
        (
            {"drift": {}, "onDrift": {"webhook": {"url": "http://ci.example.com/x"}}},
            "onDrift.webhook.url",
            Level.WARNING,
        ),
        ({"drift": {}, "onDrift": JOB, "cooldown": "4d"}, "maxPerWeek", Level.NOTE),
    ],
)
def test_what_will_disappoint_is_told(spec: dict[str, Any], where: str, level: Level) -> None:
    assert said(**spec) == {where: level}


def test_services_of_the_cluster_may_be_told_by_http() -> None:
    inside = {"webhook": {"url": "http://ci.ml.svc:8080/retrain"}}
    assert said(drift={}, onDrift=inside) == {}
