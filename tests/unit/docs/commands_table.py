"""The table of docs/commands.md, as data."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "commands.md"


def cells() -> list[tuple[str, str, str]]:
    """(command, state, what happens) of every cell."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    head, _, *body = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return [
        (row[0].strip("`"), state, cell)
        for row in body
        for state, cell in zip(head[1:], row[1:], strict=True)
    ]
