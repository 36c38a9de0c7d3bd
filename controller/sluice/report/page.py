"""A self-contained HTML page: headings, tables, figures; no script, no link to anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1100px;padding:0 1rem}
body{color:#222}
h1{font-size:1.6rem}
h2{font-size:1.2rem;margin-top:2.2rem;border-top:1px solid #ddd;padding-top:1rem}
table{border-collapse:collapse;margin:.8rem 0;width:100%}
th,td{text-align:left;padding:.3rem .7rem;border-bottom:1px solid #e4e4e4;vertical-align:top}
th{background:#f6f7f9}.good{color:#1d7f45;font-weight:600}.bad{color:#b3261e;font-weight:600}
svg{width:100%;height:auto}p.note{color:#555}
"""


def page(title: str, parts: Sequence[str]) -> str:
    """The whole document."""
    body = "\n".join(parts)
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; cells are escaped unless they come from `mark`."""
    head = "".join(f"<th>{escape(h)}</th>" for h in headers)
    lines = "".join("<tr>" + "".join(f"<td>{_cell(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


class Marked(str):
    """HTML that is safe already."""

    __slots__ = ()


def mark(text: str, *, good: bool) -> Marked:
    """Green or red text."""
    return Marked(f"<span class='{'good' if good else 'bad'}'>{escape(text)}</span>")


def heading(text: str) -> str:
    """A section's heading."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p class='note'>{escape(text)}</p>"


def _cell(text: str) -> str:
    return text if isinstance(text, Marked) else escape(text)
