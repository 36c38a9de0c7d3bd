"""What candidates and stables did since the last look, both sides over the same time.

Prometheus scrapes each pod at its own moment. If one side were counted up to a newer scrape than
the other, a burst of failures that hits both would look like one side's fault; so a pair's counts
are held back until every live pod of both has been scraped again, or for a bounded time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sluice.evidence.bank import Increment
from sluice.metrics.counting import Side
from sluice.metrics.dialects import Dialect, Outcome, Target
from sluice.metrics.history import RangeClient, read_history
from sluice.metrics.source import FIRST_BIN, Client, Floats, Snapshot, Source

LOOKBACK_SECONDS = 900.0
"""How far before a baseline a pod's last scrape may be. Longer than a failed scrape or two, and
than a restart of Prometheus."""
LONGEST_WAIT_SECONDS = 300.0


@dataclass(frozen=True)
class Pair:
    """What is compared: two predictors of one SeldonDeployment.

    `latency` False saves the bucket query if no other pair needs it; `above_` is then 0.
    """

    key: str
    namespace: str
    deployment: str
    stable: str
    candidate: str
    latency: bool = True


@dataclass(frozen=True)
class Freshness:
    """How well a pair is seen. `seen`: in Prometheus now, by at least one request ever counted.

    `scraped_at` is when the pod seen longest ago was scraped (Unix seconds). `covered_until` is the
    moment of the last release: what a checkpoint of the evidence contains, and the `since` with
    which to go on after a restart. `problem` is a sentence, or empty.
    """

    candidate_seen: bool
    stable_seen: bool
    candidate_scraped_at: float | None
    stable_scraped_at: float | None
    problem: str
    covered_until: float | None = None


@dataclass(frozen=True)
class Pulse:
    """One look at all pairs. `increments` only has the pairs for which something was released."""

    at: float
    increments: dict[str, Increment]
    freshness: dict[str, Freshness]
    queries: int
    warnings: tuple[str, ...] = ()


@dataclass
class _Tracked:
    pair: Pair
    candidate: Side
    stable: Side
    since: float | None
    begun: bool = False
    released_at: float = 0.0
    requests: dict[str, float] = field(default_factory=dict)

    @property
    def targets(self) -> tuple[Target, Target]:
        """Candidate and stable."""
        pair = self.pair
        return (
            Target(pair.namespace, pair.deployment, pair.candidate),
            Target(pair.namespace, pair.deployment, pair.stable),
        )

    def begin(self, baseline: Snapshot) -> None:
        """Count from this snapshot on."""
        candidate, stable = self.targets
        self.candidate.begin(baseline.of(candidate))
        self.stable.begin(baseline.of(stable))
        self.released_at = max(self.released_at, baseline.at)
        self.begun = True


class Reads(Client, RangeClient, Protocol):
    """What is needed of `PrometheusClient`."""


class Observer:
    """Follows pairs through their counters. Not thread-safe.

    `interval` is the time between pulses, `wait` how long a pair's counts are held back at most
    (both seconds; by default twice the interval or the scrapes' own, whichever is longer).
    """

    def __init__(
        self,
        client: Reads,
        dialect: Dialect,
        *,
        interval: float = 10.0,
        wait: float | None = None,
        lookback: float = LOOKBACK_SECONDS,
    ) -> None:
        self._client = client
        self._source = Source(client, dialect)
        self._interval = interval
        self._wait = wait
        self._lookback = lookback
        self._tracked: dict[str, _Tracked] = {}

    @property
    def edges(self) -> tuple[float, ...]:
        """Upper latency edges in seconds; `above_` of an increment has one entry for each."""
        return self._source.dialect.edges

    def track(self, pair: Pair, since: float | None = None) -> None:
        """Follow a pair: from the next pulse, or from `since` (Unix seconds) after a restart.

        What pods had counted by then is read from Prometheus; pods that it did not know by then
        start from 0. Lost is only what a pod's very last scrape before it became unreachable has
        shown, if no pulse fell between that scrape and the restart.
        """
        columns = self._source.columns
        self._tracked[pair.key] = _Tracked(pair, Side(columns), Side(columns), since)

    def forget(self, key: str) -> None:
        """Follow it no longer; unknown keys are fine."""
        self._tracked.pop(key, None)

    def restart(self, key: str, at: float) -> None:
        """Count anew: each pod's first scrape from `at` on is its baseline (which may be ahead).

        For when what came before must not count, such as a warm-up. Unknown keys are fine.
        """
        if tracked := self._tracked.get(key):
            tracked.candidate.restart(at)
            tracked.stable.restart(at)
            tracked.released_at = max(tracked.released_at, at)
            tracked.requests = {}

    def requests(self, key: str) -> dict[str, float]:
        """Each predictor's requests in the last release that had any; {} if there was none yet.

        Includes requests that are not blamed on anybody.
        """
        tracked = self._tracked.get(key)
        return dict(tracked.requests) if tracked else {}

    def counted_until(self, key: str) -> float | None:
        """Where the next increment begins, Unix seconds; None before the first look."""
        tracked = self._tracked.get(key)
        return tracked.released_at if tracked is not None and tracked.begun else None

    def history(self, keys: Iterable[str], now: float) -> dict[str, Floats]:
        """What the stables of these pairs did before `now`, as `read_history` says. One query."""
        pairs = {key: self._tracked[key] for key in keys if key in self._tracked}
        if not pairs:
            return {}
        stables = {key: tracked.targets[1] for key, tracked in pairs.items()}
        dialect = self._source.dialect
        found = read_history(self._client, dialect, list(stables.values()), now, self._interval)
        return {key: found[target] for key, target in stables.items() if target in found}

    def pulse(self, now: float) -> Pulse:
        """Read once for all pairs. Raises MetricsError, and then nothing is lost or changed."""
        if not self._tracked:
            return Pulse(now, {}, {}, 0)
        everything = self._tracked.values()
        queries = self._begin([t for t in everything if not t.begun], now)
        latency = any(t.pair.latency for t in everything)
        snapshot = self._source.fetch(_targets(everything), now, latency=latency)
        increments: dict[str, Increment] = {}
        freshness: dict[str, Freshness] = {}
        for key, tracked in self._tracked.items():
            if not tracked.begun and any(snapshot.of(target) for target in tracked.targets):
                tracked.begin(snapshot)  # what is seen first is all there is to start from
            released = self._follow(tracked, snapshot)
            if released is not None:
                increments[key] = released
            freshness[key] = self._freshness(tracked, now)
        return Pulse(now, increments, freshness, queries + snapshot.queries, snapshot.warnings)

    def _begin(self, new: list[_Tracked], now: float) -> int:
        """Read the baselines, with one batch for each moment. Returns the number of queries."""
        queries = 0
        moments: dict[float, list[_Tracked]] = {}
        for tracked in new:
            moment = now if tracked.since is None else min(tracked.since, now)
            moments.setdefault(moment, []).append(tracked)
        for moment, group in moments.items():
            latency = any(t.pair.latency for t in group)
            targets = _targets(group)
            then = self._source.fetch_last(targets, moment, self._lookback, latency=latency)
            queries += then.queries
            trusted = bool(then.pods)
            if not trusted:
                # Nothing at all: were there no requests, or was nobody scraping?
                earlier = moment - 2 * self._interval
                trusted = self._source.was_scraping(earlier, self._lookback)
                queries += 1
            for tracked in group:
                if trusted:
                    tracked.begin(then)
                else:
                    tracked.since = None
        return queries

    def _follow(self, tracked: _Tracked, snapshot: Snapshot) -> Increment | None:
        if not tracked.begun:
            return None
        candidate, stable = tracked.targets
        tracked.candidate.add(snapshot.of(candidate))
        tracked.stable.add(snapshot.of(stable))
        fresh = tracked.candidate.fresh and tracked.stable.fresh
        held = snapshot.at - tracked.released_at
        if held < 0 or (not fresh and held < self._patience(tracked)):
            return None
        c, s = tracked.candidate.take(), tracked.stable.take()
        tracked.released_at = snapshot.at
        requests = (float(c[:FIRST_BIN].sum()), float(s[:FIRST_BIN].sum()))
        if not any(requests):
            return None
        tracked.requests = {
            tracked.pair.candidate: requests[0],
            tracked.pair.stable: requests[1],
        }
        return self._increment(c, s, latency=tracked.pair.latency)

    def _increment(self, c: Floats, s: Floats, *, latency: bool) -> Increment:
        sides = []
        for side in (c, s):
            n = float(side[Outcome.GOOD] + side[Outcome.FAILED])
            above = np.cumsum(side[FIRST_BIN:][::-1])[::-1][1:]
            # The gateway's histogram also has requests that are nobody's fault.
            above = np.clip(above, 0.0, n) if latency else np.zeros(len(self.edges))
            sides.append((n, float(side[Outcome.FAILED]), above))
        (n_c, k_c, above_c), (n_s, k_s, above_s) = sides
        return Increment(n_c=n_c, k_c=k_c, n_s=n_s, k_s=k_s, above_c=above_c, above_s=above_s)

    def _patience(self, tracked: _Tracked) -> float:
        if self._wait is not None:
            return self._wait
        scrapes = max(tracked.candidate.gap, tracked.stable.gap)
        return min(LONGEST_WAIT_SECONDS, 2 * max(self._interval, scrapes))

    def _freshness(self, tracked: _Tracked, now: float) -> Freshness:
        candidate, stable = tracked.candidate.live, tracked.stable.live
        late = 2 * self._patience(tracked)
        problems = []
        for what, name, side, live in (
            ("candidate", tracked.pair.candidate, tracked.candidate, candidate),
            ("stable", tracked.pair.stable, tracked.stable, stable),
        ):
            if not live and side.ever_seen:
                problems.append(f"the {what} {name} is no longer in Prometheus")
            elif not live:
                problems.append(f"no request of the {what} {name} is in Prometheus yet")
            elif now - min(live) > late:
                problems.append(
                    f"a pod of the {what} {name} was last scraped {now - min(live):.0f} s ago"
                )
        return Freshness(
            candidate_seen=bool(candidate),
            stable_seen=bool(stable),
            candidate_scraped_at=min(candidate, default=None),
            stable_scraped_at=min(stable, default=None),
            problem="; ".join(problems),
            covered_until=tracked.released_at if tracked.begun else None,
        )


def _targets(tracked: Iterable[_Tracked]) -> list[Target]:
    return [target for one in tracked for target in one.targets]
