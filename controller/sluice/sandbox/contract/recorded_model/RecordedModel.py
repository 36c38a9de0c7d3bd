"""The model that stood behind the recorded executor, written anew from what is known of it.

Runs in the model servers' environment. Input -1 raises, 1300 sleeps 0.3 s; every answer carries a
COUNTER of 1, a GAUGE of 7, a TIMER of 20.5 ms and a tag.
"""

from __future__ import annotations

import time
from typing import Any


class RecordedModel:
    """Answers [[1.0, 0.0]] to everything else that begins with a number, or is empty."""

    def predict(self, values: Any, *_names_and_meta: Any, **_more: Any) -> list[list[float]]:
        first = float(values[0][0]) if len(values) else 0.0
        if first == -1:
            raise RuntimeError("boom")
        if first == 1300:
            time.sleep(0.3)
        return [[1.0, 0.0]]

    def tags(self) -> dict[str, str]:
        return {"model_tag": "v1"}

    def metrics(self) -> list[dict[str, Any]]:
        return [
            {"key": "my_counter", "type": "COUNTER", "value": 1},
            {"key": "my_gauge", "type": "GAUGE", "value": 7},
            {"key": "my_timer", "type": "TIMER", "value": 20.5},
        ]

    def health_status(self) -> str:
        return "ok"
