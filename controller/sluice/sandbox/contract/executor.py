"""The judge of the executor's stand-in: every executor-* and model-* recording, sent again.

The model server is the real one (seldon-core 1.17.1 from PyPI) with a model of ours that behaves as
the recorded one did, so `model-*` shows whether that model and the environment are the same, and
`executor-*` what the stand-in makes of it. Times are not compared, nor the figures of the Go
runtime.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sluice.errors import SandboxError, UsageError
from sluice.sandbox import images, parts
from sluice.sandbox.executor.one_pod import (
    GRPC_PORT,
    HTTP_PORT,
    MODEL_HTTP,
    MODEL_METRICS,
    OnePod,
)

from . import Difference, Outcome, exposition, http_answers

_MODEL = Path(__file__).parent / "recorded_model"
_EXECUTOR_SERIES = ("seldon_api_executor_",)
_MODEL_SERIES = ("my_", "seldon_api_model_")
_MODEL_DEAD, _MODEL_BACK = "8-model-dead", "9-model-back"
_FRESH = "model-prometheus-00-fresh-process-after-1-prediction"


def run(recordings: Path) -> list[Difference]:
    """Every difference between the recordings in a folder and what happens here."""
    return [each for outcome in outcomes(recordings) for each in outcome.differences]


def outcomes(recordings: Path) -> list[Outcome]:
    """One row per recording, those that agree included. Raises UsageError if files are missing."""
    replay = _Replay(recordings)
    replay.rest()
    for transport in ("rest", "grpc"):
        replay.grpc(transport)
    return replay.rows()


class _Replay:
    def __init__(self, recordings: Path) -> None:
        self._directory = recordings
        self._compared: dict[str, Outcome] = {}
        self._began = time.monotonic()

    def rows(self) -> list[Outcome]:
        """What was compared; a recording nobody looked at is a difference of its own."""
        for pattern in ("executor-*", "model-*"):
            for path in self._directory.glob(pattern):
                if path.stem not in self._compared:
                    self._note(path.stem, [Difference(path.stem, -1, "file", "compared", "not")])
        return sorted(self._compared.values(), key=lambda outcome: outcome.recording)

    def rest(self) -> None:
        """Stages 1 to 9, the model server's own port, then the other requests."""
        requests = self._json("executor-requests")["requests"]
        stages = list(dict.fromkeys(request["stage"] for request in requests))
        with _pod("rest") as pod:
            self._executor_metrics(pod, "00")
            for stage in stages:
                if stage == _MODEL_DEAD:
                    self._model_metrics(pod, "model-prometheus-01-after-custom-metrics")
                    pod.kill_model()
                if stage == _MODEL_BACK:
                    pod.start_model()
                for number, request in enumerate(requests):
                    if request["stage"] == stage:
                        self._ask(pod, "executor-requests", number, request)
                self._executor_metrics(pod, f"{int(stage.split('-')[0]):02d}")
            for number, request in enumerate(self._json("executor-other-requests")["requests"]):
                self._ask(pod, "executor-other-requests", number, request)
            self._executor_metrics(pod, "10")
            self._model_port(pod, next(r for r in requests if r["stage"] == stages[0]))

    def _model_port(self, pod: OnePod, success: dict[str, Any]) -> None:
        """The model server by itself, in a fresh process as in the recording."""
        pod.kill_model()
        pod.start_model()
        http_answers.send(pod.address, HTTP_PORT, success)
        self._model_metrics(pod, _FRESH)
        for number, request in enumerate(self._json("model-requests")["requests"]):
            metrics = request["label"].startswith("metrics port")
            port = MODEL_METRICS if metrics else MODEL_HTTP
            found = http_answers.send(pod.address, port, request)
            whole = not request["response_body"].startswith("see ")
            self._note(
                "model-requests",
                http_answers.differences("model-requests", number, request, found, body=whole),
            )
        self._model_metrics(pod, "model-prometheus-02-after-direct-requests-and-feedback")

    def grpc(self, transport: str) -> None:
        """The calls of an executor that was started with one of the two transports."""
        name = "executor-grpc-calls"
        metrics = f"executor-grpc-{transport}-transport-prometheus"
        calls = [
            (number, call)
            for number, call in enumerate(self._json(name)["calls"])
            if call["executor_transport"] == transport
        ]
        dead = next((i for i, (_, c) in enumerate(calls) if "dead" in c["label"]), len(calls))
        with _pod(transport) as pod, _Caller(pod) as caller:
            for number, call in calls[:dead]:
                self._call(pod, caller, name, number, call)
            self._scrape(pod, HTTP_PORT, metrics, _EXECUTOR_SERIES)
            if dead == len(calls):
                return
            pod.kill_model()
            for number, call in calls[dead:]:
                self._call(pod, caller, name, number, call)
            self._scrape(pod, HTTP_PORT, f"{metrics}-model-dead", _EXECUTOR_SERIES)

    def _call(
        self, pod: OnePod, caller: _Caller, name: str, number: int, call: dict[str, Any]
    ) -> None:
        if "path" in call:
            self._ask(pod, name, number, call)
        else:
            found = caller.call(call["method"], call["request"])
            self._note(name, _grpc_differences(name, number, call, found))

    def _ask(self, pod: OnePod, name: str, number: int, request: dict[str, Any]) -> None:
        found = http_answers.send(pod.address, HTTP_PORT, request)
        self._note(name, http_answers.differences(name, number, request, found))

    def _executor_metrics(self, pod: OnePod, number: str) -> None:
        files = list(self._directory.glob(f"executor-prometheus-{number}-*.txt"))
        if not files:
            raise UsageError(
                f"expected executor-prometheus-{number}-*.txt in {self._directory}, found none"
            )
        self._scrape(pod, HTTP_PORT, files[0].stem, _EXECUTOR_SERIES)

    def _model_metrics(self, pod: OnePod, name: str) -> None:
        self._scrape(pod, MODEL_METRICS, name, _MODEL_SERIES)

    def _scrape(self, pod: OnePod, port: int, name: str, series: tuple[str, ...]) -> None:
        url = f"http://{pod.address}:{port}/prometheus"
        with urllib.request.urlopen(url, timeout=20) as answer:
            found = answer.read().decode()
        recorded = exposition.parse(self._text(f"{name}.txt"), series)
        self._note(name, exposition.differences(name, recorded, exposition.parse(found, series)))

    def _note(self, name: str, found: Iterator[Difference] | list[Difference]) -> None:
        now = time.monotonic()
        old = self._compared.get(name, Outcome(name, 0, 0.0, []))
        self._compared[name] = Outcome(
            name, old.steps + 1, old.seconds + now - self._began, [*old.differences, *found]
        )
        self._began = now

    def _text(self, name: str) -> str:
        try:
            return (self._directory / name).read_text()
        except OSError as error:
            raise UsageError(f"expected the recording {name}: {error}") from error

    def _json(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self._text(f"{name}.json"))
        return content


def _pod(transport: str) -> OnePod:
    served = images.serve(_MODEL, "RecordedModel")
    env = {
        # As recorded: the model server's defaults, one thread and the gRPC server on.
        "GUNICORN_THREADS": "1",
        "GRPC_WORKERS": "1",
    }
    return OnePod(served, predictor="canary", env=env, transport=transport)


def _grpc_differences(
    recording: str, step: int, call: dict[str, Any], found: dict[str, Any]
) -> Iterator[Difference]:
    label = call["label"]
    if call["code"] != found["code"]:
        yield Difference(recording, step, f"{label}: code", call["code"], found["code"])
    if call["code"] == "UNKNOWN" and call["details"] != found.get("details"):
        yield Difference(
            recording, step, f"{label}: details", call["details"], str(found.get("details"))
        )
    if call.get("response") != found.get("response"):
        yield Difference(recording, step, f"{label}: response", _short(call), _short(found))
    for part in ("initial", "trailing"):
        want = sorted(name for name, _ in call[part])
        have = sorted(name for name, _ in found[part])
        if want != have:
            yield Difference(recording, step, f"{label}: {part}", str(want), str(have))


def _short(call: dict[str, Any]) -> str:
    return json.dumps(call.get("response"), sort_keys=True)


class _Caller:
    """A process of the model servers' environment that makes gRPC calls for us."""

    def __init__(self, pod: OnePod) -> None:
        self._target = f"{pod.address}:{GRPC_PORT}"
        python = parts.seldon_env() / "bin" / "python"
        self._process = subprocess.Popen(
            [str(python), str(_MODEL / "grpc_caller.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> _Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate(timeout=10)

    def call(self, method: str, request: dict[str, Any]) -> dict[str, Any]:
        """One call and its answer. The call itself has a time limit."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = {"target": self._target, "method": method, "request": request}
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SandboxError(f"the gRPC caller ended while calling {method}")
        found: dict[str, Any] = json.loads(answer)
        return found
