"""The alerts fire when they should, say what is the matter, and are quiet otherwise: promtool."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from sluice.loops.own_metrics import OwnMetrics
from tests.packaging.chart.rendering import CHART, ROOT, RULES, tool

CASES = yaml.safe_load((Path(__file__).parent / "alert_cases.yaml").read_text())
DASHBOARD = CHART / "files" / "dashboards" / "sluice.json"
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
BY_NAME = {rule["alert"]: rule for rule in ALERTS}
NAME = re.compile(r"\b(?:sluice|process)_\w+")


def promtool(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(tool("promtool")), *args], capture_output=True, text=True)


@cache
def exported() -> frozenset[str]:
    """Every name of a sample that the controller exports, as /metrics writes it."""
    metrics = OwnMetrics()
    text = generate_latest(metrics.registry).decode()
    names = set()
    for family in text_string_to_metric_families(text):
        names |= {sample.name for sample in family.samples}
        # Without a sample as long as no label has a value.
        names |= {f"{family.name}_total"} if family.type == "counter" else {family.name}
        if family.type == "histogram":
            names |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
    return frozenset(names)


def raised(directory: Path, alert: str, series: dict[str, Any], at: str) -> list[dict[str, Any]]:
    """What promtool found of the alert: it tells only where the expectation is wrong."""
    expected = {"exp_labels": {"none": "expected"}, "exp_annotations": {}}
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": str(values)} for name, values in series.items()
                ],
                "alert_rule_test": [
                    {"eval_time": at, "alertname": alert, "exp_alerts": [expected]}
                ],
            }
        ],
    }
    path = directory / "test.yaml"
    path.write_text(yaml.safe_dump(test))
    done = promtool("test", "rules", str(path))
    said = done.stdout + done.stderr
    _, found, got = said.partition("got:")
    assert found, said
    return [
        {
            "labels": dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)),
            "annotations": annotations,
        }
        for labels, annotations in re.findall(
            r"Labels:\{(.*?)\}\s*Annotations:\{(.*?)\}\s*(?:\]|$|\d+:)", got, re.DOTALL
        )
    ]


def test_promtool_accepts_the_rules() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried() -> None:
    assert list(CASES) == [rule["alert"] for rule in ALERTS]


@pytest.mark.parametrize("name", list(CASES))
def test_an_alert_fires_and_says_what_is_the_matter(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    [found] = raised(tmp_path, name, case["series"], case["at"])
    severity = BY_NAME[name]["labels"]["severity"]
    assert found["labels"] == {
        "alertname": name,
        "severity": severity,
        **case.get("labels", {}),
    }
    told = found["annotations"].replace('\\"', '"')
    for text in (case["summary"], case["description"], f"docs/operate.md#{name.lower()}"):
        assert text in told


@pytest.mark.parametrize("name", list(CASES))
def test_an_alert_is_quiet_while_nothing_is_wrong(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    assert raised(tmp_path, name, case["quiet"], case["at"]) == []


@pytest.mark.parametrize("rule", ALERTS, ids=list(BY_NAME))
def test_an_alert_has_what_people_and_routes_need(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    names = set(NAME.findall(rule["expr"]))
    assert names
    assert names <= exported()


# --- the dashboard


def queries() -> list[str]:
    board = json.loads(DASHBOARD.read_text())
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]


def test_prometheus_parses_every_query_of_the_dashboard(tmp_path: Path) -> None:
    found = [
        {"record": f"query:{i}", "expr": re.sub(r"\$\w+", ".*", query)}
        for i, query in enumerate(queries())
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": found}]}))
    done = promtool("check", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(found) > 25


def test_every_metric_of_the_dashboard_is_exported() -> None:
    board = json.loads(DASHBOARD.read_text())
    asked = [variable["definition"] for variable in board["templating"]["list"][1:]]
    names = {name for query in [*queries(), *asked] for name in NAME.findall(query)}
    assert names - exported() == set()


def test_every_metric_that_is_exported_is_on_the_dashboard_or_in_an_alert() -> None:
    used = " ".join([*queries(), *(rule["expr"] for rule in ALERTS)])
    families = {family.name for family in OwnMetrics().registry.collect()}
    assert [name for name in families if name.startswith("sluice_") and name not in used] == []


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


# --- the documents


def test_the_plain_rule_file_points_to_a_page_that_is_there() -> None:
    assert (ROOT / "docs" / "operate.md").exists()
