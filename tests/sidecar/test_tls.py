"""Over TCP with certificates on both sides, as `dockerd --tlsverify` wants it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from debian_packages import ensure
from private_engine import PrivateEngine

from tests.engine.conftest import connect, gone
from tests.sidecar.conftest import OWNER, Wire, load_image
from tests.sidecar.container import DATA, Sidecar, mount
from tests.support.decnet import deploy, new_id
from tests.support.rows import Rows

NAME = "docker.example"
"""The engine's name in its certificate."""
PORT = 2376
CERTIFICATES = "/certificates"
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
def engine(authority: Authority, image_archive: Path) -> Iterator[PrivateEngine]:
    """A private engine with the image, also on TCP, for whom its authority knows."""
    files = {"cert": "cert.pem", "key": "key.pem", "cacert": "ca.pem"}
    folder = authority.certify(NAME, "serverAuth")
    options = ["--tlsverify", f"--host=tcp://0.0.0.0:{PORT}"]
    options += [f"--tls{name}={folder / file}" for name, file in files.items()]
    with PrivateEngine(dockerd_options=options) as engine:
        load_image(engine, image_archive)
        yield engine


@pytest.fixture
def image(engine: PrivateEngine, image_archive: Path) -> str:
    """The image's name on it."""
    return load_image(engine, image_archive)


def over_tls(wire: Wire, certificates: Path, data: Path) -> tuple[str, ...]:
    """The options of one that reaches the engine by TCP alone, with these certificates."""
    return (
        *(f"--user={OWNER}:{OWNER}", f"--add-host={NAME}:{wire.there}", mount(data, DATA)),
        mount(certificates, CERTIFICATES, read_only=True),
        f"--env=REAPER_DATABASE_URL=sqlite:///{DATA}/decnet.db",
        *(f"--env=DOCKER_HOST=tcp://{NAME}:{PORT}", "--env=DOCKER_TLS_VERIFY=1"),
        f"--env=DOCKER_CERT_PATH={CERTIFICATES}",
        # What a host sets for its clients of the web is not for the engine.
        "--env=REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt",
        *(f"--env={name}=http://127.0.0.1:9" for name in ("HTTPS_PROXY", "HTTP_PROXY")),
    )


def test_it_does_its_work_over_tcp_with_certificates_on_both_sides(
    engine: PrivateEngine, image: str, wire: Wire, authority: Authority, data: Path, rows: Rows
) -> None:
    doomed, live = new_id(), new_id()
    rows.insert(doomed, live)
    certificates = authority.certify("listener", "clientAuth")
    with connect(engine) as api:
        orphan, staying = deploy(api, doomed), deploy(api, live, decky_numbers=(3, 4))
        listener = Sidecar(engine, api, image, *over_tls(wire, certificates, data))
        listener.start()

        rows.delete(doomed)

        gone(api, orphan)
        staying.assert_intact(api)
        assert listener.stop() == 0


@pytest.mark.usefixtures("rows")
def test_who_is_refused_is_told_by_whom_and_what_to_do_about_it(
    engine: PrivateEngine, image: str, wire: Wire, authority: Authority, data: Path, tmp_path: Path
) -> None:
    none = tmp_path / "none"
    none.mkdir()
    (tmp_path / "other").mkdir()
    ours, other = authority.certify("ours", "clientAuth"), Authority(tmp_path / "other" / "ca")
    stranger, trusting = other.certify("stranger", "clientAuth"), tmp_path / "trusting"
    authority.vouch_in(stranger)
    shutil.copytree(ours, trusting)
    other.vouch_in(trusting)
    plain = ("--env=DOCKER_TLS_VERIFY=", "--env=DOCKER_CERT_PATH=")
    by_address = f"--env=DOCKER_HOST=tcp://{wire.there}:{PORT}"
    cases: list[tuple[Path, tuple[str, ...], int, str]] = [
        (none, (), 2, "no usable ca.pem, cert.pem and key.pem"),
        (stranger, (), 3, "refuses our certificate"),
        (trusting, (), 3, "shows a certificate that is not trusted"),
        (ours, (by_address,), 3, "shows a certificate that is not trusted (IP address mismatch"),
        (ours, plain, 3, "speaks TLS alone"),
    ]
    with connect(engine) as api:
        swept = []
        for folder, options, *_ in cases:
            given = (*over_tls(wire, folder, data), *options)
            command = ("sweep", "--timeout=1")
            swept.append(Sidecar(engine, api, image, *given, command=command))
            swept[-1].start(wait=False)
        for one, (*_, status, words) in zip(swept, cases, strict=True):
            assert api.wait(one.id)["StatusCode"] == status, one.log
            (sentence,) = one.sentences
            assert words in sentence
            assert re.search(r"DOCKER_(CERT_PATH|TLS_VERIFY)", sentence), "the remedy"
            assert "_ssl.c" not in one.log


def test_an_engine_whose_certificate_nobody_looks_at_is_warned_of(
    engine: PrivateEngine, image: str, wire: Wire, authority: Authority, data: Path, rows: Rows
) -> None:
    rows.insert(new_id())
    certificates = authority.certify("careless", "clientAuth")
    careless = (*over_tls(wire, certificates, data), "--env=DOCKER_TLS_VERIFY=")
    with connect(engine) as api:
        listener = Sidecar(engine, api, image, *careless)
        listener.start()
        (line,) = listener.logged("tls")
        assert (line["level"], "DOCKER_TLS_VERIFY=1" in line["message"]) == ("WARNING", True)
        assert not listener.sentences, "nothing but the log"
        assert listener.stop() == 0
