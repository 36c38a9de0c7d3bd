"""What is inside an image, as a CycloneDX 1.5 document: Debian packages and Python distributions.

Everything is read from the image's own layers (dpkg's status, `dist-info`), not from what should
have gone in, so it describes images on any base. The same image gives the same document.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from email.parser import HeaderParser
from functools import cache
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from sluice._version import __version__
from sluice.packaging.oci import Layout, layer_members

_WANTED = re.compile(
    r"(^var/lib/dpkg/status$)|(^var/lib/dpkg/status\.d/[^/]+$)|(^usr/share/doc/[^/]+/copyright$)"
    r"|(\.dist-info/METADATA$)|(^etc/os-release$)|(^usr/lib/os-release$)"
)
_SPDX = {
    "Apache-2.0",
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MPL-2.0",
    "PSF-2.0",
    "Python-2.0",
    "Unlicense",
    "0BSD",
    "Zlib",
}


def describe(name: str, digest: str, layout: Layout) -> str:
    """The document of the image `digest` (its manifest) in `layout`, as JSON text."""
    files = image_files(layout, digest)
    config = layout.config(digest)
    subject = _subject(name, digest, config["config"].get("Labels") or {})
    distro = _os_release(files)
    components = sorted(
        [*_debian(files, distro), *_python(files)], key=lambda each: str(each["bom-ref"])
    )
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {
            "timestamp": config.get("created", "1970-01-01T00:00:00Z"),
            "tools": {
                "components": [{"type": "application", "name": "sluice", "version": __version__}]
            },
            "component": subject,
        },
        "components": components,
        "dependencies": [
            {
                "ref": subject["bom-ref"],
                "dependsOn": [each["bom-ref"] for each in components],
            }
        ],
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def image_files(layout: Layout, digest: str) -> Mapping[str, bytes]:
    """The files of an image that say what is in it, as the last layer leaves them."""
    files: dict[str, bytes] = {}
    for layer in layout.read(digest)["layers"]:
        removed, found = _layer(layout.blob(layer["digest"]).parent, layer["digest"])
        for path in removed:
            for known in [each for each in files if each == path or each.startswith(f"{path}/")]:
                del files[known]
        files.update(found)
    return files


@cache
def _layer(blobs: object, digest: str) -> tuple[tuple[str, ...], Mapping[str, bytes]]:
    """What a layer removes, and the wanted files it brings. Layers are shared, hence the cache."""
    layout = Layout(blobs.parent.parent)  # type: ignore[attr-defined]
    removed, found = [], {}
    for member, data in layer_members(layout, digest):
        path = PurePosixPath(member.name.removeprefix("./"))
        if path.name.startswith(".wh."):
            hidden = path.name.removeprefix(".wh.")
            removed.append(str(path.parent if hidden == ".wh..opq" else path.with_name(hidden)))
        elif member.isfile() and _WANTED.search(str(path)):
            found[str(path)] = data
    return tuple(removed), found


def _subject(name: str, digest: str, labels: Mapping[str, str]) -> dict[str, Any]:
    path, _, tag = name.rpartition(":")
    short = path.rsplit("/", 1)[-1]
    purl = f"pkg:oci/{quote(short)}@{quote(digest, safe='')}?tag={quote(tag)}"
    if "/" in path:
        purl += f"&repository_url={quote(path, safe='/')}"
    return {
        "type": "container",
        "bom-ref": purl,
        "name": path,
        "version": tag,
        "purl": purl,
        "hashes": [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}],
        **_licences([labels.get("org.opencontainers.image.licenses", "")]),
        "properties": [
            {"name": key, "value": labels[key]}
            for key in sorted(labels)
            if key.startswith("org.opencontainers.image.")
        ],
    }


def _os_release(files: Mapping[str, bytes]) -> str:
    text = files.get("etc/os-release") or files.get("usr/lib/os-release") or b""
    values = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text.decode(), re.MULTILINE))
    return f"{values.get('ID', 'debian')}-{values.get('VERSION_ID', '')}".strip("-")


def _debian(files: Mapping[str, bytes], distro: str) -> Iterable[dict[str, Any]]:
    text = "\n\n".join(
        content.decode(errors="replace")
        for path, content in sorted(files.items())
        if path.startswith("var/lib/dpkg/status") and not path.endswith(".md5sums")
    )
    for stanza in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", stanza, re.MULTILINE))
        if "Package" not in fields or "installed" not in fields.get("Status", "installed"):
            continue
        name, version = fields["Package"], fields["Version"]
        purl = (
            f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}"
            f"?arch={fields['Architecture']}&distro={distro}"
        )
        copyright_file = files.get(f"usr/share/doc/{name}/copyright", b"").decode(errors="replace")
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            **_licences(re.findall(r"^License:[ \t]*(\S.*)$", copyright_file, re.MULTILINE)),
        }


def _python(files: Mapping[str, bytes]) -> Iterable[dict[str, Any]]:
    seen = set()
    for path, content in sorted(files.items()):
        if not path.endswith(".dist-info/METADATA"):
            continue
        headers = HeaderParser().parsestr(content.decode(errors="replace"))
        name, version = str(headers["Name"]), str(headers["Version"])
        normal = re.sub(r"[-_.]+", "-", name).lower()
        purl = f"pkg:pypi/{quote(normal)}@{quote(version, safe='')}"
        if purl in seen:
            continue
        seen.add(purl)
        yield {
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            **_licences(_python_licences(headers)),
            "properties": [{"name": "sluice:location", "value": path.rsplit("/", 1)[0]}],
        }


def _python_licences(headers: Any) -> list[str]:
    if expression := headers.get("License-Expression"):
        return [str(expression)]
    classified = [
        str(each).rsplit("::", 1)[-1].strip()
        for each in headers.get_all("Classifier") or ()
        if str(each).startswith("License ::") and not str(each).endswith("OSI Approved")
    ]
    short = str(headers.get("License") or "").strip()
    return classified or ([short] if short and "\n" not in short and len(short) < 80 else [])


def _licences(names: Iterable[str]) -> dict[str, Any]:
    """The `licenses` of a component; nothing where none is known.

    An expression stands alone, as the schema demands; other names are listed as they are written.
    """
    unique = sorted({name.strip() for name in names if name.strip()})
    if not unique:
        return {}
    if len(unique) == 1 and re.search(r" (AND|OR|WITH) ", unique[0]):
        return {"licenses": [{"expression": unique[0]}]}
    return {
        "licenses": [
            {"license": {"id": name} if name in _SPDX else {"name": name}} for name in unique
        ]
    }
