"""`python -m bench [--sizes 100,1000] [--only NAME] [--window 60]`: see figures.py for targets.

`python -m bench batch`, `preflight` and `classes` are others: see the modules of these names.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable

from bench import batch, classes, figures, preflight
from bench.figures import PULSE_SECONDS, Report, percentile
from bench.probe import Reading
from bench.world import NAMESPACE, World, running
from sluice.errors import SluiceError

FEW = 5
_STORED = 0.5
"""Seconds that Prometheus takes at most to store a scrape here."""


def main() -> int:
    """Returns the exit code: 0 measured (whether targets are met or not), 1 failed."""
    if sys.argv[1:2] == ["batch"]:
        return batch.main(sys.argv[2:])
    if sys.argv[1:2] == ["preflight"]:
        return preflight.main(sys.argv[2:])
    if sys.argv[1:2] == ["classes"]:
        return classes.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--sizes", default="100,1000", help="rollouts, comma-separated")
    parser.add_argument("--only", help="figures whose name contains this")
    parser.add_argument("--window", type=float, default=60.0, help="seconds of a steady window")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so everything is stopped
    report = Report(given.only)
    sizes = [int(text) for text in given.sizes.split(",")]
    per_pulse: dict[int, float] = {}
    try:
        for n in sizes:
            report.note(f"{n} rollouts: starting API server, Prometheus, exporter, controller")
            with running(n) as world:
                per_pulse[n] = Run(world, report, given.window).all()
    except KeyboardInterrupt:
        report.note("stopped; nothing was left behind")
        return 130
    except SluiceError as error:
        report.note(f"failed: {error}")
        return 1
    if len(per_pulse) > 1:
        small, large = min(per_pulse), max(per_pulse)
        growth = per_pulse[large] / per_pulse[small]
        report.add("queries_per_pulse_growth", large, growth, "ratio", 1.0)
    report.summary()
    return 0


class Run:
    """One size, from nothing to all candidates gone."""

    def __init__(self, world: World, report: Report, window: float) -> None:
        self._world = world
        self._report = report
        self._window = window
        self._n = world.n

    def all(self) -> float:
        """Every figure in turn; returns the queries per pulse."""
        n, world, note = self._n, self._world, self._report.note
        world.start_controller()
        note(f"creating {n} rollouts, and one for the start figure")
        world.create_rollouts(0, n + 1)
        self._until(lambda r: r.phases.get("Idle", 0) == n + 1, "all idle")
        self._settle(0)
        self._idle()
        note(f"giving {n} of them a new version")
        world.order("/candidates")
        world.new_version(0, n)
        self._until(lambda r: r.phases.get("Stepping", 0) == n, "all in mid-canary")
        self._settle(n / 4)  # numbers alone go on being written
        queries = self._active()
        if self._report.wants("start_to_first_decision"):
            self._start()
        if n > FEW and self._report.wants("few_failing"):
            self._failing("few_failing", FEW, FEW, figures.FEW_TARGET)
        if self._report.wants("all_failing"):
            left = n - len(world.off_candidate)
            self._failing("all_failing", n, left, figures.moved_target(n))
        return queries

    def _idle(self) -> None:
        if not self._report.wants("idle"):
            return
        self._report.note("idle window")
        before, after, minutes = self._steady(min(self._window, 30.0))
        asked = _per_rollout(before, after, self._n, minutes)
        add = self._report.add
        target = figures.IDLE_REQUESTS_TARGET
        add("api_requests_per_idle_rollout", self._n, asked, "requests/min", target)
        add("cpu_idle", self._n, (after.cpu - before.cpu) / minutes, "s/min")
        self._tell(before, after)

    def _active(self) -> float:
        self._report.note("active window")
        before, after, minutes = self._steady(self._window)
        n, add = self._n, self._report.add
        pulses = after.pulses - before.pulses
        queries = (after.queries - before.queries) / pulses
        cpu = (after.cpu - before.cpu) / minutes
        add("queries_per_pulse", n, queries, "queries", figures.QUERIES_TARGET)
        add("cpu_active", n, cpu, "s/min", figures.cpu_target(n))
        seconds = (after.pulse_seconds - before.pulse_seconds) / pulses
        add("pulse_seconds", n, seconds, "s")
        asked = _per_rollout(before, after, n, minutes)
        target = figures.ACTIVE_REQUESTS_TARGET
        add("api_requests_per_active_rollout", n, asked, "requests/min", target)
        add("memory", n, after.rss, "MiB", figures.memory_target(n))
        add("memory_peak", n, after.peak, "MiB")
        self._tell(before, after)
        return queries

    def _start(self) -> None:
        """A version is pushed while no controller runs: until its candidate is written."""
        self._world.stop_controller()
        self._world.new_version(self._n, self._n + 1)
        self._report.note("controller stopped; starting it with one rollout changed")
        began = time.time()
        self._world.start_controller()
        name = f"r{self._n}"
        self._await(lambda: name in self._world.with_candidate, "the first decision")
        took = self._world.with_candidate[name] - began
        target = figures.START_TARGET
        self._report.add("start_to_first_decision", self._n, took, "s", target)
        self._pulses(2)

    def _failing(self, name: str, candidates: int, expected: int, target: float) -> None:
        world = self._world
        before = dict(world.off_candidate)
        reads: set[float] = set()

        def all_moved() -> bool:
            reads.add(world.reading().last_pulse)
            return len(world.off_candidate) - len(before) >= expected

        world.order(f"/fail?n={candidates}")
        self._report.note(f"{expected} candidates will fail all their requests")
        self._await(all_moved, "all moved")
        switches, scrapes = world.switches()
        bad = switches[-1]["first_bad_scrape"]
        tipping = tipping_scrape(bad, scrapes, reads)
        moved = [at for key, at in world.off_candidate.items() if key not in before]
        if early := sum(1 for at in moved if at < bad):
            self._report.note(f"{early} were rolled back before any failure")
        add, n = self._report.add, self._n
        for what, since in (("bad_scrape", bad), ("tipping_scrape", tipping)):
            took = [at - since for at in moved]
            add(f"{name}_{what}_to_patched_p50", n, percentile(took, 50), "s")
            add(f"{name}_{what}_to_patched_p95", n, percentile(took, 95), "s", target)
        add(f"{name}_first_to_last_patch", n, max(moved) - min(moved), "s")

    # -- waiting -------------------------------------------------------------------------------

    def _steady(self, seconds: float) -> tuple[Reading, Reading, float]:
        """Readings around whole pulses of at least `seconds`, and the minutes between."""
        pulses = max(1, round(seconds / PULSE_SECONDS))
        self._pulses(1)
        before, began = self._world.reading(), time.monotonic()
        self._pulses(pulses)
        after = self._world.reading()
        return before, after, (time.monotonic() - began) / 60

    def _settle(self, quiet: float) -> None:
        """Until the requests that follow what was done have ebbed away to `quiet` a pulse."""
        for _ in range(30):
            before = self._world.reading().all_requests
            self._pulses(1)
            if self._world.reading().all_requests - before <= quiet:
                return

    def _pulses(self, number: int) -> None:
        first = self._world.reading().pulses
        self._until(lambda r: r.pulses >= first + number, f"{number} pulses")

    def _until(self, so: Callable[[Reading], bool], what: str) -> None:
        last: list[Reading] = []

        def now() -> bool:
            last[:] = [self._world.reading()]
            return so(last[0])

        try:
            self._await(now, what)
        except SluiceError as error:
            raise SluiceError(f"{error}; phases: {last[0].phases if last else '?'}") from error

    def _await(self, so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 120 + self._n / 5
        while not so():
            if time.monotonic() > deadline:
                raise SluiceError(f"{what}: not within {120 + self._n / 5:.0f} s ({NAMESPACE})")
            time.sleep(0.5)

    def _tell(self, before: Reading, after: Reading) -> None:
        """Which requests these were."""
        made = {
            what: count - before.requests.get(what, 0.0) for what, count in after.requests.items()
        }
        text = ", ".join(f"{count:.0f} {what}" for what, count in sorted(made.items()) if count)
        self._report.note(f"requests in this window: {text or 'none'}")


def tipping_scrape(bad: float, scrapes: list[float], reads: set[float]) -> float:
    """The scrape that can complete the evidence of harm.

    A burst seen in one read alone is not believed: the first read that has the first bad scrape
    gives the suspicion, and the next scrape after it is what the second read decides by.
    """
    suspicion = min((read for read in reads if read >= bad + _STORED), default=bad)
    return min((scrape for scrape in scrapes if scrape > suspicion), default=bad)


def _per_rollout(before: Reading, after: Reading, n: int, minutes: float) -> float:
    return (after.all_requests - before.all_requests) / n / minutes


if __name__ == "__main__":
    sys.exit(main())
