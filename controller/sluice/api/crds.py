"""The CustomResourceDefinitions, generated from the models.

``python -m sluice.api.crds DIR`` writes one file each; with ``--check`` it only compares, and ends
with 1 if a file is missing or differs. What the server refuses by itself is in `crd_rules`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from sluice.api.base import GROUP, VERSION
from sluice.api.crd_rules import OVERRIDES, ROLLOUT_ROOT_RULES, RULES, SERVER_DEFAULTS
from sluice.api.policy import CanaryPolicySpec
from sluice.api.rollout import CLUSTER_POLICY_KIND, POLICY_KIND, RolloutSpec
from sluice.api.schema import Schema, StructuralSchema
from sluice.api.status import RolloutStatus

HEADER = "# Generated from the models in controller/sluice/api: change those, then `make crds`.\n"
ROLLOUT_KIND = "ModelRollout"


def _column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    return {**column, "priority": 1} if wide else column


_AGE = _column("Age", ".metadata.creationTimestamp", "date")
ROLLOUT_COLUMNS = [
    _column("Phase", ".status.phase"),
    _column("Step", ".status.step.progress", "string"),
    _column("Weight", ".status.step.weight", "integer"),
    _column("Verdict", ".status.verdict"),
    _column("Stable", ".status.stable.revision"),
    _column("Candidate", ".status.candidate.revision"),
    _column("Paused", ".status.pause.reason", wide=True),
    _column("Drifted", '.status.conditions[?(@.type=="Drifted")].status', wide=True),
    _column("Decayed", '.status.conditions[?(@.type=="Decayed")].status', wide=True),
    _column("Reason", '.status.conditions[?(@.type=="Ready")].reason', wide=True),
    _AGE,
]
POLICY_COLUMNS = [
    _column("First", ".spec.steps[0].weight", "integer"),
    _column("Bake", ".spec.bake"),
    _column("FalseRollback", ".spec.risk.falseRollback", "number"),
    _column("FalsePromotion", ".spec.risk.falsePromotion", "number"),
    _column("Undecided", ".spec.onUndecided.action"),
    _AGE,
]


def crds() -> dict[str, dict[str, Any]]:
    """File name -> CustomResourceDefinition, in the order they are to be applied."""
    schema = StructuralSchema(rules=RULES, overrides=OVERRIDES, server_defaults=SERVER_DEFAULTS)
    rollout = _root(schema, "What to serve and how careful to be.", RolloutSpec, RolloutStatus)
    rollout["x-kubernetes-validations"] = [dict(rule) for rule in ROLLOUT_ROOT_RULES]
    policy = _root(schema, "How a candidate is judged.", CanaryPolicySpec)
    every = [
        _crd(ROLLOUT_KIND, "modelrollouts", "mro", rollout, ROLLOUT_COLUMNS, categories=("all",)),
        _crd(POLICY_KIND, "canarypolicies", "cpol", policy, POLICY_COLUMNS),
        _crd(
            CLUSTER_POLICY_KIND,
            "clustercanarypolicies",
            "ccpol",
            policy,
            POLICY_COLUMNS,
            scope="Cluster",
        ),
    ]
    return {f"{crd['spec']['names']['plural']}.yaml": crd for crd in every}


def _root(
    schema: StructuralSchema,
    description: str,
    spec: type[BaseModel],
    status: type[BaseModel] | None = None,
) -> Schema:
    properties: Schema = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": schema.of(spec),
    }
    if status:
        properties["status"] = schema.of(status)
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": ["spec"],
    }


def _crd(
    kind: str,
    plural: str,
    short: str,
    schema: Schema,
    columns: Sequence[dict[str, Any]],
    *,
    scope: str = "Namespaced",
    categories: Sequence[str] = (),
) -> dict[str, Any]:
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": list(columns),
    }
    if "status" in schema["properties"]:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "sluice", "app.kubernetes.io/component": "crds"},
        },
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["sluice", *categories],
            },
            "versions": [version],
        },
    }


class _Dumper(yaml.SafeDumper):
    """Without anchors: the files are for people to read."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def render(crd: dict[str, Any]) -> str:
    """The YAML file of one CRD."""
    return HEADER + yaml.dump(crd, Dumper=_Dumper, sort_keys=False, width=96, allow_unicode=True)


def stale(directory: Path) -> list[str]:
    """Names of the files in `directory` that are missing or not as the models say."""
    return [
        name
        for name, crd in crds().items()
        if not (directory / name).is_file() or (directory / name).read_text() != render(crd)
    ]


def write(directory: Path) -> list[Path]:
    """Write every CRD into `directory`, which is made if needed."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, crd in crds().items():
        path = directory / name
        path.write_text(render(crd))
        paths.append(path)
    return paths


def main(argv: Sequence[str] | None = None) -> int:
    """Write or compare; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sluice.api.crds", description=__doc__)
    parser.add_argument("directory", type=Path, help="where the CRDs' files are, manifests/crds")
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    arguments = parser.parse_args(argv)
    if not arguments.check:
        for path in write(arguments.directory):
            sys.stdout.write(f"{path}\n")
        return 0
    if names := stale(arguments.directory):
        sys.stderr.write(
            f"{', '.join(names)} in {arguments.directory} are not as the models say: run "
            f"python -m sluice.api.crds {arguments.directory}\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
