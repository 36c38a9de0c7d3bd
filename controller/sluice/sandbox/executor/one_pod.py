"""One pod without a cluster: a model server and an executor on a loopback address of their own.

For development: `python -m sluice.sandbox.executor.one_pod better` prints where it listens and runs
until Ctrl-C; Tests and
the contract use `OnePod`. The ports are those of a real pod, so the address is what must be free.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from sluice.errors import SandboxError, UsageError
from sluice.sandbox import images
from sluice.sandbox.containers import PODNET
from sluice.sandbox.images import LocalImage
from sluice.sandbox.ports import listening

HTTP_PORT, GRPC_PORT = 8000, 5001
MODEL_HTTP, MODEL_GRPC, MODEL_METRICS = 9000, 9500, 6000
_READY_SECONDS = 60.0


def free_address() -> str:
    """A 127.x.y.z outside the node's range where the pod's ports are free."""
    for _ in range(100):
        address = f"127.{128 + secrets.randbelow(126)}.{secrets.randbelow(256)}.7"
        try:
            for port in (HTTP_PORT, GRPC_PORT, MODEL_HTTP, MODEL_GRPC, MODEL_METRICS):
                with socket.socket() as probe:
                    probe.bind((address, port))
        except OSError:
            continue
        return address
    raise SandboxError("found no 127.x.y.z with the ports of a pod free in 100 attempts")


def engine_predictor(name: str, image: str, *, model_host: str = "localhost") -> str:
    """ENGINE_PREDICTOR as the operator writes it for a single model named `model`."""
    endpoint = {
        "service_host": model_host,
        "service_port": MODEL_HTTP,
        "type": "REST",
        "httpPort": MODEL_HTTP,
        "grpcPort": MODEL_GRPC,
    }
    graph = {"name": "model", "type": "MODEL", "endpoint": endpoint}
    containers = [{"name": "model", "image": image}]
    spec = {"name": name, "graph": graph, "componentSpecs": [{"spec": {"containers": containers}}]}
    return base64.b64encode(json.dumps(spec).encode()).decode()


class OnePod:
    """Both processes of a pod. `with OnePod(...) as pod:` ends them, however the block is left.

    `image_name` is what metrics and answers call the image; `model` the process behind it; `env`
    comes on top of the model's environment (as GRPC_WORKERS=1, which is off by default).
    """

    def __init__(
        self,
        model: LocalImage,
        *,
        image_name: str = "repo/m:1",
        deployment: str = "iris",
        predictor: str = "main",
        env: Mapping[str, str] | None = None,
        transport: str = "rest",
        log: IO[bytes] | None = None,
    ) -> None:
        self.address = free_address()
        self.url = f"http://{self.address}:{HTTP_PORT}"
        self._model_image = model
        self._image_name = image_name
        self._deployment, self._predictor = deployment, predictor
        self._extra = dict(env or {})
        self._transport = transport
        self._log = log
        self.model: subprocess.Popen[bytes] | None = None
        self.executor: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start_executor()
            self.start_model()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start_model(self) -> None:
        """Start the model server, and wait until the executor finds it ready."""
        ports = {"HTTP": MODEL_HTTP, "GRPC": MODEL_GRPC, "METRICS": MODEL_METRICS}
        env = {f"PREDICTIVE_UNIT_{name}_SERVICE_PORT": str(port) for name, port in ports.items()}
        env |= {
            "PREDICTIVE_UNIT_METRICS_ENDPOINT": "/prometheus",
            "PREDICTIVE_UNIT_ID": "model",
            "PREDICTIVE_UNIT_IMAGE": self._image_name,
            "PREDICTOR_ID": self._predictor,
            "PREDICTOR_LABELS": json.dumps({"version": self._predictor}),
            "SELDON_DEPLOYMENT_ID": self._deployment,
            "SELDON_EXECUTOR_ENABLED": "true",
            "OMP_NUM_THREADS": "1",
        }
        image = self._model_image
        path = os.pathsep.join(filter(None, [str(PODNET), image.env.get("PYTHONPATH", "")]))
        self.model = self._start(
            list(image.argv), {**image.env, **env, **self._extra, "PYTHONPATH": path}, image.cwd
        )
        self._until(f"http://{self.address}:{MODEL_METRICS}/prometheus", self.model)
        self._until(f"{self.url}/ready", self.model)

    def start_executor(self) -> None:
        """Start the executor, and wait until it answers."""
        flags = {
            "sdep": self._deployment,
            "namespace": "prod",
            "predictor": self._predictor,
            "http_port": str(HTTP_PORT),
            "grpc_port": str(GRPC_PORT),
            "protocol": "seldon",
            "transport": self._transport,
            "prometheus_path": "/prometheus",
        }
        argv = [sys.executable, "-m", "sluice.sandbox.executor"]
        for name, value in flags.items():
            argv += [f"--{name}", value]
        predictor = engine_predictor(self._predictor, self._image_name)
        self.executor = self._start(argv, {"ENGINE_PREDICTOR": predictor}, None)
        self._until(f"{self.url}/live", self.executor)

    def kill_model(self) -> None:
        """End the model server at once, as an out-of-memory kill would; its port is free after."""
        self._kill(self.model)
        self.model = None
        # The group's leader is gone; its workers may hold the listening socket a moment longer.
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if not any(listening(self.address, port) for port in (MODEL_HTTP, MODEL_GRPC)):
                return
            time.sleep(0.01)
        raise SandboxError(f"{self.address}: the killed model server still listens")

    def stop(self) -> None:
        """End both processes at once."""
        self._kill(self.model)
        self._kill(self.executor)
        self.model = self.executor = None

    def _start(
        self, argv: list[str], env: Mapping[str, str], cwd: Path | None
    ) -> subprocess.Popen[bytes]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        whole = {**inherited, "SLUICE_POD_IP": self.address, "PYTHONDONTWRITEBYTECODE": "1", **env}
        out = self._log or subprocess.DEVNULL
        return subprocess.Popen(
            argv, env=whole, cwd=cwd, stdout=out, stderr=out, start_new_session=True
        )

    def _until(self, url: str, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise SandboxError(f"{process.args!r} ended with {process.returncode}")
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own
                    answer.read()
                    return
            except (urllib.error.HTTPError, OSError):
                time.sleep(0.02)
        raise SandboxError(f"expected 200 from {url} within {_READY_SECONDS:.0f} s")

    @staticmethod
    def _kill(process: subprocess.Popen[bytes] | None) -> None:
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


def main() -> int:
    """Run one pod of an iris variant until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m sluice.sandbox.executor.one_pod", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("variant", choices=sorted(images.VARIANTS))
    variant = parser.parse_args().variant
    name = f"sluice.dev/models/iris-{variant}:1.0"
    model = images.resolve(name)
    if model is None:
        raise UsageError(f"no image {name}")
    with OnePod(model, image_name=name, log=sys.stderr.buffer) as pod:
        body = json.dumps({"data": {"ndarray": [[5.1, 3.5, 1.4, 0.2]]}})
        sys.stdout.write(
            f"curl -s {pod.url}/api/v1.0/predictions -H 'Content-Type: application/json' "
            f"-d '{body}'\ncurl -s {pod.url}/prometheus\nCtrl-C ends it.\n"
        )
        sys.stdout.flush()
        try:
            signal.pause()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
