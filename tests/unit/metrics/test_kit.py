"""The model kit's series as the monitoring reads them."""

from __future__ import annotations

import numpy as np
import pytest

from sluice.errors import MetricsUnavailableError
from sluice.metrics.client import PrometheusClient
from sluice.metrics.kit import KitSource, Layout, Variable, shown_name
from sluice.metrics.queries import Target
from sluice.testing.prometheus import FakePrometheus

IRIS, OTHER = Target("prod", "iris", "v1"), Target("prod", "other", "v2")
WIDTH = Variable("feature", "width", (5.0, 3.0, 2.0))
SAID = Variable("prediction", "species", (6.0, 4.0))


@pytest.fixture
def prometheus() -> FakePrometheus:
    return FakePrometheus()


@pytest.fixture
def source(prometheus: FakePrometheus) -> KitSource:
    return KitSource(PrometheusClient(prometheus.url, adapter=prometheus.adapter()))


def put(
    prometheus: FakePrometheus, target: Target, pod: str, metric: str, n: float, **labels: str
) -> None:
    where = {
        "namespace": target.namespace,
        "deployment_name": target.deployment,
        "predictor_name": target.predictor,
    }
    prometheus.count(pod, metric, {**where, **labels}, n)


def put_variable(
    prometheus: FakePrometheus, target: Target, pod: str, metric: str, one: Variable
) -> None:
    for at, n in enumerate(one.training):
        labels = {"kind": one.kind, "variable": one.name, "bin": f"{at:02d}"}
        put(prometheus, target, pod, metric, n, **labels)


def test_training_is_read_once_whatever_the_pods_and_in_the_order_of_bins(
    prometheus: FakePrometheus, source: KitSource
) -> None:
    wide = Variable("feature", "wide", tuple(float(n) for n in range(12)))
    for pod in ("a", "b"):
        for one in (SAID, wide):
            put_variable(prometheus, IRIS, pod, "sluice_model_reference", one)
    prometheus.scrape(100)
    found = source.references([IRIS, OTHER], 101)
    assert found == {IRIS: (wide, SAID)}


def test_two_profiles_behind_one_predictor_are_seen(
    prometheus: FakePrometheus, source: KitSource
) -> None:
    for pod, profile in (("a", "p1"), ("b", "p2")):
        put(prometheus, IRIS, pod, "sluice_model_profile_info", 1, profile=profile)
    put(prometheus, OTHER, "c", "sluice_model_profile_info", 1, profile="p1")
    prometheus.scrape(100)
    found = source.profiles([IRIS, OTHER], 101)
    assert found == {IRIS: frozenset({"p1", "p2"}), OTHER: frozenset({"p1"})}


def test_counts_come_by_pod_in_the_layouts_columns_and_strangers_count_nowhere(
    prometheus: FakePrometheus, source: KitSource
) -> None:
    name = "sluice_model_observations_total"
    put_variable(prometheus, IRIS, "a", name, Variable("feature", "width", (1, 2, 3)))
    put_variable(prometheus, IRIS, "b", name, Variable("feature", "width", (4, 0, 0)))
    put_variable(prometheus, IRIS, "a", name, Variable("prediction", "species", (7, 8)))
    put_variable(prometheus, IRIS, "a", name, Variable("feature", "unknown", (9, 9, 9)))
    put_variable(prometheus, OTHER, "c", name, Variable("feature", "width", (9, 9, 9)))
    put(prometheus, IRIS, "a", name, float("nan"), kind="feature", variable="width", bin="00")
    prometheus.scrape(100)
    layout = Layout((WIDTH, SAID))
    found = source.observations({IRIS: layout}, 101)
    assert set(found) == {IRIS}
    assert found[IRIS]["a"].values.tolist() == [0, 2, 3, 7, 8], "a gap counts as nothing"
    assert found[IRIS]["b"].values.tolist() == [4, 0, 0, 0, 0]
    table = layout.table(found[IRIS]["a"].values, 4)
    assert table.tolist() == [[0, 2, 3, 0], [7, 8, 0, 0]]


def test_a_pod_that_missed_a_scrape_is_in_the_baseline(
    prometheus: FakePrometheus, source: KitSource
) -> None:
    put_variable(prometheus, IRIS, "a", "sluice_model_observations_total", WIDTH)
    prometheus.scrape(100)
    prometheus.unreachable.add("a")
    prometheus.scrape(110)
    layouts = {IRIS: Layout((WIDTH,))}
    assert source.observations(layouts, 111) == {}
    assert set(source.observations(layouts, 111, 900.0)[IRIS]) == {"a"}


def test_feedback_is_how_many_and_how_good(prometheus: FakePrometheus, source: KitSource) -> None:
    for truth, outcome, n in (("x", "right", 5), ("y", "right", 3), ("y", "wrong", 2)):
        name = "sluice_model_feedback_total"
        put(prometheus, IRIS, "a", name, n, truth=truth, outcome=outcome)
    for who, n in (("self", 3), ("unknown", 1), ("other", 9)):
        put(prometheus, IRIS, "a", "sluice_model_feedback_requests_total", n, answered=who)
    put(prometheus, IRIS, "a", "sluice_model_reward_total", 2.5, sign="positive")
    put(prometheus, IRIS, "a", "sluice_model_reward_total", 9.0, sign="negative")
    prometheus.scrape(100)
    np.testing.assert_array_equal(source.outcomes([IRIS], 101)[IRIS]["a"].values, [10, 8])
    np.testing.assert_array_equal(source.rewards([IRIS], 101)[IRIS]["a"].values, [4, 2.5])


def test_queries_name_the_deployments_while_they_are_few(
    prometheus: FakePrometheus, source: KitSource
) -> None:
    source.profiles([IRIS, OTHER], 101)
    assert 'deployment_name=~"iris|other"' in prometheus.queries[-1]
    many = [Target("prod", f"m{i}", "v1") for i in range(60)]
    source.profiles(many, 101)
    assert "deployment_name=~" not in prometheus.queries[-1]
    assert source.queries == 2


def test_an_outage_is_an_error(prometheus: FakePrometheus, source: KitSource) -> None:
    prometheus.down = True
    with pytest.raises(MetricsUnavailableError):
        source.profiles([IRIS], 101)


def test_a_feature_that_is_called_like_the_models_own_keeps_its_kind() -> None:
    score = Variable("score", "p", (1.0, 1.0))
    feature = Variable("feature", "score", (1.0, 1.0))
    assert shown_name(score, [score, feature]) == "score"
    assert shown_name(feature, [score, feature]) == "feature:score"
    assert shown_name(feature, [feature]) == "score"
    assert shown_name(SAID, [SAID]) == "prediction"
