"""`sluice doctor`: what is printed, and the exit code."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import yaml

from sluice._version import __version__
from sluice.cli import doctor, main
from sluice.doctor.findings import Finding, Level
from sluice.metrics.client import PrometheusClient
from sluice.resources import CRDS
from tests.unit.doctor.small_place import Place


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place()

    def connect(*_: object) -> tuple[Any, str]:
        return place.client, "prod"

    def client(url: str, **_: object) -> PrometheusClient:
        fake = place.prometheus
        return PrometheusClient(fake.url, adapter=fake.adapter())

    monkeypatch.setattr(doctor, "connect", connect)
    monkeypatch.setattr(doctor, "PrometheusClient", client)
    monkeypatch.setattr(doctor, "SystemClock", lambda: place.clock)
    return place


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["sluice", "doctor", *words])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


def test_all_well_is_exit_0_with_a_group_for_each_part(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 0
    shown = capsys.readouterr().out
    for title in ("API server", "Controller", "Seldon Core", "Istio", "Prometheus"):
        assert f"\n{title}\n" in f"\n{shown}"
    assert shown.splitlines()[-1].startswith("0 error, 0 warning, ")
    assert run(monkeypatch, "-q") == 0
    assert "ApiServerReachable" not in capsys.readouterr().out


def test_an_error_is_exit_1_with_its_remedy_below_it(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place.remove(CRDS, "modelrollouts.sluice.dev")
    assert run(monkeypatch) == 1
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if "[CrdMissing]" in line)
    assert lines[at].startswith("  error    modelrollouts.sluice.dev: ")
    assert lines[at + 1].strip() == "-> kubectl apply --server-side -f manifests/crds"


def test_a_warning_is_exit_0(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.kube.denied = {("patch", "virtualservices")}
    assert run(monkeypatch) == 0


@pytest.mark.parametrize(("form", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_the_form_for_programs_is_stable(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    form: str,
    load: Any,
) -> None:
    place.kube.denied = {("patch", "seldondeployments")}
    assert run(monkeypatch, "-A", "-o", form) == 1
    told = load(capsys.readouterr().out)
    assert list(told) == ["format", "sluice", "server", "namespace", "summary", "findings"]
    assert (told["format"], told["sluice"], told["namespace"]) == (1, __version__, None)
    assert list(told["summary"]) == ["ok", "note", "warning", "error"]
    assert sum(told["summary"].values()) == len(told["findings"])
    for finding in told["findings"]:
        assert list(finding) == ["id", "level", "check", "where", "what", "remedy"]
        assert all(isinstance(value, str) for value in finding.values())


def test_options_that_cannot_be_meant_are_exit_2(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--prometheus", "localhost:9090") == 2
    assert run(monkeypatch, "--dialect", "statsd") == 2
    assert "seldon, istio, envoy" in capsys.readouterr().err


def test_every_group_has_a_title(place: Place) -> None:
    assert {f.check for f in place.run()} == set(doctor._TITLES)


def test_markup_in_what_was_found_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = Finding("Odd", Level.ERROR, "says [red]no[/]", check="server")
    doctor.show([odd], doctor.console(), quiet=False)
    assert "says [red]no[/]  [Odd]" in capsys.readouterr().out
