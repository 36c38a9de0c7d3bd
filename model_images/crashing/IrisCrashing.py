"""A version that never serves: its image was built without the model."""

from __future__ import annotations

from pathlib import Path

from linear_iris import LinearIris
from sluice_model import observed


@observed
class IrisCrashing(LinearIris):
    """Fails while loading (FileNotFoundError), so the process ends before it listens."""

    def __init__(self) -> None:
        super().__init__(Path(__file__).with_name("model-that-was-never-added.json"))
