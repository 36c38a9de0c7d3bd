"""The iris images of model_images/, run as processes of this machine instead of containers.

`resolve("sluice.dev/models/iris-better:1.0")` gives the command its Containerfile has as entry
point, with the model servers' own Python. The registry and the tag do not matter, the variant after
`iris-` does. The server listens on all addresses, which is hard-coded in it; the pod's own address
comes about by `sluice/sandbox/podnet`, which the node puts on every pod's PYTHONPATH.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sluice.errors import ToolError
from sluice.sandbox import parts

VARIANTS: Mapping[str, str] = {
    "stable": "IrisStable",
    "better": "IrisBetter",
    "better-two": "IrisBetterTwo",
    "faulty": "IrisFaulty",
    "slow": "IrisSlow",
    "shuffled": "IrisShuffled",
    "crashing": "IrisCrashing",
}
_PREFIX = "iris-"


@dataclass(frozen=True)
class LocalImage:
    """What an image is here. `env` are defaults: the pod's own variables come on top of them."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


def directory() -> Path:
    """model_images/ of this checkout, or $SLUICE_MODEL_IMAGES. Raises ToolError if there is none.

    The folder is not part of the wheel: the sandbox needs a source checkout anyway.
    """
    chosen = os.environ.get("SLUICE_MODEL_IMAGES")
    path = Path(chosen) if chosen else Path(__file__).resolve().parents[3] / "model_images"
    if not (path / "linear_iris.py").is_file():
        raise ToolError(
            f"expected the iris models in {path}, found no linear_iris.py there: run from a source "
            "checkout, or set SLUICE_MODEL_IMAGES"
        )
    return path


def variant_of(image: str) -> str | None:
    """`iris-<variant>` of an image name, without registry, tag and digest; None if it is none."""
    name = image.rsplit("/", 1)[-1].split("@", 1)[0].split(":", 1)[0]
    variant = name.removeprefix(_PREFIX)
    return variant if name.startswith(_PREFIX) and variant in VARIANTS else None


def resolve(image: str) -> LocalImage | None:
    """The process behind an image name; None if it is not one of the iris images.

    Raises ToolError if the models or their environment are missing and cannot be made.
    """
    variant = variant_of(image)
    if variant is None:
        return None
    return serve(directory() / variant.replace("-", "_"), VARIANTS[variant])


def serve(folder: Path, model_class: str) -> LocalImage:
    """A model server for a class in a folder; `linear_iris` and the kit are importable."""
    python = parts.seldon_env() / "bin" / "python"
    return LocalImage(
        argv=[
            str(python),
            "-m",
            "seldon_core.microservice",
            model_class,
            "--service-type",
            "MODEL",
        ],
        env={
            "PYTHONPATH": os.pathsep.join((str(directory()), str(directory() / "kit"))),
            # Two cores run everything: one process serves. Threads, because a slow prediction must
            # not hold up the next one, and because only then are connections kept open.
            "GUNICORN_WORKERS": "1",
            "GUNICORN_THREADS": "8",
            # Longer than the executor keeps them, or on a busy machine one is closed in its use.
            "GUNICORN_KEEPALIVE": "75",
            # The gRPC server is two processes more; GRPC_WORKERS=1 in the pod spec brings it back.
            "GRPC_WORKERS": "0",
            # An access line and an INFO line per request would be half of the server's work.
            "SELDON_LOG_LEVEL": "WARNING",
        },
        cwd=folder,
    )
