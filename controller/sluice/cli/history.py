"""`sluice history`: what was live when, and why it changed."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from sluice.api.status import HistoryEntry, RolloutStatus
from sluice.api.times import from_wire, to_wire
from sluice.cli.bars import span
from sluice.cli.checks_view import check_numbers
from sluice.cli.documents import HistoryDocument, LiveDocument
from sluice.cli.options import (
    Context,
    Kubeconfig,
    Name,
    Namespace,
    Output,
    OutputOption,
    connect,
    get_rollout,
)
from sluice.cli.output import plain_table, print_data
from sluice.cli.past import Live, Numbered, find, live_at, moment, numbered
from sluice.cli.preflight_view import preflight_line
from sluice.clock import SystemClock
from sluice.errors import UsageError

_HEADERS = ["NUMBER", "REVISION", "OUTCOME", "REASON", "ENDED", "TOOK", "IMAGES", "SOURCE"]


def history(
    name: Name,
    revision: Annotated[
        str | None,
        typer.Option("--revision", help="One entry in full: its number, or a revision's hash."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", help="What had the traffic at that time, e.g. 2026-11-20T12:00Z."),
    ] = None,
    namespace: Namespace = None,
    output: OutputOption = Output.TABLE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show what was rolled out, newest last, and how it ended."""
    if revision and at:
        raise UsageError("--revision and --at ask for two things: give one of them")
    when = moment(at) if at else None
    client, namespace = connect(kubeconfig, context, namespace)
    obj = get_rollout(client, name, namespace)
    status = RolloutStatus.model_validate(obj.get("status") or {})
    key = f"{namespace}/{name}"
    if when is not None:
        live = live_at(obj, when, SystemClock().now())
        _show(_live_data(live, when), _live_lines(live, when), output)
    elif revision is not None:
        one = find(status, revision, key)
        _show(_entry_data(one), _entry_lines(one), output)
    else:
        entries = numbered(status)
        document = HistoryDocument(
            name=name,
            namespace=namespace,
            stable=status.stable.revision if status.stable else None,
            entries=[_with_number(one) for one in entries],
        )
        data = document.model_dump(mode="json", by_alias=True)
        if output is Output.TABLE and not entries:
            sys.stderr.write(f"{key} has no ended rollout yet.\n")
            return
        live_number = _live_number(entries, status)
        rows = [_row(one, live_number) for one in entries]
        lines = [plain_table(_HEADERS, rows)]
        if live_number is not None:
            lines.append("* has the traffic now")
        _show(data, lines, output)


def _show(data: dict[str, Any], lines: list[str], output: Output) -> None:
    if output is Output.TABLE:
        sys.stdout.write("\n".join(lines) + "\n")
    else:
        print_data(data, output)


def _live_number(entries: list[Numbered], status: RolloutStatus) -> int | None:
    """The entry that brought the present stable in."""
    promoted = [one for one in entries if one.entry.outcome == "Promoted"]
    if not promoted or status.stable is None:
        return None
    last = promoted[-1]
    return last.number if last.entry.revision == status.stable.revision else None


def _row(one: Numbered, live: int | None) -> list[str]:
    entry = one.entry
    return [
        f"{one.number}{' *' if one.number == live else ''}",
        entry.revision,
        entry.outcome,
        entry.reason,
        entry.ended_at or "-",
        _took(entry.started_at, entry.ended_at),
        ",".join(entry.images) or "-",
        _source(entry.source),
    ]


def _took(started: str | None, ended: str | None) -> str:
    began, over = from_wire(started), from_wire(ended)
    return "-" if began is None or over is None else span(over - began)


def _source(source: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(source.items())) or "-"


def _entry_data(one: Numbered) -> dict[str, Any]:
    return _with_number(one).model_dump(mode="json", by_alias=True)


def _with_number(one: Numbered) -> HistoryEntry:
    return one.entry.model_copy(update={"number": one.number})


def _entry_lines(one: Numbered) -> list[str]:
    entry = one.entry
    fields = [
        ("Number", str(one.number)),
        ("Revision", entry.revision),
        ("Images", ", ".join(entry.images) or "-"),
        ("Outcome", f"{entry.outcome}: {entry.reason}"),
        ("Why", entry.message),
        ("Began", entry.started_at or "-"),
        ("Ended", f"{entry.ended_at or '-'} (took {_took(entry.started_at, entry.ended_at)})"),
        *((f"Source {key}", value) for key, value in sorted(entry.source.items())),
    ]
    if entry.preflight is not None:
        fields.append(("Preflight", preflight_line(entry.preflight)))
    width = max(len(label) for label, _ in fields)
    lines = [f"{label.ljust(width)}  {text}" for label, text in fields]
    for check in entry.checks:
        lines += ["", f"Check {check.name}: {check.message}"]
        lines += [f"  {key}: {value}" for key, value in check_numbers(check).items()]
    return lines


def _live_data(live: Live, at: float) -> dict[str, Any]:
    document = LiveDocument(
        at=to_wire(at),
        revision=live.revision,
        images=list(live.images),
        since=None if live.since is None else to_wire(live.since),
        why=live.why,
        beside=live.beside or None,
    )
    return document.model_dump(mode="json", by_alias=True)


def _live_lines(live: Live, at: float) -> list[str]:
    when = to_wire(at)
    if live.revision is None:
        lines = [f"At {when} it is not known what was live: {live.why}."]
    else:
        since = f"since {to_wire(live.since)}" if live.since is not None else "since before"
        images = f" ({', '.join(live.images)})" if live.images else ""
        lines = [f"At {when} revision {live.revision}{images} was live, {since}.", live.why]
    return [*lines, live.beside] if live.beside else lines
