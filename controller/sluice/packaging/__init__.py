"""The container images: built from their Containerfiles, reproducibly, and described.

`build(names)` gives an archive that `ctr -n k8s.io images import` takes in one go; `python -m
sluice.packaging` (or `make images`) is the same for people. May import `sluice.sandbox`, whose
parts (buildah, Debian's packages) it uses where the machine has no builder of its own.
"""

from sluice.packaging.build import Built, build
from sluice.packaging.image_list import IMAGES, Image

__all__ = ["IMAGES", "Built", "Image", "build"]
