"""What the model kit exports (docs/model-kit.md), for many stables with one query each family."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sluice.metrics.queries import AS_USUAL, Labels, Target, any_of, summed, text
from sluice.metrics.source import Client, Floats, Reading

OBSERVATIONS = "sluice_model_observations_total"
REFERENCE = "sluice_model_reference"
PROFILE = "sluice_model_profile_info"
FEEDBACK = "sluice_model_feedback_total"
FEEDBACK_REQUESTS = "sluice_model_feedback_requests_total"
REWARD = "sluice_model_reward_total"
_OWN = ("prediction", "score")


@dataclass(frozen=True)
class Variable:
    """A feature, tag, the prediction or the score. `training`: its rows by bin, in order."""

    kind: str
    name: str
    training: tuple[float, ...]


@dataclass(frozen=True)
class Layout:
    """Where the bins of the watched variables are in one row of numbers."""

    variables: tuple[Variable, ...]

    @property
    def columns(self) -> int:
        """Length of a reading's values."""
        return sum(len(one.training) for one in self.variables)

    def starts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(first column, bins) by (kind, name)."""
        found, start = {}, 0
        for one in self.variables:
            found[one.kind, one.name] = (start, len(one.training))
            start += len(one.training)
        return found

    def table(self, values: Floats, bins: int) -> Floats:
        """One row of numbers as (F, `bins`), padded with 0."""
        out = np.zeros((len(self.variables), bins))
        start = 0
        for row, one in enumerate(self.variables):
            out[row, : len(one.training)] = values[start : start + len(one.training)]
            start += len(one.training)
        return out


def shown_name(one: Variable, others: Iterable[Variable]) -> str:
    """As people call it: a feature's own name, and `prediction` or `score`.

    A feature that is called like one of these has its kind before its name.
    """
    if one.kind in _OWN:
        return one.kind
    clash = one.name in _OWN and any(other.kind == one.name for other in others)
    return f"{one.kind}:{one.name}" if clash else one.name


class KitSource:
    """Reads the kit's series of Seldon's metrics pages. All methods raise MetricsError."""

    def __init__(self, client: Client, labels: Labels = AS_USUAL) -> None:
        self._client = client
        self._labels = labels
        self.queries = 0

    def profiles(self, targets: Collection[Target], at: float) -> dict[Target, frozenset[str]]:
        """The hashes of the profiles that each predictor's pods have: one, if all is well."""
        by = (*self._predictor, "profile")
        found: dict[Target, set[str]] = {}
        for element in self._ask(f"max by ({', '.join(by)})", PROFILE, targets, at):
            if target := self._target(element, targets):
                found.setdefault(target, set()).add(element["metric"].get("profile", ""))
        return {target: frozenset(hashes) for target, hashes in found.items()}

    def references(
        self, targets: Collection[Target], at: float
    ) -> dict[Target, tuple[Variable, ...]]:
        """What training counted, by predictor; variables in the order of kind and name."""
        by = (*self._predictor, "kind", "variable", "bin")
        bins: dict[Target, dict[tuple[str, str], dict[str, float]]] = {}
        for element in self._ask(f"max by ({', '.join(by)})", REFERENCE, targets, at):
            target, labels = self._target(element, targets), element["metric"]
            if target is None:
                continue
            which = labels.get("kind", ""), labels.get("variable", "")
            counts = bins.setdefault(target, {}).setdefault(which, {})
            counts[labels.get("bin", "")] = _number(element)
        return {
            target: tuple(
                Variable(kind, name, tuple(counts[b] for b in sorted(counts)))
                for (kind, name), counts in sorted(variables.items())
            )
            for target, variables in bins.items()
        }

    def observations(
        self, layouts: Mapping[Target, Layout], at: float, window: float | None = None
    ) -> dict[Target, dict[str, Reading]]:
        """Rows since each pod's start, by pod, in the columns of its predictor's layout.

        With `window` (seconds) the last value in it, also of pods that just missed a scrape.
        """
        by = (*self._predictor, self._labels.pod, "kind", "variable", "bin")
        starts = {target: layout.starts() for target, layout in layouts.items()}
        rows: dict[tuple[Target, str], Floats] = {}
        for element in self._ask_sum(by, OBSERVATIONS, layouts, at, window):
            target, labels = self._target(element, layouts), element["metric"]
            if target is None:
                continue
            place = starts[target].get((labels.get("kind", ""), labels.get("variable", "")))
            number = labels.get("bin", "")
            if place is None or not number.isdigit() or int(number) >= place[1]:
                continue
            key = target, labels.get(self._labels.pod, "")
            row = rows.setdefault(key, np.zeros(layouts[target].columns))
            row[place[0] + int(number)] = _number(element)
        return _readings(rows, at)

    def outcomes(
        self, targets: Collection[Target], at: float, window: float | None = None
    ) -> dict[Target, dict[str, Reading]]:
        """(answers with feedback, right ones) since each pod's start, by pod."""
        by = (*self._predictor, self._labels.pod, "outcome")
        rows: dict[tuple[Target, str], Floats] = {}
        for element in self._ask_sum(by, FEEDBACK, targets, at, window):
            target = self._target(element, targets)
            if target is None:
                continue
            row = rows.setdefault((target, self._pod(element)), np.zeros(2))
            row += _number(element) * np.array(
                [1.0, float(element["metric"].get("outcome") == "right")]
            )
        return _readings(rows, at)

    def rewards(
        self, targets: Collection[Target], at: float, window: float | None = None
    ) -> dict[Target, dict[str, Reading]]:
        """(feedback about this version, sum of rewards) since each pod's start, by pod.

        Penalties count as 0, and so does feedback without a reward: Seldon tells no difference.
        """
        by = (*self._predictor, self._labels.pod)
        rows: dict[tuple[Target, str], Floats] = {}
        ours = 'answered=~"self|unknown"'
        for metric, column, more in (
            (FEEDBACK_REQUESTS, 0, ours),
            (REWARD, 1, 'sign="positive"'),
        ):
            for element in self._ask_sum(by, metric, targets, at, window, more):
                if target := self._target(element, targets):
                    row = rows.setdefault((target, self._pod(element)), np.zeros(2))
                    row[column] += _number(element)
        return _readings(rows, at)

    @property
    def _predictor(self) -> tuple[str, ...]:
        return (self._labels.namespace, "deployment_name", "predictor_name")

    def _ask_sum(
        self,
        by: Collection[str],
        metric: str,
        targets: Collection[Target],
        at: float,
        window: float | None,
        more: str = "",
    ) -> list[dict[str, Any]]:
        self.queries += 1
        return self._client.vector(summed(by, self._selector(metric, targets, more), window), at)

    def _ask(
        self, how: str, metric: str, targets: Collection[Target], at: float
    ) -> list[dict[str, Any]]:
        self.queries += 1
        return self._client.vector(f"{how} ({self._selector(metric, targets)})", at)

    def _selector(self, metric: str, targets: Collection[Target], more: str = "") -> str:
        matchers = [more] if more else []
        deployments = any_of([target.deployment for target in targets])
        namespaces = any_of([target.namespace for target in targets])
        if deployments is not None and namespaces is not None:
            matchers.append(f"deployment_name=~{text(deployments)}")
            matchers.append(f"{self._labels.namespace}=~{text(namespaces)}")
        return f"{metric}{{{','.join(matchers)}}}" if matchers else metric

    def _target(self, element: Mapping[str, Any], wanted: Collection[Target]) -> Target | None:
        labels = element["metric"]
        target = Target(
            labels.get(self._labels.namespace, ""),
            labels.get("deployment_name", ""),
            labels.get("predictor_name", ""),
        )
        return target if target in wanted else None

    def _pod(self, element: Mapping[str, Any]) -> str:
        return str(element["metric"].get(self._labels.pod, ""))


def _readings(
    rows: Mapping[tuple[Target, str], Floats], at: float
) -> dict[Target, dict[str, Reading]]:
    found: dict[Target, dict[str, Reading]] = {}
    for (target, pod), values in rows.items():
        found.setdefault(target, {})[pod] = Reading(values, at)
    return found


def _number(element: Mapping[str, Any]) -> float:
    value = float(element["value"][1])
    return value if math.isfinite(value) else 0.0
