"""A small loop whose stable exports what the model kit does, and is looked at every 30 s."""

from __future__ import annotations

from typing import Any

import numpy as np

from sluice.api.status import Condition
from sluice.loops.aftercare import Aftercare
from sluice.loops.audit import AuditLog
from sluice.loops.monitoring import Monitoring
from sluice.loops.retraining import Retrainer
from sluice.loops.webhooks import Webhooks
from sluice.metrics.client import PrometheusClient
from sluice.metrics.kit import KitSource

from .small_loop import KEY, SmallLoop

BEAT = 30.0
BINS = 10
FEATURES = ("width", "height")
USUAL = np.full(BINS, 1 / BINS)
SHIFTED = np.array([0.01, 0.02, 0.02, 0.05, 0.1, 0.1, 0.15, 0.15, 0.2, 0.2])
QUICK: dict[str, Any] = {"drift": {"learning": "5m"}}


class MonitoredLoop(SmallLoop):
    """`live` are the shares of each feature's bins, `accuracy` that of right answers.

    `reward_share` is that of feedback with a reward of 1. None: there is no such feedback.
    """

    post: Any = None

    def __init__(self, *, audit: AuditLog | None = None, seed: int = 7) -> None:
        self.live = dict.fromkeys(FEATURES, USUAL)
        self.accuracy: float | None = None
        self.reward_share: float | None = None
        self.rps = 10.0
        self.rng = np.random.default_rng(seed)
        self.woken: list[str] = []
        self.shown: set[tuple[str, str]] = set()
        super().__init__(audit=audit)

    def aftercare(self) -> Aftercare | None:
        prometheus = PrometheusClient(self.prometheus.url, adapter=self.prometheus.adapter())
        self.monitoring = Monitoring(
            clock=self.clock,
            rollouts=self.rollouts,
            source=KitSource(prometheus),
            wake=self.woken.append,
            metrics=self.metrics,
            interval=BEAT,
        )
        self.hooks = Webhooks(post=self.post, clock=self.clock, wake=self.woken.append)
        return Aftercare(self.monitoring.seen, Retrainer(self.client, self.hooks))

    def show_profile(
        self,
        predictor: str,
        profile: str = "p1",
        training: np.ndarray[Any, Any] = USUAL,
        pod: str = "",
    ) -> None:
        """A pod of this predictor starts, with counters at 0."""
        pod = pod or f"iris-{predictor}-0"
        self.shown.add((predictor, pod))
        self.kit(pod, predictor, "sluice_model_profile_info", 1, profile=profile, bins="b")
        for feature in FEATURES:
            for at in range(BINS):
                labels = {"kind": "feature", "variable": feature, "bin": f"{at:02d}"}
                self.kit(pod, predictor, "sluice_model_observations_total", 0, **labels)
                rows = float(training[at] * 10_000)
                self.kit(pod, predictor, "sluice_model_reference", rows, **labels)
        if self.accuracy is not None:
            for outcome in ("right", "wrong"):
                self.kit(
                    pod, predictor, "sluice_model_feedback_total", 0, truth="a", outcome=outcome
                )

        if self.reward_share is not None:
            self.rewarded(pod, predictor, 0, 0)

    def rewarded(self, pod: str, predictor: str, feedback: int, good: int) -> None:
        """Feedback, of which `good` has a reward of 1."""
        name = "sluice_model_feedback_requests_total"
        self.kit(pod, predictor, name, feedback, answered="self")
        self.kit(pod, predictor, "sluice_model_reward_total", good, sign="positive")

    def kit(self, pod: str, predictor: str, metric: str, amount: float, **labels: str) -> None:
        """Add to one of the kit's series."""
        where = {"namespace": "prod", "deployment_name": "iris", "predictor_name": predictor}
        self.prometheus.count(pod, metric, {**where, **labels}, amount)

    def serve(self, seconds: float) -> None:
        """Requests to every pod shown, of the live shares."""
        n = int(self.rps * seconds / max(len(self.shown), 1))
        for predictor, pod in self.shown:
            for feature in FEATURES:
                for at, rows in enumerate(self.rng.multinomial(n, self.live[feature])):
                    labels = {"kind": "feature", "variable": feature, "bin": f"{at:02d}"}
                    name = "sluice_model_observations_total"
                    self.kit(pod, predictor, name, float(rows), **labels)
            if self.reward_share is not None:
                good = int(self.rng.binomial(n // 10, self.reward_share))
                self.rewarded(pod, predictor, n // 10, good)
            if self.accuracy is not None:
                right = int(self.rng.binomial(n // 10, self.accuracy))
                for outcome, rows in (("right", right), ("wrong", n // 10 - right)):
                    name = "sluice_model_feedback_total"
                    self.kit(pod, predictor, name, float(rows), truth="a", outcome=outcome)

    def watch(self, beats: int = 1) -> None:
        """So many looks, 30 s apart, with requests in between and passes where one was woken."""
        for _ in range(beats):
            self.clock.advance(BEAT)
            self.serve(BEAT)
            self.prometheus.scrape(self.clock.now())
            self.monitoring.beat()
            self.pulse.beat()
            self.pass_woken()

    def pass_woken(self) -> None:
        """Passes for those that were woken, and what these passes ask to look at again soon."""
        for _ in range(5):
            if not self.woken:
                return
            self.woken.clear()
            again = self.reconciler.reconcile(KEY)
            if again is not None and again < 1:
                self.woken.append(KEY)

    def promoted(self, **monitoring: Any) -> MonitoredLoop:
        """One version serves, with a profile, and is monitored."""
        self.apply("repo/iris:1", monitoring=monitoring or QUICK)
        self.settle()
        self.tick(2)
        self.show_profile(self.stable)
        return self

    @property
    def stable(self) -> str:
        """The stable's predictor."""
        found = self.status.stable
        assert found is not None
        return found.predictor

    def said(self, kind: str = "Drifted") -> tuple[str, str]:
        """Status and reason of a condition."""
        found = self.condition(kind)
        return found.status, found.reason

    def condition(self, kind: str = "Drifted") -> Condition:
        """The condition, which must be there."""
        found = self.status.condition(kind)
        assert found is not None
        return found
