"""Asking Prometheus: credentials, time limits, errors."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest

from sluice.errors import MetricsUnavailableError, QueryError
from sluice.metrics.client import Access, PrometheusClient, Timeouts
from sluice.testing.prometheus import FakePrometheus

SECRET = "s3cr3t-token"


@pytest.fixture
def fake() -> FakePrometheus:
    prometheus = FakePrometheus()
    prometheus.answers["x"] = [{"metric": {"a": "b"}, "value": [1.0, "2.5"]}]
    return prometheus


def client(fake: FakePrometheus, **how: object) -> PrometheusClient:
    return PrometheusClient(fake.url, adapter=fake.adapter(), **how)  # type: ignore[arg-type]


def test_an_instant_vector_is_labels_and_numbers(fake: FakePrometheus) -> None:
    (series,) = client(fake).query("x", 1.0)
    assert (series.labels, series.value) == ({"a": "b"}, 2.5)


@pytest.mark.parametrize("text", ["NaN", "+Inf", "-Inf"])
def test_what_is_no_finite_number_is_a_float_all_the_same(fake: FakePrometheus, text: str) -> None:
    fake.answers["x"][0]["value"][1] = text
    (series,) = client(fake).query("x", 1.0)
    assert not math.isfinite(series.value)


def test_warnings_of_prometheus_are_kept_until_the_next_answer(fake: FakePrometheus) -> None:
    asked = client(fake)
    fake.warnings = ["a store did not answer"]
    asked.query("x", 1.0)
    assert asked.warnings == ("a store did not answer",)
    fake.warnings = []
    asked.query("x", 1.0)
    assert asked.warnings == ()


def test_a_rotated_token_file_is_used_at_once(fake: FakePrometheus, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    asked = client(fake, access=Access(token_file=token, headers={"X-Scope-OrgID": "team"}))
    asked.query("x", 1.0)
    assert fake.headers["Authorization"] == "Bearer first"
    assert fake.headers["X-Scope-OrgID"] == "team"
    token.write_text("second\n")
    asked.query("x", 1.0)
    assert fake.headers["Authorization"] == "Bearer second"


def test_a_missing_token_file_is_an_error_that_names_it(
    fake: FakePrometheus, tmp_path: Path
) -> None:
    asked = client(fake, access=Access(token_file=tmp_path / "none"))
    with pytest.raises(QueryError, match="none"):
        asked.query("x", 1.0)
    assert fake.queries == []


def test_a_netrc_file_does_not_replace_the_token(
    fake: FakePrometheus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine prometheus.test login u password p\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    client(fake, access=Access(token=SECRET)).query("x", 1.0)
    assert fake.headers["Authorization"] == f"Bearer {SECRET}"


def test_the_token_is_in_no_log_error_or_repr(
    fake: FakePrometheus, caplog: pytest.LogCaptureFixture
) -> None:
    access = Access(token=SECRET, headers={"X-Key": SECRET})
    asked = client(fake, access=access)
    fake.status = 403
    with caplog.at_level(logging.DEBUG), pytest.raises(QueryError) as caught:
        asked.query("x", 1.0)
    assert SECRET not in caplog.text + str(caught.value) + repr(access) + repr(asked)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, QueryError, "refused"),
        (401, QueryError, "credentials"),
        (403, QueryError, "credentials"),
        (302, QueryError, "refused"),
        (422, QueryError, "refused"),
        (429, MetricsUnavailableError, "unavailable"),
        (500, MetricsUnavailableError, "unavailable"),
        (503, MetricsUnavailableError, "unavailable"),
    ],
)
def test_each_refusal_is_one_error_after_one_request(
    fake: FakePrometheus, status: int, error: type[Exception], kind: str
) -> None:
    told: list[tuple[float, str]] = []
    ticks = iter([10.0, 10.25])
    asked = client(
        fake,
        observe=lambda seconds, kind: told.append((seconds, kind)),
        timer=lambda: next(ticks),
    )
    fake.status = status
    with pytest.raises(error, match=str(status)):
        asked.query("x", 1.0)
    assert told == [(0.25, kind)]
    assert len(fake.queries) == 1


def test_an_outage_and_a_hang_are_unavailable(fake: FakePrometheus) -> None:
    told: list[str] = []
    asked = client(fake, timeouts=Timeouts(1, 2), observe=lambda _seconds, kind: told.append(kind))
    fake.down = True
    with pytest.raises(MetricsUnavailableError, match=r"prometheus\.test cannot be reached"):
        asked.query("x", 1.0)
    fake.hangs = True
    with pytest.raises(MetricsUnavailableError, match="within 1 s to connect and 2 s to read"):
        asked.query("x", 1.0)
    fake.down = fake.hangs = False
    asked.query("x", 1.0)
    assert told == ["unreachable", "timeout", ""]


def test_what_prometheus_says_about_a_bad_query_reaches_the_user(fake: FakePrometheus) -> None:
    with pytest.raises(QueryError, match="parse error"):
        client(fake).query("sum(", 1.0)
