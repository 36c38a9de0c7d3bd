"""Another good version: it looks at the petals only, which is where the difference lies."""

from __future__ import annotations

from pathlib import Path

from linear_iris import LinearIris
from sluice_model import observed


@observed
class IrisBetterTwo(LinearIris):
    """Two measures, as good as four: a second good candidate."""

    def __init__(self) -> None:
        super().__init__(Path(__file__).with_name("model.json"))
