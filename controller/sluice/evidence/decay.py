"""Are the answers still as good as when the model was promoted? Many rollouts at a time.

Feedback says how good an answer was: 0 or 1, or a reward between 0 and 1. A model has *decayed* if
it is shown that its mean reward is more than `tolerance` below the level at promotion (an
e-detector, `evidence.detector`) and the window of the last feedback is below that too. The level is
itself measured, so its uncertainty is taken off first. Feedback may be late, rare or come in
bunches: only how many and their sum matter, and bunches are learned (`evidence.wander`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sluice.evidence.detector import BACK, EMPTY, GROWING, advance, cut_gain, total
from sluice.evidence.formulas import BoolArray, FloatArray
from sluice.evidence.kept import Kept
from sluice.evidence.slots import Rows, fingerprint
from sluice.evidence.wander import Wander

_LAYOUT = 1
DROPS = np.array([0.02, 0.05, 0.15])
"""The mean rewards that are bet on lie so far below the boundary."""
HALF_LIFE = 1800.0
"""Seconds after which feedback counts half in the window, if there was `HALF_FEEDBACK`."""
HALF_FEEDBACK = 500.0
_WINDOW_EFFECT = 20.0
_LEVEL_Z = 1.644854  # 95% that the level is not below its bound; the tolerance comes on top


@dataclass(frozen=True)
class DecayPlan:
    """The level at promotion, as the sum of `rewards` over `feedback` answers, and what is asked.

    `tolerance` in units of reward: a lower mean by that much nobody minds. `rate`: false alarms per
    week of a model. `learning`: seconds with feedback before anything is declared, to know how it
    wanders by itself.
    """

    feedback: float
    rewards: float
    tolerance: float = 0.01
    rate: float = 0.01
    learning: float = 86_400.0

    def __post_init__(self) -> None:
        if not self.feedback > 0 or not 0 <= self.rewards <= self.feedback:
            raise ValueError(
                "the level needs feedback, and rewards between 0 and 1 each; found a sum of "
                f"{self.rewards:g} over {self.feedback:g}"
            )

    @property
    def level(self) -> float:
        """The mean reward at promotion."""
        return self.rewards / self.feedback


@dataclass(frozen=True)
class DecayEvidence:
    """`reward` is the window's mean (None: no feedback), `drop` how far below `level` it is.

    The drop is to be compared with `threshold`, `log10_evidence` with `needed`. `since`: seconds
    ago that the evidence began to grow.
    """

    reward: float | None
    level: float
    drop: float
    threshold: float
    log10_evidence: float
    needed: float
    decayed: bool
    since: float | None
    feedback: float
    design_effect: float
    learned: bool


class DecayFleet(Kept[DecayPlan]):
    """The reward of many rollouts."""

    def __init__(self, size: int = 1) -> None:
        super().__init__(
            {
                "window": np.zeros((size, 2)),  # feedback, rewards
                "log_m": np.zeros((size, len(DROPS)), np.float32),
                "since": np.zeros(size),
                "seen": np.zeros(size),
                "age": np.zeros(size),  # seconds since the first feedback
                "decayed": np.zeros(size, np.bool_),
            },
            Wander(size, 1, 1),
            _LAYOUT,
        )
        self._params = np.zeros((size, 5))  # level, tolerance, ln needed, learning, feedback before

    def open(self, key: str, plan: DecayPlan, state: str | None = None) -> bool:
        """Begin to watch `key`; True if `state` (from `export`, of the same level) was restored."""
        row = self.slots.take(key)
        size = len(self.slots.fields["since"])
        if size > len(self._params):
            self._params = np.concatenate([self._params, np.zeros((size - len(self._params), 5))])
            self.wander.fit(size)
        self._plans[key] = plan
        needed = -np.log(plan.rate)
        self._params[row] = (plan.level, plan.tolerance, needed, plan.learning, plan.feedback)
        self.slots.fields["log_m"][row] = EMPTY
        return self._restore(key, state)

    def _fingerprint(self, key: str) -> bytes:
        plan = self._plans[key]
        return fingerprint(float(plan.feedback), float(plan.rewards), float(plan.tolerance))

    def update(
        self,
        keys: Sequence[str] | Rows,
        feedback: FloatArray,
        rewards: FloatArray,
        seconds: FloatArray,
    ) -> BoolArray:
        """Move `keys` on by what arrived in `seconds`; all arrays (B,). Returns: decayed (B,).

        `rewards` is the sum; negative, more than `feedback` or not a number counts as the nearest
        that can be.
        """
        rows = keys if isinstance(keys, np.ndarray) else self.slots.rows(keys)
        n = np.clip(np.nan_to_num(feedback, nan=0.0, posinf=0.0, neginf=0.0), 0.0, 1e15)
        good = np.clip(np.nan_to_num(rewards, nan=0.0), 0.0, n)
        fields, level = self.slots.fields, self._params[rows, 0]
        effect = self.wander.told(rows)[:, 0]
        bound = np.clip(1.0 - level + self._params[rows, 1] + self._doubt(rows, effect), 0.0, 1.0)
        to = np.minimum(bound[:, None] + DROPS, 0.5 * (1.0 + bound[:, None]))
        gain = cut_gain((n - good)[:, None], n[:, None], bound[:, None], to)
        log_m = fields["log_m"][rows]
        moved = advance(log_m, gain / effect[:, None], seconds)
        # How it wanders is not known before: nothing is kept of that.
        counted = (n > 0) & (fields["age"][rows] >= self._params[rows, 3])
        fields["log_m"][rows] = np.where(counted[:, None], moved, log_m)
        mean = np.where(fields["seen"][rows] > 0, self._mean(rows), level)
        spread = np.maximum(mean * (1.0 - mean), 1e-4)
        self.wander.learn(rows, np.stack([n, good], axis=-1)[:, None], spread[:, None, None])
        enough = n / (HALF_FEEDBACK * np.minimum(effect, _WINDOW_EFFECT))
        fade = np.exp2(-np.minimum(enough, seconds / HALF_LIFE))[:, None]
        fields["window"][rows] = fields["window"][rows] * fade + np.stack([n, good], axis=-1)
        fields["seen"][rows] += n
        fields["age"][rows] += np.where(fields["seen"][rows] > 0, seconds, 0.0)
        return self._judge(rows, seconds)

    def _doubt(self, rows: Rows, effect: FloatArray) -> FloatArray:
        """How far the true level may lie below the measured one."""
        level, before = self._params[rows, 0], self._params[rows, 4]
        doubt: FloatArray = _LEVEL_Z * np.sqrt((level * (1 - level) + 1 / before) * effect / before)
        return doubt

    def _mean(self, rows: Rows) -> FloatArray:
        window = self.slots.fields["window"][rows]
        mean: FloatArray = window[:, 1] / np.maximum(window[:, 0], 1e-9)
        return mean

    def _judge(self, rows: Rows, seconds: FloatArray) -> BoolArray:
        fields = self.slots.fields
        log_m = total(fields["log_m"][rows])
        fields["since"][rows] = np.where(log_m > GROWING, fields["since"][rows] + seconds, 0.0)
        drop = np.where(fields["seen"][rows] > 0, self._params[rows, 0] - self._mean(rows), 0.0)
        tolerance, was = self._params[rows, 1], fields["decayed"][rows]
        shown = (log_m >= self._params[rows, 2]) & (drop >= tolerance)
        over = was & (drop < BACK * tolerance)
        decayed: BoolArray = shown | (was & ~over)
        # What has come back begins anew; less evidence breaks no promise.
        fields["log_m"][rows] = np.where(over[:, None], EMPTY, fields["log_m"][rows])
        fields["since"][rows] = np.where(over, 0.0, fields["since"][rows])
        fields["decayed"][rows] = decayed
        return decayed

    def result(self, key: str) -> DecayEvidence:
        """What is known. KeyError if not open."""
        plan, row, fields = self._plans[key], self.slots.row(key), self.slots.fields
        at = np.array([row])
        reward = float(self._mean(at)[0]) if fields["seen"][row] > 0 else None
        return DecayEvidence(
            reward=reward,
            level=plan.level,
            drop=plan.level - reward if reward is not None else 0.0,
            threshold=plan.tolerance,
            log10_evidence=float(total(fields["log_m"][row]) / np.log(10.0)),
            needed=float(self._params[row, 2] / np.log(10.0)),
            decayed=bool(fields["decayed"][row]),
            since=float(fields["since"][row]) or None,
            feedback=float(fields["seen"][row]),
            design_effect=float(self.wander.told(at)[0, 0]),
            learned=bool(fields["age"][row] >= plan.learning),
        )
