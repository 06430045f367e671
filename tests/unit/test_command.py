"""The command that releases what is held, as it is told: complete, for a shell that has nothing."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from listener.runtime import command
from listener.runtime.command import sweep_command
from listener.settings import Settings
from tests.support import contexts

SOCKET = "unix:///run/docker-host/docker.sock"
USUAL = ("--docker-host", "unix:///var/run/docker.sock")
"""What is said of the engine where nothing was: root's shell may have a context."""


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """In no container, with the program where a shell finds it, and without contexts."""
    monkeypatch.setattr(command, "own_containers", frozenset)
    monkeypatch.setattr(command, "_program", lambda: ["topology-reaper"])
    monkeypatch.setenv("HOME", "/nowhere")


def words(environment: dict[str, str], *, config: Path | None = None, **flags: object) -> list[str]:
    """What follows the program, for who was given this."""
    settings = Settings.from_environment(environment, flags=flags, config=config)
    told = sweep_command(settings, config=config, environment=environment)
    return shlex.split(told)[1:]


def test_it_has_what_was_given_by_flag_or_variable_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"REAPER_GRACE": "0.5", "DOCKER_HOST": SOCKET, "REAPER_LOG_LEVEL": "DEBUG"}
    environment |= {"STATE_DIRECTORY": "/var/lib/topology-reaper", "REAPER_HTTP": "off"}
    given = ("sqlite:///it is.db", "sqlite:///file:own.db?mode=rw&uri=true")
    told = words(environment, database_url=given, keep_volumes=True)
    assert told == [
        *("sweep", "--database-url", f"sqlite:///{tmp_path}/it is.db"),
        *("--database-url", f"sqlite:///{tmp_path}/own.db", "--docker-host", SOCKET),
        *("--grace", "0.5", "--keep-volumes"),
    ]


def test_what_a_file_says_is_left_to_the_file(tmp_path: Path) -> None:
    config = tmp_path / "reaper.toml"
    config.write_text('database_url = "mysql://u:secret@h/d"\nstate_dir = "/s"\ngrace = 7\n')
    assert words({}, config=config, grace="8") == [
        "sweep",
        "--config",
        str(config),
        *USUAL,
        "--grace",
        "8",
    ]
    config.write_text(f'database_url_file = "{tmp_path}/urls"\nstate_dir = "/s"')
    told = words({}, config=config, database_url=("sqlite:////a",))
    assert told == ["sweep", "--config", str(config), "--database-url", "sqlite:////a", *USUAL]
    config.write_text(
        f'database_url = "mysql://u:secret@h/d"\nstate_dir = "/s"\ndocker_host = "{SOCKET}"'
    )
    assert words({}, config=config) == ["sweep", "--config", str(config)]
    config.write_text('database_url = "mysql://u:secret@h/d"\npolicy = "wrong"\n')
    told = words({"REAPER_POLICY": "witnessed"}, config=config, state_dir="/s")
    url = ["--database-url", "mysql://u:***@h/d"]
    assert told == ["sweep", *url, *USUAL, "--policy", "witnessed", "--state-dir", "/s"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://u:secret@h:1/d?sslmode=require", "postgresql://u:***@h:1/d?sslmode=require"),
        ("mysql://h/d?password=secret&passfile=/f", "mysql://h/d?passfile=%2Ff&password=***"),
        ("tls://host-7:s/ecret@a,b:1/d?sslcert=/f", "tls://host-7:***@a,b:1/d?sslcert=/f"),
    ],
)
def test_a_password_is_never_in_it(given: str, shown: str) -> None:
    told = words({}, database_url=(given,), state_dir="/s")
    assert told == ["sweep", "--database-url", shown, *USUAL, "--state-dir", "/s"]


def test_decnets_own_variables_count_unless_something_else_was_given(tmp_path: Path) -> None:
    decnet = {"DECNET_DB_TYPE": "mysql", "DECNET_DB_PASSWORD": "secret"}
    state = {"STATE_DIRECTORY": "/var/lib/topology-reaper"}
    url = "mysql://decnet:***@localhost:3306/decnet"
    assert words({**decnet, **state}) == ["sweep", "--database-url", url, *USUAL]
    file = str(tmp_path / "urls")
    assert words({**decnet, **state, "REAPER_DATABASE_URL_FILE": file}) == [
        *("sweep", "--database-url-file", file, *USUAL)
    ]


def test_what_decnets_file_names_is_told_as_a_url(tmp_path: Path) -> None:
    ini, toml = tmp_path / "decnet.ini", tmp_path / "reaper.toml"
    ini.write_text("[database]\ntype = mysql\nhost = db\n")
    toml.write_text(f'decnet_config = "{ini}"\nstate_dir = "/s"\n')
    told = words({"DECNET_DB_PASSWORD": "secret"}, decnet_config=str(ini), state_dir="/s")
    url = ["--database-url", "mysql://decnet:***@db:3306/decnet"]
    assert told == ["sweep", *url, *USUAL, "--state-dir", "/s"]
    assert words({}, config=toml) == ["sweep", "--config", str(toml), *USUAL]
    given = ("sqlite:////a",)
    told = words({}, decnet_config="/none", database_url=given, state_dir="/s")
    assert told == ["sweep", "--database-url", "sqlite:////a", *USUAL, "--state-dir", "/s"]


def test_what_has_no_flag_is_a_variable_of_the_command(tmp_path: Path) -> None:
    certificates = tmp_path / "my certificates"
    environment = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates)}
    settings = Settings.from_environment(environment, flags={"state_dir": "/s"})
    assert sweep_command(settings).startswith(
        f"env DOCKER_TLS_VERIFY=1 'DOCKER_CERT_PATH={certificates}' topology-reaper sweep "
    )


def test_in_a_container_it_is_run_there_with_what_only_a_flag_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "own_containers", lambda: frozenset(["0123456789ab" + "0" * 52]))
    environment = {"REAPER_DATABASE_URL": "mysql://u:secret@h/d", "DOCKER_HOST": SOCKET}
    assert words(environment, policy="witnessed") == [
        *("exec", "0123456789ab", "topology-reaper", "sweep", "--policy", "witnessed")
    ]


def test_it_names_the_engine_of_a_context_to_whoever_has_another(tmp_path: Path) -> None:
    for name in ("current", "given"):
        contexts.create(tmp_path, name, SOCKET)
    contexts.use(tmp_path, "current")
    ours = {"DOCKER_CONFIG": str(tmp_path), "STATE_DIRECTORY": "/var/lib/topology-reaper"}
    told = [f"DOCKER_CONFIG={tmp_path}", "topology-reaper", "sweep", "--docker-context"]
    assert words(ours) == [*told, "current"]
    assert words({**ours, "DOCKER_CONTEXT": "given"}) == [*told, "given"]
    assert words({**ours, "DOCKER_HOST": SOCKET})[-2:] == ["--docker-host", SOCKET]
    assert words({**ours, "DOCKER_CONTEXT": "default"})[-2:] == [*USUAL]
