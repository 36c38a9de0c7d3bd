"""What a scenario says of a model's answers: shares of predictions, and how truths come."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sluice.api.base import Duration, Model

MOST_CLASSES = 100
_SUM = 1e-6
# Cells that the model kit counts beside those of a profile; 0 unless the scenario says otherwise.
_REST_OF_CLASSES, _REST_OF_BINS = ("other", "missing"), ("missing", "invalid")
_ANY = "any"  # the one true class where nobody says which there are


def _as_names(given: Any) -> Any:
    """Classes such as 0 and 1 are numbers in YAML, and names here."""
    if not isinstance(given, Mapping):
        raise ValueError("expected shares by name such as {setosa: 0.5, versicolor: 0.5}")
    if any(isinstance(name, bool) for name in given):
        raise ValueError('yes, no, on and off are not names in YAML: quote them ("yes")')
    return {str(name): share for name, share in given.items()}


def _sum_to_one(given: dict[str, float]) -> dict[str, float]:
    if not 2 <= len(given) <= MOST_CLASSES:
        raise ValueError(f"expected shares of 2 to {MOST_CLASSES} names, found {len(given)}")
    total = sum(given.values())
    if abs(total - 1.0) > _SUM:
        raise ValueError(f"the shares must add up to 1, found {total:g}")
    return given


Part = Annotated[float, Field(ge=0, le=1)]
Parts = Annotated[dict[str, Part], BeforeValidator(_as_names)]


def _as_place(given: Any) -> Any:
    if not isinstance(given, Mapping) or len(given) != 1:
        raise ValueError("expected one part of one slice such as {region: us}")
    return {str(name): str(part) for name, part in given.items()}


def _as_slices(given: Any) -> Any:
    if not isinstance(given, Mapping):
        raise ValueError("expected parts of the requests such as {region: {eu: 0.7, us: 0.3}}")
    return {str(name): parts for name, parts in given.items()}


Slices = Annotated[
    dict[str, Annotated[Parts, AfterValidator(_sum_to_one)]], BeforeValidator(_as_slices)
]
"""By slice the parts of the requests in each of its ranges; of both sides, before the split."""


class Predictions(Model):
    """Shares of the predicted classes, or of the bins of a predicted number.

    `overdispersion`: variance of a class' predictions per scrape over what independent requests
    have (bunches of like requests).
    """

    classes: Parts | None = None
    bins: Parts | None = None
    overdispersion: float = Field(default=1.0, ge=1, le=1000)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.classes is None) == (self.bins is None):
            raise ValueError("give either classes (of a model that predicts one) or bins")
        _sum_to_one(self.named)
        return self

    @property
    def named(self) -> dict[str, float]:
        """The shares as they are written."""
        return self.classes if self.classes is not None else self.bins or {}

    @property
    def shares(self) -> dict[str, float]:
        """By every cell that the model kit counts."""
        rest = _REST_OF_CLASSES if self.classes is not None else _REST_OF_BINS
        total = sum(self.named.values())
        return dict.fromkeys(rest, 0.0) | {n: share / total for n, share in self.named.items()}


class Through(StrEnum):
    """Where feedback is sent."""

    GATEWAY = "gateway"
    PREDICTOR = "predictor"


class Feedback(Model):
    """How truths come about answers, whichever side gave them.

    `share` of the answers get one, or so many a second of both sides together (`per_second`),
    `delay` later. Through the gateway it reaches the version that answered, and counts, as often as
    that version is given a request; through the predictor always. `truths`: how often each class
    is the true one.
    """

    share: float | None = Field(default=None, gt=0, le=1)
    per_second: float | None = Field(default=None, gt=0)
    delay: Duration = Field(default=0.0, ge=0)
    through: Through = Through.GATEWAY
    truths: Parts | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if (self.share is None) == (self.per_second is None):
            raise ValueError("give either share (of the answers) or perSecond")
        if self.truths is not None:
            _sum_to_one(self.truths)
        return self

    @property
    def by_truth(self) -> dict[str, float]:
        """How often each class is true; one of all where `truths` is not given."""
        if self.truths is None:
            return {_ANY: 1.0}
        total = sum(self.truths.values())
        return {"other": 0.0} | {name: share / total for name, share in self.truths.items()}


def _as_accuracy(given: Any) -> Any:
    if isinstance(given, int | float) and not isinstance(given, bool):
        return given
    if isinstance(given, Mapping):
        return _as_names(given)
    raise ValueError("expected a share such as 0.93, or one for each true class")


Accuracy = Annotated[Part | dict[str, Part], BeforeValidator(_as_accuracy)]
"""The share of right answers: of all, or by true class."""


class InSlice(Model):
    """What a side answers otherwise in one part of one slice, `{region: us}`."""

    where: Annotated[dict[str, str], BeforeValidator(_as_place)]
    predictions: Predictions | None = None
    accuracy: Part | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.predictions is None and self.accuracy is None:
            raise ValueError("give predictions or accuracy there")
        return self

    @property
    def place(self) -> tuple[str, str]:
        """The slice and its part."""
        ((name, part),) = self.where.items()
        return name, part


class Answering(Model):
    """What a side answers, or an event makes of it; `in_slice` says where it is otherwise."""

    predictions: Predictions | None = None
    accuracy: Accuracy | None = None
    in_slice: InSlice | None = None

    def right(self, truth: str) -> float:
        """The share of right answers where `truth` is true."""
        if isinstance(self.accuracy, dict):
            return self.accuracy.get(truth, 1.0)
        return 1.0 if self.accuracy is None else self.accuracy


def check_answers(
    stable: Answering,
    candidate: Answering,
    events: Mapping[str, Answering],
    feedback: Feedback | None,
    slices: Mapping[str, Mapping[str, float]],
) -> None:
    """Raise ValueError, with where and what to do, where two of the parts do not go together."""
    parts = {"stable": stable, "candidate": candidate, **events}
    _check_slices(parts, slices)
    for field in ("predictions", "accuracy"):
        has = [name for name, part in parts.items() if getattr(part, field) is not None]
        lacks = [name for name in ("stable", "candidate") if name not in has]
        if has and lacks:
            raise ValueError(
                f"{lacks[0]}.{field} is missing, and {has[0]}.{field} is there: both sides have to "
                "say it"
            )
    if stable.predictions is not None:
        expected = set(stable.predictions.named)
        bins = stable.predictions.bins is not None
        own_parts = [(name, part.predictions) for name, part in parts.items()]
        own_parts += [
            (f"{name}.inSlice", part.in_slice.predictions)
            for name, part in parts.items()
            if part.in_slice is not None
        ]
        for name, own in own_parts:
            if own is None:
                continue
            if (own.bins is not None) != bins or set(own.named) != expected:
                raise ValueError(
                    f"{name}.predictions: expected the same {'bins' if bins else 'classes'} as of "
                    f"the stable ({', '.join(sorted(expected))}), found "
                    f"{', '.join(sorted(own.named))}: give a share of 0 to what does not come"
                )
    if (feedback is None) != (stable.accuracy is None):
        raise ValueError(
            "accuracy (of both sides) and feedback (of the scenario) go together: give both, or "
            "neither"
        )
    for name, part in parts.items():
        if isinstance(part.accuracy, dict):
            known = set(feedback.truths or ()) if feedback is not None else set()
            if set(part.accuracy) != known:
                raise ValueError(
                    f"{name}.accuracy: expected one share, or one for each class of "
                    f"feedback.truths ({', '.join(sorted(known)) or 'none'}), found "
                    f"{', '.join(sorted(part.accuracy))}"
                )


def _check_slices(
    parts: Mapping[str, Answering], slices: Mapping[str, Mapping[str, float]]
) -> None:
    for side, said in parts.items():
        if said.in_slice is None:
            continue
        name, part = said.in_slice.place
        if part not in slices.get(name, {}):
            known = ", ".join(f"{n}: {p}" for n, each in slices.items() for p in each)
            raise ValueError(
                f"{side}.inSlice.where: the scenario has no slice {name} with a part {part} (it "
                f"has {known or 'none'}): give `slices: {{{name}: {{{part}: 0.1, ...}}}}`"
            )
        for field in ("predictions", "accuracy"):
            if getattr(said.in_slice, field) is None:
                continue
            if getattr(parts["stable"], field) is None:
                raise ValueError(
                    f"{side}.inSlice.{field} is there, and stable.{field} is missing: say first "
                    "what both sides do elsewhere"
                )
        if said.in_slice.accuracy is not None and isinstance(
            said.accuracy if said.accuracy is not None else parts["stable"].accuracy, dict
        ):
            raise ValueError(f"{side}.inSlice.accuracy: give accuracy as one share, not by class")
