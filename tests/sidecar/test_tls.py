"""Over TCP with certificates on both sides, as `dockerd --tlsverify` wants it."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.tls
import pytest
from debian_packages import ensure
from private_engine import PrivateEngine

from listener.decnet import reap_orphan_topology_resources
from tests.engine.conftest import empty, gone
from tests.sidecar.conftest import Wire
from tests.support import contexts
from tests.support.decnet import deploy, new_id
from tests.support.process import ListenerProcess, call
from tests.support.proxy import Proxy
from tests.support.repository import Listed
from tests.support.rows import Rows

NAME = "localhost"
"""The engine's name in its certificate."""
PORT = 2376
REQUEST = "req -newkey rsa:2048 -nodes -days 2 -x509"


class Authority:
    """A certificate authority in a folder, and the certificates that it gives out."""

    def __init__(self, folder: Path) -> None:
        self._certificate = folder / "ca.pem"
        self._folder = folder
        folder.mkdir()
        self._openssl(f"{REQUEST} -subj /CN=authority -keyout ca-key.pem -out ca.pem")

    def certify(self, name: str, purpose: str) -> Path:
        """A folder with the authority's certificate, one of this name, and its key."""
        ends = f"-subj /CN={name} -addext subjectAltName=DNS:{name}"
        ends += f" -addext extendedKeyUsage={purpose} -addext basicConstraints=CA:FALSE"
        folder = self._folder / name
        folder.mkdir()
        own = f"-keyout {name}/key.pem -out {name}/cert.pem"
        self._openssl(f"{REQUEST} -CA ca.pem -CAkey ca-key.pem {ends} {own}")
        (folder / "key.pem").chmod(0o444)  # a container's user reads it
        self.vouch_in(folder)
        return folder

    def vouch_in(self, folder: Path) -> None:
        """Make this the authority that whoever uses the folder trusts."""
        (folder / "ca.pem").write_bytes(self._certificate.read_bytes())

    def _openssl(self, arguments: str) -> None:
        command = ["openssl", *arguments.split()]
        subprocess.run(command, cwd=self._folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that engine and listener trust."""
    ensure({"openssl": "openssl"}, "a certificate")
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="module")
def tls_engine(authority: Authority) -> Iterator[PrivateEngine]:
    """A private engine that is on TCP too, for whom its authority knows."""
    files = {"cert": "cert.pem", "key": "key.pem", "cacert": "ca.pem"}
    folder = authority.certify(NAME, "serverAuth")
    options = ["--tlsverify", f"--host=tcp://0.0.0.0:{PORT}"]
    options += [f"--tls{name}={folder / file}" for name, file in files.items()]
    with PrivateEngine(dockerd_options=options) as engine:
        yield engine


@pytest.fixture
def engine(tls_engine: PrivateEngine) -> Iterator[PrivateEngine]:
    """It, empty afterwards."""
    yield tls_engine
    empty(tls_engine)


@pytest.fixture
def port(engine: PrivateEngine) -> Iterator[int]:
    """The port of this host by which the engine is reached."""
    with Wire.to(engine) as wire, Proxy((wire.there, PORT)) as proxy:
        yield proxy.port


def over_tls(port: int, certificates: Path) -> dict[str, str]:
    """The environment of one that reaches the engine by TCP with these certificates."""
    return {
        "DOCKER_HOST": f"tcp://{NAME}:{port}",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(certificates),
        # What a host sets for its clients of the web is not for the engine.
        "REQUESTS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt",
        **dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:9"),
    }


def within(environment: dict[str, str]) -> tuple[str, ...]:
    """The command that runs another in this environment."""
    return ("env", *(f"{name}={value}" for name, value in environment.items()))


def test_it_does_its_work_over_tcp_with_certificates_on_both_sides(
    api: docker.APIClient, port: int, authority: Authority, data: Path, rows: Rows
) -> None:
    doomed, live = new_id(), new_id()
    rows.insert(doomed, live)
    certificates = authority.certify("listener", "clientAuth")
    orphan, staying = deploy(api, doomed), deploy(api, live, decky_numbers=(3, 4))
    environment = over_tls(port, certificates)
    url = f"sqlite:///{data}/decnet.db"
    host = environment["DOCKER_HOST"]
    with ListenerProcess(host, url, within=within(environment)) as listener:
        rows.delete(doomed)

        gone(api, orphan)
        staying.assert_intact(api)
        assert not listener.logged("tls")
        assert listener.stop() == 0


@pytest.mark.usefixtures("rows")
def test_who_is_refused_is_told_by_whom_and_what_to_do_about_it(
    port: int, authority: Authority, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "other").mkdir()
    ours, other = authority.certify("ours", "clientAuth"), Authority(tmp_path / "other" / "ca")
    stranger, trusting = other.certify("stranger", "clientAuth"), tmp_path / "trusting"
    authority.vouch_in(stranger)
    shutil.copytree(ours, trusting)
    other.vouch_in(trusting)
    by_address = {"DOCKER_HOST": f"tcp://127.0.0.1:{port}"}
    plain = {"DOCKER_TLS_VERIFY": "", "DOCKER_CERT_PATH": ""}
    cases: list[tuple[Path, dict[str, str], int, str]] = [
        (tmp_path / "none", {}, 2, "no usable ca.pem, cert.pem and key.pem"),
        (stranger, {}, 3, "refuses our certificate"),
        (trusting, {}, 3, "shows a certificate that is not trusted"),
        (ours, by_address, 3, "shows a certificate that is not trusted (IP address mismatch"),
        (ours, plain, 3, "speaks TLS alone"),
    ]
    for folder, changes, status, words in cases:
        done = sweep(data, {**over_tls(port, folder), **changes})
        assert done.returncode == status, done.stderr
        *_, sentence = done.stderr.splitlines()
        assert words in sentence
        assert re.search(r"DOCKER_(CERT_PATH|TLS_VERIFY)", sentence), "the remedy"
        assert "_ssl.c" not in sentence


def test_an_engine_whose_certificate_nobody_looks_at_is_warned_of(
    port: int, authority: Authority, data: Path, rows: Rows
) -> None:
    rows.insert(new_id())
    certificates = authority.certify("careless", "clientAuth")
    done = sweep(data, {**over_tls(port, certificates), "DOCKER_TLS_VERIFY": ""})
    assert done.returncode == 0, done.stderr
    assert "DOCKER_TLS_VERIFY=1" in done.stderr


def test_a_context_has_certificates_of_its_own(
    port: int, authority: Authority, data: Path, tmp_path: Path, rows: Rows
) -> None:
    rows.insert(new_id())
    ours, host = authority.certify("context", "clientAuth"), f"tcp://{NAME}:{port}"
    for name, skip in (("verified", False), ("careless", True)):
        contexts.create(tmp_path, name, host, certificates=ours, skip_tls_verify=skip)
    (tmp_path / "trusting").mkdir()
    shutil.copy(ours / "ca.pem", tmp_path / "trusting")
    contexts.create(tmp_path, "nobody", host, certificates=tmp_path / "trusting")
    contexts.create(tmp_path, "plain", host)
    for name, status, words in (
        ("verified", 0, ""),
        ("careless", 0, "unless skip-tls-verify=false has its certificate verified"),
        ("nobody", 3, "(context nobody) refuses our certificate"),
        ("plain", 3, "speaks TLS alone"),
    ):
        done = sweep(data, {"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": name})
        assert done.returncode == status, done.stderr
        assert words in done.stderr
        assert (words == "") == (done.stderr == "")


def test_the_drop_in_takes_over_the_certificates_of_a_client(
    api: docker.APIClient, port: int, authority: Authority, data: Path, rows: Rows
) -> None:
    rows.insert(live := new_id())
    staying = deploy(api, live, decky_numbers=(1,), start=False)
    orphan = deploy(api, new_id(), decky_numbers=(2,), start=False)
    ours = authority.certify("button", "clientAuth")
    certificate, key, authorities = (
        str((ours / f"{name}.pem").rename(ours / f"our-{name}")) for name in ("cert", "key", "ca")
    )
    tls = docker.tls.TLSConfig((certificate, key), authorities, verify=True)
    client = docker.APIClient(f"tcp://{NAME}:{port}", "1.41", tls=tls)  # it asks nothing
    repo = Listed(live, db_path=data / "decnet.db")
    report = asyncio.run(reap_orphan_topology_resources(repo, client))
    assert report.errors == []
    assert not orphan.remaining(api)
    staying.assert_intact(api)


def sweep(data: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Sweep, in this environment and beside the database there."""
    url = f"sqlite:///{data}/decnet.db"
    return call("sweep", "--timeout=1", "--database-url", url, variables=environment)
