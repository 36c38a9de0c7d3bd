"""The kit with the model servers' Python and numpy, and under seldon_core itself."""

import os
import subprocess
from pathlib import Path

import pytest

from sluice.sandbox import images, parts

HERE = Path(__file__).resolve().parent


@pytest.mark.parametrize(
    "file",
    [
        "inside_seldon.py",
        "test_kit_bins.py",
        "test_kit_making.py",
        "test_kit_likeness.py",
        "test_kit_counting.py",
    ],
)
def test_the_kit_keeps_its_promises_where_it_serves(file):
    done = subprocess.run(
        [str(parts.seldon_env() / "bin" / "python"), "-m", "pytest", "-q", "--no-header",
         "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(HERE),
         "--noconftest", "-p", "no:warnings", str(HERE / file)],
        env={**os.environ, "PYTHONPATH": str(images.directory() / "kit"),
             "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
