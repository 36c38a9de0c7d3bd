"""Names, ports, templates and routes: what the operator makes of a SeldonDeployment."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from contract_objects import predictor, seldon_deployment

from sluice.sandbox.operator import names
from sluice.sandbox.operator.desired import Desired, desired
from sluice.sandbox.operator.settings import Settings

Json = dict[str, Any]


def make(*predictors: Json, **spec: Any) -> Desired:
    return desired(seldon_deployment(*predictors, **spec), Settings())


def templates(*predictors: Json, **spec: Any) -> dict[str, Json]:
    made = make(*predictors, **spec)
    return {each["metadata"]["name"]: each["spec"]["template"] for each in made.deployments}


def ports_of(template: Json, container: int = 0) -> dict[str, int]:
    ports = template["spec"]["containers"][container]["ports"]
    return {port["name"]: port["containerPort"] for port in ports}


def weights(made: Desired) -> list[list[int | None]]:
    return [
        [route.get("weight") for route in rule["route"]]
        for rule in made.virtual_service["spec"]["http"]
    ]


@pytest.mark.parametrize(("length", "hashed"), [(62, False), (63, False), (64, True), (72, True)])
def test_a_name_is_hashed_above_63_characters(length: int, hashed: bool) -> None:
    name = "iris-" + "p" * (length - 5)
    assert names.limited(name).startswith("seldon-") is hashed
    assert len(names.limited(name)) == (39 if hashed else length)


def test_each_name_is_hashed_on_its_own() -> None:
    made = make(predictor("p" * 52, 100))
    assert made.deployment_names[0].startswith("seldon-")
    assert made.service_names[1] == "iris-" + "p" * 52


def test_the_component_and_the_service_can_be_named_by_hand() -> None:
    component = predictor("main")["componentSpecs"][0]
    named = predictor(
        "main",
        componentSpecs=[{**component, "metadata": {"name": "own"}}],
        annotations={"seldon.io/svc-name": "my-svc"},
    )
    made = make(named)
    assert made.deployment_names == ["iris-main-0-own"]
    assert made.service_names == ["iris-main-model", "my-svc"]
    assert made.destination_rules[0]["metadata"]["name"] == "my-svc"


def test_metrics_ports_count_over_all_predictors_and_http_ports_within_one() -> None:
    made = templates(predictor("main", 100, metrics=False), predictor("canary", 0, metrics=False))
    assert ports_of(made["iris-main-0-model"]) == {"metrics": 6000, "http": 9000, "grpc": 9500}
    assert ports_of(made["iris-canary-0-model"]) == {"metrics": 6001, "http": 9000, "grpc": 9500}


def test_promotion_without_a_metrics_port_renumbers_the_survivor() -> None:
    canary = predictor("canary", 100, metrics=False)
    both = templates(predictor("main", 0, metrics=False), canary)
    assert templates(canary)["iris-canary-0-model"] != both["iris-canary-0-model"]


def test_promotion_with_a_metrics_port_leaves_the_survivor_alone() -> None:
    canary = predictor("canary", 100)
    both = templates(predictor("main", 0), canary)
    assert templates(canary)["iris-canary-0-model"] == both["iris-canary-0-model"]


def test_an_explicit_and_an_assigned_metrics_port_6000_give_equal_pods() -> None:
    assert templates(predictor("main", 100)) == templates(predictor("main", metrics=False))


@pytest.mark.parametrize("change", [{"traffic": 90}, {"replicas": 5}])
def test_traffic_and_replicas_are_not_in_the_pod_template(change: Json) -> None:
    other = predictor("b", 10)
    before = templates(predictor("a", 10), other)
    assert templates({**predictor("a", 10), **change}, other) == before


HPA = {"minReplicas": 1, "maxReplicas": 5}


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"team": "x"}},
        {"annotations": {"a": "b"}},
        {"shadow": True},
        {"svcOrchSpec": {"env": [{"name": "A", "value": "1"}]}},
        {"componentSpecs": [{**predictor("a")["componentSpecs"][0], "hpaSpec": HPA}]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_these_changes_roll_the_pods(change: Json) -> None:
    assert templates({**predictor("a", 10), **change}) != templates(predictor("a", 10))


def test_the_engine_is_told_its_predictor_and_runs_with_the_recorded_arguments() -> None:
    container = templates(predictor("main", 100))["iris-main-0-model"]["spec"]["containers"][-1]
    assert container["name"] == "seldon-container-engine"
    assert container["args"][:6] == ["--sdep", "iris", "--namespace", "prod", "--predictor", "main"]
    told = json.loads(base64.b64decode(container["env"][0]["value"]))
    assert "traffic" not in told
    assert told["graph"]["endpoint"]["service_host"] == "localhost"
    assert told["graph"]["endpoint"]["httpPort"] == 9000


def test_two_containers_get_ports_in_the_order_of_the_component() -> None:
    containers = [{"name": "tr", "image": "t:1"}, {"name": "model", "image": "m:1"}]
    graph = {"name": "model", "type": "MODEL", "children": [{"name": "tr", "type": "TRANSFORMER"}]}
    made = templates(
        predictor("main", graph=graph, componentSpecs=[{"spec": {"containers": containers}}])
    )
    template = made["iris-main-0-tr-model"]
    assert ports_of(template, 0) == {"metrics": 6000, "http": 9000, "grpc": 9500}
    assert ports_of(template, 1) == {"metrics": 6001, "http": 9001, "grpc": 9501}


def test_without_an_engine_the_routes_lead_to_the_model_itself() -> None:
    made = make(predictor("main", 100, annotations={"seldon.io/no-engine": "true"}))
    containers = made.deployments[0]["spec"]["template"]["spec"]["containers"]
    assert [container["name"] for container in containers] == ["model"]
    route = made.virtual_service["spec"]["http"][0]["route"][0]
    assert route["destination"]["port"]["number"] == 9000


def test_a_separate_engine_has_a_deployment_of_its_own() -> None:
    annotation = {"seldon.io/engine-separate-pod": "true"}
    assert make(predictor("main", 100), annotations=annotation).deployment_names == [
        "iris-main-svc-orch",
        "iris-main-0-model",
    ]
    # The same annotation on the predictor has no effect.
    assert make(predictor("main", 100, annotations=annotation)).deployment_names == [
        "iris-main-0-model"
    ]


def test_weight_zero_is_written_by_leaving_the_weight_out() -> None:
    assert weights(make(predictor("a", 100), predictor("b", 0))) == [[100, None]] * 2
    assert weights(make(predictor("a", 80), predictor("b", 20))) == [[80, 20]] * 2
    assert weights(make(predictor("a"))) == [[None]] * 2


@pytest.mark.parametrize(("traffic", "percentage"), [(20, {"value": 20}), (0, None), (None, None)])
def test_a_shadow_is_a_mirror_and_without_traffic_one_without_percentage(
    traffic: int | None, percentage: Json | None
) -> None:
    made = make(predictor("main", 100), predictor("shadow", traffic, shadow=True))
    for rule in made.virtual_service["spec"]["http"]:
        assert [route["destination"]["subset"] for route in rule["route"]] == ["main"]
        assert rule["mirror"]["subset"] == "shadow"
        assert rule.get("mirrorPercentage") == percentage


def test_replicas_come_from_the_predictor_then_the_whole_then_one() -> None:
    bare = {key: value for key, value in predictor("a").items() if key != "replicas"}

    def replicas(each: Json, **spec: Any) -> int:
        return int(make(each, **spec).deployments[0]["spec"]["replicas"])

    assert replicas({**bare, "replicas": 3}, replicas=4) == 3
    assert replicas(bare, replicas=4) == 4
    assert replicas(bare) == 1


def test_an_hpa_takes_the_replicas_over() -> None:
    component = {**predictor("a")["componentSpecs"][0], "hpaSpec": HPA}
    made = make(predictor("a", componentSpecs=[component], replicas=3))
    assert made.deployments[0]["spec"]["replicas"] == 1
    assert made.hpas[0]["metadata"]["name"] == "iris-a-0-model"
    assert made.scaled == {"iris-a-0-model"}
