"""DECNET's ini file and variables, as DECNET itself reads them, and where its SQLite file lies."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from listener.errors import ConfigurationError
from listener.settings import Settings, decnet
from tests.support.forked import CONTEXT
from tests.support.rows import become

Write = Callable[[str], str]


@pytest.fixture
def ini(tmp_path: Path) -> Write:
    """Writes the file; its path."""

    def write(text: str) -> str:
        path = tmp_path / "decnet.ini"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host without DECNET; the folder of its programs."""
    monkeypatch.setattr(decnet, "HOME", tmp_path / "opt/decnet")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path / "usr/bin"))
    return tmp_path


WHOLE = """\
[decnet]
mode = master                 # or "agent"
[database]
type = MySQL                  ; or sqlite
host = db.example             # theirs
port = 3307
name = honey
user = bee
password = not here
"""
SECRET = {"DECNET_DB_PASSWORD": "s3cret"}


def named(config: str, **variables: str) -> list[tuple[str, str]]:
    given = Settings.from_environment(variables, flags={"decnet_config": config})
    return [*given.databases]


def test_the_file_yields_key_by_key_to_the_variables_and_both_to_a_url(ini: Write) -> None:
    config = ini(WHOLE)
    place = "--decnet-config"
    assert named(config) == [(place, "mysql://bee@db.example:3307/honey")]
    assert named(config, **SECRET) == [(place, "mysql://bee:s3cret@db.example:3307/honey")]
    assert named(config, DECNET_DB_HOST="other", DECNET_DB_NAME="") == [
        (place, "mysql://bee@other:3307/decnet")  # an empty variable is there, as for DECNET
    ]
    assert named(config, DECNET_DB_URL="mysql+asyncmy://h/d") == [(place, "mysql+asyncmy://h/d")]
    ours = {"REAPER_DATABASE_URL": "sqlite:////a"}
    assert named(config, **ours) == [("--database-url", "sqlite:////a")]
    assert named("/none", **ours) == [("--database-url", "sqlite:////a")]


def test_a_url_in_the_file_wins_over_its_other_keys_and_a_program_names_the_file(
    ini: Write,
) -> None:
    config = ini(WHOLE + "url = mysql+asyncmy://u@h/d   # wins\n")
    settings = Settings(decnet_config=config)
    assert settings.databases == [("--decnet-config", "mysql+asyncmy://u@h/d")]


def test_what_was_read_is_not_read_again(ini: Write) -> None:
    settings = Settings(decnet_config=ini(WHOLE))
    before = settings.databases
    Path(settings.decnet_config).unlink()
    assert settings.databases == before


def refusal(config: str, **variables: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        named(config, **variables)
    said = str(caught.value)
    assert "\n" not in said
    assert "s3cret" not in said
    assert caught.value.remedy
    return said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[decnet]\nmode = master\n# [database]\n# type = mysql\n",
        "[database]\n",
        "[database]\ntype = sqlite   # or mysql\nhost = db\n",
        "[database]\ntype = mariadb\n",
    ],
)
def test_a_file_without_a_mysql_server_is_refused_with_where_sqlite_usually_lies(
    ini: Write, text: str
) -> None:
    config = ini(text)
    said = refusal(config)
    assert said.startswith(f"--decnet-config: {config} names no MySQL server in a section [data")
    assert f"usually is {decnet.HOME}/decnet.db, which is not there, or " in said
    (url,) = named(config, DECNET_DB_TYPE="mysql", **SECRET)
    assert url[1].endswith(":3306/decnet")
    assert refusal(ini(WHOLE), DECNET_DB_TYPE="sqlite").startswith("--decnet-config: ")


def test_a_file_that_cannot_be_used_is_refused(ini: Write, tmp_path: Path) -> None:
    for content in ("s3cret\n", "[database]\ntype = mysql\nurl = mysql://u:s3cret%40@h/d\n"):
        config = ini(content)
        assert refusal(config).startswith(f"--decnet-config: {config} is not an ini file, or has")
    config = ini("")
    Path(config).write_bytes(b"[database]\ntype = \xff\n")
    assert "is not UTF-8" in refusal(config)
    assert "cannot be read: No such file" in refusal("/none/decnet.ini")
    assert "cannot be read: Is a directory" in refusal(str(tmp_path))


@pytest.mark.parametrize("port", ["0", "65536", "many", "-1", "3306.0", "\uff11"])
def test_a_port_that_is_none_is_refused_by_the_name_of_its_place(ini: Write, port: str) -> None:
    config = ini(f"[database]\ntype = mysql\nport = {port}\n")
    assert refusal(config).startswith(f"--decnet-config: {config}: what it has is not a port")
    said = refusal(config, DECNET_DB_PORT=port)
    assert said.startswith("the variable DECNET_DB_PORT: what it has is not a port")


# Where its SQLite file lies.


def test_the_usual_places_are_found_by_looking_and_never_used(nowhere: Path) -> None:
    wheel = nowhere / "usr/lib/python3.11/site-packages"
    (wheel / "decnet").mkdir(parents=True)
    (wheel / "decnet.db").touch()
    piped = nowhere / "pipx/lib/python3.12/site-packages/decnet-1.2.1.dist-info"
    piped.mkdir(parents=True)
    checkout = {"url": f"file://{nowhere}/a%20checkout", "dir_info": {"editable": True}}
    (piped / "direct_url.json").write_text(json.dumps(checkout))
    (nowhere / "pipx/bin").mkdir()
    (nowhere / "pipx/bin/decnet").touch()
    (nowhere / "usr/bin").mkdir()
    (nowhere / "usr/bin/decnet").symlink_to(nowhere / "pipx/bin/decnet")
    installed = decnet.HOME / "venv/lib/python3.11/site-packages/decnet-1.0.0.dist-info"
    installed.mkdir(parents=True)
    here = {"url": f"file://{decnet.HOME}", "dir_info": {"editable": True}}
    (installed / "direct_url.json").write_text(json.dumps(here))
    (installed.parent / "decnet-1.0.1.dist-info").mkdir()
    (installed.parent / "decnet-1.0.1.dist-info/direct_url.json").write_text("[]")

    files = [decnet.HOME / "decnet.db", wheel / "decnet.db", nowhere / "a checkout/decnet.db"]
    assert decnet.usual_files() == files
    with pytest.raises(ConfigurationError) as caught:
        _ = Settings.from_environment({}).databases
    assert (
        f"usually is {files[0]}, which is not there, or {files[1]}, which is there, or {files[2]},"
        " which is not there; name the one that holds the topologies, for example --database-url"
        f" sqlite:///{files[0]}"
    ) in str(caught.value)


def test_what_may_not_be_looked_at_is_passed_over(nowhere: Path) -> None:
    (programs := nowhere / "closed/usr/bin").mkdir(parents=True)
    (nowhere / "closed").chmod(0o700)  # other tests open the folder that it is in
    assert (nowhere / "closed").stat().st_mode & 0o077 == 0, "no other user gets there"
    ours, theirs = CONTEXT.Pipe()
    args = (str(programs), theirs)
    child = CONTEXT.Process(target=_look_as_a_stranger, args=args, daemon=True)
    child.start()
    theirs.close()
    assert ours.recv() == ["/opt/decnet/decnet.db"]
    child.join()


def _look_as_a_stranger(path: str, pipe: Connection) -> None:
    become(27019)
    os.environ["PATH"] = path
    sys.prefix = path
    pipe.send([str(file) for file in decnet.usual_files()])
