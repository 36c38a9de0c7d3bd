"""A version with a bug: its look-up table ends too early."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from linear_iris import LinearIris
from sluice_model import observed

LONGEST_PETAL_MM = 52


@observed
class IrisFaulty(LinearIris):
    """Raises IndexError for every flower with a petal longer than 52 mm.

    About a fifth of the iris data are such flowers, all of one species; the rest is answered as
    well as `better` does, so a smoke test with one typical flower passes.
    """

    def __init__(self) -> None:
        super().__init__(Path(__file__).with_name("model.json"))
        self._size_class = np.digitize(np.arange(LONGEST_PETAL_MM + 1), [20, 35, 45])

    def probabilities(self, flowers: np.ndarray) -> np.ndarray:
        answer = super().probabilities(flowers)
        # The bug: the table was made from the first flowers seen, which were shorter than these.
        self._size_class[np.rint(flowers[:, 2] * 10).astype(int)]
        return answer
