"""Finding and making the real parts, with a Go and binaries that are small scripts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sluice.errors import ToolError
from sluice.sandbox import part_builds, parts
from sluice.sandbox.progress import PlainProgress

GOOD_GO = """#!/bin/sh
if [ "$1" = version ]; then echo go version go1.27.1 linux/amd64; exit; fi
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho made\\n' > "$2"; chmod +x "$2"
"""
OFFLINE_GO = """#!/bin/sh
if [ "$1" = version ]; then echo go version go1.27.1 linux/amd64; exit; fi
echo 'go: k8s.io/kubernetes@v1.34.4: Get "...": dial tcp: lookup proxy: no such host'; exit 1
"""
SLOW_GO = """#!/bin/sh
if [ "$1" = version ]; then echo go version go1.27.1 linux/amd64; exit; fi
touch "$STARTED"; sleep 600 & sleep 600
"""


class Machine:
    """A PATH of our own, and an empty cache."""

    def __init__(self, root: Path) -> None:
        self.bin = root / "bin"
        self.cache = root / "cache"
        self.bin.mkdir()

    def has(self, name: str, script: str) -> Path:
        path = self.bin / name
        path.write_text(script)
        path.chmod(0o755)
        parts.found_version.cache_clear()
        return path

    def left_over(self) -> list[Path]:
        return list(self.cache.glob(".making-*"))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{machine.bin}:/usr/bin:/bin")
    monkeypatch.setenv("SLUICE_CACHE", str(machine.cache))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return machine


def test_the_users_own_binary_is_used_if_it_is_new_enough(machine: Machine) -> None:
    own = machine.has("prometheus", "#!/bin/sh\necho 'prometheus, version 2.51.0 (branch: x)'\n")
    assert parts.ensure("prometheus") == own


def test_an_old_binary_is_passed_over(machine: Machine) -> None:
    machine.has("go", GOOD_GO)
    machine.has("kube-apiserver", "#!/bin/sh\necho Kubernetes v1.29.3\n")
    made = parts.ensure("kube-apiserver")
    assert made.is_relative_to(machine.cache)
    assert subprocess.check_output([made], text=True) == "made\n"


def test_kubebuilders_assets_come_before_the_path(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.has("etcd", "#!/bin/sh\necho etcd Version: 3.5.9\n")
    assets = tmp_path / "assets"
    assets.mkdir()
    (assets / "etcd").write_text("#!/bin/sh\necho etcd Version: 3.6.1\n")
    (assets / "etcd").chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    assert parts.locate("etcd") == assets / "etcd"


def test_a_made_part_is_found_again_without_building(machine: Machine) -> None:
    machine.has("go", GOOD_GO)
    made = parts.ensure("kube-apiserver")
    machine.has("go", OFFLINE_GO)
    assert parts.ensure("kube-apiserver") == parts.locate("kube-apiserver") == made


def test_locate_says_how_to_make_what_is_missing(machine: Machine) -> None:
    with pytest.raises(ToolError, match="make parts"):
        parts.locate("kube-apiserver")


def test_a_missing_network_is_named_with_the_log(machine: Machine) -> None:
    machine.has("go", OFFLINE_GO)
    with pytest.raises(ToolError, match="the network seems to be missing") as failure:
        parts.ensure("kube-apiserver")
    assert "no such host" in str(failure.value)
    assert str(machine.cache / "logs" / "kube-apiserver.log") in str(failure.value)
    assert machine.left_over() == []


def test_too_little_disk_is_said_before_building(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.has("go", GOOD_GO)
    monkeypatch.setattr(part_builds, "NEEDED_GIB", 1e9)
    with pytest.raises(ToolError, match="GiB free, and building parts needs"):
        parts.ensure("kube-apiserver")


def test_an_interrupted_build_leaves_nothing_and_no_process(
    machine: Machine, tmp_path: Path
) -> None:
    machine.has("go", SLOW_GO)
    started = tmp_path / "started"
    build = subprocess.Popen(
        [sys.executable, "-m", "sluice.sandbox.parts"],
        env={**os.environ, "STARTED": str(started)} | only_kube_is_missing(machine),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    while not started.exists():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
    build.send_signal(signal.SIGINT)
    _, said = build.communicate(timeout=300)
    assert build.returncode == 130
    assert "nothing half-made" in said
    assert machine.left_over() == []
    assert not list((machine.cache / "parts").glob("kube-apiserver*"))
    marker = f"STARTED={started}".encode()
    assert not [pid for pid in Path("/proc").glob("[0-9]*") if marker in environment_of(pid)]


def only_kube_is_missing(machine: Machine) -> dict[str, str]:
    for name, says in (("etcd", "etcd Version: 3.5.9"), ("envoy", "envoy version: x/1.40.0/Clean")):
        machine.has(name, f"#!/bin/sh\necho '{says}'\n")
    return {}


def environment_of(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


def test_what_a_killed_build_left_is_removed_by_the_next(machine: Machine) -> None:
    leftover = machine.cache / ".making-prometheus-abc"
    leftover.mkdir(parents=True)
    machine.has("go", GOOD_GO)
    parts.ensure("kube-apiserver")
    assert not leftover.exists()


def test_a_change_of_the_pins_is_another_cache_entry() -> None:
    lock = "a==1 \\\n    --hash=sha256:00\nb==2 \\\n    --hash=sha256:11\n"
    assert part_builds.requirement_block(lock, "a") == "a==1 \\\n    --hash=sha256:00\n"
    with pytest.raises(ToolError, match="no entry for c"):
        part_builds.requirement_block(lock, "c")


def test_progress_without_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    progress = PlainProgress()
    with progress.step("build x", "because", 90):
        pass
    said = capsys.readouterr().err
    assert said.startswith("- build x (about 1 m 30 s): because\n")
    assert "build x: done in" in said
