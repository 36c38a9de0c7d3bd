"""Puts the scripts of this folder into what Argo CD reads; `--check` only looks whether they are.

argocd-cm.yaml is a patch of its ConfigMap, values.yaml the same for the argo-cd helm chart. The
.lua files are in the layout of Argo CD's own repository.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
NOTE = "# Generated from the .lua files beside it by `make statuses`; do not edit.\n"
# The annotation of `restart` is not in git: without this, self-heal takes the restart back.
IGNORED = {
    "sluice.dev_ModelRollout": {
        "jqPathExpressions": [
            '.spec.template.spec.predictors[]?.annotations["sluice.dev/restartedAt"]'
        ]
    }
}


class Block(str):
    """Text that is written as a block."""


class Dumper(yaml.SafeDumper):
    """Knows blocks."""


Dumper.add_representer(
    Block, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
)


def settings() -> dict[str, str]:
    """The entries of argocd-cm."""
    found: dict[str, str] = {}
    for health in sorted(HERE.glob("*/*/health.lua")):
        key = f"{health.parent.parent.name}_{health.parent.name}"
        found[f"resource.customizations.health.{key}"] = Block(health.read_text())
    for discovery in sorted(HERE.glob("*/*/actions/discovery.lua")):
        actions = discovery.parent
        key = f"{actions.parent.parent.name}_{actions.parent.name}"
        definitions = [
            {"name": script.parent.name, "action.lua": Block(script.read_text())}
            for script in sorted(actions.glob("*/action.lua"))
        ]
        content = {"discovery.lua": Block(discovery.read_text()), "definitions": definitions}
        found[f"resource.customizations.actions.{key}"] = Block(text_of(content))
    for key, ignored in IGNORED.items():
        found[f"resource.customizations.ignoreDifferences.{key}"] = Block(text_of(ignored))
    return found


def text_of(content: Any) -> str:
    """As YAML, in the order given."""
    return yaml.dump(content, Dumper=Dumper, sort_keys=False, width=1000)


def files() -> dict[Path, str]:
    """What is generated."""
    labels = {"app.kubernetes.io/name": "argocd-cm", "app.kubernetes.io/part-of": "argocd"}
    metadata = {"name": "argocd-cm", "namespace": "argocd", "labels": labels}
    patch = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": settings()}
    return {
        HERE / "argocd-cm.yaml": NOTE + text_of(patch),
        HERE / "values.yaml": NOTE + text_of({"configs": {"cm": settings()}}),
    }


def main(check: bool) -> int:
    """Write them, or say which are not in step (1)."""
    behind = [p for p, text in files().items() if not p.exists() or p.read_text() != text]
    if check:
        for path in behind:
            sys.stderr.write(f"{path.name} is not what the .lua files make: `make statuses`\n")
        return 1 if behind else 0
    for path in behind:
        path.write_text(files()[path])
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
