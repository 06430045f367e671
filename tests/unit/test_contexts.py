"""Which engine is meant, by address, context or neither: what Docker's CLI 28.2 does of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from listener.errors import ConfigurationError
from listener.runtime.contexts import Place, engine_place
from listener.settings import Settings
from tests.support import contexts

ENGINES = {
    "rootless": "unix:///run/user/1000/docker.sock",
    "edge": "tcp://edge:2375",
    "current": "unix:///run/current.sock",
}
"""The contexts of these tests, with the addresses of their engines."""
USUAL = "unix:///var/run/docker.sock"
FLAG, VARIABLE, FILE = "--", "REAPER_", ""
"""How an option is given, before its name."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Docker's configuration, with a current context."""
    for name, host in ENGINES.items():
        contexts.create(tmp_path, name, host)
    contexts.use(tmp_path, "current")
    return tmp_path


def place(folder: Path, given: dict[str, str]) -> Place:
    """Where the engine is for who gave this."""
    flags: dict[str, object] = {}
    environment, lines = {"DOCKER_CONFIG": str(folder)}, []
    for key, value in given.items():
        if key.startswith(FLAG):
            flags[key.removeprefix(FLAG)] = value
        elif key.isupper():
            environment[key] = value
        else:
            lines.append(f"{key} = {value!r}\n")
    config = folder / "reaper.toml"
    config.write_text("".join(lines))
    return engine_place(Settings.from_environment(environment, flags=flags, config=config))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({}, "current"),
        ({"docker_context": "edge"}, "edge"),
        ({"docker_host": "tcp://a:1"}, "tcp://a:1"),
        ({"docker_host": "tcp://a:1", "DOCKER_CONTEXT": "edge"}, "edge"),
        ({"docker_context": "edge", "DOCKER_HOST": "tcp://a:1"}, "tcp://a:1"),
        ({"DOCKER_CONTEXT": "edge"}, "edge"),
        ({"DOCKER_HOST": "tcp://a:1"}, "tcp://a:1"),
        ({"DOCKER_HOST": "tcp://a:1", "DOCKER_CONTEXT": "edge"}, "tcp://a:1"),
        ({"DOCKER_HOST": "tcp://a:1", "REAPER_DOCKER_CONTEXT": "edge"}, "edge"),
        ({"REAPER_DOCKER_HOST": "tcp://a:1", "DOCKER_CONTEXT": "edge"}, "tcp://a:1"),
        ({"--docker_context": "edge", "DOCKER_HOST": "tcp://a:1"}, "edge"),
        ({"--docker_context": "edge", "DOCKER_CONTEXT": "rootless"}, "edge"),
        ({"--docker_host": "tcp://a:1", "DOCKER_CONTEXT": "edge"}, "tcp://a:1"),
        ({"--docker_host": USUAL}, USUAL),
        ({"--docker_context": "default"}, USUAL),
        ({"--docker_context": "default", "DOCKER_HOST": "tcp://a:1"}, "tcp://a:1"),
        ({"DOCKER_CONTEXT": "default"}, USUAL),
        ({"--docker_context": "", "DOCKER_HOST": "tcp://a:1"}, "tcp://a:1"),
    ],
)
def test_what_is_given_more_closely_counts(folder: Path, given: dict[str, str], meant: str) -> None:
    found = place(folder, given)
    name = meant if meant in ENGINES else ""
    assert (found.host, found.context) == (ENGINES.get(meant, meant), name)


@pytest.mark.parametrize("how", [FLAG, VARIABLE, FILE])
def test_two_that_are_given_alike_are_refused(folder: Path, how: str) -> None:
    names = ("docker_host", "docker_context")
    keys = [(how + name).upper() if how == VARIABLE else how + name for name in names]
    with pytest.raises(ConfigurationError, match=r"--docker-host is given as well; give one"):
        place(folder, dict(zip(keys, ("tcp://a:1", "edge"), strict=True)))


def test_without_a_current_context_it_is_the_usual_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, working = tmp_path / "empty", tmp_path / "working"
    assert place_in(empty) == Place(USUAL)
    empty.mkdir()
    assert place_in(empty) == Place(USUAL)
    contexts.use(empty, "default")
    assert place_in(empty) == Place(USUAL)
    # Whoever may write the working folder does not choose the engine.
    (empty / "config.json").unlink()
    contexts.create(working, "rootless", "tcp://evil:1")
    monkeypatch.chdir(working)
    with pytest.raises(ConfigurationError, match="has no context 'rootless'"):
        place_in(empty, docker_context="rootless")


def test_settings_that_were_not_read_from_an_environment_follow_no_current_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts.create(tmp_path / ".docker", "current", ENGINES["current"])
    contexts.use(tmp_path / ".docker", "current")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert engine_place(Settings()) == Place(USUAL)
    assert engine_place(Settings.from_environment()).context == "current"


@pytest.mark.parametrize("said", [b"", b" \n", b"null"])
def test_a_configuration_that_says_nothing_has_no_current_context(
    tmp_path: Path, said: bytes
) -> None:
    (tmp_path / "config.json").write_bytes(said)
    assert place_in(tmp_path) == Place(USUAL)


@pytest.mark.parametrize("said", [b"[" * 200_000, b'{"currentContext": "\\ud800"}', b"{]"])
def test_a_hostile_configuration_is_one_sentence(tmp_path: Path, said: bytes) -> None:
    (tmp_path / "config.json").write_bytes(said)
    with pytest.raises(ConfigurationError, match="--docker-context: "):
        place_in(tmp_path)


def test_a_pipe_is_no_configuration(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    assert place_in(tmp_path) == Place(USUAL)


def place_in(folder: Path, docker_context: str = "") -> Place:
    return engine_place(Settings(docker_config=str(folder), docker_context=docker_context))


def test_certificates_are_those_of_the_context(tmp_path: Path) -> None:
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    for name, skip in (("verified", False), ("unverified", True)):
        contexts.create(
            tmp_path, name, "tcp://h:1", certificates=certificates, skip_tls_verify=skip
        )
    contexts.create(tmp_path, "plain", "tcp://h:1")
    contexts.create(tmp_path, "bare", "tcp://h:1", skip_tls_verify=True)
    contexts.create(tmp_path, "socket", "unix:///s", certificates=certificates)
    found = {name: place_in(tmp_path, name) for name in ("verified", "unverified", "bare")}
    assert [(p.certificates is not None, p.verify) for p in found.values()] == [
        *((True, True), (True, False), (True, False))
    ]
    assert place_in(tmp_path, "plain").certificates is None
    assert place_in(tmp_path, "socket").certificates is None
    folder = found["verified"].certificates
    assert folder is not None
    assert folder.is_relative_to(tmp_path / "contexts" / "tls")
    # The variables are for an address, not for a context.
    settings = Settings(docker_config=str(tmp_path), docker_context="plain", docker_tls_verify=True)
    assert engine_place(settings).certificates is None
