"""Linting a ModelRollout's gates: what will never open, and what a return cannot find."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.simulation.files import Document
from sluice.simulation.lint import Finding, Traffic, lint

LIMIT = {"name": "few", "metric": "error-rate", "limit": {"max": 0.02}}


def findings(**spec: Any) -> tuple[Finding, ...]:
    """What is said of a rollout with these fields beside what the policy gives rise to."""
    content = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": "iris", "namespace": "prod"},
        "spec": {"template": {"spec": {"predictors": [{"graph": {"name": "m"}}]}}, **spec},
    }
    found = lint([Document("r.yaml", 1, content)], Traffic())[0].findings
    return tuple(f for f in found if f.where.startswith(("spec.gates", "spec.rollbackWindow")))


def webhook(url: str) -> dict[str, Any]:
    return {"gates": {"webhooks": [{"name": "a", "at": "BeforeStart", "url": url}]}}


@pytest.mark.parametrize(
    ("spec", "level", "where", "says"),
    [
        (
            {"gates": {"windows": [{"timeZone": "Europe/Atlantis"}]}},
            "error",
            "spec.gates.windows[0].timeZone",
            "not known",
        ),
        (
            {"gates": {"promotedIn": [{"name": "other"}, {"name": "iris"}]}},
            "error",
            "spec.gates.promotedIn[1]",
            "waits for itself",
        ),
        (webhook("http://ci.example.com/"), "warning", "spec.gates.webhooks[0].url", "by http"),
        (
            {"rollbackWindow": {"revisions": 1}, "strategy": {"canary": {"bakeHoldback": 0}}},
            "warning",
            "spec.rollbackWindow",
            "no check has",
        ),
    ],
)
def test_what_is_wrong_is_said(spec: dict[str, Any], level: str, where: str, says: str) -> None:
    [found] = findings(**spec)
    assert (found.level, found.where) == (level, where)
    assert says in found.what
    assert found.fix


@pytest.mark.parametrize(
    "spec",
    [
        {"gates": {"windows": [{"timeZone": "Europe/Berlin"}]}},
        {"gates": {"promotedIn": [{"name": "iris", "namespace": "stage"}]}},
        webhook("http://gate.ci.svc:8080/"),
        webhook("https://ci.example.com/"),
        {"rollbackWindow": {"revisions": 1}},
        {
            "rollbackWindow": {"revisions": 1},
            "strategy": {"canary": {"checks": [LIMIT], "bakeHoldback": 0}},
        },
    ],
)
def test_what_is_right_is_left_alone(spec: dict[str, Any]) -> None:
    assert findings(**spec) == ()
