"""The part all iris images share: a linear classifier read from its JSON artefact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from seldon_core.user_model import SeldonResponse


class LinearIris:
    """Answers class probabilities for iris flowers.

    Input: shape (n, 4), centimetres, columns as in the iris data (sepal length and width, petal
    length and width); output: shape (n, 3), rows sum to 1. Raises ValueError for another shape.
    One counter says which species were predicted: the raw material of a drift check.
    """

    def __init__(self, artefact: Path) -> None:
        content = json.loads(artefact.read_text())
        self.classes: list[str] = content["classes"]
        self._columns: list[int] = content["columns"]
        self._weights = np.asarray(content["coefficients"]).T
        self._intercepts = np.asarray(content["intercepts"])

    def class_names(self) -> list[str]:
        """The species, in the order of the output's columns."""
        return self.classes

    def probabilities(self, flowers: np.ndarray) -> np.ndarray:
        """Softmax of the linear scores, row by row."""
        if flowers.ndim != 2 or flowers.shape[1] != 4:
            raise ValueError(f"expected rows of 4 measures in cm, found shape {flowers.shape}")
        scores = flowers[:, self._columns] @ self._weights + self._intercepts
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def predict(
        self, flowers: Any, names: list[str] | None = None, meta: dict | None = None
    ) -> SeldonResponse:
        """Seldon's entry point. The counter travels with the answer, so threads share no state."""
        probabilities = self.probabilities(np.asarray(flowers, dtype=float))
        predicted, counts = np.unique(probabilities.argmax(axis=1), return_counts=True)
        metrics = [
            {
                "type": "COUNTER",
                "key": "iris_predictions",
                "value": int(count),
                "tags": {"species": self.classes[index]},
            }
            for index, count in zip(predicted, counts, strict=True)
        ]
        return SeldonResponse(data=probabilities, metrics=metrics)

    def health_status(self) -> np.ndarray:
        """One real prediction: a server whose model cannot predict is not healthy."""
        return self.probabilities(np.array([[5.1, 3.5, 1.4, 0.2]]))
