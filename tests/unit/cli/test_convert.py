"""`sluice convert`: what comes out passes lint, and every field that went in is accounted for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.api.rollout import parse_policy, parse_rollout
from sluice.cli.converting.queries import check_name, check_of_query, threshold
from sluice.cli.converting.source import Source

Sluice = Callable[..., int]
Capture = pytest.CaptureFixture[str]

SELDON = """
apiVersion: machinelearning.seldon.io/v1
kind: SeldonDeployment
metadata:
  name: iris
  namespace: prod
  labels: {team: search}
spec:
  name: iris
  protocol: seldon
  predictors:
  - name: main
    replicas: 2
    traffic: 80
    graph: {name: classifier, type: MODEL}
    componentSpecs:
    - spec: {containers: [{name: classifier, image: "repo/iris:1"}]}
"""
SECOND_PREDICTOR = """
  - name: canary
    traffic: 20
    graph: {name: classifier, type: MODEL}
    componentSpecs:
    - spec: {containers: [{name: classifier, image: "repo/iris:2"}]}
"""
ARGO = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: iris, namespace: prod}
spec:
  replicas: 3
  revisionHistoryLimit: 5
  progressDeadlineSeconds: 900
  minReadySeconds: 7
  selector: {matchLabels: {app: iris}}
  template:
    metadata: {labels: {app: iris}}
    spec: {containers: [{name: classifier, image: "repo/iris:1"}]}
  strategy:
    canary:
      stableService: iris-stable
      trafficRouting: {istio: {virtualService: {name: iris}}}
      scaleDownDelaySeconds: 600
      analysis:
        templates: [{templateName: quality}]
        args: [{name: service, value: iris}]
      steps:
      - setWeight: 5
      - pause: {duration: 2m}
      - setWeight: 25
      - pause: {duration: 90}
      - pause: {}
      - setCanaryScale: {replicas: 1}
      - setWeight: 100
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: quality}
spec:
  args: [{name: service}]
  metrics:
  - name: success-rate
    interval: 1m
    failureLimit: 3
    successCondition: result[0] >= 0.98
    provider:
      prometheus:
        query: sum(rate(http_requests_total{code!~"5.."}[2m])) / sum(rate(http_requests_total[2m]))
  - name: p95
    failureCondition: result[0] > 0.25
    provider:
      prometheus:
        query: histogram_quantile(0.95, sum(rate(latency_seconds_bucket[2m])) by (le))
  - name: saturation
    successCondition: result[0] < 0.8
    provider: {prometheus: {query: avg(cpu_usage)}}
"""
BLUE_GREEN = """
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: iris}
spec:
  workloadRef: {kind: Deployment, name: iris}
  strategy:
    blueGreen:
      activeService: iris
      autoPromotionEnabled: false
      scaleDownDelaySeconds: 30
      prePromotionAnalysis: {templates: [{templateName: elsewhere}]}
"""
FLAGGER = """
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: iris, namespace: prod}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: iris}
  progressDeadlineSeconds: 60
  service: {port: 9000}
  analysis:
    interval: 30s
    threshold: 5
    maxWeight: 50
    stepWeight: 10
    metrics:
    - name: request-success-rate
      thresholdRange: {min: 99}
      interval: 1m
    - name: request-duration
      thresholdRange: {max: 500}
      interval: 1m
    - name: drift
      templateRef: {name: drift}
      thresholdRange: {max: 3}
    webhooks:
    - {name: load, url: "http://tester/"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: iris}
spec:
  replicas: 4
  template:
    spec: {containers: [{name: classifier, image: "repo/iris:1"}]}
"""


@pytest.fixture
def converted(tmp_path: Path, sluice: Sluice, capsys: Capture) -> Callable[[str], Any]:
    """Runs the command on a text: (comments as one line, objects by kind). It must pass lint."""

    def convert(text: str) -> tuple[str, dict[str, Any]]:
        path = tmp_path / "in.yaml"
        path.write_text(text)
        assert sluice("convert", "-f", str(path)) == 0
        out = capsys.readouterr().out
        (tmp_path / "out.yaml").write_text(out)
        assert sluice("lint", str(tmp_path / "out.yaml")) == 0, capsys.readouterr().out
        capsys.readouterr()
        comments = " ".join(ln.lstrip("# ") for ln in out.splitlines() if ln.startswith("#"))
        objects = {obj["kind"]: obj for obj in yaml.safe_load_all(out)}
        for kind, obj in objects.items():
            parse = parse_rollout if kind == "ModelRollout" else parse_policy
            parse(obj)
        return comments, objects

    return convert


def test_a_seldon_deployment_becomes_the_template_of_a_rollout_that_adopts_it(
    converted: Callable[[str], Any],
) -> None:
    comments, objects = converted(SELDON)
    rollout = objects["ModelRollout"]
    assert rollout["metadata"] == {"name": "iris", "namespace": "prod"}
    template = rollout["spec"]["template"]
    assert template["metadata"] == {"labels": {"team": "search"}}
    assert template["spec"]["protocol"] == "seldon"
    [predictor] = template["spec"]["predictors"]
    assert set(predictor) == {"replicas", "graph", "componentSpecs"}
    assert rollout["spec"]["deletionPolicy"] == "Orphan"
    assert "adopts it as it is: no pod restarts" in comments
    assert "No equivalent" not in comments
    assert "steps" not in comments


def test_the_revision_of_the_template_is_that_of_the_live_predictor(
    converted: Callable[[str], Any],
) -> None:
    """Otherwise the adoption would be a rollout."""
    from sluice.seldon.revision import revision_of

    _, objects = converted(SELDON)
    [predictor] = objects["ModelRollout"]["spec"]["template"]["spec"]["predictors"]
    [live] = yaml.safe_load(SELDON)["spec"]["predictors"]
    assert revision_of(predictor) == revision_of(live)


def test_of_two_predictors_the_one_with_more_traffic_is_stable(
    converted: Callable[[str], Any],
) -> None:
    comments, objects = converted(SELDON.rstrip() + SECOND_PREDICTOR)
    text = yaml.safe_dump(objects["ModelRollout"])
    assert "repo/iris:1" in text
    assert "repo/iris:2" not in text
    assert "main is taken as stable, for it has most of the traffic (80%)" in comments
    assert "the predictor canary (20% of the traffic; repo/iris:2)" in comments


def test_an_argo_canary_keeps_its_steps_limits_and_deadline(
    converted: Callable[[str], Any],
) -> None:
    comments, objects = converted(ARGO)
    policy, rollout = objects["CanaryPolicy"]["spec"], objects["ModelRollout"]["spec"]
    assert policy["steps"] == [{"weight": 5, "hold": "2m"}, {"weight": 25, "hold": "1m30s"}]
    assert policy["bake"] == "10m"
    assert "steps: 5% for 2m, 25% for 1m30s" in comments
    assert "weight 100: Sluice brings the candidate in at 0%" in comments
    assert policy["checks"] == [
        {"name": "success-rate", "metric": "error-rate", "limit": {"max": 0.02}},
        {"name": "p95", "metric": "latency", "limit": {"quantile": 0.95, "max": "250ms"}},
    ]
    assert rollout["progressDeadlineSeconds"] == 900
    assert rollout["policyRef"] == {"kind": "CanaryPolicy", "name": "iris"}
    [predictor] = rollout["template"]["spec"]["predictors"]
    assert predictor["graph"] == {"name": "classifier", "type": "MODEL"}
    assert predictor["replicas"] == 3
    for lost in (
        "metric saturation of the AnalysisTemplate quality: avg(cpu_usage): result[0] < 0.8",
        "the pause without an end at 25%",
        "spec.minReadySeconds: 7",
        "spec.strategy.canary.stableService: iris-stable",
        "spec.strategy.canary.trafficRouting.istio.virtualService.name: iris",
        "spec.strategy.canary.steps[5].setCanaryScale.replicas: 1",
        "spec.template.metadata.labels.app: iris",
    ):
        assert lost in comments, lost


def test_blue_green_says_what_it_became_and_what_is_missing(
    converted: Callable[[str], Any],
) -> None:
    comments, objects = converted(BLUE_GREEN)
    assert [step["weight"] for step in objects["CanaryPolicy"]["spec"]["steps"]] == [10, 50]
    assert objects["CanaryPolicy"]["spec"]["bake"] == "30s"
    for said in (
        "blue-green became a canary of two steps",
        "autoPromotionEnabled false",
        "the AnalysisTemplate elsewhere: it is not in the file",
        "put your containers in the place of CHANGE-ME",
        "spec.strategy.blueGreen.activeService: iris",
        "no check could be carried over",
    ):
        assert said in comments, said


def test_a_flagger_canary_keeps_its_weights_and_its_two_metrics(
    converted: Callable[[str], Any],
) -> None:
    comments, objects = converted(FLAGGER)
    policy = objects["CanaryPolicy"]["spec"]
    assert [step["weight"] for step in policy["steps"]] == [10, 20, 30, 40, 50]
    assert {step["hold"] for step in policy["steps"]} == {"30s"}
    assert policy["checks"] == [
        {"name": "errors", "metric": "error-rate", "limit": {"max": 0.01}},
        {"name": "latency", "metric": "latency", "limit": {"quantile": 0.99, "max": "500ms"}},
    ]
    [predictor] = objects["ModelRollout"]["spec"]["template"]["spec"]["predictors"]
    assert predictor["replicas"] == 4
    for said in ("the metric drift", "webhooks[0].url: http://tester/", "spec.service.port: 9000"):
        assert said in comments, said
    assert "threshold: Flagger rolls back after so many failed looks" in comments


@pytest.mark.parametrize(
    ("analysis", "weights"),
    [
        ("{interval: 1m, stepWeights: [1, 5, 100]}", [1, 5]),
        ("{interval: 1m, stepWeight: 50}", [50]),
        ("{interval: 10s, iterations: 6}", [50]),
        ("{interval: 1m}", [5, 20, 50]),
    ],
)
def test_every_way_of_flaggers_to_give_weights(
    converted: Callable[[str], Any], analysis: str, weights: list[int]
) -> None:
    canary = {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "iris"},
        "spec": {
            "targetRef": {"kind": "Deployment", "name": "x"},
            "analysis": yaml.safe_load(analysis),
        },
    }
    _, objects = converted(yaml.safe_dump(canary))
    assert [step["weight"] for step in objects["CanaryPolicy"]["spec"]["steps"]] == weights


def test_many_small_steps_are_thinned_out(converted: Callable[[str], Any]) -> None:
    canary = yaml.safe_load(FLAGGER.partition("---")[0])
    canary["spec"]["analysis"] |= {"stepWeight": 1, "maxWeight": 60}
    comments, objects = converted(yaml.safe_dump(canary))
    steps = objects["CanaryPolicy"]["spec"]["steps"]
    assert (len(steps), steps[0], steps[-1]["weight"]) == (30, {"weight": 2, "hold": "1m"}, 60)
    assert "of 60 steps one in 2 is kept" in comments


def test_a_file_without_anything_known_is_refused(
    tmp_path: Path, sluice: Sluice, capsys: Capture
) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("kind: ConfigMap\nmetadata: {name: x}\n")
    assert sluice("convert", "-f", str(path)) == 2
    assert "found ConfigMap" in capsys.readouterr().err
    path.write_text(FLAGGER.replace("interval: 30s", "interval: soon"))
    assert sluice("convert", "-f", str(path)) == 2
    assert "expected a valid Canary" in capsys.readouterr().err


def test_what_nobody_took_is_left() -> None:
    source = Source({"a": {"b": [1, {"c": 2}], "d": {}}, "kind": "K", "status": {"x": 1}})
    assert source.take("a", "b", 0) == 1
    assert source.take("a", "nothing", default=7) == 7
    assert source.left() == ["a.b[1].c: 2", "a.d: {}"]


@pytest.mark.parametrize(
    ("metric", "must"),
    [
        ({"successCondition": "result[0] >= 0.95"}, (">", 0.95)),
        ({"successCondition": "asFloat(result[0]) > 99"}, (">", 99.0)),
        ({"failureCondition": "result[0] >= 0.05"}, ("<", 0.05)),
        ({"successCondition": "len(result) == 0 || result[0] > 1"}, None),
        ({}, None),
    ],
)
def test_a_condition_is_a_comparison_or_not_understood(
    metric: dict[str, str], must: tuple[str, float] | None
) -> None:
    assert threshold(metric) == must


def test_a_query_that_is_not_understood_becomes_no_check() -> None:
    assert check_of_query("x", "avg(cpu)", ("<", 0.8)) is None
    assert check_of_query("x", "rate(errors[1m])", ("<", 20.0)) == {
        "name": "x",
        "metric": "error-rate",
        "limit": {"max": 0.2},
    }
    assert check_of_query("x", "rate(errors[1m])", (">", 0.1)) is None
    tail = check_of_query("x", "histogram_quantile(0.99, ms_bucket)", ("<", 250.0))
    assert tail is not None
    assert tail["limit"] == {"quantile": 0.99, "max": "250ms"}
    assert check_name("P95 Latency!") == "p95-latency"
