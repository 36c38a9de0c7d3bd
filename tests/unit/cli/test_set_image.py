"""`sluice set-image`: one conditional patch, and warnings where the change will not last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sluice.cli.gitops import owner_in_git
from sluice.resources import MODEL_ROLLOUTS

from .stage import Play, ScriptedKube, rollout

Sluice = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def images(play: Play) -> list[str]:
    [component] = play.object()["spec"]["template"]["spec"]["predictors"][0]["componentSpecs"]
    return [container["image"] for container in component["spec"]["containers"]]


def add_container(play: Play, name: str) -> None:
    obj = play.object()
    [component] = obj["spec"]["template"]["spec"]["predictors"][0]["componentSpecs"]
    component["spec"]["containers"].append({"name": name, "image": "repo/other:1"})
    play.kube.client().replace(MODEL_ROLLOUTS, obj)


def test_the_image_and_the_source_are_set_in_one_patch(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    words = ("repo/iris:2", "--source", "gitCommit=ab12", "--source", "a/b=c=d")
    assert sluice("set-image", "iris", *words) == 0
    assert images(play) == ["repo/iris:2"]
    assert play.object()["spec"]["source"] == {"gitCommit": "ab12", "a/b": "c=d"}
    assert scripted.count("patch") == 1
    assert capsys.readouterr().out == (
        "modelrollout.sluice.dev/iris: classifier: repo/iris:1 -> repo/iris:2\n"
    )
    assert sluice("set-image", "iris", "repo/iris:3", "--source", "a/b=e") == 0
    assert play.object()["spec"]["source"] == {"gitCommit": "ab12", "a/b": "e"}
    assert "spec.source keeps gitCommit of the image before" in capsys.readouterr().err


def test_what_is_so_already_is_said_and_not_written(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    assert sluice("set-image", "iris", "classifier=repo/iris:1") == 0
    assert "nothing changed" in capsys.readouterr().out
    assert scripted.count("patch") == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["repo/iris:2"], "say which: classifier=IMAGE, explainer=IMAGE"),
        (["model=repo/iris:2"], "no container 'model'; there are: classifier, explainer"),
        (["classifier="], "found no usable image"),
        (["classifier=a", "classifier=b"], "given twice"),
        (["classifier=a", "--source", "nonsense"], "expected KEY=VALUE"),
    ],
)
def test_an_ambiguous_or_wrong_container_is_an_error_with_the_names_there_are(
    play: Play,
    scripted: ScriptedKube,
    sluice: Sluice,
    capsys: Capture,
    words: list[str],
    said: str,
) -> None:
    add_container(play, "explainer")
    assert sluice("set-image", "iris", *words) == 2
    assert said in capsys.readouterr().err
    assert scripted.count("patch") == 0


def test_several_containers_are_set_at_once(play: Play, sluice: Sluice) -> None:
    add_container(play, "explainer")
    assert sluice("set-image", "iris", "explainer=repo/x:2", "classifier=repo/iris:2") == 0
    assert images(play) == ["repo/iris:2", "repo/x:2"]


def test_a_prepackaged_server_has_no_image_and_the_error_says_where_its_model_is(
    scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    body = rollout("pre")
    body["spec"]["template"]["spec"]["predictors"] = [
        {"graph": {"name": "m", "implementation": "SKLEARN_SERVER", "modelUri": "gs://m/1"}}
    ]
    scripted.client().create(MODEL_ROLLOUTS, body, "prod")
    assert sluice("set-image", "pre", "repo/iris:2") == 2
    assert "graph.modelUri" in capsys.readouterr().err


def test_somebody_who_was_faster_is_read_and_not_overwritten(
    play: Play, scripted: ScriptedKube, sluice: Sluice
) -> None:
    """Between read and patch another image is set, and a label beside it."""
    once = [True]

    def meanwhile(call: Any) -> None:
        if call.method == "PATCH" and once:
            once.pop()
            obj = play.object()
            obj["metadata"]["labels"] = {"team": "search"}
            obj["spec"]["template"]["spec"]["predictors"][0]["replicas"] = 5
            [component] = obj["spec"]["template"]["spec"]["predictors"][0]["componentSpecs"]
            component["spec"]["containers"][0]["image"] = "repo/iris:other"
            scripted.client().replace(MODEL_ROLLOUTS, obj)

    scripted.on_call = meanwhile
    assert sluice("set-image", "iris", "repo/iris:2") == 0
    assert scripted.count("patch") == 2
    assert images(play) == ["repo/iris:2"]
    obj = play.object()
    assert obj["metadata"]["labels"] == {"team": "search"}
    assert obj["spec"]["template"]["spec"]["predictors"][0]["replicas"] == 5


def test_who_loses_every_time_gives_up_with_an_error(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    def always(call: Any) -> None:
        if call.method == "PATCH":
            obj = play.object()
            [component] = obj["spec"]["template"]["spec"]["predictors"][0]["componentSpecs"]
            component["spec"]["containers"][0]["image"] += "x"
            scripted.client().replace(MODEL_ROLLOUTS, obj)

    scripted.on_call = always
    assert sluice("set-image", "iris", "repo/iris:2") == 1
    assert "at every one of 4 attempts" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("meta", "tool"),
    [
        ({"labels": {"argocd.argoproj.io/instance": "models"}}, "Argo CD"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "m:sluice.dev/x"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "models"}}, "Flux (Kustomization)"),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "models"}}, "Flux (HelmRelease)"),
        (
            {"managedFields": [{"manager": "argocd-controller", "fieldsV1": {"f:spec": {}}}]},
            "Argo CD",
        ),
        (
            {"managedFields": [{"manager": "argocd-controller", "fieldsV1": {"f:metadata": {}}}]},
            "",
        ),
        ({"labels": {"app.kubernetes.io/instance": "models"}}, ""),
    ],
)
def test_a_gitops_tool_is_known_by_what_it_leaves(meta: dict[str, Any], tool: str) -> None:
    assert owner_in_git({"metadata": meta}).startswith(tool)
    assert bool(owner_in_git({"metadata": meta})) == bool(tool)


def test_a_gitops_tool_is_warned_of_and_the_change_made(
    play: Play, scripted: ScriptedKube, sluice: Sluice, capsys: Capture
) -> None:
    labels = {"metadata": {"labels": {"argocd.argoproj.io/instance": "models"}}}
    scripted.client().merge_patch(MODEL_ROLLOUTS, "iris", "prod", labels)
    assert sluice("set-image", "iris", "repo/iris:2") == 0
    assert "warning: prod/iris is kept by Argo CD (label argocd" in capsys.readouterr().err
    assert images(play) == ["repo/iris:2"]


def test_wait_follows_the_rollout_that_was_just_begun(
    play: Play, scripted: ScriptedKube, sluice: Sluice
) -> None:
    def look() -> None:
        play.image = "repo/iris:2"
        play.look()

    scripted.acts = [look, play.harm]
    assert sluice("set-image", "iris", "repo/iris:2", "--wait", "-q") == 3


def test_a_dry_run_keeps_nothing(play: Play, sluice: Sluice, capsys: Capture) -> None:
    assert sluice("set-image", "iris", "repo/iris:2", "--dry-run", "--wait") == 0
    assert images(play) == ["repo/iris:1"]
    assert "(dry run)" in capsys.readouterr().out
