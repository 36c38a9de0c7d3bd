"""Checks of answers on a real Prometheus that scrapes what the model kit would show."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from prometheus_parts import RealPrometheus, TextServer, until

from sluice.api.policy import CanaryPolicySpec
from sluice.api.status import Checkpoint, CheckStatus, Verdict
from sluice.loops.answers import AnswerJudging
from sluice.loops.judging import Comparison, Judging
from sluice.metrics.answers import AnswerObserver
from sluice.metrics.client import PrometheusClient, Timeouts
from sluice.metrics.dialects import SeldonDialect
from sluice.metrics.observe import Observer, Pair
from sluice.metrics.queries import AS_USUAL

KEY = "prod/iris"
REQUESTS = "seldon_api_executor_server_requests_seconds_count"
POLICY = CanaryPolicySpec.model_validate(
    {
        "steps": [{"weight": 50}],
        "checks": [
            {"name": "errors", "metric": "error-rate", "compare": {"negligibleBelow": 0.05}},
            {
                "name": "predictions",
                "metric": "predictions",
                "difference": {"unacceptable": 0.15, "slices": ["region"]},
            },
            {
                "name": "feedback",
                "metric": "feedback",
                "difference": {"unacceptable": 0.15, "perClass": True},
            },
        ],
    }
)


@dataclass
class Models:
    """Counters of the pods' executors and of the kits in them, by their text."""

    counters: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))

    def start(self, predictor: str) -> None:
        self._count(predictor, "sluice_model_profile_info", 1.0, bins="abcd")
        self.answer(predictor, 0, 0.0)

    def answer(self, predictor: str, n: int, wrong: float) -> None:
        """`n` answers of which the truth comes; of those that are b so many are called a."""
        self._count(predictor, REQUESTS, n, code="200", service="predictions", method="post")
        missed = int(self.rng.binomial(n // 2, wrong))
        for region, part in (("eu", n // 4), ("us", n - n // 4)):
            a = int(self.rng.binomial(part, (0.5 + wrong / 2)))
            for label, count in (("a", a), ("b", part - a), ("other", 0), ("missing", 0)):
                of = {"slice": "region", "range": region, "prediction": label}
                self._count(predictor, "sluice_model_slice_predictions_total", count, **of)
                of = {"kind": "prediction", "variable": "y", "range": label}
                self._count(predictor, "sluice_model_observations_total", count, **of)
        for truth, bad in (("a", 0), ("b", missed), ("other", 0)):
            good = n // 2 - bad if truth != "other" else 0
            for outcome, count in (("right", good), ("wrong", bad)):
                of = {"truth": truth, "outcome": outcome}
                self._count(predictor, "sluice_model_feedback_total", count, **of)

    def _count(self, predictor: str, metric: str, n: float, **labels: str) -> None:
        labels |= {
            "namespace": "prod",
            "deployment_name": "iris",
            "predictor_name": predictor,
            "pod": f"iris-{predictor}-0",
        }
        if metric.startswith("sluice_"):
            labels["model_name"] = "classifier"
        text = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
        name = f"{metric}{{{text}}}"
        with self.lock:
            self.counters[name] = self.counters.get(name, 0.0) + n

    def text(self) -> str:
        with self.lock:
            return "".join(f"{name} {value:g}\n" for name, value in self.counters.items())


@dataclass
class Scene:
    models: Models
    client: PrometheusClient
    judging: Judging = field(init=False)
    comparison: Comparison = field(init=False)

    def watch(self, resume: Checkpoint | None = None) -> None:
        self.judging = Judging(
            Observer(self.client, SeldonDialect(), interval=0.5),
            AnswerJudging(AnswerObserver(self.client, AS_USUAL, interval=0.5)),
        )
        pair = Pair(KEY, "prod", "iris", "main", "next")
        ready = time.time()
        self.comparison = Comparison(
            KEY, "one", pair, POLICY, baking=False, ready=ready, resume_from=resume
        )
        self.pulse()

    def pulse(self) -> None:
        self.judging.follow([self.comparison], time.time())
        self.judging.pulse(time.time())

    def serve(self, wrong: float) -> dict[str, CheckStatus]:
        """Half a second's answers of both, then a look."""
        self.models.answer("main", 80, 0.02)
        self.models.answer("next", 80, wrong)
        threading.Event().wait(0.35)  # longer than between two scrapes
        self.pulse()
        return self.checks()

    def checks(self) -> dict[str, CheckStatus]:
        return {c.name: c for c in self.judging.judgement(KEY, "one").checks}


@pytest.fixture
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    models = Models()
    models.start("main")
    models.start("next")
    with TextServer(models.text) as server:
        prometheus = RealPrometheus(tmp_path_factory.mktemp("answers"), server.port)
        client = PrometheusClient(prometheus.url, timeouts=Timeouts(30, 60))
        try:
            prometheus.start()
            names = "sluice_model_profile_info"
            until(lambda: len(client.query(names, time.time())) == 2, "first scrapes")
            made = Scene(models, client)
            made.watch()
            yield made
        finally:
            client.close()
            prometheus.stop()


def test_a_class_that_gets_worse_by_its_truths_is_harm_while_errors_pass(scene: Scene) -> None:
    until(lambda: scene.serve(0.5)["feedback"].verdict is Verdict.HARM, "feedback says Harm")
    found = scene.checks()
    assert found["feedback"].about == "true b: wrong"
    assert found["feedback"].reason == "WorseThanStable"
    assert found["errors"].verdict is not Verdict.HARM


def test_answers_alike_pass_and_a_new_controller_goes_on_with_them(scene: Scene) -> None:
    until(
        lambda: all(c.verdict is Verdict.PASS for c in scene.serve(0.02).values()),
        "all checks say Pass",
    )
    before = scene.checks()
    saved = scene.judging.checkpoint(KEY, "one")
    assert saved is not None
    assert saved.answers is not None
    assert set(saved.answers.states) == {"predictions", "feedback"}
    scene.watch(Checkpoint.model_validate(saved.to_dict()))
    both = ("predictions", "feedback")
    scene.serve(0.02)

    def pass_again() -> bool:
        """Without more requests; a scrape that Prometheus missed makes a look see nobody."""
        scene.pulse()
        return all(scene.checks()[name].verdict is Verdict.PASS for name in both)

    until(pass_again, "both say Pass again")
    after = scene.checks()
    for name in both:
        assert after[name].candidate_samples >= before[name].candidate_samples
