"""What the image is made of: what it needs, in the versions that are pinned, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from contextlib import closing
from pathlib import Path

import docker as sdk
import pytest
from packageurl import PackageURL
from private_engine import PrivateEngine
from sbom import sbom

from tests.sidecar import image as image_
from tests.sidecar.image import BASE, ROOT, docker

MEGABYTE = 1_000_000
LATER = "9999"
"""A version that nobody has pinned."""
INSTALLED = """
import importlib.metadata, json
found = importlib.metadata.distributions()
print(json.dumps([[each.name, each.version, each.read_text("WHEEL")] for each in found]))
"""


def canonical(name: str) -> str:
    """The one name of a distribution that may be written in several ways."""
    return name.lower().replace("_", "-")


PINNED = {
    canonical(name): version
    for name, _, version in (
        line.partition("==") for line in (ROOT / "constraints.txt").read_text().split()
    )
}


def test_it_holds_what_it_needs_and_nothing_of_the_tools_that_made_it(
    engine: PrivateEngine, api: sdk.APIClient, image: str
) -> None:
    inspected = api.inspect_image(image)  # type: ignore[no-untyped-call]
    labels = inspected["Config"]["Labels"]
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version is not None
    assert labels["topology-reaper.protect"] == "true"
    assert labels["org.opencontainers.image.title"] == "topology-reaper"
    assert labels["org.opencontainers.image.version"] == version[1]
    revision = labels["org.opencontainers.image.revision"]
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", revision)
    assert labels["org.opencontainers.image.base.name"] == BASE
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.description"]
    assert inspected["Config"]["User"] == "65534:65534"

    def inside(script: str) -> str:
        run = ("run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", script)
        return docker(engine, *run)

    assert inside("topology-reaper --version").endswith(f" {version[1]} (commit {revision})")
    assert inside("id -u; id -g").split() == ["65534", "65534"]
    tools = " -o ".join(f"-name '{name}*'" for name in ("pip", "setuptools", "wheel", "hatchling"))
    installed = "/opt/topology-reaper/bin /opt/topology-reaper/lib/python3*/site-packages"
    assert inside(rf"find {installed} -maxdepth 1 \( {tools} \)") == ""
    assert inside("ls -A /source 2>/dev/null || echo none") == "none"
    count = "find /opt/topology-reaper -name '*.py' | wc -l; "
    count += "find /opt/topology-reaper -name '*.pyc' | wc -l"
    sources, compiled = map(int, inside(count).split())
    assert compiled >= 0.9 * sources, "a read-only root cannot keep what Python compiles"
    kilobytes, _ = inside("du -sk /opt/topology-reaper").split()
    assert int(kilobytes) * 1024 < 90 * MEGABYTE, "with two sets of compiled drivers"


def test_the_list_of_what_it_contains_has_all_that_is_installed(
    engine: PrivateEngine, image: str
) -> None:
    with closing(sdk.DockerClient(base_url=engine.host)) as client:
        listed = json.loads(sbom(client, image))
        assert json.loads(sbom(client, image)) == listed, "the same image, the same list"
    assert listed["bomFormat"] == "CycloneDX"
    assert listed["metadata"]["component"]["name"] == "topology-reaper"
    found = [PackageURL.from_string(each["purl"]) for each in listed["components"]]
    distributions = {name: version for name, (version, _) in installed(engine, image).items()}
    assert {each.name: each.version for each in found if each.type == "pypi"} == distributions
    show = ("run", "--rm", "--entrypoint=dpkg-query", image, "-W", "-f", r"${Package}\n")
    debian = set(docker(engine, *show).splitlines())
    assert {each.name for each in found if each.type == "deb"} == debian
    assert "libc6" in debian


@pytest.mark.deep
def test_a_build_of_another_day_installs_the_same_and_that_is_what_is_pinned(
    engine: PrivateEngine, image: str, tmp_path: Path
) -> None:
    for path in (*image_.inputs(), ROOT / "README.md", ROOT / "LICENSE"):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    wheels = tmp_path / "build" / "wheels"
    shutil.copytree(ROOT / "build" / "wheels", wheels)
    for name in PINNED:  # by then there is a later version of each
        make_wheel(wheels, name.replace("-", "_"), LATER)
    image_.make_base(engine)
    image_.build(engine, tmp_path, "topology-reaper:another-day")

    first, second = installed(engine, image), installed(engine, "topology-reaper:another-day")

    assert first == second
    _, wheel = first.pop("topology-reaper")
    assert f"Generator: hatchling {PINNED['hatchling']}\n" in wheel
    versions = {name: version for name, (version, _) in first.items()}
    assert versions == {name: PINNED.get(name) for name in versions}


def installed(engine: PrivateEngine, image: str) -> dict[str, tuple[str, str]]:
    """The version of each distribution in an image, and what its wheel tells of itself."""
    run = ("run", "--rm", "--network=none", "--entrypoint=/opt/topology-reaper/bin/python", image)
    found = json.loads(docker(engine, *run, "-c", INSTALLED))
    return {canonical(name): (version, wheel) for name, version, wheel in found}


def make_wheel(folder: Path, name: str, version: str) -> None:
    """A wheel with nothing in it."""
    about = f"{name}-{version}.dist-info"
    tag = "py3-none-any"
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as wheel:
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel.writestr(f"{about}/METADATA", metadata)
        wheel.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{about}/RECORD", "")
