"""Argo CD's actions do what the command line does, and are offered where that is possible."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from sluice.api.preflight import PreflightState
from sluice.api.rollout import COMMAND_ANNOTATION
from sluice.api.status import Phase, RolloutStatus
from sluice.cli.commands import possible_refusal
from sluice.cli.undoing import RESTARTED_ANNOTATION, _not_at_rest
from sluice.engine.commands import Command
from sluice.resources import MODEL_ROLLOUTS
from sluice.seldon.revision import revision_of

from .judging import ARGOCD, ROLLOUT, Object, patch_of, run_script, statuses
from .recording import LIVES, Life

ACTIONS = ROLLOUT / "actions"
COMMANDS = [command.value for command in Command]


def offered(obj: Object) -> set[str]:
    [found] = run_script(ACTIONS / "discovery.lua", obj)
    return {name for name, action in found.items() if not action["disabled"]}


def possible(obj: Object) -> set[str]:
    """What the command line does not refuse."""
    status = RolloutStatus.model_validate(obj.get("status") or {})
    found = {command.value for command in Command if not possible_refusal(obj, command)}
    stalled = status.condition("Stalled")
    if stalled is not None and stalled.status == "True":
        return found  # it would be written, and nothing would come of it
    present = revision_of(obj["spec"]["template"]["spec"]["predictors"][0])
    return found if _not_at_rest(status, present) else found | {"restart"}


def press(life: Life, action: str) -> Object:
    """As a person does in Argo CD's page, and the controller's next pass; returns the patch."""
    obj = life.object()
    [returned] = run_script(ACTIONS / action / "action.lua", obj)
    patch = patch_of(obj, returned)
    life.client.merge_patch(MODEL_ROLLOUTS, "iris", "prod", patch)
    life.look()
    return patch


@pytest.mark.parametrize("name", LIVES)
def test_what_is_offered_is_what_the_command_line_would_do(name: str) -> None:
    obj = statuses()[name]
    assert offered(obj) == possible(obj)


@pytest.mark.parametrize("state", [state.value for state in PreflightState])
def test_a_promotion_is_offered_while_the_preflight_is_awaited(state: str) -> None:
    obj = statuses()["preparing"]
    obj["status"]["preflight"] = {
        "state": state,
        "question": "q",
        "revision": obj["status"]["candidate"]["revision"],
        "stable": obj["status"]["stable"]["revision"],
        "startedAt": obj["status"]["phaseStartedAt"],
    }
    assert offered(obj) == possible(obj)
    assert ("promote" in offered(obj)) == PreflightState(state).open


@pytest.mark.parametrize("action", COMMANDS)
@pytest.mark.parametrize(
    "name",
    [
        "idle",
        "waiting-for-a-gate",
        "preparing",
        "stepping",
        "paused-by-command",
        "baking",
        "rolling-back",
        "rolled-back",
    ],
)
def test_the_controller_obeys_what_is_offered_and_refuses_the_rest(name: str, action: str) -> None:
    life = LIVES[name]()
    before = life.object()
    patch = press(life, action)
    assert list(patch["metadata"]) == ["annotations"], "the annotation alone"
    assert patch.keys() == {"metadata"}
    last = life.status.last_command
    assert last is not None
    assert (last.command, last.by) == (action, "Argo CD")
    assert last.accepted == (action in offered(before)), last.message


def test_the_same_action_on_a_newer_object_is_another_command() -> None:
    life = LIVES["stepping"]()
    press(life, "pause")
    first = life.status.last_command
    press(life, "resume")
    press(life, "pause")
    again = life.status.last_command
    assert first is not None
    assert again is not None
    assert first.id != again.id
    assert life.status.pause is not None


def test_an_action_for_a_candidate_that_is_gone_does_nothing() -> None:
    life = LIVES["stepping"]()
    obj = life.object()
    [returned] = run_script(ACTIONS / "promote-full" / "action.lua", obj)
    late = patch_of(obj, returned)
    life.changed("registry.example/iris:9").until(
        lambda one: (
            one.status.phase is Phase.PREPARING
            and one.status.candidate is not None
            and one.status.candidate.images == ["registry.example/iris:9"]
        )
    )
    life.client.merge_patch(MODEL_ROLLOUTS, "iris", "prod", late)
    life.look()
    assert life.status.last_command is not None
    assert "it was meant for revision" in life.status.last_command.message


def test_restart_brings_new_pods_of_the_same_images_as_a_candidate() -> None:
    life = LIVES["idle"]()
    stable = life.status.stable
    patch = press(life, "restart")
    candidate = life.status.candidate
    assert stable is not None
    assert candidate is not None
    assert candidate.images == stable.images
    assert candidate.revision != stable.revision
    [predictor] = patch["spec"]["template"]["spec"]["predictors"]
    assert list(predictor["annotations"]) == [RESTARTED_ANNOTATION]


def test_an_annotation_is_well_formed_json_with_what_the_controller_reads() -> None:
    obj = statuses()["stepping"]
    for action in COMMANDS:
        [returned] = run_script(ACTIONS / action / "action.lua", obj)
        said = json.loads(returned["metadata"]["annotations"][COMMAND_ANNOTATION])
        assert said["command"] == action
        about = "stable" if action == "retrain" else "candidate"
        assert said["revision"] == obj["status"][about]["revision"]


def test_retrain_is_offered_where_it_is_declared_and_until_it_runs() -> None:
    monitoring = {"drift": {}, "onDrift": {"job": {"cronJob": "retrain"}}}
    for life in (Life().serving(monitoring=monitoring), Life().stepping(monitoring=monitoring)):
        before = life.object()
        assert "retrain" in offered(before)
        assert offered(before) == possible(before)
        press(life, "retrain")
        assert life.status.last_command is not None
        assert life.status.last_command.accepted
        assert life.status.monitoring is not None
        [entry] = life.status.monitoring.retrainings
        assert (entry.trigger, entry.by) == ("Requested", "Argo CD")
        after = life.object()
        assert "retrain" not in offered(after)
        assert offered(after) == possible(after)
    watched = Life().serving(monitoring={"drift": {}}).object()
    assert "retrain" not in offered(watched)


def generated(file: str, *path: str) -> dict[str, str]:
    found: Any = yaml.safe_load((ARGOCD / file).read_text())
    for key in path:
        found = found[key]
    return dict(found)


def test_the_config_map_and_the_charts_values_have_every_script() -> None:
    patch, values = generated("argocd-cm.yaml", "data"), generated("values.yaml", "configs", "cm")
    assert patch == values
    prefix = "resource.customizations."
    for script in ARGOCD.glob("*/*/health.lua"):
        key = f"{prefix}health.{script.parent.parent.name}_{script.parent.name}"
        assert patch[key] == script.read_text()
    actions = yaml.safe_load(patch[f"{prefix}actions.sluice.dev_ModelRollout"])
    assert actions["discovery.lua"] == (ACTIONS / "discovery.lua").read_text()
    stored = {one["name"]: one["action.lua"] for one in actions["definitions"]}
    [shown] = run_script(ACTIONS / "discovery.lua", statuses()["idle"])
    assert stored.keys() == shown.keys()
    for name, script in stored.items():
        assert script == (ACTIONS / name / "action.lua").read_text()
