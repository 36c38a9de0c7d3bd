"""What is watched of a model after its promotion, and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass

from sluice.evidence.distances import Distance


@dataclass(frozen=True)
class Feature:
    """One feature, or the prediction. `training` are its counts per bin: see `evidence.distances`.

    `threshold` is in the unit of `distance`: what nobody minds.
    """

    name: str
    training: tuple[float, ...]
    distance: Distance = Distance.KS
    threshold: float = 0.1


@dataclass(frozen=True)
class DriftPlan:
    """What is watched.

    `rate`: false `Drifted` per week of a model, all its features together. `learning`: seconds of
    traffic (or of history) before anything is declared, to know how shares wander by themselves.
    """

    features: tuple[Feature, ...]
    rate: float = 0.01
    learning: float = 86_400.0


@dataclass(frozen=True)
class FeatureEvidence:
    """What is known about one feature.

    `value` is the corrected distance over the window of `requests` (effective) requests, to be
    compared with `threshold`. `log10_evidence` is to be compared with `needed`. `since`: seconds
    ago that the evidence began to grow, None while there is none. `design_effect`: how many like
    requests count as one. `learned` is False while its wandering is not known yet.
    """

    name: str
    distance: Distance
    value: float
    threshold: float
    log10_evidence: float
    needed: float
    drifted: bool
    since: float | None
    requests: float
    design_effect: float
    learned: bool
