"""Objects of the API server as they come: parsed JSON, to be changed or only to be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
Frozen = Mapping[str, Any]
