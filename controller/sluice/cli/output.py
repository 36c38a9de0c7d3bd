"""Tables for people, JSON and YAML for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from sluice.cli.options import Output

VERDICT_STYLES = {
    "Pass": "green",
    "Harm": "bold red",
    "Undecided": "yellow",
    "NoData": "magenta",
    "Error": "magenta",
}


def console() -> Console:
    """Standard output, as wide as the terminal, never cut when it is not one."""
    return Console(width=None if sys.stdout.isatty() else 200, highlight=False)


def print_data(data: Any, output: Output) -> None:
    """JSON or YAML on standard output."""
    if output is Output.JSON:
        sys.stdout.write(json.dumps(data, indent=2) + "\n")
    else:
        sys.stdout.write(yaml.safe_dump(data, sort_keys=False))


def plain_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """kubectl's way: upper-case headers, columns by spaces, nothing else."""
    widths = [
        max(len(headers[i]), *(len(row[i]) for row in rows)) if rows else len(headers[i])
        for i in range(len(headers))
    ]
    lines = [headers, *rows]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def styled(verdict: str) -> str:
    """A verdict in its colour."""
    style = VERDICT_STYLES.get(verdict)
    return f"[{style}]{verdict}[/]" if style else verdict


def borderless(*headers: str) -> Table:
    """A table for the live view."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    return table
