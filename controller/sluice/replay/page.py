"""A replay as files: a picture, or one HTML file with the picture, the numbers and the story."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sluice.errors import UsageError
from sluice.replay.plot import FORMS, draw
from sluice.replay.result import ASSUMPTIONS, HEADERS, Replay, overview, rows, story
from sluice.report import page as html


def form_of(path: Path) -> str:
    """svg, png or html by the file's name. Raises UsageError."""
    form = path.suffix.removeprefix(".").lower()
    if form not in FORMS:
        raise UsageError(f"--plot {path}: expected a name that ends in .svg, .png or .html")
    return form


def save(replay: Replay, path: Path) -> None:
    """Write the picture or the page. Raises UsageError."""
    form = form_of(path)
    content = document(replay).encode() if form == "html" else draw(replay, form)
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"--plot {path}: cannot be written ({error.strerror})") from error


def document(replay: Replay) -> str:
    """The page."""
    svg = re.sub(r"^.*?(?=<svg)", "", draw(replay, "svg").decode(), flags=re.DOTALL)
    sides = replay.sides
    parts = [html.paragraph(line) for line in overview(replay)]
    parts += [html.table([h.capitalize() for h in HEADERS], _marked(rows(replay))), svg]
    for played in replay.played:
        parts.append(html.heading(f"{played.name}: what would have happened, and the numbers"))
        lines = [line.partition("\t") for line in story(replay, played)]
        parts.append(html.table(["After", "What"], [[when, what] for when, _, what in lines]))
    parts.append(html.heading("What is assumed"))
    parts += [html.paragraph(text) for text in ASSUMPTIONS]
    return html.page(f"Replay of {sides.namespace}/{sides.deployment}", parts)


def _marked(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    known = {"promoted": True, "rolledBack": False}
    return [
        [html.mark(cell, good=known[cell]) if cell in known else cell for cell in line]
        for line in lines
    ]
