"""What a served model sees and says, counted in bins and put on Seldon's own metrics page.

    from sluice_model import observed

    @observed
    class Classifier:
        def predict(self, X, names, meta=None): ...

needs a `profile.json` beside the class, made at training by `python -m sluice_model profile`.
docs/model-kit.md says what is exported. Imports numpy, and seldon_core only while serving.
"""

from sluice_model.observe import observed
from sluice_model.profile import Profile, ProfileError

__all__ = ["Profile", "ProfileError", "observed"]
