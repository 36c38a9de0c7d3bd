"""The model kit needs numpy only, so it is tested here and, by test_in_its_environment, there."""

import sys
from pathlib import Path

KIT = Path(__file__).resolve().parents[3] / "model_images" / "kit"
sys.path.insert(0, str(KIT))
