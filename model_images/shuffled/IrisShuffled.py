"""A version that is fast, fails no request, and is wrong: one species was labelled at random."""

from __future__ import annotations

from pathlib import Path

from linear_iris import LinearIris
from sluice_model import observed


@observed
class IrisShuffled(LinearIris):
    """All four measures, as `better`; in training every virginica got a label at random.

    No error rate and no latency shows it: only what it predicts, and feedback.
    """

    def __init__(self) -> None:
        super().__init__(Path(__file__).with_name("model.json"))
