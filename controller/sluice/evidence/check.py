"""One check of many rollouts at a time: its evidence as arrays, moved on by one increment.

Rows are rollouts (N slots, B of them in one update), streams s are 1 for a rate and one per bucket
edge for latency. Evidence is kept as float32 logs, so an exported state continues bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from sluice.evidence.formulas import (
    CEILING,
    BoolArray,
    FloatArray,
    Floats,
    late_start,
    log_mix,
    log_sum,
    odds_cost,
    ratio_cost,
    upper_rate,
)
from sluice.evidence.spec import CheckPlan, Kind

# The grids: alternatives that are mixed over, and their weights. Chosen so that ratios from 1.5 to
# 20 stay near the information limit, and checked by simulation (docs/decisions.md has the figures).
HARM_TIMES = np.array([1.35, 1.8, 2.4, 4.0, 8.0, 25.0])  # times the acceptable ratio
HARM_WEIGHTS = np.array([0.10, 0.25, 0.25, 0.18, 0.12, 0.10])
ABOVE_ODDS = np.array([1.35, 2.0, 3.5, 8.0, 30.0])  # times the odds of the boundary
ABOVE_WEIGHTS = np.array([0.15, 0.25, 0.25, 0.20, 0.15])
PASS_TIMES = np.array([1.2, 1.0, 0.7, 0.3])  # times the acceptable ratio, if below the unacceptable
PASS_WEIGHTS = np.array([0.15, 0.55, 0.2, 0.1])
BELOW_ODDS = np.array([0.7, 0.4, 0.15, 0.01])
BELOW_WEIGHTS = np.array([0.15, 0.2, 0.2, 0.45])
BAKE_ODDS = np.array([1.5, 3.0, 8.0, 40.0])
BAKE_WEIGHTS = np.array([0.25, 0.35, 0.25, 0.15])

LATE = 0.15  # of the capital of every harm test is kept for harm that begins late
BAKE = 0.05  # of alpha is for the bake test, as much again for the bound it starts from
RATIO = 0.75  # of the capital of non-inferiority is in the ratio form, the rest in the absolute
RECENT = 15.0  # log evidence for Pass is cut off here: old good behaviour must not hide new harm


@dataclass(frozen=True)
class Streams:
    """Which columns of the counts a check looks at (0: failures, 1 + e: slower than edge e).

    `harm` and `passing` say which streams can show harm and which must pass.
    """

    columns: tuple[int, ...]
    harm: tuple[bool, ...]
    passing: tuple[bool, ...]


def streams_of(plan: CheckPlan, edges: tuple[float, ...]) -> Streams:
    """The streams of a plan.

    A quantile limit between two edges is judged on the safe side both ways: harm needs too many
    requests above the first edge at or above the limit, Pass few enough above the last edge at or
    below it. A limit beyond the last edge can never be harm, one below the first never Pass.
    """
    if plan.kind is Kind.COMPARE_LATENCY:
        n = len(edges)
        return Streams(tuple(range(1, n + 1)), (True,) * n, (True,) * n)
    if plan.kind is not Kind.LIMIT_QUANTILE:
        return Streams((0,), (True,), (True,))
    slack = 1e-9 * max(plan.limit, 1.0)
    over = [e for e, edge in enumerate(edges) if edge >= plan.limit - slack]
    under = [e for e, edge in enumerate(edges) if edge <= plan.limit + slack]
    roles = [(under[-1], False, True)] if under else []
    if over and under and over[0] == under[-1]:
        roles = [(over[0], True, True)]
    elif over:
        roles.append((over[0], True, False))
    return Streams(
        tuple(1 + e for e, _, _ in roles),
        tuple(h for _, h, _ in roles),
        tuple(p for _, _, p in roles),
    )


@dataclass(frozen=True)
class Counts:
    """What one update knows, for B rollouts and the columns c of all counts.

    `n`, `k` are the candidate's requests and events of this increment; the `paired_` ones are those
    for which both sides have requests (`ready`), zero elsewhere. `totals` (B, 2, 1 + c) are sums so
    far of candidate and stable, `recent_` those of the stable's last increments, fading.
    `index` counts the updates with traffic from 1, `baked` those of the bake. `ages` are seconds
    from the candidate's readiness to the increment's beginning, `dispersion` (B, c) how bunched the
    stable's events are.
    """

    n: FloatArray
    k: FloatArray
    ready: BoolArray
    paired_n_c: FloatArray
    paired_n_s: FloatArray
    paired_k_c: FloatArray
    paired_k_s: FloatArray
    totals: FloatArray
    recent_n_s: FloatArray
    recent_k_s: FloatArray
    index: FloatArray
    baking: BoolArray
    baked: FloatArray
    ages: FloatArray
    dispersion: FloatArray
    skew: float

    def candidate_total(self, columns: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
        """Events (B, s) and requests (B, 1) of the candidate so far."""
        return self.totals[:, 0, 1 + columns], self.totals[:, 0, :1]

    def stable_total(self, columns: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
        """Events (B, s) and requests (B, 1) of the stable so far."""
        return self.totals[:, 1, 1 + columns], self.totals[:, 1, :1]

    def part(self, of: BoolArray) -> Counts:
        """The rollouts at these places only."""
        if of.all():
            return self
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "skew"}
        return Counts(**{name: values[of] for name, values in arrays.items()}, skew=self.skew)


def _weights(values: FloatArray) -> NDArray[np.float32]:
    logs: NDArray[np.float32] = np.log(values / values.sum()).astype(np.float32)
    return logs


def _move(log_e: Floats, step: FloatArray) -> Floats:
    moved: Floats = np.clip(log_e + step, -CEILING, CEILING).astype(np.float32)
    return moved


class CheckRows:
    """The evidence of one check, row by row.

    `fields` are the arrays that make up the state of a row, in the order of the export.
    """

    OUTPUTS = ("log_harm", "log_pass", "left", "worst", "dispersion")

    def __init__(self, kind: Kind, streams: Streams, width: int, size: int) -> None:
        self.kind = kind
        self.streams = streams
        s = len(streams.columns)
        self.columns = np.array(streams.columns, dtype=np.intp)
        # acceptable, unacceptable, boundary, log(1/alpha), log(1/beta), overdispersion, warm-up
        self.params = np.zeros((size, 7))
        self.fields: dict[str, Floats] = {
            "skipped": np.zeros((size, 2, width), dtype=np.float32),
            "outputs": np.zeros((size, len(self.OUTPUTS))),
            "above": np.zeros((size, s, len(ABOVE_ODDS)), dtype=np.float32),
            "below": np.zeros((size, s, len(BELOW_ODDS)), dtype=np.float32),
        }
        if kind.compares:
            self.fields |= {
                "harm": np.zeros((size, s, len(HARM_TIMES)), dtype=np.float32),
                "pass": np.zeros((size, s, len(PASS_TIMES)), dtype=np.float32),
                "bake": np.zeros((size, s, len(BAKE_ODDS)), dtype=np.float32),
                "shown_harm": np.zeros((size, s), dtype=np.float32),
                "shown_pass": np.zeros((size, s), dtype=np.float32),
            }

    def grow(self, size: int) -> None:
        """Make room for `size` rows."""
        extra = size - len(self.params)
        self.params = np.concatenate([self.params, np.zeros((extra, 7))])
        for name, values in self.fields.items():
            room = np.zeros((extra, *values.shape[1:]), dtype=values.dtype)
            self.fields[name] = np.concatenate([values, room])

    def reset(self, row: int, plan: CheckPlan) -> None:
        """Start afresh: every test at 1."""
        boundary = {
            Kind.LIMIT_RATE: plan.limit,
            Kind.LIMIT_QUANTILE: 1.0 - plan.quantile,
        }.get(plan.kind, plan.negligible)
        self.set_params(row, plan, boundary)
        for values in self.fields.values():
            values[row] = 0
        start = np.float32(np.log1p(-LATE))
        for name in ("above", "harm"):
            if name in self.fields:
                self.fields[name][row] = start
        self.fields["outputs"][row] = (0.0, 0.0, np.inf, 0.0, max(plan.overdispersion, 1.0))

    def set_params(self, row: int, plan: CheckPlan, boundary: float) -> None:
        """Take the numbers of the plan."""
        self.params[row] = (
            plan.acceptable,
            plan.unacceptable,
            min(max(boundary, 1e-12), 1 - 1e-9),
            -np.log(plan.alpha),
            -np.log(plan.beta),
            max(plan.overdispersion, 1.0),
            plan.warmup,
        )

    @property
    def skipped(self) -> Floats:
        """Shape (size, 2, columns): what came too early to count for this check."""
        return self.fields["skipped"]

    def skip(self, rows: NDArray[np.intp], table: FloatArray, ages: FloatArray) -> None:
        """Note what comes before this check's own warm-up is over."""
        early = ages < self.params[rows, 6]
        self.skipped[rows[early]] += table[early]

    def dispersion(self, rows: NDArray[np.intp], learned: FloatArray) -> FloatArray:
        """What the evidence is divided by: shape (B, s). `learned` has all columns."""
        return np.maximum(self.params[rows, 5, None], learned[:, self.columns])

    def note_dispersion(self, rows: NDArray[np.intp], learned: FloatArray) -> None:
        """Show what was learned before the first increment."""
        if len(self.columns):
            self.fields["outputs"][rows, 4] = self.dispersion(rows, learned).max(axis=1)

    def advance(self, rows: NDArray[np.intp], counts: Counts) -> None:
        """Move the evidence of `rows` on by one increment."""
        if not len(self.columns):
            return
        warm = counts.ages >= self.params[rows, 6]
        if not warm.any():
            return
        rows, counts = rows[warm], counts.part(warm)
        counts = replace(
            counts,
            totals=counts.totals - self.skipped[rows],
            dispersion=self.dispersion(rows, counts.dispersion),
        )
        params = self.params[rows]
        self._advance_absolute(rows, params, counts)
        if self.kind.compares:
            self._advance_ratio(rows, params, counts)
            if counts.baking.any():
                self._advance_bake(rows, params, counts)
        self._sum_up(rows, params, counts)

    def _advance_absolute(self, rows: NDArray[np.intp], params: FloatArray, counts: Counts) -> None:
        n, k = counts.n[:, None, None], counts.k[:, self.columns, None]
        boundary, phi = params[:, 2, None, None], counts.dispersion[:, :, None]
        step = k * np.log(ABOVE_ODDS) - n * odds_cost(ABOVE_ODDS, boundary)
        fields = self.fields
        fields["above"][rows] = _move(late_start(fields["above"][rows], counts.index, LATE), step)
        step = k * np.log(BELOW_ODDS) - n * odds_cost(BELOW_ODDS, boundary)
        cap = (RECENT * phi).astype(np.float32)
        fields["below"][rows] = np.minimum(_move(fields["below"][rows], step), cap)

    def _advance_ratio(self, rows: NDArray[np.intp], params: FloatArray, counts: Counts) -> None:
        share, k_c, k_s, phi, ready = self._paired(counts)
        fields = self.fields
        acceptable = params[:, 0, None, None]
        gain, cost = _harm_terms(acceptable, share)
        log_e = late_start(fields["harm"][rows], counts.index, LATE)
        log_e = _move(log_e, k_c * gain - (k_c + k_s) * cost)
        fields["harm"][rows] = log_e
        # Events that the other side may have had too, but that its older scrape does not show yet,
        # do not count before the next increment: an edge of a shared outage is not harm.
        doubt = np.minimum(k_c, counts.skew * counts.paired_n_c[:, None, None])
        shown = log_sum(log_e - (doubt * (gain - cost)).astype(np.float32) + _HARM_LOG)
        fields["shown_harm"][rows] = np.where(ready, shown, fields["shown_harm"][rows])

        gain, cost = _pass_terms(acceptable, params[:, 1, None, None], share)
        log_e = _move(fields["pass"][rows], k_c * gain - (k_c + k_s) * cost)
        doubt = np.minimum(k_s, counts.skew * counts.paired_n_s[:, None, None])
        lost = (doubt * cost).astype(np.float32)
        log_e = np.minimum(log_e, (RECENT * phi).astype(np.float32) - lost)
        fields["pass"][rows] = log_e
        shown = log_sum(log_e + lost + _PASS_LOG)
        fields["shown_pass"][rows] = np.where(ready, shown, fields["shown_pass"][rows])

    def _paired(
        self, counts: Counts
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, BoolArray]:
        both = np.maximum(counts.paired_n_c + counts.paired_n_s, 1e-300)
        share = (counts.paired_n_c / both)[:, None, None]
        k_c = counts.paired_k_c[:, self.columns, None]
        k_s = counts.paired_k_s[:, self.columns, None]
        return share, k_c, k_s, counts.dispersion[:, :, None], counts.ready[:, None]

    def _advance_bake(self, rows: NDArray[np.intp], params: FloatArray, counts: Counts) -> None:
        b = np.flatnonzero(counts.baking)
        rows, params = rows[b], params[b]
        risk = params[:, 3, None] - np.log(BAKE) + np.log(len(self.columns))
        phi = counts.dispersion[b]
        total_k, total_n = counts.stable_total(self.columns)
        bound = upper_rate(total_k[b] / phi, total_n[b] / phi, risk)
        # All traffic may have moved in the middle of an outage of both sides: where the stable was
        # last far worse than over the whole time, that is what there is to compare with. This only
        # raises the boundary, so the risk stays what it was.
        n_s, k_s = counts.recent_n_s[b][:, None], counts.recent_k_s[b][:, self.columns]
        usual = bound * n_s
        unusual = k_s > usual + 4.0 * np.sqrt(usual + 1.0)
        latest = upper_rate(k_s / phi, np.maximum(n_s, 1e-9) / phi, risk)
        bound = np.where(unusual, np.maximum(bound, latest), bound)
        null = np.maximum(params[:, 2, None], params[:, 1, None] * bound)
        null = np.clip(null, 1e-12, 1 - 1e-9)[:, :, None]
        n, k = counts.n[b][:, None, None], counts.k[b][:, self.columns, None]
        step = k * np.log(BAKE_ODDS) - n * odds_cost(BAKE_ODDS, null)
        log_e = late_start(self.fields["bake"][rows], counts.baked[b], LATE)
        # The first capital was put in whole (log 1): the reserve is taken off here, once.
        first = (counts.baked[b] <= 1)[:, None, None]
        log_e = np.where(first, np.float32(np.log1p(-LATE)), log_e)
        self.fields["bake"][rows] = _move(log_e, step)

    def _sum_up(self, rows: NDArray[np.intp], params: FloatArray, counts: Counts) -> None:
        fields = self.fields
        # E^(1/phi): kept whole, divided where it is read, so that what came before a change of phi
        # and what cancels it after are divided alike.
        phi = counts.dispersion
        above = log_sum(fields["above"][rows] + _ABOVE_LOG) / phi
        below = log_sum(fields["below"][rows] + _BELOW_LOG) / phi
        out = np.empty((len(rows), len(self.OUTPUTS)))
        out[:, 4] = phi.max(axis=1)
        if self.kind.compares:
            each = np.minimum(above, fields["shown_harm"][rows] / phi)
            bake = log_sum(fields["bake"][rows] + _BAKE_LOG) / phi
            s = np.float32(np.log(len(self.columns)))
            # 1 - 2 BAKE of alpha for the comparison, BAKE for the bake test and BAKE for its bound.
            out[:, 0] = np.logaddexp(
                log_sum(each) - s + np.log1p(-2 * BAKE), log_sum(bake) - s + np.log(BAKE)
            )
            passing = log_mix(fields["shown_pass"][rows] / phi, below, RATIO)
            out[:, 3] = self._worst(np.maximum(each, bake), counts)
        else:
            each, passing = above, below
            masked = np.where(np.array(self.streams.harm), each, -np.inf)
            out[:, 0] = masked.max(axis=1) if any(self.streams.harm) else 0.0
            out[:, 3] = np.argmax(self.streams.passing)
        out[:, 1] = 0.0
        out[:, 2] = np.inf
        if any(self.streams.passing):
            must = np.array(self.streams.passing)
            out[:, 1] = np.where(must, passing, np.inf).min(axis=1)
            out[:, 2] = self._requests_left(rows, params, counts, passing, must)
        fields["outputs"][rows] = out

    def _worst(self, each: Floats, counts: Counts) -> FloatArray:
        """The stream with most harm; where none has any, the one most unlike the stable's."""
        k_c, n_c = counts.candidate_total(self.columns)
        k_s, n_s = counts.stable_total(self.columns)
        n_c, n_s = np.maximum(n_c, 1.0), np.maximum(n_s, 1.0)
        pooled = (k_c + k_s + 0.5) / (n_c + n_s)
        z = (k_c / n_c - k_s / n_s) / np.sqrt(pooled * (1 / n_c + 1 / n_s))
        clear = each.max(axis=1) > 1.0
        shown: FloatArray = np.where(clear, np.argmax(each, axis=1), np.argmax(z, axis=1)).astype(
            np.float64
        )
        return shown

    def _requests_left(
        self,
        rows: NDArray[np.intp],
        params: FloatArray,
        counts: Counts,
        passing: Floats,
        must: BoolArray,
    ) -> FloatArray:
        """Candidate requests until Pass at the rates so far, the slowest stream; inf: never."""
        k_c, n_c = counts.candidate_total(self.columns)
        k_s, n_s = counts.stable_total(self.columns)
        p_s = (k_s + 0.1) / (n_s + 1.0)
        p_c = (k_c + p_s) / (n_c + 1.0)
        needed, phi = params[:, 4, None, None], counts.dispersion[:, :, None]
        drift = p_c[:, :, None] * np.log(BELOW_ODDS)
        drift = drift - odds_cost(BELOW_ODDS, params[:, 2, None, None])
        own = 0.0 if not self.kind.compares else np.log1p(-RATIO)
        gap = (needed - own) * phi - _BELOW_LOG - self.fields["below"][rows]
        left = _time_left(gap, drift)
        if self.kind.compares:
            both = n_c + n_s
            share = np.where(both > 0, n_c / np.maximum(both, 1e-9), 0.5)
            ready = counts.ready[:, None]
            paired = counts.paired_n_c + counts.paired_n_s
            now = counts.paired_n_c / np.maximum(paired, 1e-9)
            share = np.clip(np.where(ready, now[:, None], share), 1e-6, 1 - 1e-6)[:, :, None]
            gain, cost = _pass_terms(params[:, 0, None, None], params[:, 1, None, None], share)
            seen_s = p_s[:, :, None] * (1.0 - share) / share
            drift = p_c[:, :, None] * gain - (p_c[:, :, None] + seen_s) * cost
            gap = (needed - np.log(RATIO)) * phi - _PASS_LOG - self.fields["pass"][rows]
            left = np.minimum(left, _time_left(gap, drift))
        left = np.where(passing >= params[:, 4, None], 0.0, np.maximum(left, 1.0))
        worst: FloatArray = np.where(must, left, 0.0).max(axis=1)
        return worst


def _harm_terms(acceptable: FloatArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
    return np.log(HARM_TIMES), ratio_cost(acceptable * HARM_TIMES, acceptable, share)


def _pass_terms(
    acceptable: FloatArray, unacceptable: FloatArray, share: FloatArray
) -> tuple[FloatArray, FloatArray]:
    to = np.minimum(acceptable * PASS_TIMES, np.sqrt(acceptable * unacceptable))
    return np.log(to / unacceptable), ratio_cost(to, unacceptable, share)


def _time_left(gap: Floats, drift: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        left: FloatArray = np.where(drift > 0, np.maximum(gap, 0.0) / drift, np.inf)
    best: FloatArray = left.min(axis=-1)
    return best


_HARM_LOG = _weights(HARM_WEIGHTS)
_ABOVE_LOG = _weights(ABOVE_WEIGHTS)
_PASS_LOG = _weights(PASS_WEIGHTS)
_BELOW_LOG = _weights(BELOW_WEIGHTS)
_BAKE_LOG = _weights(BAKE_WEIGHTS)
