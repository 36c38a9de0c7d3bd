"""Which series belong to whom, and what a code means."""

from __future__ import annotations

import pytest

from sluice.metrics.dialects import (
    Dialect,
    EnvoyDialect,
    IstioDialect,
    Labels,
    Outcome,
    SeldonDialect,
    Target,
    dialect_named,
    outcome_of,
)


@pytest.mark.parametrize("code", ["200", "201", "302", "OK"])
def test_good(code: str) -> None:
    assert outcome_of(code) is Outcome.GOOD


@pytest.mark.parametrize(
    "code",
    [
        "500",
        "503",
        "504",
        "Unknown",
        "Unavailable",
        "Internal",
        "DeadlineExceeded",
        "DataLoss",
        "ResourceExhausted",
        "Unimplemented",
        "0",
        "-1",
        "Code(77)",
    ],
)
def test_failed(code: str) -> None:
    assert outcome_of(code) is Outcome.FAILED


@pytest.mark.parametrize("code", ["400", "404", "405", "429", "InvalidArgument", "Canceled"])
def test_not_blamed(code: str) -> None:
    assert outcome_of(code) is Outcome.NOT_BLAMED


EVERY = (SeldonDialect(), IstioDialect(), EnvoyDialect())


@pytest.mark.parametrize("dialect", EVERY, ids=lambda dialect: dialect.name)
def test_few_targets_are_named_and_many_are_not(dialect: Dialect) -> None:
    few = [Target("prod", f"d{i}", "main") for i in range(3)]
    many = [Target("prod", f"d{i}", "main") for i in range(2000)]
    for query in (dialect.counts, dialect.buckets, dialect.scrapes):
        assert "d1" in query(few)
        assert "d1" not in query(many)
        assert len(query(many)) < 1500


def test_label_names_follow_the_scrape_configuration() -> None:
    dialect = SeldonDialect(Labels(namespace="exported_namespace", pod="kubernetes_pod_name"))
    iris = Target("prod", "iris", "main")
    query = dialect.counts([iris])
    assert "kubernetes_pod_name" in query
    assert 'exported_namespace=~"prod"' in query
    labels = {"exported_namespace": "prod", "deployment_name": "iris", "predictor_name": "main"}
    assert dialect.finder([iris])(labels) == iris
    assert SeldonDialect().finder([iris])(labels) is None


def test_only_wanted_predictors_are_found() -> None:
    labels = {"namespace": "prod", "deployment_name": "iris", "predictor_name": "main"}
    assert SeldonDialect().finder([Target("prod", "iris", "next")])(labels) is None


LONG = Target("ns", "a" * 40, "b" * 30)
HASHED = LONG.service


@pytest.mark.parametrize(
    ("cluster", "target"),
    [
        ("outbound|8000|main|iris-main.prod.svc.cluster.local", Target("prod", "iris", "main")),
        ("outbound|9000|main|iris-main.prod.svc.cluster.local", Target("prod", "iris", "main")),
        ("outbound|8000|a-b|x-a-b.ns.svc.cluster.local", Target("ns", "x", "a-b")),
        (f"outbound|8000|{LONG.predictor}|{HASHED}.ns.svc.cluster.local", LONG),
        ("outbound|8000||iris-main.prod.svc.cluster.local", None),
        ("outbound|8000|other|iris-main.prod.svc.cluster.local", None),
        ("outbound|8000|main|iris-main.stage.svc.cluster.local", None),
        ("xds-grpc", None),
    ],
)
def test_envoy_clusters_are_read_as_istio_names_them(cluster: str, target: Target | None) -> None:
    find = EnvoyDialect().finder(
        [Target("prod", "iris", "main"), Target("ns", "x", "a-b"), LONG, Target("ns", "x", "b")]
    )
    assert find({"envoy_cluster_name": cluster}) == target


def test_an_unknown_dialect_is_refused_with_the_known_ones() -> None:
    assert [dialect_named(dialect.name) for dialect in EVERY] == list(EVERY)
    with pytest.raises(ValueError, match="seldon, istio, envoy"):
        dialect_named("statsd")
