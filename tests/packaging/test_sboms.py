"""Each image's SBOM keeps to the schema and names what is in the image."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest

from sluice.packaging import IMAGES
from sluice.sandbox import part_builds, parts
from sluice.sandbox.debian_lock import BASE, read
from sluice.sandbox.progress import Silent

NAMES = [image.reference for image in IMAGES.values()]
VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
validator = JsonStrictValidator(SchemaVersion.V1_5)
for path in sys.argv[1:]:
    error = validator.validate_str(open(path).read())
    if error:
        sys.exit(f"{path}: {error}")
"""


@pytest.fixture(scope="session")
def validator(tmp_path_factory):
    """A Python with CycloneDX's own library, which nothing else of Sluice needs."""
    lock = part_builds.source_root() / "requirements" / "sbom.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    place = parts.cache_directory() / "parts" / f"sbom-{digest}"
    if not (place / ".complete").is_file():
        with Silent().step("install") as step:
            part_builds.build_environment(
                lock,
                python=sys.executable,
                place=place,
                log=tmp_path_factory.mktemp("log") / "sbom.log",
                step=step,
            )
    return place / "bin" / "python"


def test_every_document_keeps_to_the_schema_of_cyclonedx(built, validator):
    paths = [str(path) for path in built.sboms.values()]
    answer = subprocess.run([validator, "-c", VALIDATE, *paths], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_the_check_refuses_what_does_not_keep_to_it(built, validator, tmp_path):
    document = json.loads(next(iter(built.sboms.values())).read_text())
    document["components"][0]["licenses"] = [{"license": {"id": "no such licence"}}]
    (tmp_path / "bad.json").write_text(json.dumps(document))
    answer = subprocess.run([validator, "-c", VALIDATE, tmp_path / "bad.json"], capture_output=True)
    assert answer.returncode != 0


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_about_its_image_and_names_debians_packages(built, name):
    document = json.loads(built.sboms[name].read_text())
    subject = document["metadata"]["component"]
    assert f"sha256:{subject['hashes'][0]['content']}" == built.digests[name]
    found = {(each["name"], each["version"]) for each in document["components"]}
    assert {(each.name, each.version) for each in read(BASE)} <= found


@pytest.mark.parametrize(
    ("name", "lock"),
    [
        (IMAGES["sluice-controller"].reference, "controller.txt"),
        (IMAGES["sluice.dev/models/base"].reference, "seldon.txt"),
        (IMAGES["sluice.dev/stand-ins/base"].reference, "stand-ins.txt"),
    ],
)
def test_every_pinned_python_package_is_named(built, name, lock):
    text = (part_builds.source_root() / "requirements" / lock).read_text()
    pinned = {line.split(" ")[0] for line in text.splitlines() if "==" in line.split(" ")[0]}
    document = json.loads(built.sboms[name].read_text())
    purls = {each["purl"] for each in document["components"]}
    missing = [pin for pin in pinned if f"pkg:pypi/{pin.lower().replace('==', '@')}" not in purls]
    assert missing == []
