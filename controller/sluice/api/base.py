"""What all resource models share: camelCase on the wire, no unknown fields, durations.

Durations are strings such as ``90s``, ``2m``, ``1h30m``, ``500ms`` (the form kubectl users know) on
the wire and seconds (float) in Python.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

GROUP = "sluice.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
# In milliseconds: 9 * 0.001 is not 0.009, and a duration must survive being written and read.
_UNIT_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_duration(text: str) -> float:
    """Seconds of a duration such as ``1h30m``. Raises ValueError with the accepted forms."""
    if not re.fullmatch(DURATION_PATTERN.removesuffix("$"), text):
        raise ValueError(
            f"expected a duration such as 30s, 2m, 1h30m or 500ms, found {text!r}: give a number "
            "and a unit (ms, s, m, h, d)"
        )
    parts = _PART.findall(text)
    return sum(float(number) * _UNIT_MILLISECONDS[unit] for number, unit in parts) / 1000


def format_duration(seconds: float) -> str:
    """The shortest exact form: 90 -> ``1m30s``, 0.5 -> ``500ms``, 0 -> ``0s``."""
    milliseconds = round(seconds * 1000)
    if milliseconds == 0:
        return "0s"
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def _to_seconds(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


# Seconds in Python, a string on the wire.
Duration = Annotated[
    float,
    BeforeValidator(_to_seconds),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "maxLength": 32}),
]


class Model(BaseModel):
    """Base of every typed resource part."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_enum_values=False,
    )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, camelCase, without fields that are None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StatusModel(Model):
    """Status read back from a cluster may be a newer version's: unknown fields are dropped."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )
