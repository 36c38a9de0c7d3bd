"""Checks of a model's answers: candidate beside stable, in shares, by class and by slice.

The counts come from the model kit (docs/model-kit.md), not from the gateway or the executor.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from sluice.api.base import Model

SliceName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class Difference(Model):
    """How far a share of the candidate may be from the stable's; all in shares (0.02: 2 points)."""

    acceptable: float = Field(
        default=0.02,
        ge=0,
        lt=1,
        description="A candidate whose shares are at most this far from the stable's is fine.",
    )
    unacceptable: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="A candidate of which a share is this far or further must not be promoted.",
    )
    slices: list[SliceName] = Field(
        default_factory=list,
        max_length=10,
        description="Features or tags that the models' profiles are sliced by (`--slice` of the "
        "model kit): every bin of them is looked at by itself, too.",
    )
    per_class: bool = Field(
        default=False,
        description="For feedback: every true class is looked at by itself, too. Predictions "
        "always are.",
    )
    least_share: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="Slices and true classes that make up less than this share of the stable's "
        "answers are not waited for; harm in them rolls back all the same.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Difference:
        if self.unacceptable <= self.acceptable:
            raise ValueError(
                f"unacceptable ({self.unacceptable:g}) must be greater than acceptable "
                f"({self.acceptable:g}): both are shares, such as 0.1 and 0.02"
            )
        if len(set(self.slices)) != len(self.slices):
            raise ValueError(f"each of slices is named once, found {self.slices}")
        return self
