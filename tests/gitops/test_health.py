"""What Argo CD and Flux make of what the controller writes: the table of docs/gitops.md."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from . import seldon_statuses
from .judging import ARGOCD, DIRECTORY, FLUX, ROLLOUT, ROOT, Object, ask, run_script, statuses
from .recording import LIVES, recorded, text_of

PAGE = ROOT / "docs" / "gitops.md"


def table() -> dict[str, tuple[str, ...]]:
    """Status -> (Argo CD, kstatus, Flux with the expressions), as the page says."""
    lines = PAGE.read_text().split("<!-- health by status -->")[1].split("<!-- end -->")[0]
    rows = [line for line in lines.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {row[0].strip("`"): tuple(row[1:4]) for row in cells}


def expressions() -> Object:
    documents = yaml.safe_load_all((FLUX / "rollouts.yaml").read_text())
    [found] = [d["spec"]["healthCheckExprs"] for d in documents if "healthCheckExprs" in d["spec"]]
    [check] = found
    assert (check.pop("apiVersion"), check.pop("kind")) == ("sluice.dev/v1alpha1", "ModelRollout")
    return check


@pytest.mark.parametrize("name", LIVES)
def test_the_recorded_statuses_are_what_the_controller_writes(name: str) -> None:
    assert (DIRECTORY / f"{name}.yaml").read_text() == text_of(recorded(name)), "`make statuses`"


def test_nothing_else_is_recorded_and_the_page_has_a_line_for_each() -> None:
    assert {path.stem for path in DIRECTORY.glob("*.yaml")} == set(LIVES)
    assert table().keys() == LIVES.keys()


def test_argo_cd_sees_the_health_that_the_page_says() -> None:
    found = run_script(ROLLOUT / "health.lua", *statuses().values())
    seen = {name: one["status"] for name, one in zip(LIVES, found, strict=True)}
    assert seen == {name: row[0] for name, row in table().items()}
    assert all(one["message"] for one in found)


def test_kstatus_answers_as_the_page_says() -> None:
    found = ask(statuses().values(), "kstatus")
    seen = {name: one["status"] for name, one in zip(LIVES, found, strict=True)}
    assert seen == {name: row[1] for name, row in table().items()}


def test_flux_with_the_expressions_answers_as_the_page_says(tmp_path: Path) -> None:
    file = tmp_path / "exprs.yaml"
    file.write_text(yaml.safe_dump(expressions()))
    found = ask(statuses().values(), "cel", str(file))
    seen = {name: one["status"] for name, one in zip(LIVES, found, strict=True)}
    assert seen == {name: row[2] for name, row in table().items()}


def test_what_nobody_has_looked_at_is_never_good_nor_bad() -> None:
    """Or a wave would go on, or stop, by the verdict on the version before."""
    for name, obj in statuses().items():
        obj["metadata"]["generation"] += 1
        [health] = run_script(ROLLOUT / "health.lua", obj)
        assert health["status"] == "Progressing", name


def test_the_message_has_the_numbers_of_the_verdict() -> None:
    by_name = statuses()
    [back, away, gate] = run_script(
        ROLLOUT / "health.lua",
        by_name["rolled-back"],
        by_name["metrics-away"],
        by_name["waiting-for-a-gate"],
    )
    assert "20% failed (48 of 240)" in back["message"]
    assert "held: Prometheus" in away["message"]
    assert "promotedIn stage/iris" in gate["message"]


def test_a_paused_rollout_that_cannot_be_worked_on_is_degraded() -> None:
    obj = statuses()["paused-by-command"]
    for condition in obj["status"]["conditions"]:
        if condition["type"] == "Stalled":
            condition |= {"status": "True", "reason": "InvalidSpec", "message": "two names"}
    [health] = run_script(ROLLOUT / "health.lua", obj)
    assert health == {"status": "Degraded", "message": "InvalidSpec: two names"}


def test_a_policy_is_healthy_once_it_is_there() -> None:
    for kind in ("CanaryPolicy", "ClusterCanaryPolicy"):
        policy = {"kind": kind, "metadata": {"name": "fast"}, "spec": {"steps": []}}
        [health] = run_script(ARGOCD / "sluice.dev" / kind / "health.lua", policy)
        assert health["status"] == "Healthy"


@pytest.mark.parametrize(("name", "expected"), seldon_statuses.EXPECTED.items())
def test_a_seldon_deployment_is_healthy_only_with_all_its_pods(name: str, expected: str) -> None:
    script = ARGOCD / "machinelearning.seldon.io" / "SeldonDeployment" / "health.lua"
    [health] = run_script(script, seldon_statuses.MADE[name]())
    assert health["status"] == expected, health
