"""OCI layouts: the same images are the same bytes, and every layer is there once."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest

from sluice.errors import ToolError, UsageError
from sluice.packaging import image_list, sbom
from sluice.packaging.oci import LAYER, Layout

STATUS = b"Package: bash\nStatus: install ok installed\nVersion: 5.2-1\nArchitecture: amd64\n"
METADATA = b"Metadata-Version: 2.1\nName: Some_Thing\nVersion: 1.0\nLicense-Expression: MIT\n"


def tar_of(path, **files: bytes):
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


@pytest.fixture
def make(tmp_path):
    def image(layout: Layout, *layers: dict[str, bytes]) -> str:
        made = [layout.add_layer(tar_of(tmp_path / "layer.tar", **files)) for files in layers]
        config = {"config": {}, "rootfs": {"type": "layers", "diff_ids": [d for _, d in made]}}
        return layout.add_image(config, [descriptor for descriptor, _ in made])

    return image


def test_the_same_images_give_the_same_archive(make, tmp_path):
    archives = []
    for name in ("one", "two"):
        layout = Layout(tmp_path / name)
        layout.write_index({"example/a:1": make(layout, {"x": b"1"})})
        layout.archive(tmp_path / f"{name}.tar")
        archives.append((tmp_path / f"{name}.tar").read_bytes())
    assert archives[0] == archives[1]


def test_names_are_as_containerd_and_others_read_them(make, tmp_path):
    layout = Layout(tmp_path / "a")
    digest = make(layout, {"x": b"1"})
    layout.write_index({"example/a:1": digest})
    (entry,) = json.loads((layout.path / "index.json").read_text())["manifests"]
    # Kubernetes looks for the whole name: without a registry it is Docker Hub's.
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/example/a:1"
    assert layout.digests() == {"example/a:1": digest}


def test_however_a_builder_compresses_the_digest_is_one(make, tmp_path):
    digests = []
    for level in (0, 1, 9):
        built = Layout(tmp_path / f"built-{level}")
        manifest = built.read(make(built, {"x": b"1" * 9999}))
        plain = gzip.decompress(built.blob(manifest["layers"][0]["digest"]).read_bytes())
        data = gzip.compress(plain, level) if level else plain
        layer = {"mediaType": LAYER, "digest": built.add(data), "size": len(data)}
        config = built.read(manifest["config"]["digest"])
        digest = built.add_image(config, [layer])
        digests.append(Layout(tmp_path / f"pool-{level}").adopt(digest, built))
    assert len(set(digests)) == 1


def test_ids_of_a_builders_own_store_are_no_part_of_an_image(make, tmp_path):
    digests = []
    for own in ("a4f45d572d0f", "3498307959bb"):
        built = Layout(tmp_path / own)
        manifest = built.read(make(built, {"x": b"1"}))
        step = {"created_by": "ENV X=1", "comment": f"FROM {own}", "empty_layer": True}
        config = {**built.read(manifest["config"]["digest"]), "history": [step]}
        digest = built.add_image(config, manifest["layers"])
        pool = Layout(tmp_path / f"pool-{own}")
        digests.append(pool.adopt(digest, built))
        assert pool.config(digests[-1])["history"] == [
            {"created_by": "ENV X=1", "empty_layer": True}
        ]
    assert len(set(digests)) == 1


def test_a_layer_other_than_its_config_says_is_refused(make, tmp_path):
    built = Layout(tmp_path / "built")
    manifest = built.read(make(built, {"x": b"1"}))
    config = {"config": {}, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}
    digest = built.add_image(config, manifest["layers"])
    with pytest.raises(ToolError, match="expected sha256:000"):
        Layout(tmp_path / "pool").adopt(digest, built)


def test_an_sbom_names_packages_of_both_kinds(make, tmp_path):
    layout = Layout(tmp_path / "a")
    files = {"var/lib/dpkg/status": STATUS, "lib/some_thing-1.0.dist-info/METADATA": METADATA}
    document = json.loads(sbom.describe("example.org/a:1", make(layout, files), layout))
    assert [each["purl"] for each in document["components"]] == [
        "pkg:deb/debian/bash@5.2-1?arch=amd64&distro=debian",
        "pkg:pypi/some-thing@1.0",
    ]
    assert document["components"][1]["licenses"] == [{"license": {"id": "MIT"}}]


def test_an_sbom_does_not_name_what_a_later_layer_removed(make, tmp_path):
    layout = Layout(tmp_path / "a")
    path = "lib/some_thing-1.0.dist-info"
    digest = make(layout, {f"{path}/METADATA": METADATA}, {"lib/.wh.some_thing-1.0.dist-info": b""})
    assert json.loads(sbom.describe("example.org/a:1", digest, layout))["components"] == []


def test_an_image_comes_after_what_it_stands_on():
    names = [image.name for image in image_list.select(["sluice.dev/models/iris-slow:1.0"])]
    assert names == ["sluice.dev/models/base", "sluice.dev/models/iris-slow"]


def test_an_unknown_image_is_a_usage_error_that_names_the_known():
    with pytest.raises(UsageError, match=r"'modles'.*models, stand-ins"):
        image_list.select(["modles"])
