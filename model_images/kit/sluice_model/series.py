"""Every series a profile makes: where it is counted, and how it is labelled. One limit over all.

The number of series is known before the first request and never grows.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from sluice_model.bins import CategoryBins
from sluice_model.profile import FEATURE, Profile, ProfileError, Variable

DEFAULT_LIMIT = 1000
LIMIT_VARIABLE = "SLUICE_MODEL_MAX_SERIES"

RIGHT, WRONG = "right", "wrong"
SELF, OTHER, UNKNOWN = "self", "other", "unknown"
WHERE = ("predict", "feedback", "profile")

HELP = {
    "sluice_model_rows": "Rows that the model answered.",
    "sluice_model_observations": "Rows by the bin of a feature, tag, prediction or score.",
    "sluice_model_slice_predictions": "Rows by slice and prediction.",
    "sluice_model_feedback_requests": "Feedback by who gave the answer it is about.",
    "sluice_model_feedback": "Rows with a known truth, by truth and outcome.",
    "sluice_model_feedback_slice": "Rows with a known truth, by slice and outcome.",
    "sluice_model_feedback_rows": "Rows with a known number as truth.",
    "sluice_model_feedback_absolute_error": "Sum of |prediction - truth|.",
    "sluice_model_feedback_squared_error": "Sum of (prediction - truth) squared.",
    "sluice_model_rewards": "Feedback with its reward, of which none is 0.",
    "sluice_model_reward": "Sum of rewards by sign, without the sign.",
    "sluice_model_kit_failures": "Observations that failed; the answers were given all the same.",
    "sluice_model_kit_seconds": "Time spent on counting.",
    "sluice_model_reference": "Rows of training by bin.",
    "sluice_model_profile_info": "1, with the profile's hash, that of its bins, and its version.",
}


@dataclass(frozen=True)
class Series:
    """A metric's name without `_total`, and its labels."""

    family: str
    labels: dict[str, str]


class Plan:
    """Cells of the live counters, in one row of numbers: `starts` say where each part begins."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.live: list[Series] = []
        self.starts: dict[tuple[str, str], int] = {}
        self._simple("rows", "sluice_model_rows", {})
        for where in WHERE:
            self._simple(f"failures {where}", "sluice_model_kit_failures", {"where": where})
        self._simple("seconds", "sluice_model_kit_seconds", {})
        for one in profile.variables:
            self._part("observations", one.name + "\0" + one.kind)
            self._add("sluice_model_observations", *_cells(one))
        for name in profile.slices:
            self._slice(name)
        self._feedback()
        self.reference = [
            (series, count)
            for one in profile.variables
            if one.counts is not None
            for series, count in zip(
                (Series("sluice_model_reference", labels) for labels in _cells(one)),
                one.counts,
                strict=True,
            )
        ]

    @property
    def size(self) -> int:
        """Live cells."""
        return len(self.live)

    @property
    def total(self) -> int:
        """All series of a pod, with the reference and the line about the profile."""
        return self.size + len(self.reference) + 1

    def start(self, part: str, name: str = "") -> int:
        return self.starts[part, name]

    def of(self, variable: Variable) -> int:
        """Where the cells of a variable begin."""
        return self.starts["observations", variable.name + "\0" + variable.kind]

    def check(self, limit: int | None = None) -> None:
        """Raises ProfileError above the limit, naming what to leave out."""
        if limit is None:
            limit = int(os.environ.get(LIMIT_VARIABLE, DEFAULT_LIMIT))
        if self.total <= limit:
            return
        features = sorted(
            self.profile.of_kind(FEATURE), key=lambda one: self._cost(one), reverse=True
        )
        advice = ", ".join(f"{one.name} ({self._cost(one)})" for one in features[:3])
        raise ProfileError(
            f"expected at most {limit} series, found {self.total}. The most series are of: "
            f"{advice or 'slices and predictions'}. Leave features out (--leave-out), or take "
            f"fewer --bins, --categories or --slice; {LIMIT_VARIABLE} moves the limit"
        )

    def _cost(self, one: Variable) -> int:
        cost = one.bins.size * (1 if one.counts is None else 2)
        if one.name in self.profile.slices:
            predicted = self.profile.prediction
            cost += one.bins.size * (2 + (predicted.bins.size if predicted else 0))
        return cost

    def _part(self, part: str, name: str = "") -> None:
        self.starts[part, name] = len(self.live)

    def _add(self, family: str, *labels: dict[str, str]) -> None:
        self.live.extend(Series(family, one) for one in labels)

    def _simple(self, part: str, family: str, labels: dict[str, str]) -> None:
        self._part(part)
        self._add(family, labels)

    def variable(self, name: str) -> Variable:
        """The feature or tag a slice is made of."""
        return next(one for one in self.profile.variables if one.name == name)

    def _slice(self, name: str) -> None:
        cells = [
            {"slice": name, "bin": one["bin"], "range": one["range"]}
            for one in _cells(self.variable(name))
        ]
        predicted = self.profile.prediction
        if predicted is not None:
            self._part("slice", name)
            for cell in cells:
                self._add(
                    "sluice_model_slice_predictions",
                    *({**cell, "prediction": label} for label in predicted.bins.labels()),
                )
        if predicted is None or not isinstance(predicted.bins, CategoryBins):
            return
        self._part("feedback slice", name)
        for cell in cells:
            self._add(
                "sluice_model_feedback_slice",
                *({**cell, "outcome": outcome} for outcome in (RIGHT, WRONG)),
            )

    def _feedback(self) -> None:
        for who in (SELF, OTHER, UNKNOWN):
            family = "sluice_model_feedback_requests"
            self._simple(f"answered {who}", family, {"answered": who})
        self._simple("rewards", "sluice_model_rewards", {})
        for sign in ("positive", "negative"):
            self._simple(f"reward {sign}", "sluice_model_reward", {"sign": sign})
        predicted = self.profile.prediction
        if predicted is None:
            return
        if isinstance(predicted.bins, CategoryBins):
            self._part("truth")
            for label in predicted.bins.labels()[:-1]:
                self._add(
                    "sluice_model_feedback",
                    *({"truth": label, "outcome": outcome} for outcome in (RIGHT, WRONG)),
                )
        else:
            self._simple("error rows", "sluice_model_feedback_rows", {})
            self._simple("absolute", "sluice_model_feedback_absolute_error", {})
            self._simple("squared", "sluice_model_feedback_squared_error", {})


def _cells(one: Variable) -> list[dict[str, str]]:
    return [
        {"kind": one.kind, "variable": one.name, "bin": f"{i:02d}", "range": label}
        for i, label in enumerate(one.bins.labels())
    ]
