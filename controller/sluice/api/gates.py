"""`spec.gates`: what must be so, beside the evidence, before a rollout may go on."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from sluice.api.base import Duration, Model

_DAY = "(Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
DAYS_PATTERN = f"^{_DAY}(-{_DAY})?$"
START_PATTERN = "^([01][0-9]|2[0-3]):[0-5][0-9]$"
TIME_PATTERN = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
ZONE_PATTERN = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$"
# A user's name or password in a URL would end in logs: a key signs the request instead.
URL_PATTERN = r"^https?://[A-Za-z0-9._:\[\]-]+(/[^\s#]*)?$"
# What other gates are called in the status.
RESERVED_NAMES = ("windows", "pause")
_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


class Moment(StrEnum):
    """When a gate is looked at."""

    BEFORE_START = "BeforeStart"
    BEFORE_STEP = "BeforeStep"
    BEFORE_PROMOTION = "BeforePromotion"
    AFTER_END = "AfterEnd"


class OnFailure(StrEnum):
    """What a webhook's "no", or no answer at all, does."""

    HOLD = "Hold"
    ROLL_BACK = "RollBack"


class PromotedIn(Model):
    """Another ModelRollout that must serve the same images first."""

    namespace: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        pattern=_NAME_PATTERN,
        description="Where the other ModelRollout is. Default: this one's namespace.",
    )
    name: str = Field(
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
        description="The other ModelRollout.",
    )
    within: Duration | None = Field(
        default=None, description="How long ago at most it was promoted there, e.g. 168h."
    )


class Window(Model):
    """A weekly time in which a rollout may start, step up and promote."""

    days: list[str] = Field(
        default_factory=lambda: ["Mon-Sun"],
        min_length=1,
        max_length=7,
        description="The days it opens on, and ranges of days, e.g. Mon-Thu. Default: every day.",
        json_schema_extra={"items": {"type": "string", "maxLength": 7, "pattern": DAYS_PATTERN}},
    )
    start: str = Field(
        default="00:00",
        alias="from",
        max_length=5,
        pattern=START_PATTERN,
        description="Opens at this time of day, e.g. 09:00.",
    )
    to: str = Field(
        default="24:00",
        max_length=5,
        pattern=TIME_PATTERN,
        description="Closes at this time of day; one that is not after `from` is of the next day.",
    )
    time_zone: str = Field(
        default="UTC",
        max_length=64,
        pattern=ZONE_PATTERN,
        description="Name in the IANA time zone database, e.g. Europe/Berlin.",
    )

    @model_validator(mode="before")
    @classmethod
    def _days_are_days(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for day in value.get("days") or ():
                parts = str(day).split("-")
                if len(parts) > 2 or any(part not in WEEKDAYS for part in parts):
                    raise ValueError(
                        f"days: expected {', '.join(WEEKDAYS)} or a range such as Mon-Thu, "
                        f"found {day!r}"
                    )
        return value


WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class Webhook(Model):
    """A URL that is asked, with a POST, whether the rollout may go on."""

    name: str = Field(
        min_length=1,
        max_length=63,
        pattern=_NAME_PATTERN,
        description="How the status calls it; its own among the webhooks.",
    )
    at: Moment = Field(description="When it is asked; at AfterEnd it is only told.")
    url: str = Field(
        min_length=1, max_length=1024, pattern=URL_PATTERN, description="Where the POST goes."
    )
    timeout: Duration = Field(default=10.0, description="How long one answer may take.")
    retries: int = Field(
        default=3, ge=0, le=10, description="How often it is tried again when no answer came."
    )
    interval: Duration = Field(
        default=60.0, description="After a no: how long until it is asked again."
    )
    on_failure: OnFailure = Field(
        default=OnFailure.HOLD, description="What a no, or no answer after all retries, does."
    )
    key: str | None = Field(
        default=None,
        min_length=1,
        max_length=63,
        pattern=_NAME_PATTERN,
        description="Name of a key the controller was given (--webhook-key-file); signs requests.",
    )

    @model_validator(mode="after")
    def _sane(self) -> Webhook:
        if self.name in RESERVED_NAMES:
            raise ValueError(f"a webhook cannot be named {self.name!r}: another gate is")
        if not 0 < self.timeout <= 30:
            raise ValueError(f"webhook {self.name!r}: timeout must be above 0s and at most 30s")
        if self.interval < 10:
            raise ValueError(f"webhook {self.name!r}: interval must be at least 10s")
        nothing_to_take_out = self.at in (Moment.BEFORE_START, Moment.AFTER_END)
        if nothing_to_take_out and self.on_failure is OnFailure.ROLL_BACK:
            raise ValueError(
                f"webhook {self.name!r}: onFailure: RollBack needs a candidate to take out; at "
                f"{self.at} use Hold"
            )
        return self


class Gates(Model):
    """Every gate must be open. A rollback passes them all."""

    promoted_in: list[PromotedIn] = Field(
        default_factory=list,
        max_length=10,
        description="Other ModelRollouts that must serve the same images first.",
    )
    windows: list[Window] = Field(
        default_factory=list, max_length=20, description="One of them must be open."
    )
    webhooks: list[Webhook] = Field(
        default_factory=list, max_length=10, description="URLs that must say yes."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Gates:
        names = [webhook.name for webhook in self.webhooks]
        if len(set(names)) != len(names):
            raise ValueError(f"the names of webhooks must differ, found {names}")
        return self


class RollbackWindow(Model):
    """Going back to a revision that was the stable lately needs no steps."""

    revisions: int = Field(
        default=0,
        ge=0,
        le=50,
        description="How many stables back. 0: every change goes through the steps.",
    )
