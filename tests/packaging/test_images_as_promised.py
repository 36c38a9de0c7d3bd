"""What the images say of themselves, and what is not in them."""

from __future__ import annotations

import re
import stat
import tarfile

import pytest

from sluice._version import __version__
from sluice.packaging import IMAGES
from sluice.packaging.oci import Layout
from sluice.sandbox.images import VARIANTS

NAMES = [image.reference for image in IMAGES.values()]
LABEL = "org.opencontainers.image"
SECRETS = ("etc/pip.conf", "etc/build-ca.crt", "run/secrets", "root/.cache", "root/.config")
BUILD_TOOLS = re.compile(
    r"(^|/)(gcc|cc|make|ld|apt|apt-get|pip3?|ensurepip|buildah)$|site-packages/pip/|\.whl$"
)


@pytest.fixture(params=NAMES)
def image(request, built):
    layout = Layout(built.layout)
    digest = built.digests[request.param]
    return request.param, digest, layout.config(digest), layout


def test_its_user_is_a_number_other_than_root(image):
    assert image[2]["config"]["User"] == "65532:65532"


def test_it_says_what_it_is(image):
    name, _, config, _ = image
    labels = config["config"]["Labels"]
    assert labels[f"{LABEL}.title"]
    assert labels[f"{LABEL}.licenses"] == "Apache-2.0"
    assert labels[f"{LABEL}.version"] == name.rsplit(":", 1)[1]
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels[f"{LABEL}.revision"])


def test_it_names_the_base_it_stands_on_with_its_digest(image, built):
    labels = image[2]["config"]["Labels"]
    base = labels[f"{LABEL}.base.name"]
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", labels[f"{LABEL}.base.digest"])
    if base in built.digests:
        assert labels[f"{LABEL}.base.digest"] == built.digests[base]


def test_its_times_do_not_depend_on_the_day(image):
    assert image[2]["created"] == "2026-01-01T00:00:00Z"
    assert {step["created"] for step in image[2]["history"]} == {"2026-01-01T00:00:00Z"}


def test_nothing_of_the_build_is_left_in_it(image):
    _, digest, config, layout = image
    assert "build-ca" not in str(config["config"])
    files = _files(layout, digest)
    assert [name for name in files if name.startswith(SECRETS)] == []
    assert [name for name in files if BUILD_TOOLS.search(name)] == []
    assert [name for name, mode in files.items() if mode & (stat.S_ISUID | stat.S_ISGID)] == []


def test_its_layers_are_in_the_archive_once(built):
    layout = Layout(built.layout)
    layers = [
        layer["digest"]
        for digest in built.digests.values()
        for layer in layout.read(digest)["layers"]
    ]
    assert len(layers) > 3 * len(set(layers))
    sizes = sum(layout.blob(layer).stat().st_size for layer in set(layers))
    assert built.archive.stat().st_size < 1.05 * sizes


def test_the_controllers_top_layer_is_its_source_alone(built):
    layout = Layout(built.layout)
    top = layout.read(built.digests[f"sluice-controller:{__version__}"])["layers"][-1]
    names = _layer_files(layout, top["digest"])
    assert names
    assert all(name.startswith("opt/sluice-source") for name in names)


@pytest.mark.parametrize(("variant", "served"), VARIANTS.items())
def test_a_models_entry_point_serves_its_class(built, variant, served):
    layout = Layout(built.layout)
    config = layout.config(built.digests[f"sluice.dev/models/iris-{variant}:1.0"])["config"]
    assert config["Entrypoint"] == ["seldon-core-microservice", served, "--service-type", "MODEL"]
    assert config["WorkingDir"] == f"/models/{variant.replace('-', '_')}"


@pytest.mark.parametrize("role", ["operator", "executor"])
def test_a_stand_ins_entry_point_is_the_stand_in(built, role):
    layout = Layout(built.layout)
    config = layout.config(built.digests[f"sluice.dev/seldon-{role}-stand-in:{__version__}"])
    assert config["config"]["Entrypoint"] == [
        "/opt/sluice/bin/python", "-m", f"sluice.sandbox.{role}",
    ]  # fmt: skip


def _files(layout: Layout, digest: str) -> dict[str, int]:
    files: dict[str, int] = {}
    for layer in layout.read(digest)["layers"]:
        files.update(_layer_files(layout, layer["digest"]))
    return files


_CACHE: dict[str, dict[str, int]] = {}


def _layer_files(layout: Layout, digest: str) -> dict[str, int]:
    if digest not in _CACHE:
        with tarfile.open(layout.blob(digest)) as tar:
            _CACHE[digest] = {
                member.name.removeprefix("./"): member.mode for member in tar if not member.isdir()
            }
    return _CACHE[digest]
