"""What the model kit's counters are called, and how a check of answers asks for them.

They come from the models' own metrics ports, whatever dialect counts the requests: so the labels of
the deployment and the predictor are Seldon's, those of namespace and pod the scrape's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from sluice.api.policy import Metric
from sluice.evidence.answers import Cell, Counted
from sluice.evidence.spec import AnswerPlan
from sluice.metrics.queries import Labels, Target, any_of, newest, summed, text

INFO = "sluice_model_profile_info"
PREDICTIONS = "sluice_model_observations_total"
SLICE_PREDICTIONS = "sluice_model_slice_predictions_total"
OUTCOMES = "sluice_model_feedback_total"
SLICE_OUTCOMES = "sluice_model_feedback_slice_total"
_WRONG = {"wrong": True, "right": False}


@dataclass(frozen=True)
class Wants:
    """Which counters are read: whole ones by kind, and those by slice, of these slices."""

    predictions: bool = False
    outcomes: bool = False
    prediction_slices: frozenset[str] = frozenset()
    outcome_slices: frozenset[str] = frozenset()

    def __or__(self, other: Wants) -> Wants:
        return Wants(
            self.predictions or other.predictions,
            self.outcomes or other.outcomes,
            self.prediction_slices | other.prediction_slices,
            self.outcome_slices | other.outcome_slices,
        )


def wants_of(plans: Iterable[AnswerPlan]) -> Wants:
    """What the checks need."""
    wanted = Wants()
    for plan in plans:
        slices = frozenset(plan.slices)
        if plan.metric is Metric.FEEDBACK:
            wanted |= Wants(outcomes=True, outcome_slices=slices)
        else:
            wanted |= Wants(predictions=True, prediction_slices=slices)
    return wanted


@dataclass(frozen=True)
class Family:
    """One query: its metric, the labels that tell cells apart, and the matchers of its own."""

    metric: str
    labels: tuple[str, ...]
    matchers: tuple[str, ...] = ()


ALL_PREDICTIONS = Family(PREDICTIONS, ("range",), ('kind="prediction"',))
ALL_OUTCOMES = Family(OUTCOMES, ("truth", "outcome"))
ALL_SLICE_PREDICTIONS = Family(SLICE_PREDICTIONS, ("slice", "range", "prediction"))
ALL_SLICE_OUTCOMES = Family(SLICE_OUTCOMES, ("slice", "range", "outcome"))


def families_of(wants: Wants) -> list[Family]:
    """One for each kind of counter that is wanted: at most four, for however many rollouts."""
    found = []
    if wants.predictions:
        found.append(ALL_PREDICTIONS)
    if wants.outcomes:
        found.append(ALL_OUTCOMES)
    for family, slices in (
        (ALL_SLICE_PREDICTIONS, wants.prediction_slices),
        (ALL_SLICE_OUTCOMES, wants.outcome_slices),
    ):
        if slices:
            named = any_of(slices)
            matchers = (f"slice=~{text(named)}",) if named is not None else ()
            found.append(replace(family, matchers=matchers))
    return found


def cell_of(family: Family, labels: Mapping[str, str]) -> Cell | None:
    """What a series counts; None for an outcome that is not known."""
    if family.metric == PREDICTIONS:
        return Cell(Counted.PREDICTION, labels.get("range", ""))
    where = labels.get("slice", ""), labels.get("range", "")
    if family.metric == SLICE_PREDICTIONS:
        return Cell(Counted.PREDICTION, labels.get("prediction", ""), False, *where)
    wrong = _WRONG.get(labels.get("outcome", ""))
    if wrong is None:
        return None
    if family.metric == OUTCOMES:
        return Cell(Counted.OUTCOME, labels.get("truth", ""), wrong)
    return Cell(Counted.OUTCOME, "", wrong, *where)


@dataclass(frozen=True)
class AnswerQueries:
    """PromQL about the kit's counters, for any number of predictors at once."""

    labels: Labels

    def counts(
        self, family: Family, targets: Collection[Target], window: float | None = None
    ) -> str:
        """Counters by pod and cell; with `window` (seconds) the last values in it."""
        by = (*self._by, *family.labels)
        return summed(by, self._selector(family.metric, targets, family.matchers), window)

    def info(self, targets: Collection[Target]) -> str:
        """When each pod was scraped, by the model in it and the hash of its bins."""
        return newest((*self._by, "model_name", "bins"), self._selector(INFO, targets))

    def target(self, labels: Mapping[str, str]) -> Target:
        """The predictor a series is about."""
        return Target(
            labels.get(self.labels.namespace, ""),
            labels.get("deployment_name", ""),
            labels.get("predictor_name", ""),
        )

    @property
    def _by(self) -> tuple[str, ...]:
        return (self.labels.namespace, "deployment_name", "predictor_name", self.labels.pod)

    def _selector(
        self, metric: str, targets: Collection[Target], more: Collection[str] = ()
    ) -> str:
        matchers = list(more)
        deployments = any_of([target.deployment for target in targets])
        namespaces = any_of([target.namespace for target in targets])
        if deployments is not None and namespaces is not None:
            matchers.append(f"deployment_name=~{text(deployments)}")
            matchers.append(f"{self.labels.namespace}=~{text(namespaces)}")
        return f"{metric}{{{','.join(matchers)}}}"
