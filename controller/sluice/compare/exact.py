"""The exact interval of a share (Clopper and Pearson 1934): it covers no less than it says."""

from __future__ import annotations

import functools
import math
import statistics

_HALVINGS = 60
MOST_TRIES = 1_000_000
"""More than these are not looked for."""


@functools.lru_cache(maxsize=1024)  # many classes have the same few numbers
def interval(hits: int, tries: int, risk: float) -> tuple[float, float]:
    """Lower and upper limit; each is wrong with at most `risk`. (0, 1) without any try."""
    if not tries:
        return 0.0, 1.0
    low = 0.0 if not hits else _where(lambda p: 1.0 - _below(hits - 1, tries, p), risk, rising=True)
    high = 1.0 if hits == tries else _where(lambda p: _below(hits, tries, p), risk, rising=False)
    return low, high


def tries_needed(share: float, risk: float) -> int:
    """How many hits in a row show more than `share`; the least a verdict of Pass can take."""
    return math.ceil(math.log(risk) / math.log(share)) if 0 < share < 1 else 1


def tries_at(share: float, wanted: float, risk: float) -> int | None:
    """About how many tries, of which `share` hit, show more than `wanted` (below `share`).

    To two digits, rounded up: the next sample has another share anyway. None: over MOST_TRIES.
    """
    # From the normal limit of the binomial, with its half for continuity; then as exact as it gets.
    more, spread = share - wanted, _normal(risk) * math.sqrt(wanted * (1.0 - wanted))
    root = (spread + math.sqrt(spread * spread + 2.0 * more)) / (2.0 * more)
    many = max(tries_needed(wanted, risk), math.ceil(min(root * root, MOST_TRIES)))
    while many < MOST_TRIES and interval(round(share * many), many, risk)[0] < wanted:
        many = math.ceil(many * 1.03)
    if many >= MOST_TRIES:
        return None
    place: int = 10 ** max(0, len(str(many)) - 2)
    return math.ceil(many / place) * place


def _normal(risk: float) -> float:
    """What a standard normal variable exceeds with that chance."""
    return statistics.NormalDist().inv_cdf(1.0 - risk)


def _where(chance: object, risk: float, *, rising: bool) -> float:
    """The share at which `chance` is `risk`."""
    assert callable(chance)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if (chance(middle) < risk) == rising:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _below(hits: int, tries: int, p: float) -> float:
    """P(at most `hits` of `tries`), by the incomplete beta function's continued fraction."""
    if hits < 0:
        return 0.0
    if hits >= tries:
        return 1.0
    return _beta(tries - hits, hits + 1, 1.0 - p)


def _beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function (modified Lentz; Abramowitz & Stegun 26.5.8)."""
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta(b, a, 1.0 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
        + a * math.log(x) + b * math.log1p(-x)
    ) / a  # fmt: skip
    tiny = 1e-300
    c, d = 1.0, 1.0 / max(1.0 - (a + b) * x / (a + 1.0), tiny)
    total = d
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / (1.0 + term * d or tiny)
            c = 1.0 + term / c or tiny
            total *= c * d
        if abs(c * d - 1.0) < 1e-13:
            break
    return front * total
