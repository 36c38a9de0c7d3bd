"""A better version: it looks at sepals and petals."""

from __future__ import annotations

from pathlib import Path

from linear_iris import LinearIris
from sluice_model import observed


@observed
class IrisBetter(LinearIris):
    """All four measures: the good candidate."""

    def __init__(self) -> None:
        super().__init__(Path(__file__).with_name("model.json"))
