"""The model kit's counters on a Prometheus in memory: every series there from a pod's start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sluice.testing.prometheus import FakePrometheus

CLASSES = ("setosa", "versicolor", "virginica")
REST = ("other", "missing")


@dataclass(frozen=True)
class Kit:
    """One pod of a version with the kit in it. `slices`: ranges by name."""

    prometheus: FakePrometheus
    predictor: str
    deployment: str = "iris"
    namespace: str = "prod"
    pod: str = ""
    classes: tuple[str, ...] = CLASSES
    slices: Mapping[str, tuple[str, ...]] | None = None
    bins: str = "abcd"
    model: str = "classifier"

    def start(self) -> Kit:
        """All counters at 0."""
        self._count("sluice_model_profile_info", {"bins": self.bins, "model": "iris"}, 1)
        self.predicted(dict.fromkeys((*self.classes, *REST), 0))
        for truth in (*self.classes, "other"):
            self.truths(truth, right=0, wrong=0)
        for name, ranges in (self.slices or {}).items():
            for part in ranges:
                nothing = dict.fromkeys((*self.classes, *REST), 0)
                self.predicted(nothing, name, part)
                self.truths("", 0, 0, name, part)
        return self

    def predicted(self, counts: Mapping[str, float], name: str = "", part: str = "") -> None:
        """Rows by predicted class; with a slice, those of one of its bins."""
        for label, n in counts.items():
            if name:
                labels = {"slice": name, "range": part, "prediction": label}
                self._count("sluice_model_slice_predictions_total", labels, n)
            else:
                labels = {"kind": "prediction", "variable": "species", "range": label}
                self._count("sluice_model_observations_total", labels, n)

    def truths(
        self, truth: str, right: float, wrong: float, name: str = "", part: str = ""
    ) -> None:
        """Rows whose truth came; with a slice, those of one of its bins."""
        for outcome, n in (("right", right), ("wrong", wrong)):
            if name:
                labels = {"slice": name, "range": part, "outcome": outcome}
                self._count("sluice_model_feedback_slice_total", labels, n)
            else:
                labels = {"truth": truth, "outcome": outcome}
                self._count("sluice_model_feedback_total", labels, n)

    def _count(self, metric: str, labels: Mapping[str, str], n: float) -> None:
        common = {
            "namespace": self.namespace,
            "deployment_name": self.deployment,
            "predictor_name": self.predictor,
            "model_name": self.model,
        }
        pod = self.pod or f"{self.deployment}-{self.predictor}-0"
        self.prometheus.count(pod, metric, {**labels, **common}, n)


def kits(prometheus: FakePrometheus, predictors: Iterable[str], **how: object) -> tuple[Kit, ...]:
    """Started ones, one a predictor."""
    return tuple(Kit(prometheus, name, **how).start() for name in predictors)  # type: ignore[arg-type]
