"""`sluice render` and `sluice diff`: the controller's own rendering, shown before it is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.api.rollout import parse_rollout
from sluice.loops.reconcile import desired_of
from sluice.resources import MODEL_ROLLOUTS, SELDON_DEPLOYMENTS, VIRTUAL_SERVICES

from ..seldon.seldon_objects import virtual_service
from .stage import ScriptedKube, StageClock, revision, rollout

Sluice = Callable[..., int]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "iris.yaml"
    path.write_text(yaml.safe_dump(rollout(image="repo/iris:2")))
    return path


@pytest.fixture
def serving(scripted: ScriptedKube, clock: StageClock) -> dict[str, Any]:
    """prod/iris with revision 1 as the controller created it."""
    client = scripted.client()
    created = client.create(MODEL_ROLLOUTS, rollout(), "prod")
    desired = desired_of(parse_rollout(created))
    client.create(SELDON_DEPLOYMENTS, dict(desired.create), "prod")
    client.create(VIRTUAL_SERVICES, virtual_service(**{desired.predictor_name: 100}), "prod")
    stable = {"revision": desired.revision, "predictor": desired.predictor_name}
    status = {"phase": "Idle", "observedGeneration": 1, "stable": stable}
    return client.replace(MODEL_ROLLOUTS, {**created, "status": status}, subresource="status")


def test_a_file_renders_the_first_creation_without_a_server(
    file: Path, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    assert sluice("render", "-f", str(file), "-n", "stage") == 0
    sdep = yaml.safe_load(capsys.readouterr().out)
    [predictor] = sdep["spec"]["predictors"]
    assert (predictor["name"], predictor["traffic"]) == (f"v{revision('repo/iris:2')}", 100)
    assert sdep["metadata"] == {"name": "iris", "namespace": "prod"}, "the file's own namespace"
    assert scripted.calls == []


def test_a_name_renders_the_candidate_beside_the_stable(
    serving: dict[str, Any], scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    serving["spec"]["template"] = rollout(image="repo/iris:2")["spec"]["template"]
    scripted.client().replace(MODEL_ROLLOUTS, serving)
    assert sluice("render", "iris", "-o", "json") == 0
    sdep = json.loads(capsys.readouterr().out)
    split = {p["name"]: p["traffic"] for p in sdep["spec"]["predictors"]}
    assert split == {f"v{revision('repo/iris:1')}": 100, f"v{revision('repo/iris:2')}": 0}


def test_diff_is_empty_and_0_when_nothing_would_change(
    serving: dict[str, Any], sluice: Sluice, capsys: Capture
) -> None:
    assert sluice("diff", "iris") == 0
    assert capsys.readouterr().out == ""


def test_diff_of_an_edited_file_shows_what_would_be_added_and_exits_with_1(
    serving: dict[str, Any], file: Path, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    before = len(scripted.calls)
    assert sluice("diff", "-f", str(file)) == 1
    shown = capsys.readouterr().out
    assert shown.startswith("--- live SeldonDeployment prod/iris\n+++ next ")
    assert [ln.split() for ln in shown.splitlines() if "image:" in ln] == [
        ["+", "-", "image:", "repo/iris:2"]
    ]
    assert "\n-" not in shown.partition("@@")[2]
    assert {seen.verb for seen in scripted.calls[before:]} <= {"get", "list", "create"}
    assert scripted.client().get(SELDON_DEPLOYMENTS, "iris", "prod")["metadata"]["generation"] == 1


def test_a_change_of_replicas_alone_is_no_new_predictor(
    serving: dict[str, Any], tmp_path: Path, sluice: Sluice, capsys: Capture
) -> None:
    body = rollout()
    body["spec"]["template"]["spec"]["predictors"][0]["replicas"] = 3
    path = tmp_path / "more.yaml"
    path.write_text(yaml.safe_dump(body))
    assert sluice("diff", "-f", str(path)) == 1
    changed = [ln for ln in capsys.readouterr().out.splitlines()[2:] if ln[0] in "+-"]
    assert changed == ["-    replicas: 2", "+    replicas: 3"]


def test_diff_without_a_seldon_deployment_shows_all_of_it(
    file: Path, scripted: ScriptedKube, clock: StageClock, sluice: Sluice, capsys: Capture
) -> None:
    assert sluice("diff", "-f", str(file)) == 1
    assert "+kind: SeldonDeployment" in capsys.readouterr().out


def test_trouble_is_more_than_1_for_diff_and_1_for_render(
    scripted: ScriptedKube, clock: StageClock, sluice: Sluice, file: Path
) -> None:
    assert sluice("diff", "nobody") == 2
    assert sluice("render", "nobody") == 1
    scripted.fail_next("get", status=403)
    assert sluice("diff", "-f", str(file)) == 2
    for command in ("diff", "render"):
        assert sluice(command) == 2
        assert sluice(command, "iris", "-f", str(file)) == 2


def test_what_the_controller_would_refuse_is_refused(
    tmp_path: Path, sluice: Sluice, capsys: Capture
) -> None:
    path = tmp_path / "two.yaml"
    body = rollout()
    body["spec"]["template"]["spec"]["predictors"] *= 2
    path.write_text(yaml.safe_dump(body))
    assert sluice("render", "-f", str(path)) == 1
    assert "spec.template.spec.predictors" in capsys.readouterr().err
    path.write_text("kind: ConfigMap\n")
    assert sluice("render", "-f", str(path)) == 2


def test_a_policy_that_is_not_there_is_said_and_does_not_stop_it(
    serving: dict[str, Any], scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    serving["spec"]["policyRef"] = {"name": "gone"}
    scripted.client().replace(MODEL_ROLLOUTS, serving)
    assert sluice("diff", "iris") == 0
    assert "the policy gone is not there" in capsys.readouterr().err
