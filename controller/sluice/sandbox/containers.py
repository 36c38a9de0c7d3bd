"""From a container of a pod spec to a process: which command, and with which environment."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sluice.errors import SluiceError

PODNET = Path(__file__).parent / "podnet"
EXECUTOR_IMAGE = "docker.io/seldonio/seldon-core-executor:"
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")


class Image(Protocol):
    """What an image is here: a command, its environment, and where it runs."""

    @property
    def argv(self) -> Sequence[str]: ...

    @property
    def env(self) -> Mapping[str, str]: ...

    @property
    def cwd(self) -> Path | None: ...


Resolver = Callable[[str], Image | None]


@dataclass(frozen=True)
class Command:
    """An image that is a fixed command of this machine; `argv` is followed by container args."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


def resolve_image(image: str, extra: Mapping[str, Resolver] | None = None) -> Image | None:
    """The command behind an image name; None if this machine has none (ErrImagePull).

    `extra` maps image name prefixes to resolvers and is asked first: tests bring servers of
    their own this way.
    """
    for prefix, resolver in (extra or {}).items():
        if image.startswith(prefix):
            return resolver(image)
    if image.startswith(EXECUTOR_IMAGE) or image.startswith("seldonio/seldon-core-executor:"):
        return Command([sys.executable, "-m", "sluice.sandbox.executor"])
    try:
        models = importlib.import_module("sluice.sandbox.images")
    except ModuleNotFoundError:
        return None
    try:
        found: Image | None = models.resolve(image)
    except (SluiceError, LookupError):
        return None
    return found


def command_line(container: Mapping[str, Any], image: Image) -> list[str]:
    """The image's command, or the container's instead, followed by the container's args."""
    own = container.get("command")
    return [*(own or image.argv), *container.get("args", ())]


def environment(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    image: Image,
    *,
    address: str,
    podinfo: Path,
) -> dict[str, str]:
    """The whole environment of a container's process: the image's, the pod's, and the pod net's."""
    env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    env.update(image.env)
    for item in container.get("env", ()):
        value = item.get("value", "")
        if source := item.get("valueFrom"):
            value = _field(pod, source.get("fieldRef", {}).get("fieldPath", ""), address)
        env[item["name"]] = value
    env["HOSTNAME"] = pod["metadata"]["name"]
    env["POD_IP"] = env["SLUICE_POD_IP"] = address
    env["SLUICE_PODINFO"] = str(podinfo)
    # Two model servers on a two-core machine: one thread each for the numeric libraries.
    env.setdefault("OMP_NUM_THREADS", "1")
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PODNET), env.get("PYTHONPATH", "")]))
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    env["PYTHONUNBUFFERED"] = "1"
    return env


def _field(pod: Mapping[str, Any], path: str, address: str) -> str:
    metadata = pod["metadata"]
    simple = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata.get("namespace", ""),
        "metadata.uid": metadata.get("uid", ""),
        "status.podIP": address,
        "status.hostIP": "127.0.0.1",
        "spec.nodeName": "sandbox",
    }
    if path in simple:
        return str(simple[path])
    for kind in ("labels", "annotations"):
        if path.startswith(f"metadata.{kind}["):
            return str((metadata.get(kind) or {}).get(path.split("'")[1], ""))
    return ""


def write_podinfo(pod: Mapping[str, Any], directory: Path) -> Path:
    """The downward API volume: files `annotations` and `labels`, one `key="value"` a line."""
    directory.mkdir(parents=True, exist_ok=True)
    for kind in ("annotations", "labels"):
        items = sorted((pod["metadata"].get(kind) or {}).items())
        text = "\n".join(f'{key}="{_escaped(value)}"' for key, value in items)
        (directory / kind).write_text(text)
    return directory


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
