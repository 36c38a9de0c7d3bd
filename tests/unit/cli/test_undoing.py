"""undo and restart: what they write into the spec, and what they refuse."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from sluice.cli import main, undoing
from sluice.resources import CONTROLLER_REVISIONS, MODEL_ROLLOUTS
from sluice.seldon.revision import revision_of
from sluice.testing.kube import FakeKube

from ..docs.commands_table import cells

NOW = "2026-11-25T12:00:00.000Z"


def template(image: str, replicas: int | None = 2) -> dict[str, Any]:
    container = {"name": "classifier", "image": image}
    predictor: dict[str, Any] = {
        "graph": {"name": "classifier", "type": "MODEL"},
        "componentSpecs": [{"spec": {"containers": [container]}}],
    }
    if replicas is not None:
        predictor["replicas"] = replicas
    return {"spec": {"predictors": [predictor]}}


def revision(image: str) -> str:
    return revision_of(template(image)["spec"]["predictors"][0])


def revision_status(image: str) -> dict[str, Any]:
    return {"revision": revision(image), "predictor": f"v{revision(image)}", "images": [image]}


@pytest.fixture
def kube(monkeypatch: pytest.MonkeyPatch) -> FakeKube:
    kube = FakeKube()
    monkeypatch.setattr(undoing, "connect", lambda *_: (kube.client(), "prod"))
    return kube


def put(kube: FakeKube, now: str, *stables: str, spec: Any = None, **status: Any) -> None:
    """The rollout with the template of `now`; `stables` were served, newest first."""
    client = kube.client()
    body = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {"name": "iris", "namespace": "prod"},
        "spec": {"template": template(now, replicas=5), **(spec or {})},
    }
    created = client.create(MODEL_ROLLOUTS, body, "prod")
    kept = []
    for number, image in zip(range(len(stables), 0, -1), stables, strict=True):
        kept.append({"number": number, "revision": revision(image), "at": NOW})
        data = {"template": template(image), "source": {"gitCommit": image}}
        name = f"iris.{revision(image)}"
        stored = {"metadata": {"name": name}, "revision": number, "data": data}
        client.create(CONTROLLER_REVISIONS, stored, "prod")
    created["status"] = {
        "phase": "Idle",
        "templates": kept,
        **({"stable": revision_status(stables[0])} if stables else {}),
        **status,
    }
    client.replace(MODEL_ROLLOUTS, created, subresource="status")


def spec(kube: FakeKube) -> dict[str, Any]:
    found: dict[str, Any] = kube.client().get(MODEL_ROLLOUTS, "iris", "prod")["spec"]
    return found


def image(kube: FakeKube) -> str:
    [predictor] = spec(kube)["template"]["spec"]["predictors"]
    return str(predictor["componentSpecs"][0]["spec"]["containers"][0]["image"])


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["sluice", *words])
    with pytest.raises(SystemExit) as ended:
        main.main()
    code = ended.value.code
    return code if isinstance(code, int) else 0


STATES: dict[str, tuple[str, dict[str, Any]]] = {
    "Idle": ("m:2", {}),
    "waiting for a gate": ("m:3", {}),
    **{
        phase: ("m:3", {"phase": phase, "candidate": revision_status("m:3")})
        for phase in (
            "Preparing",
            "Shadowing",
            "Previewing",
            "Stepping",
            "Promoting",
            "Baking",
            "RollingBack",
        )
    },
    "waiting for the preflight": (
        "m:3",
        {"phase": "Preparing", "candidate": revision_status("m:3")},
    ),
    "RolledBack": ("m:3", {"phase": "RolledBack", "rejected": revision_status("m:3")}),
}


@pytest.mark.parametrize(
    ("command", "state", "expected"), [c for c in cells() if c[0] in ("undo", "restart")]
)
def test_the_table_of_commands(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch, command: str, state: str, expected: str
) -> None:
    now, status = STATES[state]
    put(kube, now, "m:2", "m:1", **status)
    before = spec(kube)
    code = run(monkeypatch, command, "iris")
    if expected == "refused":
        assert (code, spec(kube)) == (4, before)
        return
    assert code == 0
    if expected == "new pods":
        assert image(kube) == now
        [predictor] = spec(kube)["template"]["spec"]["predictors"]
        assert revision_of(predictor) != revision(now)
    else:
        assert image(kube) == {"earlier template": "m:1", "stable's template": "m:2"}[expected]


def test_undo_keeps_the_number_of_replicas_and_takes_the_source_along(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(kube, "m:2", "m:2", "m:1", spec={"source": {"gitCommit": "m:2", "run": "7"}})
    assert run(monkeypatch, "undo", "iris") == 0
    assert spec(kube)["template"]["spec"]["predictors"][0]["replicas"] == 5
    assert spec(kube)["source"] == {"gitCommit": "m:1"}


@pytest.mark.parametrize("form", ["number", "revision"])
def test_undo_to_a_number_or_a_revision(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    put(kube, "m:3", "m:3", "m:2", "m:1")
    wanted = "1" if form == "number" else revision("m:1")
    assert run(monkeypatch, "undo", "iris", "--to-revision", wanted) == 0
    assert image(kube) == "m:1"


@pytest.mark.parametrize(
    ("stables", "words", "says"),
    [
        (("m:2",), [], "no earlier template is kept: there is 1"),
        ((), [], "none yet"),
        (("m:2", "m:1"), ["--to-revision", "9"], "no template of '9' is kept: there is 2"),
        (("m:2", "m:1"), ["--to-revision", "2"], "already"),
    ],
)
def test_what_cannot_be_undone_says_what_there_is(
    kube: FakeKube,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stables: tuple[str, ...],
    words: list[str],
    says: str,
) -> None:
    put(kube, "m:2", *stables)
    assert run(monkeypatch, "undo", "iris", *words) == 4
    assert says in capsys.readouterr().err
    assert image(kube) == "m:2"


def test_a_kept_template_that_is_gone_or_was_changed_is_not_used(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(kube, "m:2", "m:2", "m:1")
    client, name = kube.client(), f"iris.{revision('m:1')}"
    client.merge_patch(
        CONTROLLER_REVISIONS, name, "prod", {"data": {"template": template("m:evil")}}
    )
    assert run(monkeypatch, "undo", "iris") == 4
    assert "does not hold revision" in capsys.readouterr().err
    client.delete(CONTROLLER_REVISIONS, name, "prod")
    assert run(monkeypatch, "undo", "iris") == 4
    assert "is gone" in capsys.readouterr().err
    assert image(kube) == "m:2"


def test_a_spec_that_changed_in_the_meantime_is_not_overwritten(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(kube, "m:2", "m:2", "m:1")
    kept = undoing._kept

    def slow(client: Any, *more: Any) -> Any:
        change = [{"op": "replace", "path": "/spec/template", "value": template("m:9")}]
        client.json_patch(MODEL_ROLLOUTS, "iris", "prod", change)
        return kept(client, *more)

    monkeypatch.setattr(undoing, "_kept", slow)
    assert run(monkeypatch, "undo", "iris") == 4
    assert "changed in the meantime" in capsys.readouterr().err
    assert image(kube) == "m:9"


def test_where_git_keeps_the_rollout_it_says_so(
    kube: FakeKube, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(kube, "m:2", "m:2", "m:1")
    note = {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "x"}}}
    kube.client().merge_patch(MODEL_ROLLOUTS, "iris", "prod", note)
    assert run(monkeypatch, "undo", "iris") == 0
    assert "Argo CD" in capsys.readouterr().err
    assert json.dumps(spec(kube)).count("m:1") == 2  # the template and its source
