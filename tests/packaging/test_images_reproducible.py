"""The same inputs give the same digests, with nothing kept from another build."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sluice.packaging import build
from sluice.sandbox.progress import PlainProgress


@pytest.mark.slow
def test_a_build_from_nothing_gives_the_same_digests(built, tmp_path):
    again = build(None, PlainProgress(), store=tmp_path)
    assert again.digests == built.digests
    assert again.archive.read_bytes() == built.archive.read_bytes()
    for name, sbom in again.sboms.items():
        assert sbom.read_text() == built.sboms[name].read_text()
    # Debian's buildah leaves the root of its last container mounted in a store.
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        if (place := line.split()[1]).startswith(f"{tmp_path}/"):
            subprocess.run(["umount", "--lazy", place], check=True)
    shutil.rmtree(tmp_path)
