"""`python -m sluice.sandbox.contract --recordings DIR`: the stand-ins against the recordings."""

from __future__ import annotations

import argparse
import queue
import tempfile
import threading
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sluice.errors import SluiceError

from . import Outcome, executor
from .judging import Templates
from .known import Known, known_differences, reason_for
from .recordings import Recording, load
from .replaying import Replay
from .stage import Stage

# Pods take their time to go, so their recordings are spread over two control planes.
_STAGES = ((True, 2), (False, 1))


def main(arguments: list[str] | None = None) -> int:
    """Replays, prints a table and what differs. Exit code 1 on a difference that is not known."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False)
    try:
        known = known_differences()
        outcomes = run(Path(options.recordings), options.only, known, console)
    except SluiceError as error:
        console.print(f"[red]contract:[/] {error}")
        return error.exit_code
    return report(outcomes, known, console)


def run(directory: Path, only: list[str], known: list[Known], console: Console) -> list[Outcome]:
    """Every chosen recording, spread over some stages that work side by side."""
    chosen = [
        recording
        for recording in load(directory)
        if not only or any(recording.name.startswith(f"op-{name}") for name in only)
    ]
    templates = Templates()
    outcomes: queue.Queue[Outcome | BaseException] = queue.Queue()
    with tempfile.TemporaryDirectory(prefix="sluice-contract-") as scratch:
        workers = []
        for number, (pods, share) in enumerate(_shares(chosen)):
            place = Path(scratch) / f"stage-{number}"
            worker = threading.Thread(
                target=_work, args=(place, pods, share, templates, known, outcomes), daemon=True
            )
            worker.start()
            workers.append(worker)
        found = _collect(outcomes, len(chosen), console)
        for worker in workers:
            worker.join(timeout=30)
    if not only or "executor" in only:
        found += executor.outcomes(directory)
    return sorted(found, key=lambda outcome: outcome.recording)


def _shares(chosen: list[Recording]) -> list[tuple[bool, list[Recording]]]:
    """What each stage replays, and whether it has pods; the longest recordings first."""
    result = []
    for pods, count in _STAGES:
        kind = [recording for recording in chosen if recording.pods is pods]
        kind.sort(key=lambda recording: -len(recording.steps))
        result += [(pods, kind[start::count]) for start in range(count) if kind[start::count]]
    return result


def _work(
    place: Path,
    pods: bool,
    share: list[Recording],
    templates: Templates,
    known: list[Known],
    outcomes: queue.Queue[Outcome | BaseException],
) -> None:
    try:
        stage = Stage(place, pods=pods)
        try:
            stage.start()
            for recording in share:
                outcomes.put(Replay(stage, recording, templates, known).run())
        finally:
            stage.close()
    except BaseException as error:  # the main thread raises it again
        outcomes.put(error)


def _collect(
    outcomes: queue.Queue[Outcome | BaseException],
    expected: int,
    console: Console,
) -> list[Outcome]:
    found: list[Outcome] = []
    while len(found) < expected:
        outcome = outcomes.get()
        if isinstance(outcome, BaseException):
            raise outcome
        found.append(outcome)
        verdict = f"{len(outcome.differences)} differ" if outcome.differences else "ok"
        console.print(
            f"{len(found):3d}/{expected} {outcome.recording}: {outcome.steps} steps, "
            f"{outcome.seconds:.1f} s, {verdict}"
        )
    return found


def report(outcomes: list[Outcome], known: list[Known], console: Console) -> int:
    """Prints the table and every difference; 1 if one of them is not known."""
    table = Table(title="Recordings of the real Seldon Core 1.17.1 against the stand-ins")
    for column in ("recording", "steps", "seconds", "result"):
        table.add_column(column, justify="left" if column in ("recording", "result") else "right")
    unknown, accepted = [], Counter[str]()
    for outcome in outcomes:
        reasons = [(each, reason_for(each, known)) for each in outcome.differences]
        fresh = [each for each, reason in reasons if not reason]
        accepted.update(reason for _, reason in reasons if reason)
        unknown += fresh
        result = f"[red]{len(fresh)} differ[/]" if fresh else "ok"
        if len(reasons) > len(fresh):
            result += f", {len(reasons) - len(fresh)} known"
        steps = str(outcome.steps) if outcome.steps else ""
        table.add_row(outcome.recording, steps, f"{outcome.seconds:.1f}", result)
    console.print(table)
    for reason, times in accepted.items():
        console.print(f"known ({times}): {reason}")
    for difference in unknown:
        console.print(f"[red]differs[/] {difference}", soft_wrap=True, markup=True)
    agreed = sum(1 for outcome in outcomes if not outcome.differences)
    console.print(
        f"{len(outcomes)} recordings, {sum(outcome.steps for outcome in outcomes)} steps: "
        f"{agreed} agree entirely, {sum(accepted.values())} known differences, "
        f"{len(unknown)} unknown"
    )
    return 1 if unknown else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sluice.sandbox.contract",
        description="Replays recordings of the real Seldon Core against the stand-ins.",
    )
    parser.add_argument("--recordings", required=True, help="the folder with the recordings")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PREFIX",
        help="only recordings whose name starts so, as 06 or 29g; may be given again",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
