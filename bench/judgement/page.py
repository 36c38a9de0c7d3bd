"""docs/benchmarks/judgement.md from the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from bench.judgement.cells import CELLS, HEALTHY, Cell
from bench.judgement.figures import SHARE, Outcome, Rate, limit, limit_minutes
from bench.judgement.native import schedules
from bench.judgement.ours import balanced

OURS = "Sluice"
HEAD = Path(__file__).with_name("head.md")


class Book:
    """The outcomes by rule and cell, and the tables made of them."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        self.found = {(o.rule, o.cell): o for o in outcomes}
        self.rules = list(dict.fromkeys(o.rule for o in outcomes))
        self.cells = list(dict.fromkeys(o.cell for o in outcomes))

    def of(self, rule: str, cell: str) -> Outcome:
        """One outcome."""
        return self.found[rule, cell]

    def may_wait(self) -> list[str]:
        """The rules that left any run undecided."""
        waited = {o.rule for o in self.found.values() if o.undecided.events}
        return [rule for rule in self.rules if rule in waited]

    def table(
        self,
        cells: Iterable[str],
        show: Callable[[Outcome], str],
        only: Iterable[str] | None = None,
    ) -> str:
        """Rules down, cells across."""
        names = [name for name in cells if name in self.cells]
        lines = ["| rule | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for rule in self.rules if only is None else only:
            name = f"**{rule}**" if rule.startswith(OURS) else rule
            values = " | ".join(show(self.of(rule, cell)) for cell in names)
            lines.append(f"| {name} | {values} |")
        return "\n".join(lines)


def percent(rate: Rate) -> str:
    """1.2% [0.9, 1.6]."""
    low, high = rate.wilson()
    return f"{_short(rate.value)}% [{_short(low)}, {_short(high)}]"


def _short(share: float) -> str:
    value = share * 100
    return f"{value:.2f}" if value < 0.995 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def minutes(value: float | None) -> str:
    """Minutes, or a dash."""
    return "-" if value is None else f"{value:.3g}"


def named(truth: str) -> list[str]:
    """The cells of a truth."""
    return [cell.name for cell in CELLS if cell.truth == truth]


def page(
    outcomes: list[Outcome],
    alike: list[Outcome],
    native: list[Outcome],
    *,
    runs: int,
    seed: int,
) -> str:
    """The whole page as Markdown."""
    book = Book(outcomes)
    cells = "\n".join(f"| {c.name} | {c.what} | {c.truth} |" for c in CELLS)
    parts = [
        HEAD.read_text().format(runs=runs, seed=seed, cells=cells),
        "## Targets\n",
        targets(book),
        "\n## Where a peer is better\n",
        better_peers(book),
        WHY,
        ablation(Book(alike)),
        "\n## Track 1: the same 20% for all\n",
        *_track(book),
        "\n## Track 2: every tool's own schedule\n",
        "\n".join(f"- {name}: {each.text}." for name, each in schedules().items()),
        "\nWeights follow the clock; a tool that waits at a weight after a failed look would serve "
        "fewer bad requests than shown. The time limits differ: bad requests are those of the "
        "tool's own time, not what a wrongly promoted candidate goes on to serve, and an undecided "
        "run of Sluice is one after an hour.\n",
        *_track(Book(native)),
        "\n## What is not shown here\n",
        LIMITS,
    ]
    return "\n".join(parts) + "\n"


WHY = """
The same traffic again, with what differs besides the test made alike: Sluice without its warm-ups,
without the stable's hour before, or without waiting an increment for scrapes that are apart (`skew`
0; it looks free here only because the scrapes of this traffic never are), and GrowthBook with a
warm-up. Where harm is gross the warm-up and that wait decide who is first; a mild general slow-down
GrowthBook sees sooner in either case (its test looks at the mean latency, Sluice at the shares
beyond the bucket edges, with `acceptableRatio: 1.1` and `negligibleBelow`). Its false rollbacks of
a short cold start go away with a warm-up; those of a shared outage under changing weights (track 2)
cannot, as it compares pooled means.
"""
REMARK = (
    "Bunched failures cost time instead of false rollbacks: how bunched they are is learned from "
    "the stable's hour before and on the way. A cold start that lasts longer than a check's "
    "`warmup` is the candidate's own behaviour as far as any rule can see. The metrics outage "
    "itself decides nothing; what is rolled back in that cell is chance, as in `healthy`."
)
LIMITS = """\
- Simulated requests are independent given the rates (but for the bursty cells); real ones hang
  together more, and every rule suffers from that.
- The bake is left out: after its promotion Sluice goes on looking for harm for 10 minutes, with 5%
  of the traffic on the old version to compare with. `sluice simulate` has it.
- Argo Rollouts, Flagger and Iter8 can be given any query; a good one can be much better than the
  documented one. What they cannot be given is a stated risk."""


def _track(book: Book) -> list[str]:
    parts = [
        "### False rollbacks (acceptable candidates)\n",
        book.table(named("acceptable"), lambda o: percent(o.rolled_back)),
        "\n### False promotions (harmful candidates)\n",
        book.table(named("harmful"), lambda o: percent(o.promoted)),
        "\n### Undecided (only these rules may be)\n",
        book.table(book.cells, lambda o: f"{_short(o.undecided.value)}%", only=book.may_wait()),
        "\n### Minutes to rollback (median of those rolled back)\n",
        book.table(named("harmful"), lambda o: minutes(o.minutes_to_rollback)),
        "\n### Bad requests served (mean over all runs)\n",
        book.table(named("harmful"), lambda o: f"{o.bad_mean:,.0f}"),
        "\n### Minutes to promotion (median of those promoted)\n",
        book.table(named("acceptable"), lambda o: minutes(o.minutes_to_promote)),
    ]
    if between := [name for name in named("between") if name in book.cells]:
        parts += [
            "\n### In the indifference zone (no claim): rolled back / promoted\n",
            book.table(between, lambda o: f"{o.rolled_back.value:.1%} / {o.promoted.value:.1%}"),
        ]
    return parts


def targets(book: Book) -> str:
    """What was asked of `balanced`, with what came out."""
    rows = ["| asked | found | met |", "|---|---|---|"]

    def row(asked: str, found: str, met: bool) -> None:
        rows.append(f"| {asked} | {found} | {'yes' if met else '**no**'} |")

    for name in named("acceptable"):
        rate = book.of(OURS, name).rolled_back
        row(f"false rollback <= 1%: {name}", percent(rate), rate.value <= 0.01)
    for name in named("harmful"):
        most = 0.01 if name in ("errors x5", "errors x20", "latency x2") else 0.05
        rate = book.of(OURS, name).promoted
        row(f"false promotion <= {most:.0%}: {name}", percent(rate), rate.value <= most)
    healthy = book.of(OURS, HEALTHY).minutes_to_promote or float("inf")
    least = limit_minutes(next(c for c in CELLS if c.name == HEALTHY))
    row(
        "a healthy candidate promoted within 25 min (median)",
        f"{healthy:.3g} min; no test can on average in less than {least:.3g}",
        healthy <= 25,
    )
    for cell in (c for c in CELLS if c.ratio in (2, 5, 20) and not c.harm_from):
        _cost(row, book, cell)
    rows += ["", _where(book), "", REMARK]
    return "\n".join(rows)


def _cost(row: Callable[[str, str, bool], None], book: Book, cell: Cell) -> None:
    ours = book.of(OURS, cell.name)
    least = limit(cell, SHARE) or float("inf")
    requests = ours.requests or float("inf")
    row(
        f"{cell.name}: candidate requests to rollback <= 1.5 x the limit (median)",
        f"{requests:,.0f}, limit {least:,.0f}: {requests / least:.2g} x",
        requests <= 1.5 * least,
    )
    own = book.of(OURS, HEALTHY).rolled_back.value
    for text, allowed in (("no more than Sluice's", own), ("no more than 1%", 0.01)):
        rivals = [
            book.of(rule, cell.name)
            for rule in book.rules
            if rule != OURS and book.of(rule, HEALTHY).rolled_back.value <= allowed
        ]
        best = min(rivals, key=lambda o: o.bad_mean)
        row(
            f"{cell.name}: at most a fifth of the best peer's bad requests, among those whose "
            f"false rollbacks of a healthy candidate are {text}",
            f"{ours.bad_mean:,.0f}, {best.rule} {best.bad_mean:,.0f}: "
            f"{ours.bad_mean / best.bad_mean:.2f} of it",
            ours.bad_mean <= best.bad_mean / 5,
        )


def _where(book: Book) -> str:
    policy = balanced()
    candidate = 20 * SHARE
    x20 = book.of(OURS, "errors x20").requests or 0
    wait = (policy.warmup + 30) * candidate
    return (
        "Where the rest goes, in candidate requests: the warm-up takes "
        f"{policy.warmup * candidate:.0f}; an increment is {15 * candidate:.0f}, and failures of "
        f"the newest one count {15 * candidate:.0f} later, lest the edge of a shared outage be "
        f"taken for harm (together {wait:.0f} of the {x20:.0f} at x20). What is left is the price "
        "of not knowing the effect (a mixture over ratios), of two checks under one risk (half of "
        "1% each; the limit is for all of it), and of asking for both, worse than the stable and "
        "above `negligibleBelow`."
    )


def better_peers(book: Book) -> str:
    """Where a peer serves fewer bad requests than Sluice, and what it pays for that."""
    lines = ["| cell | bad requests of Sluice | a peer with fewer (its worst false rollback) |"]
    lines.append("|---|---|---|")
    good = named("acceptable")
    for name in named("harmful"):
        ours = book.of(OURS, name).bad_mean
        fewer = []
        for rule in book.rules:
            bad = book.of(rule, name).bad_mean
            if rule != OURS and bad < ours:
                worst = max((book.of(rule, c).rolled_back.value, c) for c in good)
                healthy = _short(book.of(rule, HEALTHY).rolled_back.value)
                fewer.append(
                    f"{rule} {bad:,.0f} (healthy {healthy}%, {worst[1]} {_short(worst[0])}%)"
                )
        lines.append(f"| {name} | {ours:,.0f} | {'; '.join(fewer) or '-'} |")
    return "\n".join(lines)


def ablation(book: Book) -> str:
    """Bad requests, or for acceptable candidates the false rollbacks."""
    good = named("acceptable")

    def show(outcome: Outcome) -> str:
        if outcome.cell in good:
            return f"{_short(outcome.rolled_back.value)}% rolled back"
        return f"{outcome.bad_mean:,.0f} bad, {minutes(outcome.minutes_to_rollback)} min"

    return book.table(book.cells, show)
