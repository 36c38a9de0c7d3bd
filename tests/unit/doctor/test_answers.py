"""A rollout that checks answers of models that do not tell them is found before it begins."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.resources import CANARY_POLICIES, CLUSTER_CANARY_POLICIES, MODEL_ROLLOUTS

from .small_place import NOW, POD, Place

ANSWERS = [{"name": "p", "metric": "predictions", "difference": {}}]
ERRORS = [{"name": "e", "metric": "error-rate", "compare": {}}]


def rollout(place: Place, **spec: Any) -> None:
    meta = {"name": "iris", "namespace": "prod"}
    place.put(MODEL_ROLLOUTS, {"metadata": meta, "spec": spec, "status": {"phase": "Idle"}})


def policy(place: Place, checks: list[dict[str, Any]], namespace: str | None = None) -> None:
    resource = CANARY_POLICIES if namespace else CLUSTER_CANARY_POLICIES
    meta = {"name": "mine"} | ({"namespace": namespace} if namespace else {})
    place.put(resource, {"metadata": meta, "spec": {"checks": checks}})


def kit(place: Place) -> None:
    labels = {"namespace": "prod", "deployment_name": "iris", "predictor_name": "main"}
    place.prometheus.count(POD, "sluice_model_profile_info", {**labels, "bins": "b"}, 1)
    place.scrape(until=NOW + 1)


@pytest.mark.parametrize("namespace", [None, "prod"])
def test_a_model_without_the_kit_is_told_where_its_policy_asks(namespace: str | None) -> None:
    place = Place()
    policy(place, ANSWERS, namespace)
    kind = "CanaryPolicy" if namespace else "ClusterCanaryPolicy"
    rollout(place, policyRef={"kind": kind, "name": "mine"})
    found = place.bad()["AnswersNotSeen"]
    assert "predictor main" in found.what
    assert found.where == "SeldonDeployment prod/iris"
    assert "docs/metrics.md#answers" in found.remedy
    kit(place)
    assert "AnswersNotSeen" not in place.all()
    assert "1 of 1 predictors" in place.all()["AnswersSeen"].what


def test_the_rollouts_own_checks_count_before_the_policys() -> None:
    place = Place()
    policy(place, ANSWERS)
    ref = {"name": "mine"}
    rollout(place, policyRef=ref, strategy={"canary": {"checks": ERRORS}})
    assert "AnswersNotSeen" not in place.all()
    rollout(place, strategy={"blueGreen": {"checks": ANSWERS}})
    assert "AnswersNotSeen" in place.all()


def test_nobody_who_does_not_ask_is_told_anything() -> None:
    place = Place()
    rollout(place)
    found = place.all()
    assert "AnswersNotSeen" not in found
    assert "AnswersSeen" not in found
    assert not [q for q in place.prometheus.queries if "sluice_model" in q]


def test_a_policy_that_is_not_there_asks_for_nothing() -> None:
    place = Place()
    rollout(place, policyRef={"name": "gone"})
    assert "AnswersNotSeen" not in place.all()
