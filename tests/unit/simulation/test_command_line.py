"""`sluice simulate` and `sluice lint` as they are typed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.errors import UsageError
from sluice.evidence import plans_of
from sluice.simulation.files import read_policy
from sluice.simulation.serving import serving_only

BALANCED = str(Path(__file__).parents[3] / "canary_policies" / "balanced.yaml")
SCENARIO = """
name: x20
truth: harmful
requestsPerSecond: 20
duration: 10m
stable: {errorRate: 0.005}
candidate: {errorRate: 0.1}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "x20.yaml"
    path.write_text(SCENARIO)
    return str(path)


def simulate(*args: str) -> str:
    command = ["simulate", "--policy", BALANCED, "--runs", "20", "--seed", "1", "--jobs", "1"]
    result = CliRunner().invoke(app, [*command, *args])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_simulate_prints_json_alone_on_standard_output(scenario: str) -> None:
    found = json.loads(simulate("--scenario", scenario, "-o", "json"))
    assert [each["rolledBack"]["n"] for each in found] == [20]


def test_simulate_prints_a_table(scenario: str) -> None:
    lines = simulate("--scenario", scenario).splitlines()
    assert lines[0].startswith("SCENARIO")
    assert "100.0%" in lines[1]


def test_the_documented_command_prints_the_documented_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = Path(__file__).parents[3]
    monkeypatch.chdir(root)
    text = (root / "docs" / "simulate.md").read_text()
    pattern = r"^    \$ sluice (simulate (?:.*\\\n)*.*)\n((?:    .+\n)+)"
    ((typed, shown),) = re.findall(pattern, text, re.MULTILINE)
    words = shlex.split(typed.replace("\\\n", " "))
    result = CliRunner().invoke(app, [*words, "--jobs", "1"])
    assert result.exit_code == 0, result.output
    said = [line.split() for line in result.stdout.splitlines()]
    assert [line.split() for line in shown.splitlines()] == said
    assert result.stderr == ""


def with_answers(tmp_path: Path, *, alone: bool = False) -> str:
    document = yaml.safe_load(Path(BALANCED).read_text())
    answers = {"name": "answers", "metric": "predictions", "difference": {}}
    document["spec"]["checks"] = [answers] + ([] if alone else document["spec"]["checks"])
    path = tmp_path / "answers.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


def test_checks_of_answers_are_said_not_to_be_simulated(tmp_path: Path, scenario: str) -> None:
    typed = ["simulate", "--policy", with_answers(tmp_path), "--runs", "20", "--jobs", "1"]
    result = CliRunner().invoke(app, [*typed, "--scenario", scenario, "-o", "json"])
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    assert found["notSimulated"] == ["answers"]
    assert found["rolledBack"]["n"] == 20
    assert "Not simulated: answers." in result.stderr


def test_a_policy_of_answers_alone_cannot_be_simulated(tmp_path: Path, scenario: str) -> None:
    typed = ["simulate", "--policy", with_answers(tmp_path, alone=True), "--scenario", scenario]
    result = CliRunner().invoke(app, typed)
    assert isinstance(result.exception, UsageError)
    assert "only checks of answers (answers)" in str(result.exception)


def test_the_others_keep_their_part_of_the_risk(tmp_path: Path) -> None:
    whole = read_policy(Path(with_answers(tmp_path)))
    reduced, left_out = serving_only(whole)
    assert left_out == ("answers",)
    assert [p.alpha for p in plans_of(reduced)] == pytest.approx([p.alpha for p in plans_of(whole)])


def test_scenarios_of_one_name_are_refused(scenario: str) -> None:
    command = ["simulate", "--policy", BALANCED, "--scenario", scenario, "--scenario", scenario]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, UsageError)


def test_lint_exits_0_1_and_2(tmp_path: Path) -> None:
    runner = CliRunner()
    fine = runner.invoke(app, ["lint", BALANCED, "--rps", "20", "--error-rate", "0.005"])
    assert fine.exit_code == 0
    assert "rollback at x5 errors" in fine.stdout
    command = ["lint", BALANCED, "--rps", "0.1", "--error-rate", "0.0005", "-o", "json"]
    bad = runner.invoke(app, command)
    assert bad.exit_code == 1
    levels = [f["level"] for f in json.loads(bad.stdout)[0]["findings"]]
    assert levels == ["warning", "error"]
    unreadable = runner.invoke(app, ["lint", str(tmp_path / "none.yaml")])
    assert isinstance(unreadable.exception, UsageError)
    assert unreadable.exception.exit_code == 2
