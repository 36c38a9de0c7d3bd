"""What every part of a status is made of: verdicts, and models that newer versions may extend."""

from __future__ import annotations

from enum import StrEnum

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from sluice.api.base import Model


class Verdict(StrEnum):
    """The answer of one check. Only Harm rolls back; only Pass counts for promotion."""

    PASS = "Pass"  # noqa: S105
    HARM = "Harm"
    UNDECIDED = "Undecided"
    NO_DATA = "NoData"
    ERROR = "Error"


class StatusModel(Model):
    """Status read back from a cluster may be a newer version's: unknown fields are dropped."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )
