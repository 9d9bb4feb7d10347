"""`python k8s/images/sbom.py IMAGE [FILE]`: what an image holds, as a CycloneDX 1.6 document.

Lists the Python packages and Debian's, by running the image; licences are those that packages declare. The document is
checked against CycloneDX's own schema before it is written. One image gives one document: its time is the image's.
"""

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

PYTHON = """
import json
from importlib import metadata
def licence(found):
    named = [c.rpartition(" :: ")[2] for c in found.get_all("Classifier") or [] if c.startswith("License :: ")]
    said = found.get("License-Expression") or (named[0] if named else "") or found.get("License") or ""
    return said.strip().splitlines()[0][:120] if said.strip() else ""
print(json.dumps([[d.metadata["Name"], d.version, licence(d.metadata)] for d in metadata.distributions()]))
"""
DEBIAN = r"dpkg-query --show --showformat='${Package}\t${Version}\t${Architecture}\n'"
SPACE = uuid.UUID("6f0f4f2c-0c53-5f0e-9d4f-1b7d3a0c2b11")  # of the serial numbers that this makes


def document(image: str) -> str:
    """Return an image's bill of materials as JSON; raises ValueError where it does not fit CycloneDX's schema."""
    about = json.loads(_engine("image", "inspect", image))[0]
    python = json.loads(_engine(*_run(image), "python", "-c", PYTHON))
    debian = [line.split("\t") for line in _engine(*_run(image), "sh", "-c", DEBIAN).splitlines()]
    bom = Bom(serial_number=uuid.uuid5(SPACE, about["Digest"]))
    bom.metadata.timestamp = dt.datetime.fromisoformat(about["Created"][:19] + "+00:00")
    bom.metadata.component = root = Component(
        name=image, type=ComponentType.CONTAINER, version=about["Digest"], bom_ref="image"
    )
    root.properties.add(
        Property(name="variant", value="cuda" if any(n.startswith("nvidia-cu") for n, *_ in python) else "cpu")
    )
    for component in [*map(_python, python), *map(_debian, debian)]:
        bom.components.add(component)
        bom.register_dependency(root, [component])
    text = JsonV1Dot6(bom).output_as_string(indent=2)
    if problem := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"{image}: its bill of materials is no CycloneDX 1.6: {problem}")
    return text


def _python(found: list[str]) -> Component:
    name, version, licence = found
    purl = PackageURL("pypi", name=name.lower().replace("_", "-"), version=version)
    licences = [DisjunctiveLicense(name=licence)] if licence else None
    return Component(name=name, version=version, purl=purl, bom_ref=str(purl), licenses=licences)


def _debian(found: list[str]) -> Component:
    name, version, architecture = found
    purl = PackageURL("deb", "debian", name, version, {"arch": architecture})
    return Component(name=name, version=version, purl=purl, bom_ref=str(purl))


def _run(image: str) -> list[str]:
    return ["run", "--rm", "--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", image]


def _engine(*words: str) -> Any:
    """Run podman, or what ENGINE names, and return what it prints."""
    engine = os.environ.get("ENGINE") or shutil.which("podman") or shutil.which("docker")
    if engine is None:
        raise FileNotFoundError("neither podman nor docker is on PATH; install one")
    runc = shutil.which("runc")
    runtime = ["--runtime", runc] if runc and Path(engine).name == "podman" else []
    return subprocess.run([engine, *runtime, *words], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("sbom: name an image, and a file to write to, or the document is printed")
    text = document(sys.argv[1])
    if len(sys.argv) == 2:
        print(text)
    else:
        aside = Path(f"{sys.argv[2]}.part")
        aside.write_text(text, encoding="utf-8")
        aside.replace(sys.argv[2])
