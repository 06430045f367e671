"""What an image contains, as a CycloneDX list: Python, what is installed for it, Debian's packages.

The image itself is asked, on the engine of `DOCKER_HOST`, without a network. The same image has the
same list.

    python sbom.py topology-reaper:dev build/sbom.cdx.json
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

PYTHON = "/opt/topology-reaper/bin/python"
ASK = """
import importlib.metadata, json, platform, shutil, subprocess, sys, sysconfig
of_the_base = sysconfig.get_path("purelib", vars={"base": sys.base_prefix})
found = importlib.metadata.distributions(path=[*sys.path, of_the_base])
query = ["dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\\n"]
debian = subprocess.check_output(query, text=True) if shutil.which(query[0]) else ""
print(json.dumps({
    "python": platform.python_version(),
    "distributions": sorted({(each.name, each.version) for each in found}),
    "system": platform.freedesktop_os_release()["ID"],
    "debian": [line.split() for line in debian.splitlines()],
}))
"""


def sbom(client: docker.DockerClient, name: str) -> str:
    """The list, as JSON.

    Args:
        client: of the engine that has the image.
        name: of the image.

    Raises:
        docker.errors.DockerException: there is no such image, or it cannot be asked.
    """
    image = client.images.get(name)
    said = client.containers.run(
        image, ["-c", ASK], entrypoint=PYTHON, network_mode="none", remove=True
    )
    labels = image.labels
    itself = Component(
        name=labels["org.opencontainers.image.title"],
        version=labels["org.opencontainers.image.version"],
        type=ComponentType.CONTAINER,
        bom_ref=str(image.id),
    )
    created = datetime.fromisoformat(image.attrs["Created"])
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, str(image.id)),
        metadata=BomMetaData(component=itself, timestamp=created),
        components=map(_component, _packages(json.loads(said))),
    )
    bom.register_dependency(itself, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=2)


def _packages(said: Mapping[str, Any]) -> Iterator[PackageURL]:
    yield PackageURL("generic", name="python", version=said["python"])
    for name, version in said["distributions"]:
        yield PackageURL("pypi", name=name, version=version)
    for name, version, architecture in said["debian"]:
        yield PackageURL("deb", said["system"], name, version, {"arch": architecture})


def _component(package: PackageURL) -> Component:
    return Component(name=package.name, version=package.version, purl=package, bom_ref=str(package))


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(sbom(docker.from_env(), sys.argv[1]))
