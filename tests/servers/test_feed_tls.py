"""Questions and feeds of servers that are reached by TLS alone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence

import pytest
import sqlalchemy as sa

from listener.errors import NoAnswer
from tests.servers.conftest import SECRET, Ear, Side, heard_of
from tests.support.decnet import new_id
from tests.support.rows import Rows
from tests.support.servers import PrivateMariaDB, PrivatePostgres, PrivateServer

CERTIFY = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
CERTIFY += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out certificate.pem"


def certify(server: PrivateServer) -> None:
    """Make a certificate and its key in the server's directory."""
    subprocess.run(CERTIFY.split(), cwd=server.directory, check=True, capture_output=True)
    for name in ("key.pem", "certificate.pem"):
        shutil.chown(server.directory / name, server.system_user)


class TlsPostgres(PrivatePostgres):
    """PostgreSQL with a certificate."""

    def _initialise(self) -> Sequence[str]:
        certify(self)
        return super()._initialise()

    def _serve(self) -> Sequence[str]:
        files = {"cert": "certificate.pem", "key": "key.pem"}
        names = [f"ssl_{name}_file={self.directory / file}" for name, file in files.items()]
        return [*super()._serve(), *(part for name in ["ssl=on", *names] for part in ("-c", name))]


class TlsMariaDB(PrivateMariaDB):
    """MariaDB with a certificate."""

    def _initialise(self) -> Sequence[str]:
        certify(self)
        return super()._initialise()

    def _serve(self) -> Sequence[str]:
        files = {"cert": "certificate.pem", "key": "key.pem"}
        options = [f"--ssl-{name}={self.directory / file}" for name, file in files.items()]
        return [*super()._serve(), *options]


@pytest.fixture(params=[TlsPostgres, TlsMariaDB], ids=["postgres", "mariadb"])
def tls_side(request: pytest.FixtureRequest) -> Iterator[Side]:
    """A fresh database with an empty table on each server in turn."""
    with (
        request.param() as server,
        server.fresh_database() as name,
        Rows(server.url(database=name)) as rows,
    ):
        rows.create_table()
        yield Side(server, name, server.url(database=name), rows)


def test_what_a_url_says_of_tls_holds_for_questions_and_feeds(tls_side: Side, ear: Ear) -> None:
    side, certificate = tls_side, str(tls_side.server.directory / "certificate.pem")
    url = sa.make_url(side.listener())
    role = url.username
    if side.on_postgres:
        settings = side.server.data / "pg_hba.conf"
        settings.write_text("hostssl all all all scram-sha-256\n")
        side.execute("SELECT pg_reload_conf()")
        trusted = url.update_query_dict({"sslmode": "verify-full", "sslrootcert": certificate})
        untold = url.update_query_dict({"sslmode": "disable"})
    else:
        side.execute(f"ALTER USER {role} REQUIRE SSL")
        trusted = url.update_query_dict({"ssl_ca": certificate})
        untold = url.update_query_dict({"ssl_disabled": "true"})
    with pytest.raises(NoAnswer) as caught:
        ear.listen(side, untold.render_as_string(hide_password=False))
    assert SECRET not in str(caught.value)
    follower = ear.listen(side, trusted.render_as_string(hide_password=False), check_every=0.2)
    ids = [new_id() for _ in range(20)]
    side.rows.insert(*ids)
    assert heard_of(follower, side.rows, lambda: [side.rows.delete(id_) for id_ in ids]) == [
        [id_] for id_ in ids
    ]
    hints = heard_of(follower, side.rows, lambda: side.rows.execute("TRUNCATE TABLE topologies"))
    assert hints == [None]
    follower.end()
    assert follower.error is None
