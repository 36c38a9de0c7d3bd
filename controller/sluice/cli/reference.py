"""The option tables of docs/cli.md, out of the commands themselves; the prose is written by hand.

`python -m sluice.cli.reference docs/cli.md` fills the tables in, `--check` compares. A command
without a section, a section without a command, and a table that is out of step are told by name.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from sluice.api.base import format_duration

_BEGIN, _END = "<!-- options of {name} -->", "<!-- end -->"
_BLOCK = re.compile(
    r"<!-- options of (?P<name>[a-z -]+) -->\n(?P<table>.*?)<!-- end -->", re.DOTALL
)
_SECTION = re.compile(r"^#+ sluice (?P<name>[a-z -]+)$", re.MULTILINE)
# On every command that needs them: said once, at the top of the page.
_COMMON = frozenset({"help"})


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its name (``sandbox up``), with what Typer made of it."""
    from sluice.cli.main import app

    yield from _walk(typer.main.get_command(app), "")


def table(command: Any) -> str:
    """Arguments and options of a command as a Markdown table."""
    rows = [_row(param) for param in command.params if param.name not in _COMMON]
    if not rows:
        return "No options.\n"
    return "\n".join(["| | |", "|---|---|", *rows]) + "\n"


def filled(text: str) -> str:
    """The page with all tables as the commands have them now."""
    known = dict(commands())

    def fill(block: re.Match[str]) -> str:
        name = block["name"]
        body = table(known[name]) if name in known else block["table"]
        return f"{_BEGIN.format(name=name)}\n{body}{_END}"

    return _BLOCK.sub(fill, text)


def problems(text: str) -> list[str]:
    """What is wrong with the page, one sentence each."""
    known = {name for name, _ in commands()}
    blocks = {block["name"] for block in _BLOCK.finditer(text)}
    sections = {section["name"] for section in _SECTION.finditer(text)}
    found = [f"the command {name} has no section" for name in sorted(known - sections)]
    found += [f"the command {name} has no table of options" for name in sorted(known - blocks)]
    found += [f"there is no command {name}" for name in sorted((sections | blocks) - known)]
    if filled(text) != text:
        found.append("the tables are not in step: run `make crds`")
    return found


def main(words: list[str]) -> int:
    """Fill the page in, or (`--check`) say what is wrong with it."""
    path = Path(words[-1])
    if "--check" not in words:
        path.write_text(filled(path.read_text()))
        return 0
    found = problems(path.read_text())
    for problem in found:
        sys.stderr.write(f"{path}: {problem}\n")
    return 1 if found else 0


def _walk(command: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, one in command.commands.items():
        if getattr(one, "commands", None):
            yield from _walk(one, f"{prefix}{name} ")
        elif not one.hidden:
            yield f"{prefix}{name}", one


def _row(param: Any) -> str:
    help_text = (param.help or "").replace("|", "\\|")
    if param.param_type_name == "argument":
        name = param.metavar or (param.name or "").upper()
        return f"| `{name}` | {help_text} |"
    names = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
    default = _default(param)
    return f"| {names} | {help_text}{f' Default: {default}.' if default else ''} |"


def _default(param: Any) -> str:
    value = param.default
    if value is None or value is False or value == "" or callable(value):
        return ""
    if param.metavar == "DURATION":
        return format_duration(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(getattr(value, "value", value))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
