"""From a URL to the class that asks the database behind it."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.databases.mysql.table import MysqlTopologies
from listener.databases.postgres.table import PostgresTopologies
from listener.databases.server import ServerTopologies
from listener.databases.sqlite.table import SqliteTopologies
from listener.databases.urls import open_topologies
from listener.errors import ConfigurationError, NoAnswer
from listener.runtime.build import hear, open_databases, open_tables
from listener.runtime.state.directory import StateDirectory
from listener.settings import Settings

SECRETS = ("s3cret", "alice", "db.internal", "topsecretname")


def refusal(url: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        open_topologies(url)
    assert caught.value.exit_status == 2
    text = str(caught.value)
    assert "\n" not in text
    assert "write for example sqlite:///" in text
    return text


@pytest.mark.parametrize("driver", ["sqlite", "sqlite+aiosqlite"])
def test_any_driver_of_sqlite_leads_to_the_file_itself(driver: str) -> None:
    path = "/a folder/ünï.db"
    topologies = open_topologies(f"{driver}:///{path}")
    assert isinstance(topologies, SqliteTopologies)
    assert topologies.file.path == Path(path)


def test_a_relative_path_is_taken_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    topologies = open_topologies("sqlite:///decnet.db")
    monkeypatch.chdir("/")
    assert isinstance(topologies, SqliteTopologies)
    assert topologies.file.path == tmp_path / "decnet.db"


def test_nothing_is_reached_or_made_yet(tmp_path: Path) -> None:
    assert open_topologies(f"sqlite:///{tmp_path}/absent.db").name.endswith("absent.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        *("", "s3cret", "/var/lib/decnet.db", "://", "sqlite:"),
        "alice:s3cret@db.internal/topsecretname",
        "sqlite://alice:s3cret@db.internal:port/topsecretname",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    text = refusal(url)
    assert not any(secret in text for secret in SECRETS)


@pytest.mark.parametrize(
    ("own", "path"),
    [
        ("file:/a/decnet.db?uri=true", "/a/decnet.db"),
        ("file:///a/decnet.db?mode=rw&uri=true&cache=shared", "/a/decnet.db"),
        ("file://localhost/a/decnet.db?uri=1", "/a/decnet.db"),
        ("file:/a%20folder/ünï.db?uri=true", "/a folder/ünï.db"),
        ("file:decnet.db?uri=true", "decnet.db"),
    ],
)
def test_a_url_of_sqlites_own_leads_to_the_file_that_it_names(own: str, path: str) -> None:
    topologies = open_topologies(f"sqlite+aiosqlite:///{own}")
    assert isinstance(topologies, SqliteTopologies)
    assert topologies.file.path == Path(path).absolute()


@pytest.mark.parametrize(
    "url",
    [
        *("sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=ro"),
        *("sqlite:///file:x?mode=memory&uri=true", "sqlite:///file::memory:?uri=true"),
        *("sqlite:///file://elsewhere/x?uri=true", "sqlite:///file:?uri=true"),
    ],
)
def test_a_sqlite_url_without_the_path_of_a_file_is_refused(url: str) -> None:
    assert "needs the path of a file" in refusal(url)


@pytest.mark.parametrize("scheme", ["oracle", "mssql+pyodbc"])
def test_an_unknown_scheme_is_named_and_nothing_else_of_the_url(scheme: str) -> None:
    text = refusal(f"{scheme}://alice:s3cret@db.internal/topsecretname")
    assert scheme.split("+")[0] in text
    assert not any(secret in text for secret in SECRETS)


@pytest.mark.parametrize(
    ("scheme", "kind"),
    [
        *((f"postgresql{driver}", PostgresTopologies) for driver in ("", "+asyncpg")),
        *((scheme, MysqlTopologies) for scheme in ("mysql", "mysql+asyncmy", "mariadb")),
    ],
)
def test_any_driver_of_a_server_leads_to_it_and_its_name_tells_no_password(
    scheme: str, kind: type
) -> None:
    url = f"{scheme}://alice:s3cret@db.internal:1234/decnet"
    topologies = open_topologies(url)
    assert isinstance(topologies, kind)
    assert "s3cret" not in topologies.name
    assert "db.internal" in topologies.name


def test_two_sockets_are_two_servers_whatever_else_their_urls_have_in_common() -> None:
    names = {
        open_topologies(url).name
        for url in (
            "postgresql://alice:s3cret@/decnet",
            "postgresql://alice:s3cret@/decnet?host=/run/one",
            "postgresql://alice:s3cret@/decnet?host=/run/two",
            "postgresql://alice:s3cret@/decnet?host=/run/two&port=5433",
            "postgresql://alice:s3cret@/decnet?host=one&host=two",
            "postgresql://alice:s3cret@/decnet?hostaddr=192.0.2.1",
            "postgresql://alice:s3cret@/decnet?service=one",
            "mysql://alice:s3cret@/decnet",
            "mysql://alice:s3cret@/decnet?unix_socket=/run/one.sock",
            "mysql://alice:s3cret@localhost/decnet?unix_socket=/run/two.sock",
        )
    }
    assert len(names) == 10
    assert not any("s3cret" in name or "alice" in name for name in names)


@pytest.mark.parametrize(
    ("urls", "labels"),
    [
        (["sqlite:////opt/decnet/decnet.db"], ["sqlite/decnet.db"]),
        (
            ["mysql://alice:s3cret@db.internal/decnet", "sqlite:////opt/decnet/decnet.db"],
            ["mysql/decnet", "sqlite/decnet.db"],
        ),
        (
            ["sqlite:////opt/decnet/decnet.db", "sqlite:////srv/decnet.db"],
            ["sqlite/decnet.db@/opt/decnet", "sqlite/decnet.db@/srv"],
        ),
        (["sqlite:////a/\udcff.db"], ["sqlite/\\udcff.db"]),
        (
            [
                "postgresql+asyncpg://alice:s3cret@one/decnet",
                "postgresql://alice:s3cret@two:5433/decnet",
                "postgresql://alice:s3cret@two:5433/other",
            ],
            ["postgresql/decnet@one", "postgresql/decnet@two:5433", "postgresql/other"],
        ),
    ],
)
def test_a_database_has_a_short_label_and_where_two_have_one_its_place_as_well(
    urls: list[str], labels: list[str], tmp_path: Path
) -> None:
    settings = Settings(database_url=tuple(urls), state_dir=str(tmp_path))
    databases = open_databases(settings, open_tables(settings), StateDirectory(tmp_path))
    heard = hear(settings, databases, frozenset)
    assert [database.status(missed=0)["label"] for database in heard] == labels


@pytest.mark.parametrize(
    ("option", "scheme", "module", "extra"),
    [
        ("sweep --database-url", "postgresql", "psycopg", "postgres"),
        ("sweep --database-url", "mariadb", "pymysqlreplication", "mysql"),
        ("sweep --database-url", "tls", "nats", "fleet"),
        ("relay --nats", "tls", "nats", "fleet"),
    ],
)
def test_a_missing_driver_is_one_sentence_that_names_the_extra(
    option: str, scheme: str, module: str, extra: str
) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from listener.cli import main; main()"
    url = f"{scheme}://alice:s3cret@db.internal/decnet"
    command = [sys.executable, "-c", code, *option.split(), url]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert f"is not installed; pip install 'topology-reaper[{extra}]'" in line
    assert "s3cret" not in line


@given(
    st.text()
    | st.builds("{}{}".format, st.sampled_from(["sqlite:///", "x://", "nats://"]), st.text())
)
def test_whatever_the_text_is_it_is_opened_or_refused(url: str) -> None:
    with suppress(ConfigurationError):
        assert open_topologies(url).name


@pytest.mark.parametrize(
    ("url", "instead"),
    [
        ("postgresql+asyncpg://h/d?ssl=require", "sslmode=require"),
        ("mysql+asyncmy://h/d?ssl=true", "ssl_ca="),
    ],
)
def test_a_parameter_of_an_async_driver_is_refused_with_ours(url: str, instead: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(instead)):
        open_topologies(url)


@pytest.mark.parametrize("scheme", ["mysql", "nats"])
@pytest.mark.parametrize("before", list("/#?@[%"))
def test_a_password_that_nobody_quoted_is_not_repeated(before: str, scheme: str) -> None:
    url = f"{scheme}://administrator:a{before}secret@127.0.0.1:1/decnet"
    with pytest.raises((ConfigurationError, NoAnswer)) as caught:
        open_topologies(url).ask([])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_no_driver_waits_longer_for_a_server_than_it_is_told(scheme: str) -> None:
    topologies = open_topologies(f"{scheme}://host/decnet", patience=3)
    assert isinstance(topologies, ServerTopologies)
    given = topologies.connect_parameters()
    assert {given.get(name, 3) for name in ("connect_timeout", "read_timeout")} == {3}
