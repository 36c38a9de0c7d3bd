"""`sluice capture`: a sample of a model's own requests, for its preflights."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.cli.options import Context, Kubeconfig, Namespace, connect, duration
from sluice.cli.signals import handled_by
from sluice.clock import SystemClock
from sluice.compare.exact import tries_needed
from sluice.compare.lines import MOST_REQUESTS
from sluice.errors import UsageError, WaitTimeoutError

if TYPE_CHECKING:
    from sluice.capture.collecting import Collecting
    from sluice.capture.places import Place
    from sluice.capture.run import Run

KEY = "requests.jsonl.gz"
# As many as a preflight's default takes to show that the answers agree (docs/preflight.md).
_ENOUGH = tries_needed(0.99, 0.025)


def capture(
    deployment: Annotated[
        str,
        typer.Option("--deployment", "-d", help="The SeldonDeployment whose requests are kept."),
    ],
    config_map: Annotated[
        str | None, typer.Option("--config-map", help="Write the sample into this ConfigMap.")
    ] = None,
    key: Annotated[str, typer.Option("--key", help="The ConfigMap's key; packed with gzip.")] = KEY,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Or into a file (.jsonl, .jsonl.gz)."),
    ] = None,
    predictor: Annotated[
        str | None, typer.Option("--predictor", help="Requests of this predictor alone.")
    ] = None,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where events come in.")
    ] = "0.0.0.0:8080",
    keep: Annotated[
        int, typer.Option("--keep", min=1, max=MOST_REQUESTS, help="Requests in the sample.")
    ] = 1000,
    largest: Annotated[
        int, typer.Option("--largest", min=1, help="Bytes of a body that is still kept.")
    ] = 65536,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop",
            metavar="FIELD",
            help="Take this out of each request: a column's name, or a path such as "
            ".jsonData.customer; may be repeated.",
        ),
    ] = None,
    replace: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=JSON",
            help="Write this value instead of what is there; may be repeated.",
        ),
    ] = None,
    with_meta: Annotated[
        bool, typer.Option("--with-meta", help="Keep a request's meta, without its puid.")
    ] = False,
    every: Annotated[
        float,
        typer.Option(
            "--every", parser=duration, metavar="DURATION", help="Write so often at most."
        ),
    ] = 60.0,
    at_least: Annotated[
        int,
        typer.Option(
            "--at-least",
            min=1,
            help="A sample that is there already stays until this one has so many requests.",
        ),
    ] = _ENOUGH,
    lasting: Annotated[
        float | None,
        typer.Option(
            "--for", parser=duration, metavar="DURATION", help="End after so long, e.g. 10m."
        ),
    ] = None,
    until: Annotated[
        int | None, typer.Option("--until", min=1, help="End when so many requests were seen.")
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Keep a sample of the requests that a model is sent, as a preflight's requests.

    Seldon's request logger sends them here: graph.logger {mode: request, url: http://...}. Runs
    until SIGTERM or Ctrl-C, or as --for and --until say, and writes the sample once more at its
    end. Exit 0: written, or told to end; 5: too few requests came in time.
    """
    from sluice.capture.collecting import Collecting, Wanted
    from sluice.capture.places import InConfigMap, InFile
    from sluice.capture.redacting import Redaction
    from sluice.capture.run import Pace, Run
    from sluice.capture.sample import MOST_BYTES, Sample
    from sluice.loops import logs

    if (config_map is None) == (output is None):
        raise UsageError("give either --config-map NAME, or --output FILE")
    if every <= 0:
        raise UsageError("--every: expected a duration above 0s")
    redaction = Redaction(drop or [], _values(replace or []), meta=with_meta)
    place: Place
    if config_map is not None:
        client, namespace = connect(kubeconfig, context, namespace)
        place = InConfigMap(client, namespace, config_map, key)
    else:
        place = InFile(Path(str(output)))
    sample = Sample(keep, MOST_BYTES, random.SystemRandom())
    wanted = Wanted(deployment, namespace, predictor)
    collecting = Collecting(wanted, sample, redaction, largest)
    # What was asked for is always enough.
    pace = Pace(every, min(at_least, keep, until or keep), lasting, until)
    logs.configure(json=not sys.stderr.isatty(), level="info")
    run = Run(collecting, place, pace, SystemClock(), listen)
    with _signals(run) as caught:
        run.run()
    sys.stdout.write(_told(run, collecting, place))
    if run.written or caught:
        return
    if not collecting.seen:
        raise WaitTimeoutError(
            f"no request of {deployment} came: is graph.logger of its graph "
            "{mode: request, url: ...} with this address, and does it have traffic?"
        )
    raise WaitTimeoutError(
        f"{len(sample)} requests are fewer than --at-least {pace.at_least}: the sample that was "
        "there stays"
    )


def _told(run: Run, collecting: Collecting, place: Place) -> str:
    seen, kept = collecting.seen, len(collecting.sample)
    others = {
        outcome.value: count
        for outcome, count in sorted(collecting.counts.items())
        if outcome.value not in ("kept", "passed_over")
    }
    refused = "".join(f", {count:,} {name}" for name, count in others.items())
    line = f"{seen:,} request{'' if seen == 1 else 's'} seen{refused}; "
    if run.written:
        return f"{line}{run.written:,} of them in {place.where}\n"
    return f"{line}{kept:,} kept, nothing written\n"


def _values(given: list[str]) -> dict[str, Any]:
    found = {}
    for text in given:
        field, separator, value = text.partition("=")
        try:
            if not separator:
                raise ValueError
            found[field] = json.loads(value)
        except ValueError:
            raise UsageError(
                f"--set {field}: expected FIELD=JSON, such as age=0 or name='\"x\"'"
            ) from None
    return found


@contextmanager
def _signals(run: Run) -> Iterator[list[int]]:
    """SIGTERM and Ctrl-C end the run as --for does. Yields the signals that came."""
    caught: list[int] = []

    def end(number: int, _: object) -> None:
        caught.append(number)
        run.stop()

    with handled_by(end):
        yield caught
