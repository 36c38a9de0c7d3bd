"""Where a predictor's own Service is found inside the cluster."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.seldon.containers import address_of


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, "http://iris-v1.prod.svc:8000"),
        ({"seldon.io/svc-name": "mine"}, "http://mine.prod.svc:8000"),
        ({"seldon.io/no-engine": "true"}, "http://iris-v1.prod.svc:9000"),
    ],
)
def test_the_address_holds_in_a_cluster_of_any_domain(
    annotations: dict[str, Any], expected: str
) -> None:
    predictor = {"name": "v1", "annotations": annotations}
    assert address_of("iris", "prod", predictor) == expected
