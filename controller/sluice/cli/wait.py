"""`sluice wait`: until a rollout is where a pipeline wants it, with an exit code that says so."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from sluice.cli.applying import await_applied
from sluice.cli.documents import WaitDocument
from sluice.cli.following import Follower
from sluice.cli.options import (
    Context,
    Kubeconfig,
    Name,
    Namespace,
    Output,
    OutputOption,
    connect,
    duration,
    get_rollout,
)
from sluice.cli.output import print_data
from sluice.cli.story import Story
from sluice.cli.waiting import (
    EXPECTED,
    Answer,
    Outcome,
    Wanted,
    answer,
    not_yet,
    parse_wanted,
    unknown,
)
from sluice.clock import Clock, SystemClock
from sluice.errors import UsageError, WaitTimeoutError
from sluice.kube.client import Client

EXIT_CODES = {
    Outcome.MET: 0,
    Outcome.NEVER: 1,
    Outcome.ROLLED_BACK: 3,
    Outcome.TIMED_OUT: 5,
}

Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        parser=duration,
        metavar="DURATION",
        help="Give up after this long (exit 5), e.g. 90s or 30m; 0 looks once.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]


def wait(
    name: Name,
    wanted: Annotated[
        list[str] | None,
        typer.Option("--for", help=f"{EXPECTED}; may be repeated, whichever comes first."),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option(
            "--revision",
            help="Wait for this revision, also for it to be applied; default: the newest "
            "template's.",
        ),
    ] = None,
    applied_within: Annotated[
        float | None,
        typer.Option(
            "--applied-within",
            parser=duration,
            metavar="DURATION",
            help="With --revision: first wait so long (exit 5) until the template is that "
            "revision, whatever is known of it from earlier.",
        ),
    ] = None,
    timeout: Timeout = 1800.0,
    quiet: Quiet = False,
    namespace: Namespace = None,
    output: OutputOption = Output.TABLE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Wait for a rollout; exit 0 when it came, 3 when it rolled back instead, 5 when it is late."""
    parsed = [parse_wanted(text) for text in wanted or ["promoted"]]
    if applied_within is not None and revision is None:
        raise UsageError(
            "--applied-within is about a commit that is on its way: say with --revision which "
            "revision it brings (`sluice render -f FILE`)"
        )
    client, namespace = connect(kubeconfig, context, namespace)
    if applied_within is None or revision is None:
        obj = get_rollout(client, name, namespace)
    else:
        clock = SystemClock()
        begun = clock.monotonic()
        applied = await_applied(
            client,
            namespace,
            name,
            revision,
            seconds=min(applied_within, timeout),
            clock=clock,
            tell=lambda text: _tell(f"{namespace}/{name}: {text}", output, quiet=quiet),
            warn=lambda text: _warn(text, quiet=quiet),
        )
        if applied.late or applied.object is None:
            obj = applied.object or {"metadata": {"name": name, "namespace": namespace}}
            late = Answer(Outcome.TIMED_OUT, applied.late)
            _conclude(f"{namespace}/{name}", obj, parsed, late, output, quiet=quiet)
            raise typer.Exit(EXIT_CODES[late.outcome])
        obj = applied.object
        timeout = max(0.0, timeout - (clock.monotonic() - begun))
    raise typer.Exit(
        wait_for(client, obj, parsed, revision, timeout=timeout, quiet=quiet, output=output)
    )


def wait_for(
    client: Client,
    obj: dict[str, Any],
    wanted: Sequence[Wanted],
    revision: str | None,
    *,
    timeout: float,
    quiet: bool = False,
    output: Output = Output.TABLE,
    clock: Clock | None = None,
) -> int:
    """Follow the rollout to its answer, tell the story, and return the exit code."""
    clock = clock or SystemClock()
    story, missing = Story(), ""
    meta = obj["metadata"]
    key = f"{meta['namespace']}/{meta['name']}"
    last, least, found = obj, int(meta.get("generation") or 0), None
    follower = Follower(
        client,
        meta["namespace"],
        name=meta["name"],
        seconds=timeout,
        clock=clock,
        tell=lambda text: _warn(text, quiet=quiet),
    )
    try:
        for change in follower.changes():
            if change.object is None:
                found = Answer(Outcome.NEVER, "it was deleted")
            elif int(change.object["metadata"].get("generation") or 0) >= least:
                last = change.object
                _tell(story.line(last, clock.now()), output, quiet=quiet)
                if (why := unknown(last, revision)) and why != missing:
                    missing = why
                    _tell(f"{key}: {why}: waiting for it", output, quiet=quiet)
                found = answer(last, wanted, revision)
            if found is not None:
                break
    except WaitTimeoutError:
        pass
    if found is None:
        words = " or ".join(one.text for one in wanted)
        late = f"not {words} within {timeout:g}s: {not_yet(last, revision)}"
        found = Answer(Outcome.TIMED_OUT, late)
    _conclude(key, last, wanted, found, output, quiet=quiet)
    return EXIT_CODES[found.outcome]


def _conclude(
    key: str,
    obj: dict[str, Any],
    wanted: Sequence[Wanted],
    found: Answer,
    output: Output,
    *,
    quiet: bool,
) -> None:
    if output is not Output.TABLE:
        print_data(_document(obj, wanted, found), output)
    if found.outcome is not Outcome.MET:
        sys.stderr.write(f"error: modelrollout.sluice.dev {key}: {found.message}\n")
    elif output is Output.TABLE and not quiet:
        sys.stdout.write(f"modelrollout.sluice.dev/{obj['metadata']['name']}: {found.message}\n")


def _document(obj: dict[str, Any], wanted: Sequence[Wanted], found: Answer) -> dict[str, Any]:
    """What `-o json` prints; docs/schemas/wait.json describes it."""
    status = obj.get("status") or {}
    meta = obj["metadata"]
    document = WaitDocument(
        name=meta["name"],
        namespace=meta["namespace"],
        generation=meta.get("generation"),
        wanted=[one.text for one in wanted],
        outcome=found.outcome.value,
        met=found.met or None,
        message=found.message,
        phase=status.get("phase", "Idle"),
        stable=(status.get("stable") or {}).get("revision"),
        candidate=(status.get("candidate") or status.get("rejected") or {}).get("revision"),
    )
    return document.model_dump(mode="json", by_alias=True)


def _tell(line: str | None, output: Output, *, quiet: bool) -> None:
    """With a document on standard output, what people read goes where it does not mix with it."""
    if line and not quiet:
        told = sys.stdout if output is Output.TABLE else sys.stderr
        told.write(f"{line}\n")
        told.flush()


def _warn(text: str, *, quiet: bool) -> None:
    if not quiet:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
