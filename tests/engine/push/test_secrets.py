"""Passwords never show, whatever they look like and whatever goes wrong.

That the listener logs no password while all is well is checked in all these tests, by `run`.
"""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from private_engine import PrivateEngine

from tests.engine.conftest import Run, assert_no_password
from tests.engine.push.conftest import ONLY_PUSH, PUSH, planted, removed
from tests.support.process import call
from tests.support.rows import Rows
from tests.support.servers import PrivatePostgres, PrivateServer

ODD = "Gr@s:/#?&=;%41'\"\\ $()[]{}|+~`"


@pytest.fixture
def odd(server: PrivateServer, database_name: str, rows: Rows) -> Iterator[str]:
    """The URL of an account with a password that takes quoting, and all that push takes."""
    user = f"odd_{database_name}"
    assert rows
    if isinstance(server, PrivatePostgres):
        password = ODD.replace("'", "''")
        server.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
    else:
        password = ODD.replace("\\", "\\\\").replace("'", "''")
        server.execute(f"CREATE USER {user} IDENTIFIED BY '{password}'")
        server.execute(f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}")
    server.execute(f"GRANT SELECT ON topologies TO {user}", database=database_name)
    yield server.url(user=user, password=ODD, database=database_name)
    server.start()
    if isinstance(server, PrivatePostgres):
        server.execute(f"DROP OWNED BY {user}", database=database_name)
        server.execute(f"DROP ROLE {user}")
    else:
        server.execute(f"DROP USER {user}")


@pytest.mark.usefixtures("live")
def test_a_password_of_odd_characters_lets_it_in_and_does_not_show(
    api: docker.APIClient, rows: Rows, run: Run, server: PrivateServer, odd: str, kind: str
) -> None:
    ((doomed, container),) = planted(api, rows, 1).items()
    listener = run(*ONLY_PUSH, "--log-level", "TRACE", url=odd)
    listener.start()
    rows.delete(doomed)
    removed(api, container)
    (line,) = listener.await_log("feed")
    assert line["feed"] == PUSH[kind]
    server.terminate()
    listener.await_log("down")
    listener.kill()
    assert_no_password(listener, odd)


@pytest.mark.parametrize("kind", ["mariadb"])
@pytest.mark.usefixtures("rows")
def test_a_wrong_password_is_said_without_it(
    run: Run, server: PrivateServer, engine: PrivateEngine, database_name: str
) -> None:
    url = server.url(password=ODD, database=database_name)
    listener = run("--log-level", "TRACE", url=url)
    listener.start(wait=False)
    (down,) = listener.await_log("down")
    assert server.administrator in down["error"]
    listener.kill()
    assert_no_password(listener, url)
    where = ("--database-url", url, "--timeout", "0.1")
    for words in (
        ("sweep", "--docker-host", engine.host),
        ("feed", "install"),
        ("run", "--log-level", "nonsense"),
    ):
        result = call(*words, *where)
        assert result.returncode in (2, 3)
        assert result.stderr
        assert url.partition("@")[0].rpartition(":")[2] not in result.stderr + result.stdout
        assert ODD not in result.stderr + result.stdout
