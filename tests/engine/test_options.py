"""What ``--help`` shows makes a difference to the command, and what it leaves out makes none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import docker
import pytest
from private_engine import PrivateEngine

from listener import Listener, Settings, sweep
from listener.cli import load
from listener.cli.doctor import doctor
from listener.cli.explain import explain
from listener.cli.options import Setting
from tests.engine.push.conftest import plant
from tests.support.decnet import new_id
from tests.support.process import PATIENCE
from tests.support.rows import Rows

EARLIER = {"config", "decnet_config", "log_level", "log_format"}
"""What is looked at before a command begins, or where there is no URL."""

RELAY = Settings(database_url="sqlite:///nowhere.db", nats="nats://127.0.0.1:1", timeout=0.0)
"""Of one for which nothing is there."""


def run(settings: Settings, _: str) -> None:
    with Listener(settings, sweep_command="sweep") as listener:
        assert listener.wait_ready(PATIENCE)
        listener.status()


def of_both(settings: Settings, _: str) -> None:
    """A listener's side, and a relay's."""
    doctor(settings)
    doctor(RELAY)


@pytest.mark.parametrize(
    ("name", "do"),
    [
        ("run", run),
        ("sweep", lambda settings, _: sweep(settings)),
        ("doctor", of_both),
        ("explain", lambda settings, what: explain(settings, what, release="sweep")),
    ],
)
def test_a_command_looks_at_what_its_help_shows_and_at_nothing_else(
    name: str,
    do: Callable[[Settings, str], object],
    api: docker.APIClient,
    rows: Rows,
    engine: PrivateEngine,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows.insert(id_ := new_id())
    rows.execute("ALTER TABLE topologies DROP COLUMN status")  # doctor asks whether it is missed
    plant(api, id_)
    settings = Settings(
        docker_host=engine.host, database_url=url, state_dir=str(tmp_path), http="127.0.0.1:0"
    )
    looked_at: set[str] = set()

    def look(self: Settings, option: str) -> object:
        looked_at.add(option)
        return object.__getattribute__(self, option)

    with monkeypatch.context() as patched:
        patched.setattr(Settings, "__getattribute__", look)
        do(settings, id_[:8])
    options = [param for param in load(name).params if isinstance(param, Setting)]
    shown = {str(option.name) for option in options if not option.hidden}
    assert shown - looked_at - EARLIER == set()
    assert looked_at & {option.name for option in options if option.hidden} == set()
