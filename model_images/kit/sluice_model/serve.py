"""An existing image, observed without a change of its code: `seldon-core-microservice
sluice_model.serve.Observed`, with $SLUICE_MODEL_CLASS as the class it served before."""

from __future__ import annotations

import importlib
import os
from typing import Any

from sluice_model.observe import observed

CLASS_VARIABLE, PROFILE_VARIABLE = "SLUICE_MODEL_CLASS", "SLUICE_MODEL_PROFILE"


def model_class(name: str) -> Any:
    """The class as Seldon's server finds it: `Name` in Name.py, or `module.Name`."""
    module, _, last = name.rpartition(".")
    return getattr(importlib.import_module(module or last), last)


def Observed(**parameters: Any) -> Any:  # noqa: N802
    """What Seldon's server makes its model with."""
    name = os.environ.get(CLASS_VARIABLE)
    if not name:
        raise RuntimeError(f"expected the model's class in ${CLASS_VARIABLE}, found nothing")
    made = observed(model_class(name), profile=os.environ.get(PROFILE_VARIABLE))
    return made(**parameters)
