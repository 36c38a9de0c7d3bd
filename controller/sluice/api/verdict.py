"""The answer of a check, in whatever part of the status it stands."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """The answer of one check. Only Harm rolls back; only Pass counts for promotion."""

    PASS = "Pass"  # noqa: S105
    HARM = "Harm"
    UNDECIDED = "Undecided"
    NO_DATA = "NoData"
    ERROR = "Error"
