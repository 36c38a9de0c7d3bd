"""How pip inside a build reaches packages without a layer knowing."""

from __future__ import annotations

import pytest

from sluice.packaging import pip_access

LISTING = """\
:env:.timeout='180'
global.index-url='https://user:secret@index.example/simple'
global.timeout='15'
global.cert='/etc/ssl/certs/ca-certificates.crt'
install.user='true'
"""


def test_the_machines_settings_are_read_and_variables_win():
    settings = pip_access.read(LISTING)
    assert settings["timeout"] == "180"
    assert settings["index-url"] == "https://user:secret@index.example/simple"


def test_what_only_has_a_meaning_outside_stays_outside():
    assert "user" not in pip_access.read(LISTING)


@pytest.fixture
def config(monkeypatch):
    def give(text: str) -> None:
        monkeypatch.setattr(pip_access, "_pip_config", lambda: text)
        for name in pip_access._BUNDLES:
            monkeypatch.delenv(name, raising=False)

    return give


def test_the_bundle_is_a_secret_and_named_as_the_build_sees_it(config, tmp_path):
    bundle = tmp_path / "ca.crt"
    bundle.touch()
    config(f"global.cert='{bundle}'\n")
    access = pip_access.prepare(tmp_path)
    assert access.secrets["ca"] == bundle
    assert f"cert = {pip_access.CA_INSIDE}" in access.secrets["pip"].read_text()


def test_the_settings_are_for_this_user_alone(config, tmp_path):
    config(LISTING)
    assert pip_access.prepare(tmp_path).secrets["pip"].stat().st_mode & 0o077 == 0


def test_a_directory_of_wheels_is_seen_inside_and_an_empty_one_forgotten(config, tmp_path):
    full, empty = tmp_path / "full", tmp_path / "empty"
    full.mkdir()
    empty.mkdir()
    (full / "a.whl").touch()
    config(f"global.find-links='{full} {empty}'\n")
    access = pip_access.prepare(tmp_path)
    assert access.volumes == (full,)
    assert str(empty) not in access.secrets["pip"].read_text()
