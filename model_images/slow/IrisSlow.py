"""A version that is right, but late."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
from linear_iris import LinearIris
from sluice_model import observed

FASTEST_SECONDS, SLOWEST_SECONDS = 0.08, 0.12


@observed
class IrisSlow(LinearIris):
    """Every prediction takes 80 to 120 ms more, as if features came from a distant store."""

    def __init__(self) -> None:
        super().__init__(Path(__file__).with_name("model.json"))

    def probabilities(self, flowers: np.ndarray) -> np.ndarray:
        time.sleep(random.uniform(FASTEST_SECONDS, SLOWEST_SECONDS))  # noqa: S311 - no secret
        return super().probabilities(flowers)
