"""What the executor's metrics promise to whoever scrapes them."""

import math

import pytest
from executor_parts import SERVER, counts, settings
from prometheus_client.parser import text_string_to_metric_families

from sluice.sandbox.executor.metrics import BUCKETS, WINDOW_SECONDS, RequestMetrics
from sluice.sandbox.executor.serving import request_metrics


@pytest.fixture
def metrics():
    return request_metrics(settings())


def serve(metrics, seconds=0.004, code="200", times=1):
    for _ in range(times):
        metrics.served(service="predictions", method="post", code=code, seconds=seconds)


def families(text):
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_there_is_no_series_before_the_first_request(metrics):
    assert "seldon_" not in metrics.text()


def test_a_code_has_a_series_only_once_it_happened(metrics):
    serve(metrics)
    assert counts(metrics.text(), SERVER) == {"200 post predictions": 1}
    serve(metrics, code="500")
    assert counts(metrics.text(), SERVER) == {"200 post predictions": 1, "500 post predictions": 1}


def test_server_series_carry_exactly_the_recorded_labels_in_order(metrics):
    serve(metrics)
    assert (
        'seldon_api_executor_server_requests_seconds_count{code="200",deployment_name="iris",'
        'method="post",predictor_name="canary",predictor_version="",service="predictions"} 1\n'
    ) in metrics.text()


def test_client_series_say_which_model_answered(metrics):
    metrics.called(service="/predict", method="post", code="200", seconds=0.001)
    assert (
        'seldon_api_executor_client_requests_seconds_count{code="200",deployment_name="iris",'
        'method="post",model_image="repo/m",model_name="model",model_version="1",'
        'predictor_name="canary",predictor_version="",service="/predict"} 1\n'
    ) in metrics.text()
    assert "server_requests" not in metrics.text()


def test_bucket_edges_are_the_recorded_ones_as_go_writes_them(metrics):
    serve(metrics)
    lines = [line for line in metrics.text().splitlines() if "_bucket{" in line]
    edges = [line.split('le="')[1].split('"')[0] for line in lines]
    assert " ".join(edges) == "0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10 +Inf"


@pytest.mark.parametrize("edge", BUCKETS)
def test_a_duration_on_an_edge_is_counted_below_it(metrics, edge):
    serve(metrics, seconds=edge)
    serve(metrics, seconds=math.nextafter(edge, math.inf))
    name = "seldon_api_executor_server_requests_seconds"
    at_edge = [
        sample.value
        for sample in families(metrics.text())[name].samples
        if sample.name.endswith("_bucket") and float(sample.labels["le"]) == edge
    ]
    assert at_edge == [1]


def test_every_histogram_is_whole(metrics):
    """What promtool would complain about: falling buckets, no +Inf, a count that differs."""
    for seconds in (0.001, 0.3, 20.0):
        serve(metrics, seconds=seconds)
        metrics.called(service="/predict", method="post", code="200", seconds=seconds)
    for kind in ("server", "client"):
        family = families(metrics.text())[f"seldon_api_executor_{kind}_requests_seconds"]
        assert family.type == "histogram"
        assert family.documentation
        buckets = [s for s in family.samples if s.name.endswith("_bucket")]
        values = [s.value for s in buckets]
        (count,) = (s.value for s in family.samples if s.name.endswith("_count"))
        (total,) = (s.value for s in family.samples if s.name.endswith("_sum"))
        assert values == sorted(values)
        assert buckets[-1].labels["le"] == "+Inf"
        assert values[-1] == count == 3
        assert total == pytest.approx(20.301)


def test_each_metric_is_introduced_once(metrics):
    serve(metrics)
    serve(metrics, code="500")
    types = [line for line in metrics.text().splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types))


def test_quantiles_are_values_that_were_seen(metrics):
    for milliseconds in range(1, 101):
        serve(metrics, seconds=milliseconds / 1000)
    family = families(metrics.text())["seldon_api_executor_server_requests_seconds_summary"]
    assert family.type == "summary"
    found = {s.labels["quantile"]: s.value for s in family.samples if "quantile" in s.labels}
    assert found == {
        "0.5": 0.05, "0.75": 0.075, "0.9": 0.09, "0.98": 0.098, "0.99": 0.099, "1": 0.1,
    }  # fmt: skip


def test_old_observations_leave_the_quantiles_but_not_the_count():
    now = [0.0]
    metrics = RequestMetrics({"a": "b"}, {}, clock=lambda: now[0])
    serve(metrics)
    now[0] = WINDOW_SECONDS + 1
    family = families(metrics.text())["seldon_api_executor_server_requests_seconds_summary"]
    assert all(math.isnan(s.value) for s in family.samples if "quantile" in s.labels)
    assert [s.value for s in family.samples if s.name.endswith("_count")] == [1]


def test_labels_with_special_characters_survive_the_text():
    metrics = RequestMetrics({"predictor_name": 'a"b\\c\nd'}, {})
    serve(metrics)
    (family,) = (f for f in text_string_to_metric_families(metrics.text()) if "server" in f.name
                 and f.type == "histogram")  # fmt: skip
    assert family.samples[0].labels["predictor_name"] == 'a"b\\c\nd'
