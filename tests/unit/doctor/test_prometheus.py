"""What the doctor says of a Prometheus."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.doctor.findings import Level
from sluice.doctor.prometheus import port_forward
from sluice.resources import DEPLOYMENTS
from sluice.testing.prometheus import METRIC
from tests.unit.doctor.small_place import NOW, POD, PREDICTOR, Place

ERROR, WARNING, NOTE, OK = Level.ERROR, Level.WARNING, Level.NOTE, Level.OK
URL = "http://localhost:9090"


def fresh(place: Place) -> Place:
    """Without the series it comes with."""
    place.prometheus.lose_data()
    place.prometheus.remove_pod(POD)
    return place


def executor(place: Place, pod: str = POD, **labels: str) -> None:
    whole = {"deployment_name": "iris", "predictor_name": "main", "code": "200", **labels}
    whole = {"service": "predictions", "namespace": "prod", **whole}
    whole = {name: value for name, value in whole.items() if value}
    place.prometheus.count(pod, f"{METRIC}_count", whole, 5)


def gateway(place: Place, service: str = "iris-main", reporter: str = "source") -> None:
    labels = {"destination_service_name": service, "destination_service_namespace": "prod"}
    more = {"reporter": reporter, "response_code": "200"}
    place.prometheus.count("gateway-0", "istio_requests_total", {**labels, **more}, 5)


def test_the_controllers_own_is_taken_and_that_is_said(place: Place) -> None:
    found = place.all()
    assert place.asked == ["http://prometheus.monitoring:9090"]
    assert found["PrometheusOfController"].where == place.asked[0]
    place.asked.clear()
    assert "PrometheusOfController" not in place.all(prometheus=[URL, f"{URL}/other"])
    assert place.asked == [URL, f"{URL}/other"]


def test_one_that_only_the_cluster_reaches_is_a_note_with_the_way_to_it(place: Place) -> None:
    place.prometheus.down = True
    found = place.all()["PrometheusNotFromHere"]
    assert found.level is NOTE
    assert "port-forward" in found.remedy
    found = place.all(prometheus=[URL])["PrometheusUnreachable"]
    assert found.level is ERROR


@pytest.mark.parametrize(
    ("url", "command", "local"),
    [
        ("http://prometheus.m:9090", "-n m port-forward svc/prometheus 9090:9090", 9090),
        ("http://p.m.svc.cluster.local", "-n m port-forward svc/p 9090:80", 9090),
        ("https://thanos.obs.svc:10902", "-n obs port-forward svc/thanos 10902:10902", 10902),
    ],
)
def test_the_way_to_a_service(url: str, command: str, local: int) -> None:
    assert port_forward(url) == (f"kubectl {command}", local)


def test_refused_credentials_are_an_error(place: Place) -> None:
    place.prometheus.status = 401
    assert place.bad()["PrometheusRefuses"].level is ERROR


@pytest.mark.parametrize(("shift", "word"), [(120, "ahead of"), (-120, "behind")])
def test_its_clock_is_compared(place: Place, shift: float, word: str) -> None:
    fresh(place)
    executor(place)
    place.scrape(until=NOW + shift)
    found = place.bad()
    assert list(found) == ["PrometheusClockSkew"]
    assert f"120 s {word}" in found["PrometheusClockSkew"].what


# --- which dialect


def test_the_dialect_that_has_series_is_named_with_its_flag(place: Place) -> None:
    fresh(place)
    gateway(place)
    place.scrape()
    found = place.bad()["DialectWithoutSeries"]
    assert found.level is ERROR
    assert "reads the dialect seldon, which has no series here; use istio" in found.what
    assert found.remedy == (
        "sluice controller --dialect=istio (helm: --set prometheus.dialect=istio)"
    )
    place.arguments("--dialect=istio")
    assert place.bad() == {}
    assert place.all()["DialectHasSeries"].level is OK


def test_reports_of_the_destination_are_no_dialect(place: Place) -> None:
    fresh(place)
    gateway(place, reporter="destination")
    place.scrape()
    assert "NoRequestMetrics" in place.bad()


def test_a_predictor_without_executor_makes_the_mesh_the_better_choice(place: Place) -> None:
    gateway(place)
    place.scrape(until=NOW + 1)
    assert "OtherDialectFitsBetter" not in place.all()
    place.serve({**PREDICTOR, "annotations": {"seldon.io/no-engine": "true"}})
    assert "istio would see more" in place.all()["OtherDialectFitsBetter"].what


def test_before_the_install_the_choice_is_a_note(place: Place) -> None:
    place.remove(DEPLOYMENTS, "sluice-controller", "sluice-system")
    found = place.all(prometheus=[URL])["DialectChoice"]
    assert (found.level, "use the dialect seldon" in found.what) == (NOTE, True)


def test_no_series_at_all(place: Place) -> None:
    fresh(place)
    place.prometheus.count("other", "something_total", {}, 1)
    place.scrape()
    found = place.bad()
    assert "NoRequestMetrics" in found
    assert "PrometheusEmpty" not in found
    fresh(place)
    assert "PrometheusEmpty" in place.bad()


# --- labels


@pytest.mark.parametrize(
    ("labels", "finding", "remedy"),
    [
        (
            {"namespace": "", "kubernetes_namespace": "prod"},
            "NamespaceLabelMissing",
            "--namespace-label=kubernetes_namespace",
        ),
        ({"namespace": ""}, "NamespaceLabelMissing", "__meta_kubernetes_namespace"),
        (
            {"namespace": "", "kubernetes_namespace": "mesh", "k8s_namespace": "prod"},
            "NamespaceLabelMissing",
            "--namespace-label=k8s_namespace",
        ),
        (
            {"namespace": "monitoring", "exported_namespace": "prod"},
            "NamespaceLabelWrong",
            "--namespace-label=exported_namespace",
        ),
    ],
)
def test_the_label_that_carries_the_namespace_is_found(
    place: Place, labels: dict[str, str], finding: str, remedy: str
) -> None:
    fresh(place)
    executor(place, **labels)
    place.scrape()
    found = place.bad()[finding]
    assert found.level is ERROR
    assert remedy in found.remedy


def test_the_label_that_carries_the_pod_is_found(place: Place) -> None:
    place.arguments("--pod-label=no_such_label", "--namespace-label=namespace")
    found = place.bad()["PodLabelMissing"]
    assert "pod looks like it" in found.what
    assert "--pod-label=pod" in found.remedy
    assert "PodLabelMissing" not in place.bad(pod_label="pod")


def test_targets_without_the_label_are_counted(place: Place) -> None:
    executor(place, "other-pod", namespace="", instance="10.0.0.9:8000")
    place.scrape(until=NOW + 1)
    assert "1 of 2 targets lack namespace" in place.bad()["LabelOnSomeSeries"].what


def test_what_two_jobs_scrape_is_told(place: Place) -> None:
    fresh(place)
    executor(place, job="pods", instance="10.0.0.1:8000")
    place.scrape()
    assert place.bad() == {}
    executor(place, job="seldon", instance="10.0.0.1:8000")
    place.scrape(until=NOW + 1)
    found = place.bad()["ScrapedTwice"]
    assert found.level is ERROR
    assert "pods/10.0.0.1:8000 and seldon/10.0.0.1:8000" in found.what


# --- scrapes


@pytest.mark.parametrize(
    ("interval", "finding", "level"),
    [
        (10, "ScrapesOften", OK),
        (30, "ScrapesSlowerThanPulse", NOTE),
        (120, "ScrapesSlow", WARNING),
    ],
)
def test_the_interval_is_read_off_the_samples(
    place: Place, interval: float, finding: str, level: Level
) -> None:
    fresh(place)
    executor(place)
    place.scrape(interval)
    found = place.all()
    assert found[finding].level is level
    assert f"every {interval} s, the pulse is 10 s" in found[finding].what
    place.arguments("--pulse=200")
    assert "ScrapesSlowerThanPulse" not in place.all()


def test_old_samples_are_told(place: Place) -> None:
    place.prometheus.unreachable.add("nobody")
    fresh(place)
    executor(place)
    place.scrape(until=NOW - 200)
    place.prometheus.count("other", "something_total", {}, 1)
    place.prometheus.scrape(NOW, ["other"])
    assert "200 s old" in place.bad()["MetricsOld"].what


# --- predictors


def with_next(place: Place) -> None:
    place.serve({**PREDICTOR, "traffic": 90}, {**PREDICTOR, "name": "next", "traffic": 10})


def test_a_predictor_whose_pods_are_no_targets(place: Place) -> None:
    with_next(place)
    found = place.bad()["NotScraped"]
    assert (found.where, "predictor next" in found.what) == ("SeldonDeployment prod/iris", True)
    assert "1 of 2 predictors" in place.all()["PredictorsSeen"].what


def test_a_predictor_that_was_only_not_requested_yet(place: Place) -> None:
    with_next(place)
    place.prometheus.count("iris-next-0-classifier-1", "other_total", {"namespace": "prod"}, 1)
    place.scrape(until=NOW + 1)
    found = place.all()
    assert found["NoRequestsYet"].level is NOTE
    assert "NotScraped" not in found


def test_a_predictor_whose_scrapes_fail(place: Place) -> None:
    with_next(place)
    pod = "iris-next-0-classifier-1"
    place.prometheus.count(pod, "other_total", {"namespace": "prod"}, 1)
    place.prometheus.unreachable.add(pod)
    place.scrape(until=NOW + 1)
    found = place.bad()["ScrapeFails"]
    assert pod in found.what
    assert pod in found.remedy


def test_predictors_without_pods_or_traffic_are_not_missed(place: Place) -> None:
    idle: dict[str, Any] = {**PREDICTOR, "name": "idle", "replicas": 0}
    shadow = {**PREDICTOR, "name": "shadow", "shadow": True}
    place.serve(PREDICTOR, idle, shadow)
    assert "1 of 1 predictors" in place.all()["PredictorsSeen"].what


def test_through_the_mesh_a_silent_predictor_is_a_note(place: Place) -> None:
    fresh(place)
    with_next(place)
    gateway(place)
    place.scrape()
    place.arguments("--dialect=istio")
    found = place.all()
    assert "predictor next" in found["NoRequestsYet"].what
    assert "1 of 2 predictors" in found["PredictorsSeen"].what


def test_what_prometheus_warns_of_is_passed_on(place: Place) -> None:
    place.prometheus.warnings = ["store-2 did not answer"]
    assert "store-2" in place.all()["PrometheusWarns"].what
