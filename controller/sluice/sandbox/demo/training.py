"""What the training Job of the demo does: train on fresh flowers, "push" an image, set it.

`python -m sluice.sandbox.demo.training`, the command behind `sluice.dev/training/iris:1.0`. The
folder of a version in the registry's directory stands for an image in a registry; the training
itself (model_images/retrain/retrain.py) and `sluice set-image` are what a real Job would run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from sluice.sandbox import images, parts
from sluice.sandbox.containers import Command, Image

TRAINING_IMAGE = "sluice.dev/training/iris:1.0"
MODEL_IMAGE = "sluice.dev/models/iris-retrained"


def train(data: Path, registry: Path, version: str) -> None:
    """Make `registry/version`. Raises CalledProcessError where training fails."""
    python = parts.seldon_env() / "bin" / "python"
    script = images.directory() / "retrain" / "retrain.py"
    words = [f"--data={data}", f"--out={registry / version}", f"--version={version}"]
    subprocess.run([str(python), str(script), *words], check=True, env=_outside())


def _outside() -> dict[str, str]:
    """The environment without the pod's network, in which 127.0.0.1 is the pod itself.

    The API server is there too; in a cluster it has an address that pods reach.
    """
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def resolver(registry: Path, image: str) -> Image | None:
    """The server of a version in the registry; None: there is no such version."""
    version = image.rpartition(":")[2]
    folder = registry / version
    return images.serve(folder, "IrisRetrained") if (folder / "model.json").is_file() else None


def command() -> Command:
    """What the training image runs."""
    return Command([sys.executable, "-m", "sluice.sandbox.demo.training"])


def main() -> int:
    """The Job."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--registry", type=Path, required=True)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    asked = parser.parse_args()
    request = json.loads(os.environ["SLUICE_RETRAIN_INPUT"])
    version = str(request["id"])
    train(asked.data, asked.registry, version)
    where = request["rollout"]
    argv = [sys.executable, "-m", "sluice.cli.main", "set-image", where["name"]]
    argv += [f"{MODEL_IMAGE}:{version}", f"--namespace={where['namespace']}"]
    argv += [f"--source=retraining={version}", f"--kubeconfig={asked.kubeconfig}"]
    return subprocess.run(argv, check=False, env=_outside()).returncode


if __name__ == "__main__":
    sys.exit(main())
