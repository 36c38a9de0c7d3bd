"""Candidate beside stable: do shares differ by more than so many points? By class and by slice.

A *stream* is something both sides have a share of: the predictions in a set of classes, or the
errors within a slice of the requests. For every stream both directions are judged (or one, where
only more is bad), each with a stated risk:

- Harm: the shares differ by more than `acceptable`. The risk is split over streams and directions
  (a union bound), so a minority class is not averaged away; it costs ln(streams) more evidence.
- Pass: every stream differs by less than `unacceptable`. Not split: all must pass (Berger 1982).

The test is a safe one for the difference of two means. For any b known beforehand, with n and m
requests of candidate and stable, mu = lambda n/m, every increment multiplies E by the product of
1 + lambda (x - b - margin) over the candidate's and 1 + mu (b - y) over the stable's. At
p_c <= p_s + margin its mean is at most exp(lambda n (p_c - margin - b) + mu m (b - p_s)) <= 1: the
shares may change from increment to increment, as long as they do so for both. Here b is the
stable's share so far. Bunches that the stable has are learned (`evidence.wander`) and divided by.

No increment brings more than a part of what Harm needs: the two sides are scraped at different
moments, and a sudden change of what is asked comes to one of them an increment before the other.
Less evidence for harm than E allows makes no valid test invalid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sluice.evidence.formulas import CEILING, BoolArray, FloatArray, log_sum
from sluice.evidence.kept import Kept
from sluice.evidence.slots import Rows, fingerprint
from sluice.evidence.wander import Wander

_LAYOUT = 1
EFFECTS = np.array([0.01, 0.03, 0.1, 0.3])
"""Differences beyond the margin that are bet on."""
_RECENT = 15.0  # log evidence for Pass is cut off here, as in evidence.check
_CAREFUL = 0.9
_AT_ONCE = 0.4  # of what harm needs, at most, by one increment: so three of them must show it
# Pairs of the stable's increments before harm: until then its bunches are not known. A slice with
# hardly a request per increment has no pairs, and no bunches: then so many times the increments.
_PAIRS, _WITHOUT = 20.0, 4.0


@dataclass(frozen=True)
class DifferencePlan:
    """`acceptable` and `unacceptable` in shares (.02 is two points); risks as in `CheckPlan`.

    `two_sided` False: only more than the stable is harm (errors).
    """

    streams: tuple[str, ...]
    acceptable: float = 0.0
    unacceptable: float = 0.05
    alpha: float = 0.01
    beta: float = 0.05
    two_sided: bool = True

    def __post_init__(self) -> None:
        if not self.streams or not 0 <= self.acceptable < self.unacceptable < 1:
            raise ValueError(
                "expected streams, and 0 <= acceptable < unacceptable < 1; found "
                f"{len(self.streams)} streams, {self.acceptable:g} and {self.unacceptable:g}"
            )


@dataclass(frozen=True)
class StreamEvidence:
    """One stream; shares are None without requests. `harmed` stays once it is true."""

    name: str
    candidate: float | None
    stable: float | None
    n_c: float
    n_s: float
    log10_harm: float
    harm_needed: float
    log10_pass: float
    pass_needed: float
    harmed: bool
    passed: bool
    design_effect: float


class DifferenceFleet(Kept[DifferencePlan]):
    """The comparisons of rollouts with the same number S of streams."""

    def __init__(self, streams: int, size: int = 1) -> None:
        self.streams = streams
        shape = (size, streams, 2, len(EFFECTS))  # direction: more, less
        super().__init__(
            {
                "totals": np.zeros((size, 2, 2, streams)),  # side; n, k
                "pending": np.zeros((size, 2, 2, streams)),
                "harm": np.zeros(shape, np.float32),
                "pass": np.zeros(shape, np.float32),
                "harmed": np.zeros((size, streams), np.bool_),
            },
            Wander(size, streams, 1, scales=1),
            _LAYOUT,
        )
        self._params = np.zeros((size, 5))

    def open(self, key: str, plan: DifferencePlan, state: str | None = None) -> bool:
        """Begin; True if `state` (from `export`, of the same plan) was restored."""
        if len(plan.streams) != self.streams:
            raise ValueError(f"expected {self.streams} streams, found {len(plan.streams)}")
        row = self.slots.take(key)
        size = len(self.slots.fields["totals"])
        if size > len(self._params):
            self._params = np.concatenate([self._params, np.zeros((size - len(self._params), 5))])
            self.wander.fit(size)
        directions = 2 if plan.two_sided else 1
        harm, passing = -np.log(plan.alpha / (self.streams * directions)), -np.log(plan.beta)
        self._params[row] = (plan.acceptable, plan.unacceptable, harm, passing, directions)
        self._plans[key] = plan
        return self._restore(key, state)

    def _fingerprint(self, key: str) -> bytes:
        plan = self._plans[key]
        margins = (float(plan.acceptable), float(plan.unacceptable))
        return fingerprint(plan.streams, margins, plan.two_sided)

    def remember(self, keys: Sequence[str], n_s: FloatArray, k_s: FloatArray) -> None:
        """Learn bunches from what the stable did before: (T, B, S), oldest first; no evidence."""
        rows = self.slots.rows(keys)
        base = (k_s.sum(axis=0) + 0.5) / (n_s.sum(axis=0) + 1.0)
        for n, k in zip(n_s, k_s, strict=True):
            spread = np.maximum(base * (1.0 - base), 1e-6)[..., None]
            self.wander.learn(rows, np.stack([n, k], axis=-1), spread)

    def update(
        self,
        keys: Sequence[str] | Rows,
        n_c: FloatArray,
        k_c: FloatArray,
        n_s: FloatArray,
        k_s: FloatArray,
    ) -> None:
        """Move `keys` on by requests and events of every stream, all (B, S)."""
        rows = keys if isinstance(keys, np.ndarray) else self.slots.rows(keys)
        table = np.stack([np.stack([n_c, k_c], axis=1), np.stack([n_s, k_s], axis=1)], axis=1)
        table = np.clip(np.nan_to_num(table, nan=0.0, posinf=0.0, neginf=0.0), 0.0, 1e15)
        table[:, :, 1] = np.minimum(table[:, :, 1], table[:, :, 0])
        fields = self.slots.fields
        pending = fields["pending"][rows] + table
        ready = (pending[:, 0, 0] > 0) & (pending[:, 1, 0] > 0)  # a difference needs both sides
        paired = np.where(ready[:, None, None], pending, 0.0)
        fields["pending"][rows] = np.where(ready[:, None, None], 0.0, pending)
        effect = self.wander.told(rows)
        total = fields["totals"][rows][:, 1]
        base = (total[:, 1] + 0.5) / (total[:, 0] + 1.0)  # known before this increment
        margin = self._params[rows]
        self._bet("harm", rows, paired, base, margin[:, 0], effect, gap=False)
        self._bet("pass", rows, paired, base, margin[:, 1], effect, gap=True)
        spread = np.maximum(base * (1.0 - base), 1e-6)[..., None]
        stable = np.moveaxis(table[:, 1], 1, 2)
        self.wander.learn(rows, stable, spread)
        fields["totals"][rows] += table
        harm, _ = self._evidence(rows)
        known = np.maximum(
            fields["pairs"][rows, :, 0] / _PAIRS, fields["odd"][rows, None] / (_WITHOUT * _PAIRS)
        )
        fields["harmed"][rows] |= (known >= 1.0) & (harm >= self._params[rows, 2, None])

    def _bet(
        self,
        name: str,
        rows: Rows,
        paired: FloatArray,
        base: FloatArray,
        margin: FloatArray,
        effect: FloatArray,
        *,
        gap: bool,
    ) -> None:
        """Move the evidence on: harm bets on more than the margin, Pass (`gap`) on less."""
        fields = self.slots.fields
        n_c, n_s = paired[:, 0, 0][:, :, None], paired[:, 1, 0][:, :, None]
        ratio = n_c / np.maximum(n_s, 1e-9)
        at = np.clip(base, 1e-6, 1.0 - 1e-6)[:, :, None]
        bound, share = margin[:, None, None], paired[:, :, 1]
        for direction in (0, 1):
            # "Less" is "more" of everything else.
            b = at if direction == 0 else 1.0 - at
            k = share if direction == 0 else paired[:, :, 0] - share
            k_c, k_s = k[:, 0][:, :, None], k[:, 1][:, :, None]
            beyond = EFFECTS if not gap else np.maximum(bound * np.array([0.25, 0.5, 0.75, 1.0]), 0)
            bet = beyond / (np.maximum(b * (1.0 - b), 0.002) * (1.0 + ratio) + beyond)
            top = b + bound  # x - top lies in [-top, 1 - top], b - y in [b - 1, b]
            if not gap:
                bet = np.minimum(
                    bet, _CAREFUL / np.maximum(top, (1.0 - b) * np.maximum(ratio, 1e-9))
                )
                mu = bet * ratio
                step = k_c * np.log1p(bet * (1.0 - top)) + (n_c - k_c) * _log1p(-bet * top)
                step += k_s * _log1p(-mu * (1.0 - b)) + (n_s - k_s) * np.log1p(mu * b)
                most_at_once = _AT_ONCE * self._params[rows, 2, None, None]
                step = np.minimum(step, most_at_once * effect[:, :, None])
            else:
                most = np.maximum(np.maximum(1.0 - top, 0.0), b * np.maximum(ratio, 1e-9))
                bet = np.minimum(bet, _CAREFUL / np.maximum(most, 1e-9))
                mu = bet * ratio
                step = k_c * _log1p(-bet * (1.0 - top)) + (n_c - k_c) * np.log1p(bet * top)
                step += k_s * np.log1p(mu * (1.0 - b)) + (n_s - k_s) * _log1p(-mu * b)
            old = fields[name][rows, :, direction]
            moved = np.clip(old + step, -CEILING, CEILING)
            cap = _RECENT * effect[:, :, None]
            fields[name][rows, :, direction] = np.minimum(moved, cap) if gap else moved

    def _evidence(self, rows: Rows) -> tuple[FloatArray, FloatArray]:
        """ln of harm and of Pass, by stream (B, S): the worse direction."""
        # Kept whole, divided where it is read, so that what came before a change of the design
        # effect and what cancels it after are divided alike.
        equal, effect = np.log(len(EFFECTS)), self.wander.told(rows)[:, :, None, None]
        harm = log_sum(self.slots.fields["harm"][rows] / effect) - equal
        passing = log_sum(self.slots.fields["pass"][rows] / effect) - equal
        one = (self._params[rows, 4] < 2)[:, None]
        return (
            np.where(one, harm[..., 0], harm.max(axis=-1)),
            np.where(one, passing[..., 0], passing.min(axis=-1)),
        )

    def verdicts(
        self, keys: Sequence[str] | Rows, waited: BoolArray | None = None
    ) -> tuple[BoolArray, BoolArray]:
        """Harm (any stream) and Pass (every stream), by rollout; neither: Undecided.

        `waited` (B, S): the streams that a Pass waits for, if not for all.
        """
        rows = keys if isinstance(keys, np.ndarray) else self.slots.rows(keys)
        _, passing = self._evidence(rows)
        harmed: BoolArray = self.slots.fields["harmed"][rows].max(axis=1)
        enough = passing >= self._params[rows, 3, None]
        passed: BoolArray = (enough if waited is None else enough | ~waited).min(axis=1)
        return harmed, passed & ~harmed

    def results(self, key: str) -> tuple[StreamEvidence, ...]:
        """Every stream, in the order of the plan. KeyError if not open.

        The check is Harm if any stream is harmed, Pass if all have passed, else Undecided.
        """
        row, plan, ten = self.slots.row(key), self._plans[key], np.log(10.0)
        at = np.array([row])
        harm, passing = (each[0] for each in self._evidence(at))
        n, k = self.slots.fields["totals"][row, :, 0], self.slots.fields["totals"][row, :, 1]
        effect = self.wander.told(at)[0]
        return tuple(
            StreamEvidence(
                name=name,
                candidate=float(k[0, s] / n[0, s]) if n[0, s] > 0 else None,
                stable=float(k[1, s] / n[1, s]) if n[1, s] > 0 else None,
                n_c=float(n[0, s]),
                n_s=float(n[1, s]),
                log10_harm=float(harm[s] / ten),
                harm_needed=float(self._params[row, 2] / ten),
                log10_pass=float(passing[s] / ten),
                pass_needed=float(self._params[row, 3] / ten),
                harmed=bool(self.slots.fields["harmed"][row, s]),
                passed=bool(passing[s] >= self._params[row, 3]),
                design_effect=float(effect[s]),
            )
            for s, name in enumerate(plan.streams)
        )


def harmed_streams(evidence: Sequence[StreamEvidence], alpha: float) -> tuple[str, ...]:
    """The streams named as harmed, by Holm's step-down on 1/E: at most `alpha` that any is wrong.

    At least those with `harmed` at present: the i-th strongest needs only (streams - i)/alpha.
    """
    ranked = sorted(evidence, key=lambda e: -e.log10_harm)
    extra = ranked[0].harm_needed + np.log10(alpha) - np.log10(len(ranked)) if ranked else 0.0
    found = []
    for i, each in enumerate(ranked):
        if each.log10_harm < np.log10((len(ranked) - i) / alpha) + extra:
            break
        found.append(each.name)
    return tuple(found)


def _log1p(x: FloatArray) -> FloatArray:
    out: FloatArray = np.log1p(np.maximum(x, -1.0 + 1e-9))
    return out
