"""The whole command, over HTTP: what a person gives, and what is in the files afterwards."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sluice.errors import AlreadyExistsError
from sluice.kube.client import Client
from sluice.resources import MODEL_ROLLOUTS
from sluice.testing.kube import FakeKube

from ..cli.stage import rollout
from .small_server import Answer, Model, broken, said, sums

Batch = Callable[..., int]
Lines = Callable[[], list[Any]]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def kube(monkeypatch: pytest.MonkeyPatch) -> FakeKube:
    """The cluster that the command connects to."""
    kube = FakeKube()
    monkeypatch.setattr(Client, "connect", lambda **_: kube.client(namespace="prod"))
    return kube


def in_progress(kube: FakeKube, phase: str = "Stepping", name: str = "iris", **spec: Any) -> None:
    with suppress(AlreadyExistsError):
        kube.client().create(MODEL_ROLLOUTS, rollout(name, **spec), "prod")
    obj = kube.client().get(MODEL_ROLLOUTS, name, "prod")
    obj["status"] = {
        "phase": phase,
        "step": {"index": 0, "weight": 20},
        "stable": {"revision": "aaaa", "predictor": "vaaaa", "images": []},
        "candidate": {"revision": "bbbb", "predictor": "vbbbb", "images": []},
    }
    kube.client().replace(MODEL_ROLLOUTS, obj, subresource="status")


def test_every_row_is_answered_in_order(
    batch: Batch, answers: Lines, model: Model, capsys: Capture
) -> None:
    rows = [[number, 1] for number in range(500)]
    assert batch(rows=rows) == 0
    found = answers()
    assert [one["data"]["ndarray"] for one in found] == [[[n + 1]] for n in range(500)]
    tags = found[7]["meta"]["tags"]
    assert (tags["batch_index"], tags["batch_instance_id"]) == (7, f"{tags['batch_id']}-7")
    assert {one["Seldon-Puid"] for one in model.headers} == {
        f"{tags['batch_id']}-{n}" for n in range(500)
    }
    assert set(model.paths) == {"/api/v1.0/predictions"}
    assert "500 rows: 500 ok, 0 failed" in capsys.readouterr().out


def test_several_rows_a_request_give_the_same_output(
    batch: Batch, answers: Lines, model: Model
) -> None:
    assert batch("--rows", "7", "--form", "prediction", rows=[[n] for n in range(100)]) == 0
    assert answers() == [{"row": n, "prediction": [n]} for n in range(100)]
    assert len(model.asked) == 15


def test_a_csv_with_ids_and_a_tensor(batch: Batch, answers: Lines, model: Model) -> None:
    def tensor(body: Any) -> Answer:
        shape, values = body["data"]["tensor"]["shape"], body["data"]["tensor"]["values"]
        return said({"data": {"tensor": {"shape": [shape[0], 1], "values": values[:: shape[1]]}}})

    model.answer = tensor
    words = ("--payload", "tensor", "--id-column", "key", "--form", "prediction", "--rows", "10")
    assert batch(*words, rows="key,a,b\nx,1,2\ny,3,4\n", file="in.csv") == 0
    assert answers() == [
        {"row": 0, "id": "x", "prediction": [1]},
        {"row": 1, "id": "y", "prediction": [3]},
    ]
    assert model.asked[0]["data"]["names"] == ["a", "b"]


def test_failed_rows_are_kept_with_their_reason_and_can_be_run_again(
    batch: Batch, answers: Lines, failures: Lines, model: Model, tmp_path: Path, capsys: Capture
) -> None:
    def moody(body: Any) -> Answer:
        return broken(500, "no thirteen") if [13] in body["data"]["ndarray"] else sums(body)

    model.answer = moody
    text = "".join(f"[{n}]\n" for n in range(20)) + "{broken\n[20]\n"
    assert batch("--rows", "8", "--attempts", "2", rows=text) == 1
    assert [one["meta"]["tags"]["batch_index"] for one in answers()] == [
        *range(13), *range(14, 20), 21,
    ]  # fmt: skip
    assert [(one["row"], one["status"], one["attempts"]) for one in failures()] == [
        (13, 500, 2),
        (20, 0, 0),
    ]
    assert "no thirteen" in failures()[0]["reason"]
    assert failures()[1]["raw"] == "{broken"
    told = capsys.readouterr().out
    assert "failed rows: " in told
    model.answer = sums
    again = tmp_path / "out.failed.jsonl"
    fixed = again.read_text().replace("{broken", "[99]")
    (tmp_path / "fixed.jsonl").write_text(fixed)
    second = str(tmp_path / "second.jsonl")
    assert batch("-o", second, "--form", "prediction", file="fixed.jsonl") == 0
    assert [json.loads(line) for line in Path(second).read_text().splitlines()] == [
        {"row": 13, "prediction": [13]},
        {"row": 20, "prediction": [99]},
    ]


def test_a_finished_run_is_not_done_twice(
    batch: Batch, answers: Lines, model: Model, capsys: Capture
) -> None:
    assert batch(rows=[[1], [2]]) == 0
    assert batch() == 0
    assert "is complete already" in capsys.readouterr().err
    assert len(model.asked) == 2
    assert batch("--overwrite", "--form", "prediction") == 0
    assert answers() == [{"row": 0, "prediction": [1]}, {"row": 1, "prediction": [2]}]


def test_a_target_that_is_gone_stops_the_run_and_the_same_command_goes_on(
    batch: Batch, answers: Lines, failures: Lines, model: Model, capsys: Capture
) -> None:
    gone = threading.Event()

    def until_100(body: Any) -> Answer | None:
        if body["data"]["ndarray"][0][0] >= 100:
            gone.set()  # for every row: one that is answered all the same is no outage
        return None if gone.is_set() else sums(body)

    model.answer = until_100
    rows = [[n] for n in range(150)]
    assert batch("--outage-timeout", "0.3", "--parallel", "2", rows=rows) == 1
    told = capsys.readouterr().err
    assert "the target has not answered for" in told
    assert "the same command goes on from there" in told
    assert failures() == []
    done = len(answers())
    assert 0 < done <= 100  # what is behind a row that met the outage is not written
    model.answer = sums
    model.asked.clear()
    assert batch("--parallel", "8") == 0
    assert len(model.asked) == 150 - done
    assert [one["meta"]["tags"]["batch_index"] for one in answers()] == list(range(150))
    assert len({one["meta"]["tags"]["batch_id"] for one in answers()}) == 1


def test_a_wrong_address_fails_no_row(batch: Batch, failures: Lines, model: Model, capsys: Capture):
    model.answer = lambda body: (404, b"", {})
    assert batch(rows=[[1]] * 50) == 1
    assert "HTTP 404: nothing is served there" in capsys.readouterr().err
    assert failures() == []


def test_too_many_failed_rows_stop_the_run(batch: Batch, model: Model, capsys: Capture) -> None:
    model.answer = lambda body: broken(400, "no")
    assert batch("--max-failed", "5", rows=[[n] for n in range(5000)]) == 1
    assert "--max-failed allows 5" in capsys.readouterr().err
    assert len(model.asked) < 1000


def test_the_summary_is_for_programs_too(batch: Batch, model: Model, capsys: Capture) -> None:
    from ..cli.test_reference import check

    assert batch("--summary", "json", rows=[[1], []]) == 1
    found = check(capsys.readouterr().out, "batch")
    assert (found["outcome"], found["rows"], found["ok"], found["failed"]) == (
        "RowsFailed",
        2,
        1,
        1,
    )
    model.answer = lambda body: (403, b"", {})
    assert batch("--summary", "json", "--overwrite") == 1
    found = check(capsys.readouterr().out, "batch")
    assert found["outcome"] == "Stopped"
    assert "HTTP 403" in found["message"]


def test_a_token_is_sent_and_shown_nowhere(
    batch: Batch, model: Model, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    model.answer = lambda body: broken(500, "s")
    assert batch("--token-file", str(token), "--header", "x-team=t0p", rows=[[1]]) == 1
    assert model.headers[0]["Authorization"] == "Bearer s3cret"
    assert model.headers[0]["x-team"] == "t0p"
    monkeypatch.setenv("SLUICE_BATCH_TOKEN", "fr0m-env")
    assert batch("--overwrite", "--host", "models.example", rows=[[1]]) == 1
    assert model.headers[-1]["Authorization"] == "Bearer fr0m-env"
    assert model.headers[-1]["Host"] == "models.example"
    written = "".join(p.read_text() for p in tmp_path.iterdir() if p != token)
    said_aloud = "".join(capsys.readouterr())
    for secret in ("s3cret", "t0p", "fr0m-env"):
        assert secret not in written + said_aloud


def test_through_the_gateway_it_warns_of_a_rollout(
    batch: Batch, model: Model, kube: FakeKube, capsys: Capture
) -> None:
    in_progress(kube)
    assert batch("-d", "iris", "--gateway", model.url, rows=[[1]]) == 0
    assert model.paths == ["/seldon/prod/iris/api/v1.0/predictions"]
    told = capsys.readouterr().err
    assert "warning: a rollout is in progress (Stepping of bbbb, 20% to it)" in told
    assert "count in its evidence" in told


def test_no_rollout_no_warning(batch: Batch, model: Model, kube: FakeKube, capsys: Capture) -> None:
    in_progress(kube, phase="Idle")
    in_progress(kube, name="tulip")
    assert batch("-d", "iris", "--gateway", model.url, rows=[[1]]) == 0
    assert "rollout" not in capsys.readouterr().err


def test_it_can_wait_for_the_rollouts_end(
    batch: Batch, model: Model, kube: FakeKube, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_progress(kube)
    looks: list[int] = []
    from sluice.cli.batch_target import RolloutWatch

    look = RolloutWatch.look

    def counted(watch: RolloutWatch) -> None:
        looks.append(len(model.asked))
        if len(looks) == 3:
            in_progress(kube, phase="Idle")
        look(watch)

    monkeypatch.setattr(RolloutWatch, "look", counted)
    monkeypatch.setattr("sluice.cli.batch_target._LOOK_SECONDS", 0.02)
    words = ("-d", "iris", "--gateway", model.url, "--wait-for-rollout")
    assert batch(*words, rows=[[1], [2]]) == 0
    assert looks[:3] == [0, 0, 0], "nothing was sent while the rollout was in progress"
    assert len(model.asked) == 2
    told = capsys.readouterr().err
    assert "waiting: a rollout (Stepping of bbbb, 20% to it)" in told
    assert "going on" in told


def test_without_a_cluster_it_says_that_it_could_not_look(
    batch: Batch, model: Model, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ("-d", "iris", "--gateway", model.url)
    assert batch(*words, rows=[[1]]) == 2
    assert "Give -n NAMESPACE" in capsys.readouterr().err
    assert batch(*words, "-n", "prod") == 0
    assert "whether a rollout is in progress is not known" in capsys.readouterr().err
    assert batch(*words, "-n", "prod", "--wait-for-rollout", "--overwrite") == 2


@pytest.mark.parametrize(
    ("words", "service"),
    [
        (["--predictor", "v7"], "iris-v7"),
        (["--revision", "stable"], "iris-vaaaa"),
        (["--revision", "candidate"], "iris-vbbbb"),
        (["--revision", "bbbb"], "iris-vbbbb"),
    ],
)
def test_a_revision_is_reached_by_its_own_service(
    words: list[str],
    service: str,
    batch: Batch,
    model: Model,
    kube: FakeKube,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sluice.batch.wire import Wire
    from sluice.cli import batch as command

    in_progress(kube)
    urls: list[str] = []

    def wire(url: str, **options: Any) -> Wire:
        urls.append(url)
        return Wire(model.url + "/", **options)

    monkeypatch.setattr(command, "Wire", wire)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert batch("-d", "iris", *words, rows=[[1]]) == 0
    assert urls == [f"http://{service}.prod.svc:8000/api/v1.0/predictions"]
    assert "warning" not in capsys.readouterr().err, "no rollout counts these requests"
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    assert batch("-d", "iris", *words) == 2
    assert f"kubectl port-forward -n prod service/{service} 8000" in capsys.readouterr().err


def test_feedback_goes_to_its_own_path(batch: Batch, model: Model, answers: Lines) -> None:
    model.answer = lambda body: said({"meta": {}})
    assert batch("--method", "feedback", rows=[{"reward": 1.0, "request": {}}] * 3) == 0
    assert set(model.paths) == {"/api/v1.0/feedback"}
    assert [one["meta"]["tags"]["batch_index"] for one in answers()] == [0, 1, 2]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--url", "http://u:p@h"], "use --token-file"),
        (["--url", "ftp://h/x"], "expected http://HOST"),
        (["--url", "http://h", "-d", "iris"], "give either --deployment NAME or --url URL"),
        (["--url", "http://h", "--predictor", "v1"], "need --deployment"),
        (["--url", "http://h", "--wait-for-rollout"], "through the gateway"),
        (["--token-file", "/none/such"], "--token-file /none/such cannot be read"),
        (["--url", "https://h", "--ca-file", "/none/such"], "--ca-file /none/such is not there"),
        (["--type", "a=int"], "expected COLUMN=TYPE"),
        (["--header", "secret"], "expected NAME=VALUE"),
        (["-i", "/none/such.csv"], "is not there"),
        (["--rows", "0"], "--rows"),
        (["--payload", "tftensor"], "tftensor"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_sent(
    words: list[str], why: str, batch: Batch, model: Model, capsys: Capture
) -> None:
    assert batch(*words, rows=[[1]]) == 2
    assert why in capsys.readouterr().err
    assert model.asked == []


def test_requests_run_side_by_side_and_no_more_than_asked_for(batch: Batch, model: Model) -> None:
    together = threading.Barrier(3)
    running, most, lock = 0, 0, threading.Lock()

    def slow(body: Any) -> Answer:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(timeout=20)  # breaks unless three are there at once
        with lock:
            running -= 1
        return sums(body)

    model.answer = slow
    assert batch("--parallel", "3", rows=[[n] for n in range(30)]) == 0
    assert most == 3


def test_an_empty_file_is_done_at_once(batch: Batch, answers: Lines) -> None:
    assert batch(rows="") == 0
    assert answers() == []


def test_a_changed_input_does_not_go_on(batch: Batch, capsys: Capture) -> None:
    assert batch(rows=[[1]]) == 0
    assert batch(rows=[[2]]) == 2
    assert "is of other work: input was" in capsys.readouterr().err
