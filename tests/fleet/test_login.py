"""How a host shows a broker who it is, and that it tells nobody else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import nkeys
import pytest

from listener.databases.urls import open_topologies
from listener.errors import NoAnswer
from tests.support.servers import PrivateNats

HEARD = "no relay named"
"""What a host is told that was let in."""
CERTIFY = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={0}"
CERTIFY += " -addext subjectAltName=IP:127.0.0.1 -keyout {0}.key -out {0}.pem"
TLS = """
tls: {{cert_file: "{0}/broker.pem", key_file: "{0}/broker.key", ca_file: "{0}/host-7.pem",
       verify_and_map: true}}
authorization: {{users: [{{user: "CN=host-7"}}]}}
"""


def told(url: str, credentials: str = "") -> str:
    with closing(open_topologies(url, nats_credentials=credentials)) as table:
        with pytest.raises(NoAnswer) as caught:
            table.ask(())
        return str(caught.value)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PrivateNats, Path]]:
    """A broker that knows a host by its certificate, and where the certificates are."""
    folder = tmp_path_factory.mktemp("certificates")
    for parent in (folder, *folder.parents):
        if parent.is_relative_to("/tmp") and parent != Path("/tmp"):
            parent.chmod(0o755)
    for name in ("broker", "host-7"):
        subprocess.run(CERTIFY.format(name).split(), cwd=folder, check=True, capture_output=True)
    shutil.chown(folder / "broker.key", PrivateNats.system_user)
    with PrivateNats(TLS.format(folder)) as server:
        yield server, folder


def test_a_certificate(secured: tuple[PrivateNats, Path]) -> None:
    server, folder = secured
    ours = f"sslcert={folder}/host-7.pem&sslkey={folder}/host-7.key"
    url = f"tls://{server.address}/x?host=host-7&sslrootcert={folder}/broker.pem"
    assert HEARD in told(f"{url}&{ours}")
    assert "TLS" in told(f"tls://{server.address}/x?{ours}"), "an authority that is not known"
    assert HEARD not in told(url)


def test_an_nkey(tmp_path: Path) -> None:
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    file = tmp_path / "host-7.nk"
    file.write_bytes(seed)
    public = nkeys.from_seed(seed).public_key.decode()
    with PrivateNats(f"authorization: {{users: [{{nkey: {public}}}]}}") as server:
        url = f"nats://{server.address}/x?host=host-7"
        assert HEARD in told(url, str(file))
        assert "does not let this user in" in told(url)


def test_nothing_is_said_in_clear_where_it_is_to_be_encrypted() -> None:
    with PrivateNats("debug: true, trace: true") as server:
        assert "does not encrypt" in told(f"tls://host-7:s3cret@{server.address}/x")
        server.terminate()
        assert "CONNECT" not in server.log.read_text()
