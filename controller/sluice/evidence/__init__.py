"""How sure one can be about a candidate: anytime-valid tests, vectorised over all rollouts.

Pure (numpy only): no clock, no logger, no client. Imports `sluice.api` and `sluice.errors` alone.

- `spec`: what a policy's checks mean in numbers, with the stated risks split over them
- `formulas`: the likelihood ratios, with their sources
- `check`: one check of many rollouts at a time
- `bank`: the evidence of all rollouts, updated by increments and carried across restarts
- `judge`: evidence -> verdict, reason and sentence
- `drift`, `decay`: is a promoted model still what it was, by its inputs and its reward (from
  `features`, `distances`, `bets`, `detector`, `wander`, `seasons`)
- `difference`: candidate beside stable, by class of prediction (`cuts`) and by slice
- `slots`: rows of arrays by key, exported and restored
- `limits`: what no test can beat (requests needed), for `lint` and the docs
"""

from sluice.evidence.bank import EDGES, CheckEvidence, EvidenceBank, Increment
from sluice.evidence.decay import DecayEvidence, DecayFleet, DecayPlan
from sluice.evidence.difference import DifferenceFleet, DifferencePlan, StreamEvidence
from sluice.evidence.distances import Distance
from sluice.evidence.drift import DriftFleet
from sluice.evidence.features import DriftPlan, Feature, FeatureEvidence
from sluice.evidence.judge import judge
from sluice.evidence.spec import CheckPlan, Kind, plans_of

__all__ = [
    "EDGES",
    "CheckEvidence",
    "CheckPlan",
    "DecayEvidence",
    "DecayFleet",
    "DecayPlan",
    "DifferenceFleet",
    "DifferencePlan",
    "Distance",
    "DriftFleet",
    "DriftPlan",
    "EvidenceBank",
    "Feature",
    "FeatureEvidence",
    "Increment",
    "Kind",
    "StreamEvidence",
    "judge",
    "plans_of",
]
