"""Debian's packages as parts: what is pinned is what is unpacked, and a replaced one is named."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from sluice.errors import ToolError
from sluice.sandbox import debian, debian_archive, debian_lock
from sluice.sandbox.debian_archive import Archive, Package
from sluice.sandbox.progress import Silent

DEB = b"the package"
DIGEST = hashlib.sha256(DEB).hexdigest()


class Notes(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


class Apt:
    """apt of an archive that serves the given versions, newest first."""

    def __init__(self, served: dict[str, list[str]]) -> None:
        self.served = served

    def __call__(self, argv, cwd=None):
        words = [word for word in argv[1:] if not word.startswith("-")]
        out, code = "", 0
        if words[0] == "madison":
            out = "".join(
                f"{name} | {version} | main Packages\n"
                for name in words[1:]
                for version in self.served.get(name, [])
            )
        elif words[0] == "download":
            for word in words[1:]:
                name, version = word.split("=")
                (cwd / f"{name}_{version.replace(':', '%3a')}_amd64.deb").write_bytes(DEB)
        return subprocess.CompletedProcess(argv, code, out, "")


@pytest.fixture
def archive(monkeypatch, tmp_path):
    def make(**served: list[str]) -> Archive:
        monkeypatch.setattr(debian_archive, "why_not", lambda: "")
        monkeypatch.setattr(debian_archive, "_run", Apt({"coreutils": ["9.1"], **served}))
        return Archive(tmp_path / "apt")

    return make


def test_a_pinned_package_is_taken_with_its_hash_checked(archive, tmp_path):
    package = Package("runc", "1:1.1", "amd64", DIGEST)
    notes = Notes()
    found = archive(runc=["1:1.2", "1:1.1"]).download([package], tmp_path, notes)
    assert [path.name for path in found] == ["runc_1%3a1.1_amd64.deb"]
    assert notes.lines == []


def test_a_pinned_version_with_other_content_is_refused(archive, tmp_path):
    package = Package("runc", "1.1", "amd64", "0" * 64)
    with pytest.raises(ToolError, match=f"expected sha256 {'0' * 64}, found {DIGEST}"):
        archive(runc=["1.1"]).download([package], tmp_path, Notes())


def test_a_version_that_a_security_update_replaced_is_taken_newer_and_named(archive, tmp_path):
    package = Package("runc", "1.1", "amd64", "0" * 64)
    notes = Notes()
    found = archive(runc=["1.1+deb12u2"]).download([package], tmp_path, notes)
    assert [path.name for path in found] == ["runc_1.1+deb12u2_amd64.deb"]
    (line,) = notes.lines
    assert "no 1.1 any more" in line
    assert "1.1+deb12u2" in line


def test_an_unknown_package_is_an_error(archive, tmp_path):
    with pytest.raises(ToolError, match="no package runc"):
        archive().download([Package("runc", "1.1", "amd64")], tmp_path, Notes())


def test_elsewhere_than_on_debian_the_error_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(debian_archive, "_release", lambda: "")
    monkeypatch.setattr(debian_archive.shutil, "which", lambda tool: f"/usr/bin/{tool}")
    with pytest.raises(ToolError, match=r"not Debian.*install the tools"):
        Archive(tmp_path)


def test_a_lock_file_reads_back_as_written():
    packages = [Package("a", "1:2~3", "amd64", "f" * 64), Package("b", "1", "all", "e" * 64)]
    assert debian_lock.parse(debian_lock.render(debian_lock.BASE, packages), "x") == packages


def test_a_broken_line_of_a_lock_file_is_named():
    with pytest.raises(ToolError, match=r"x:2: expected .* found 'a 1 amd64'"):
        debian_lock.parse("# about\na 1 amd64\n", "x")


@pytest.mark.parametrize("lock", debian_lock.LOCKS, ids=lambda lock: lock.file)
def test_the_shipped_locks_pin_everything_and_what_is_wanted(lock):
    packages = debian_lock.parse((debian_lock.directory() / lock.file).read_text(), lock.file)
    assert all(len(package.sha256) == 64 for package in packages)
    names = [package.name for package in packages]
    assert sorted(set(names)) == names
    assert set(lock.wanted) <= set(names)


def test_programs_of_the_root_come_first_and_the_machines_own_stay(monkeypatch, tmp_path):
    (tmp_path / "usr" / "lib" / "x86_64-linux-gnu").mkdir(parents=True)
    monkeypatch.setenv("PATH", "/own/bin")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/own/lib")
    env = debian.environment(tmp_path)
    path = env["PATH"].split(os.pathsep)
    assert path[0] == str(tmp_path / "usr/sbin")
    assert path[-1] == "/own/bin"
    libraries = env["LD_LIBRARY_PATH"].split(os.pathsep)
    assert libraries[0] == str(tmp_path / "usr/lib/x86_64-linux-gnu")
    assert libraries[-1] == "/own/lib"
    assert Path(env["XTABLES_LIBDIR"]).parent == Path(libraries[0])
