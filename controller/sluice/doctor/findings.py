"""What the doctor says. Ids are CamelCase and stable; docs/doctor.md has them all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

FORMAT = 1
"""Version of the JSON form. Fields may be added; none changes its meaning or goes within a 1."""


class Level(StrEnum):
    """How bad it is: `note` is for knowing, `warning` for looking at, `error` keeps it broken."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One thing found. `remedy` is a command to type, or a change to make; "" for ok."""

    id: str
    level: Level
    what: str
    where: str = ""
    remedy: str = ""
    check: str = ""

    def to_wire(self) -> dict[str, str]:
        """As in the JSON form."""
        return {
            "id": self.id,
            "level": self.level.value,
            "check": self.check,
            "where": self.where,
            "what": self.what,
            "remedy": self.remedy,
        }


def ok(name: str, what: str, where: str = "") -> Finding:
    """All is well."""
    return Finding(name, Level.OK, what, where)


def note(name: str, what: str, where: str = "", remedy: str = "") -> Finding:
    """Worth knowing."""
    return Finding(name, Level.NOTE, what, where, remedy)


def warning(name: str, what: str, where: str = "", remedy: str = "") -> Finding:
    """It works, but not as well as it should, or not for long."""
    return Finding(name, Level.WARNING, what, where, remedy)


def error(name: str, what: str, where: str = "", remedy: str = "") -> Finding:
    """It does not work."""
    return Finding(name, Level.ERROR, what, where, remedy)


def of_check(check: str, findings: Iterable[Finding]) -> list[Finding]:
    """The findings, marked with their group."""
    return [replace(finding, check=check) for finding in findings]


def summary(findings: Iterable[Finding]) -> dict[str, int]:
    """How many of each level, in the order of levels."""
    levels = [finding.level for finding in findings]
    return {level.value: levels.count(level) for level in Level}


def report(findings: list[Finding], **about: Any) -> dict[str, Any]:
    """The JSON form (docs/doctor.md); `about` says what was looked at."""
    return {
        "format": FORMAT,
        **about,
        "summary": summary(findings),
        "findings": [finding.to_wire() for finding in findings],
    }
