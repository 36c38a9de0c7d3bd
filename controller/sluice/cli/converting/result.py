"""What a conversion yields: the objects, and three lists that account for every field."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from sluice.api.base import API_VERSION, format_duration
from sluice.api.builtin import BALANCED
from sluice.api.rollout import POLICY_KIND
from sluice.cli.converting.source import Source

Object = dict[str, Any]
_WIDTH = 98


@dataclass
class Converted:
    """`what` names the source; `explained` is said first."""

    what: str
    explained: list[str] = field(default_factory=list)
    carried: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    objects: list[Object] = field(default_factory=list)

    def account_for(self, source: Source) -> None:
        """List what was not taken of the source."""
        self.lost += source.left()

    def text(self) -> str:
        """YAML, with the account in comments on top."""
        lines = [f"# From {self.what}."]
        for sentence in self.explained:
            lines += _comment(sentence, "")
        for title, entries in (
            ("Carried over", self.carried),
            ("Changed in meaning", self.changed),
            ("No equivalent, left out", self.lost),
        ):
            if entries:
                lines.append(f"# {title}:")
                for entry in entries:
                    lines += _comment(entry, "- ")
        body = "---\n".join(yaml.safe_dump(obj, sort_keys=False) for obj in self.objects)
        return "\n".join(lines) + "\n" + body


def model_rollout(
    name: str, namespace: str | None, spec: Mapping[str, Any], labels: Mapping[str, str] | None
) -> Object:
    """A ModelRollout manifest."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRollout",
        "metadata": _metadata(name, namespace, labels),
        "spec": dict(spec),
    }


def canary_policy(
    name: str,
    namespace: str | None,
    *,
    steps: Sequence[tuple[int, float]],
    checks: Sequence[Object],
    bake: float | None = None,
) -> Object:
    """A CanaryPolicy manifest; `steps` are (weight, hold in seconds)."""
    spec: Object = {
        "steps": [{"weight": weight, "hold": format_duration(hold)} for weight, hold in steps]
    }
    if bake is not None:
        spec["bake"] = format_duration(bake)
    spec["checks"] = list(checks)
    return {
        "apiVersion": API_VERSION,
        "kind": POLICY_KIND,
        "metadata": _metadata(name, namespace, None),
        "spec": spec,
    }


def default_checks() -> list[Object]:
    """Those of the built-in balanced policy: candidate against stable."""
    return [check.to_dict() for check in BALANCED.checks]


def ascending(steps: Sequence[tuple[int, float]], result: Converted) -> list[tuple[int, float]]:
    """Steps as Sluice takes them: 1 to 99%, ascending, each once; what is left out is told."""
    kept: list[tuple[int, float]] = []
    for weight, hold in steps:
        if not 1 <= weight <= 99:
            result.changed.append(
                f"weight {weight}: Sluice brings the candidate in at 0% and promotes it to 100% "
                "by itself, so this is no step"
            )
        elif kept and weight == kept[-1][0]:
            kept[-1] = (weight, kept[-1][1] + hold)
        elif kept and weight < kept[-1][0]:
            result.lost.append(f"weight {weight} after {kept[-1][0]}: weights must ascend")
        else:
            kept.append((weight, hold))
    if not kept:
        return [(step.weight, step.hold) for step in BALANCED.steps]
    shown = ", ".join(f"{weight}% for {format_duration(hold)}" for weight, hold in kept)
    result.carried.append(f"steps: {shown}")
    return kept


def pods_as_predictor(pod_spec: Mapping[str, Any] | None, replicas: int | None) -> Object:
    """A predictor that runs these containers as a Seldon model."""
    containers = (pod_spec or {}).get("containers") or []
    name = str(containers[0].get("name", "model")) if containers else "model"
    spec = dict(pod_spec) if pod_spec else {"containers": [{"name": name, "image": "CHANGE-ME"}]}
    predictor: Object = {"graph": {"name": name, "type": "MODEL"}}
    if replicas:
        predictor["replicas"] = replicas
    return {**predictor, "componentSpecs": [{"spec": spec}]}


def _metadata(name: str, namespace: str | None, labels: Mapping[str, str] | None) -> Object:
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    return metadata


def _comment(text: str, mark: str) -> list[str]:
    indent = "#   " if mark else "# "
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"{indent}{mark}",
        subsequent_indent=f"{indent}{' ' * len(mark)}",
        break_long_words=False,
        break_on_hyphens=False,
    )
