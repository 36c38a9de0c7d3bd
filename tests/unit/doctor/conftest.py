from __future__ import annotations

import pytest

from tests.unit.doctor.small_place import Place


@pytest.fixture
def place() -> Place:
    return Place()
