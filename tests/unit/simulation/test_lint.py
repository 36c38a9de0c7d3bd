"""Linting: what a policy cannot keep is said, with the number and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.simulation.cost import costs
from sluice.simulation.files import Document, read_documents, read_policy
from sluice.simulation.lint import Finding, Level, Traffic, lint

REPOSITORY = Path(__file__).parents[3]
LIBRARY = sorted((REPOSITORY / "canary_policies").glob("*.yaml"))
COMPARE = {"name": "errors", "metric": "error-rate", "compare": {}}


def policy(**spec: Any) -> Document:
    """A policy with these fields."""
    base = {"steps": [{"weight": 5, "hold": "1m"}, {"weight": 50, "hold": "1m"}]}
    content = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "CanaryPolicy",
        "metadata": {"name": "p"},
        "spec": base | {"checks": [COMPARE]} | spec,
    }
    return Document("p.yaml", 1, content)


def findings(document: Document, **traffic: float) -> tuple[Finding, ...]:
    """What is said about it."""
    return lint([document], Traffic(**traffic))[0].findings


def latency_limit(limit: str) -> list[dict[str, Any]]:
    return [{"name": "p99", "metric": "latency", "limit": {"quantile": 0.99, "max": limit}}]


def test_the_library_has_no_errors() -> None:
    documents = [d for path in LIBRARY for d in read_documents(path)]
    found = [f for each in lint(documents, Traffic(20, 0.005)) for f in each.findings]
    assert [f for f in found if f.level is Level.ERROR] == []


@pytest.mark.parametrize(
    ("spec", "level", "where", "says"),
    [
        ({"steps": [{"weight": 100}]}, "error", "spec.steps[0].weight", "nothing can be compared"),
        (
            {"steps": [{"weight": 5, "hold": "2h"}], "onUndecided": {"after": "1h"}},
            "error",
            "spec.steps[0].hold",
            "2h is not shorter than onUndecided.after (1h)",
        ),
        ({"checks": latency_limit("1ms")}, "error", "spec.checks[0]", "below the first bucket"),
        ({"checks": latency_limit("20s")}, "error", "spec.checks[0]", "above the last bucket"),
        ({"checks": latency_limit("300ms")}, "warning", "spec.checks[0]", "250ms and 500ms"),
        ({"bake": "0s"}, "warning", "spec.bake", "nothing switches back"),
        ({"warmup": "5m"}, "warning", "spec.warmup", "nothing is measured"),
        (
            {"checks": [COMPARE | {"compare": {"unacceptableRatio": 1.05}}]},
            "warning",
            "spec.checks[0] (errors).compare.unacceptableRatio",
            "at least 10,",
        ),
        (
            {"checks": [COMPARE | {"warmup": "3m"}]},
            "warning",
            "spec.checks[0] (errors).warmup",
            "nothing is measured",
        ),
        (
            {"checks": [COMPARE | {"warmup": "10s"}]},
            "note",
            "spec.checks[0] (errors).warmup",
            "has no effect: the policy's own warm-up lasts 30s",
        ),
        ({"steps": []}, "error", "spec", "at least 1 item"),
        ({"stepz": []}, "error", "spec", "spec.stepz"),
    ],
)
def test_contradiction_is_found(spec: dict[str, Any], level: str, where: str, says: str) -> None:
    found = [f for f in findings(policy(**spec)) if f.where.startswith(where) and says in f.what]
    assert [f.level.value for f in found] == [level], findings(policy(**spec))
    assert found[0].fix


def test_limit_below_the_stables_own_rate_is_an_error() -> None:
    checks = [{"name": "errors", "metric": "error-rate", "limit": {"max": 0.002}}]
    found = findings(policy(checks=checks), error_rate=0.005)
    assert "is not above the stable's own rate of 0.5%" in found[0].what
    assert findings(policy(checks=checks), error_rate=0.0001) == ()


def test_policy_that_can_never_promote_at_the_traffic_is_an_error() -> None:
    assert findings(policy(), rps=20, error_rate=0.005) == ()
    found = findings(policy(), rps=0.1, error_rate=0.005)
    assert [f.level for f in found] == [Level.WARNING, Level.ERROR]
    assert "answers about 3 requests" in found[0].what, "5% of .1 requests/s for ten minutes"
    assert "onUndecided.after is 1d" in found[1].what
    assert len(findings(policy(bakeHoldback=0), rps=0.1, error_rate=0.005)) == 1


def test_costs_are_the_information_limit_times_a_realistic_factor() -> None:
    promotion, twice, five = costs(read_policy(LIBRARY[0]), 20, 0.005)
    assert promotion.minutes == pytest.approx(15.3, abs=1)
    assert twice.minutes is not None
    assert five.minutes is not None
    assert five.minutes < twice.minutes
    slower = costs(read_policy(LIBRARY[0]), 2, 0.005)[0]
    assert slower.minutes is not None
    assert promotion.minutes is not None
    assert slower.minutes > 5 * promotion.minutes


def test_rollout_is_judged_by_the_policy_it_names() -> None:
    spec = {
        "template": {"spec": {"predictors": [{"graph": {"name": "m"}}]}},
        "policyRef": {"kind": "CanaryPolicy", "name": "p"},
        "strategy": {"canary": {"bake": "0s"}},
    }
    content = {"apiVersion": "sluice.dev/v1alpha1", "kind": "ModelRollout", "spec": spec}
    rollout = Document("r.yaml", 1, content | {"metadata": {"name": "m"}})
    assert [f.where for f in lint([policy(), rollout], Traffic())[1].findings] == ["spec.bake"]
    assert "not among the files" in findings(rollout)[0].what
    empty = Document("r.yaml", 1, {**content, "spec": {}})
    assert "spec.template" in findings(empty)[0].what


ANSWERS = {"name": "answers", "metric": "predictions", "difference": {"unacceptable": 0.1}}
TRUTHS = {"name": "truths", "metric": "feedback", "difference": {"perClass": True}}


def test_checks_of_answers_are_fine_and_say_what_they_take() -> None:
    asked = policy(checks=[COMPARE, ANSWERS, TRUTHS])
    assert findings(asked, rps=20, error_rate=0.005) == ()
    told = {c.check or c.what: c for c in lint([asked], Traffic(20, 0.005))[0].costs}
    assert told["answers"].requests == pytest.approx(520, abs=60)
    truths = told["truths: Pass of a candidate like the stable"]
    assert truths.minutes is None
    assert truths.requests == pytest.approx(540, abs=20)


def test_a_policy_of_answers_alone_has_its_costs_too() -> None:
    (linted,) = lint([policy(checks=[ANSWERS])], Traffic(20, 0.005))
    assert [cost.check for cost in linted.costs] == ["answers"]


@pytest.mark.parametrize(
    ("spec", "level", "where", "says"),
    [
        (
            {"checks": [{**ANSWERS, "difference": {"acceptable": 0, "unacceptable": 0.005}}]},
            "warning",
            "spec.checks[0] (answers).difference.unacceptable",
            "0.5 points are so few",
        ),
        (
            {"checks": [ANSWERS], "bakeHoldback": 0},
            "note",
            "spec.checks[0] (answers)",
            "answers are not compared then",
        ),
        (
            {"checks": [ANSWERS], "steps": [{"weight": 100}]},
            "error",
            "spec.steps[0].weight",
            "nothing can be compared",
        ),
        (
            {"checks": [ANSWERS], "onUndecided": {"after": "2m"}},
            "error",
            "spec.checks[0] (answers)",
            "it will be given up",
        ),
    ],
)
def test_answers_that_cannot_be_judged_are_told(
    spec: dict[str, Any], level: str, where: str, says: str
) -> None:
    found = [f for f in findings(policy(**spec), rps=0.5) if f.where == where]
    assert [f.level.value for f in found] == [level]
    assert says in found[0].what


@pytest.mark.parametrize(
    ("strategy", "says"),
    [
        ({"blueGreen": {"checks": [COMPARE, ANSWERS]}}, "one version has all the traffic: answers"),
        (
            {"blueGreen": {"shadow": {"percent": 50}, "checks": [ANSWERS, TRUTHS]}},
            "no truth comes about them: truths can",
        ),
        ({"blueGreen": {"shadow": {"percent": 50}, "checks": [ANSWERS]}}, ""),
        ({"canary": {"shadow": {"percent": 50}, "checks": [ANSWERS, TRUTHS]}}, ""),
    ],
)
def test_a_strategy_that_gives_nothing_to_compare_is_told(
    strategy: dict[str, Any], says: str
) -> None:
    spec = {
        "template": {"spec": {"predictors": [{"graph": {"name": "m"}}]}},
        "strategy": strategy,
    }
    content = {"apiVersion": "sluice.dev/v1alpha1", "kind": "ModelRollout", "spec": spec}
    found = findings(Document("r.yaml", 1, content | {"metadata": {"name": "m"}}))
    told = [f.what for f in found if f.where.startswith("spec.strategy.blueGreen")]
    assert [says in what for what in told] == ([True] if says else [])


def test_other_kinds_are_left_alone() -> None:
    found = findings(Document("x.yaml", 1, {"kind": "Service"}))
    assert [f.level for f in found] == [Level.NOTE]


def test_several_documents_of_a_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all([dict(policy().content), dict(policy().content)]))
    assert [d.number for d in read_documents(path)] == [1, 2]
