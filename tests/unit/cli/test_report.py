"""`sluice report`: one file that holds everything, with plots where Prometheus is given."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sluice.api.status import Verdict
from sluice.cli import report as command
from sluice.cli.curves import read_curves
from sluice.metrics.client import PrometheusClient
from sluice.metrics.dialects import SeldonDialect, Target
from sluice.report.rollout import report
from sluice.report.timeline import Bar, timeline
from sluice.resources import EVENTS
from sluice.testing.prometheus import FakePrometheus

from .stage import Play, ScriptedKube, StageClock, revision

Sluice = Callable[..., int]
Capture = pytest.CaptureFixture[str]
STABLE, CANDIDATE = Target("prod", "iris", "vaaaa"), Target("prod", "iris", "vbbbb")


@pytest.fixture
def eventful(play: Play, clock: StageClock, monkeypatch: pytest.MonkeyPatch) -> Play:
    monkeypatch.setattr(command, "SystemClock", lambda: clock)
    for n, end in (("2", play.promote), ("3", play.harm)):
        play.push(f"repo/iris:{n}", gitCommit=f"c0ffee{n}")
        play.look()
        end()
    clock.set_wall_time(play.now)
    return play


def written(path: Path) -> str:
    text = path.read_text()
    assert "http://" not in text.replace("http://www.w3.org/", ""), "nothing is fetched"
    assert "<script" not in text
    return text


def test_the_file_has_every_rollout_with_its_reason_numbers_and_source(
    eventful: Play, sluice: Sluice, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "iris.html"
    assert sluice("report", "iris", "-o", str(path)) == 0
    assert capsys.readouterr().out == f"{path}\n"
    text = written(path)
    for part in (
        "Rollouts of prod/iris",
        f"1: revision {revision('repo/iris:2')}",
        f"2: revision {revision('repo/iris:3')}",
        "<span class='bad'>RolledBack</span>",
        "HarmDetected: errors: numbers say Harm",
        "c0ffee3",
        "-0.20 of 2.30",
        "120 / 480",
    ):
        assert part in text, part


def test_events_are_in_the_report_and_what_others_wrote_is_escaped(
    eventful: Play, scripted: ScriptedKube, sluice: Sluice, tmp_path: Path
) -> None:
    obj = eventful.object()
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {
            "kind": "ModelRollout",
            "name": "iris",
            "uid": obj["metadata"]["uid"],
        },
        "reason": "StepStarted",
        "message": "<b>step</b> 1 & 2",
        "lastTimestamp": "2026-11-20T12:00:00Z",
    }
    scripted.client().create(EVENTS, event, "prod")
    assert sluice("report", "iris", "-o", str(tmp_path / "r.html")) == 0
    assert "&lt;b&gt;step&lt;/b&gt; 1 &amp; 2" in written(tmp_path / "r.html")


def test_with_prometheus_the_newest_rollout_is_plotted(
    eventful: Play, sluice: Sluice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakePrometheus()
    monkeypatch.setattr(
        command,
        "PrometheusClient",
        lambda url, **more: PrometheusClient(url, adapter=fake.adapter(), **more),
    )
    path = tmp_path / "iris.html"
    (tmp_path / "token").write_text("s3cret\n")
    words = ["--prometheus", fake.url, "--prometheus-token-file", str(tmp_path / "token")]
    assert sluice("report", "iris", "-o", str(path), *words) == 0
    assert "Latency, 95th percentile" in path.read_text()
    assert fake.headers["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in path.read_text()
    asked = " ".join(fake.queries)
    assert 'deployment_name=~"iris"' in asked


def test_a_prometheus_that_is_away_costs_the_plots_not_the_report(
    eventful: Play,
    sluice: Sluice,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    fake = FakePrometheus()
    fake.down = True
    monkeypatch.setattr(
        command,
        "PrometheusClient",
        lambda url, **more: PrometheusClient(url, adapter=fake.adapter(), **more),
    )
    path = tmp_path / "iris.html"
    assert sluice("report", "iris", "-o", str(path), "--prometheus", fake.url) == 0
    assert "cannot be reached" in capsys.readouterr().err
    assert "The metrics could not be read" in path.read_text()


def test_curves_are_growth_by_side_and_survive_a_restart_and_a_missed_scrape() -> None:
    fake = FakePrometheus()
    began = 1_700_000_000.0
    for n in range(7):
        if n:
            fake.answered("prod", "iris", "vaaaa", 90, seconds=0.02)
            fake.answered("prod", "iris", "vbbbb", 9, seconds=0.2)
            fake.answered("prod", "iris", "vbbbb", 1, code="500")
        if n == 4:
            fake.restart_pod("iris-vaaaa-0")
            fake.answered("prod", "iris", "vaaaa", 45, seconds=0.02)
        fake.unreachable = {"iris-vbbbb-0"} if n == 3 else set()
        fake.scrape(began + 10 * n)
    client = PrometheusClient(fake.url, adapter=fake.adapter())
    stable, candidate = read_curves(client, SeldonDialect(), [STABLE, CANDIDATE], began, began + 60)
    assert len(stable.seconds) == 12
    assert sum(r * 5 for r in stable.requests) == pytest.approx(90 * 5 + 45)
    assert sum(r * 5 for r in candidate.requests) == pytest.approx(60)
    assert {round(f, 3) for f in candidate.failed if f is not None} == {0.1}
    assert {f for f in stable.failed if f is not None} == {0.0}
    assert max(p for p in stable.p95 if p is not None) < 0.05
    assert max(p for p in candidate.p95 if p is not None) > 0.1
    assert None in stable.failed, "an interval without requests has no share"


def test_the_timeline_is_svg_with_a_bar_a_rollout_in_its_colour() -> None:
    bars = [
        Bar("1  aaaa Promoted", "Promoted", 0.0, 3600.0),
        Bar("2  <bbbb>", "RolledBack", 7200.0, 7201.0, "why & how"),
    ]
    svg = ET.fromstring(timeline(bars))
    rects = [e for e in svg.iter() if e.tag.endswith("rect")]
    assert [r.get("fill") for r in rects] == ["#1d7f45", "#b3261e"]
    assert float(rects[1].get("width") or 0) >= 4, "a short one can still be seen"
    assert timeline([]) == ""


def test_a_rollout_in_progress_is_shown_with_its_checks(eventful: Play) -> None:
    eventful.push("repo/iris:4")
    eventful.look()
    eventful.say(Verdict.UNDECIDED)
    eventful.play(2)
    text = report("prod/iris", eventful.status, [], now=eventful.now)
    assert f"In progress: revision {revision('repo/iris:4')}" in text
    assert "in progress</text>" in text


def test_a_file_that_cannot_be_written_is_said(
    eventful: Play, sluice: Sluice, tmp_path: Path, capsys: Capture
) -> None:
    assert sluice("report", "iris", "-o", str(tmp_path / "no" / "r.html")) == 2
    assert "cannot be written" in capsys.readouterr().err
    words: list[Any] = ["report", "iris", "-o", str(tmp_path / "r.html"), "--dialect", "tea"]
    assert sluice(*words) == 2
