"""The example pipelines: their own shell, a real API server, and rollouts that end in every way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.unit.cli.stage import Play

from .conftest import NEW, OLD, Project, image_of
from .pipelines import FOLDER, Ran, Step, github, gitlab, run, tekton

SECONDS = "90s"  # enough for a busy machine; nothing is judged by it
OUTCOMES: list[tuple[str, Callable[[Play], object] | None, str, int]] = [
    ("promoted", Play.promote, SECONDS, 0),
    ("rolled back", Play.harm, SECONDS, 3),
    ("late", None, "1s", 5),
]


def values(project: Project, wait: str, image: str = NEW) -> dict[str, str]:
    """What the systems would fill in."""
    return {
        "inputs.image": image,
        "secrets.kubeconfig": project.cluster.kubeconfig.read_text(),
        "IMAGE": image,
        "NAMESPACE": project.namespace,
        "WAIT": wait,
        "REMOTE": str(project.remote),
        "CI_COMMIT_SHA": "ab12cd",
        "CI_PIPELINE_ID": "77",
        "CI_COMMIT_BRANCH": "main",
        "params.image": image,
        "params.commit": "ab12cd",
        "params.rollout": "iris",
        "params.namespace": project.namespace,
        "params.folder": "prod",
        "params.timeout": wait,
        "params.repository": str(project.remote),
        "params.manifest": "prod/iris.yaml",
        "context.taskRun.name": "iris-x7-rollout",
    }


def ended(project: Project, steps: list[Step], wait: str) -> Ran:
    """The run, with the names of this test in place of those of the example."""
    own = {"NAMESPACE": project.namespace, "WAIT": wait}
    steps = [Step(s.name, s.script, {**s.env, **own}, s.always, s.shell) for s in steps]
    env = project.environment(
        RUNNER_TEMP=str(project.checkout.parent),
        GITHUB_SHA="ab12cd",
        GITHUB_RUN_ID="77",
        GITHUB_STEP_SUMMARY=str(project.checkout.parent / "summary"),
    )
    return run(steps, project.checkout, env)


DIRECT: dict[str, Callable[[dict[str, str]], list[Step]]] = {
    "github-actions": lambda known: github("github-actions.yml", known),
    "gitlab-ci": lambda known: gitlab("gitlab-ci.yml", known),
    "tekton": lambda known: tekton("tekton.yaml", known),
}
GITOPS: dict[str, Callable[[dict[str, str]], list[Step]]] = {
    "github-actions-gitops": lambda known: github("github-actions-gitops.yml", known),
    "gitlab-ci-gitops": lambda known: gitlab("gitlab-ci-gitops.yml", known),
    "tekton-gitops": lambda known: tekton("tekton-gitops.yaml", known),
}


@pytest.mark.parametrize(("name", "outcome", "wait", "code"), OUTCOMES)
@pytest.mark.parametrize("system", DIRECT)
def test_a_pipeline_ends_as_its_rollout_does_and_leaves_a_report(
    project: Project,
    system: str,
    name: str,
    outcome: Callable[[Play], object] | None,
    wait: str,
    code: int,
) -> None:
    project.ends(outcome)
    ran = ended(project, DIRECT[system](values(project, wait)), wait)
    assert ran.code == code, ran.output
    assert image_of(project.play.object()) == NEW
    assert project.play.object()["spec"]["source"]["gitCommit"] == "ab12cd"
    report = (project.checkout / "sluice-report.html").read_text()
    assert NEW in report or outcome is None
    if code:
        assert ran.failed.lower() in ("wait", "rollout")


@pytest.mark.parametrize(("name", "outcome", "wait", "code"), OUTCOMES)
@pytest.mark.parametrize("system", GITOPS)
def test_with_gitops_the_image_goes_through_git_and_that_version_is_followed(
    project: Project,
    system: str,
    name: str,
    outcome: Callable[[Play], object] | None,
    wait: str,
    code: int,
) -> None:
    project.syncs()
    project.ends(outcome)
    ran = ended(project, GITOPS[system](values(project, wait)), wait)
    assert ran.code == code, ran.output
    assert project.log() == [f"iris: {NEW}", "first"]
    assert image_of(project.play.object()) == NEW
    assert (project.checkout / "sluice-report.html").exists()


@pytest.mark.parametrize("system", GITOPS)
def test_a_commit_that_nobody_applies_is_late(project: Project, system: str) -> None:
    steps = GITOPS[system](values(project, SECONDS))
    steps = [Step(s.name, s.script, {**s.env, "SYNC": "1s"}, s.always, s.shell) for s in steps]
    ran = ended(project, steps, SECONDS)
    assert ran.code == 5, ran.output
    assert image_of(project.play.object()) == OLD


@pytest.mark.parametrize("image", ["iris@sha256:ab", "registry.example:5000/iris:3@sha256:cd"])
@pytest.mark.parametrize("system", GITOPS)
def test_images_by_digest_and_of_a_registry_with_a_port_are_written(
    project: Project, system: str, image: str
) -> None:
    name = image.partition("@")[0].removesuffix(":3")
    manifest = project.checkout / "prod" / "iris.yaml"
    manifest.write_text(manifest.read_text().replace(OLD, f"{name}:1"))
    known = values(project, SECONDS, image)
    step = next(s for s in GITOPS[system](known) if "sed -i" in s.script)
    own = Step("change", step.script.split("sluice lint")[0], step.env)
    if system == "tekton-gitops":  # it has a clone of its own: here it is the checkout
        (project.checkout / step.env["RUN"]).symlink_to(project.checkout)
    ran = ended(project, [own], SECONDS)
    assert ran.code == 0, ran.output
    assert image_of(yaml.safe_load(manifest.read_text())) == image


@pytest.mark.parametrize("system", GITOPS)
def test_an_image_that_the_manifest_does_not_have_is_said_and_not_committed(
    project: Project, system: str
) -> None:
    known = values(project, SECONDS, "repo/other:2")
    ran = ended(project, GITOPS[system](known), SECONDS)
    assert ran.code == 1
    assert "has no image repo/other" in ran.output
    assert project.log() == ["first"]


@pytest.mark.parametrize(
    "image", ["registry.example/iris@|;1e touch ran;#", "registry.example/iris:2\n", "a b:2", ""]
)
@pytest.mark.parametrize("system", GITOPS)
def test_what_is_no_image_is_refused_before_sed_could_run_it(
    project: Project, system: str, image: str
) -> None:
    """GNU sed runs commands of its program (`e`), and the image is a part of that program."""
    known = values(project, SECONDS, image)
    ran = ended(project, GITOPS[system](known), SECONDS)
    assert ran.code == 1
    assert "is no image" in ran.output
    assert list(project.checkout.rglob("ran")) == []
    assert project.log() == ["first"]


@pytest.mark.parametrize("system", [*DIRECT])
def test_a_policy_with_a_mistake_ends_a_pipeline_before_anything_is_changed(
    project: Project, system: str
) -> None:
    (project.checkout / "prod" / "policy.yaml").write_text(
        "apiVersion: sluice.dev/v1alpha1\nkind: CanaryPolicy\nmetadata: {name: odd}\n"
        "spec: {steps: [{weight: 50, hold: 1m}, {weight: 20, hold: 1m}], checks: []}\n"
    )
    ran = ended(project, DIRECT[system](values(project, SECONDS)), SECONDS)
    assert ran.code == 1, ran.output
    assert ran.failed.lower() == "lint"
    assert image_of(project.play.object()) == OLD


@pytest.mark.parametrize(
    ("file", "schema"),
    [
        ("github-actions.yml", "github-workflows"),
        ("github-actions-gitops.yml", "github-workflows"),
        ("gitlab-ci.yml", "gitlab-ci"),
        ("gitlab-ci-gitops.yml", "gitlab-ci"),
    ],
)
def test_the_systems_own_schema_accepts_the_file(file: str, schema: str) -> None:
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    argv += ["--data-transform", "gitlab-ci"] if schema == "gitlab-ci" else []
    done = subprocess.run([*argv, str(FOLDER / file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_both_of_tektons_files_can_be_applied() -> None:
    """What has the same name in both is the same."""
    seen: dict[tuple[str, str], Any] = {}
    for file in ("tekton.yaml", "tekton-gitops.yaml"):
        for one in yaml.safe_load_all((FOLDER / file).read_text()):
            if "name" in one["metadata"]:
                key = one["kind"], one["metadata"]["name"]
                assert seen.setdefault(key, one) == one


def test_a_newer_push_takes_the_place_of_an_older_one() -> None:
    for file in ("github-actions.yml", "github-actions-gitops.yml"):
        workflow = yaml.safe_load((FOLDER / file).read_text())
        assert workflow["concurrency"]["cancel-in-progress"] is True
    for file in ("gitlab-ci.yml", "gitlab-ci-gitops.yml"):
        pipeline = yaml.safe_load((FOLDER / file).read_text())
        assert pipeline["workflow"]["auto_cancel"] == {"on_new_commit": "interruptible"}
        job = pipeline["rollout"]
        assert job.get("interruptible", pipeline.get("default", {}).get("interruptible")) is True
        assert "resource_group" not in job


def test_only_first_party_actions_are_used() -> None:
    for file in FOLDER.glob("github-*.yml"):
        [job] = yaml.safe_load(file.read_text())["jobs"].values()
        used = [step["uses"] for step in job["steps"] if "uses" in step]
        assert all(name.startswith("actions/") for name in used)


@pytest.mark.parametrize("file", ["tekton.yaml", "tekton-gitops.yaml"])
def test_tektons_objects_fit_together(file: str) -> None:
    documents: list[Any] = list(yaml.safe_load_all((FOLDER / file).read_text()))
    assert {d["apiVersion"] for d in documents} == {"tekton.dev/v1"}
    tasks = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "Task"}
    [pipeline] = [d["spec"] for d in documents if d["kind"] == "Pipeline"]
    [started] = [d["spec"] for d in documents if d["kind"] == "PipelineRun"]
    for member in [*pipeline["tasks"], *pipeline["finally"]]:
        task = tasks[member["taskRef"]["name"]]
        given = {p["name"] for p in member["params"]}
        needed = {p["name"] for p in task["params"] if "default" not in p}
        assert needed <= given <= {p["name"] for p in task["params"]}
        workspaces = {w["name"] for w in member.get("workspaces", [])}
        assert workspaces == {w["name"] for w in task.get("workspaces", [])}
    needed = {p["name"] for p in pipeline["params"] if "default" not in p}
    assert needed <= {p["name"] for p in started["params"]}
    assert {w["name"] for w in pipeline["workspaces"]} == {w["name"] for w in started["workspaces"]}
