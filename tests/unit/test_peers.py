"""What listeners on one engine hold, they tell each other; whose word counts, and for how long."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from listener.core.judge import Hold, Peers
from listener.runtime.peers import asking, names
from listener.runtime.peers.asking import OtherListeners
from listener.runtime.peers.serving import HoldsSocket
from tests.support.process import PATIENCE, eventually
from tests.world.parts import P, Q

WHY = Hold("the table was replaced", never_seen=False)

Serve = Callable[[Mapping[str, Hold] | None], HoldsSocket]


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers has time for it, whatever else this machine does."""
    monkeypatch.setattr(asking, "PATIENCE", PATIENCE)
    monkeypatch.setattr(asking, "PROMPTLY", PATIENCE)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for."""
    monkeypatch.setattr(asking, "PATIENCE", 0.0)


@pytest.fixture
def mark() -> str:
    """Of an engine that no other test has."""
    return secrets.token_hex(16)


@pytest.fixture
def serve(mark: str) -> Iterator[Serve]:
    """Begins listeners on this engine that hold something, or have not judged yet."""
    opened: list[HoldsSocket] = []

    def serve(held: Mapping[str, Hold] | None) -> HoldsSocket:
        opened.append(HoldsSocket(Path("/its/state"), lambda: held))
        opened[-1].open(mark)
        return opened[-1]

    yield serve
    for one in opened:
        one.close()


@pytest.fixture
def others(mark: str) -> OtherListeners:
    """The others, as one sees them who is none of them."""
    return OtherListeners(lambda: mark)


@pytest.fixture
def frozen(mark: str) -> Iterator[socket.socket]:
    """A peer that takes the question and does not answer, as one that is stopped does."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(names.prefix(mark) + b"%d-1-0badcafe" % os.getpid())
        listening.listen(0)
        yield listening


def test_what_another_holds_is_told_with_its_pid_and_state_folder(
    serve: Serve, others: OtherListeners
) -> None:
    serve({P: WHY})
    serve({Q: Hold("its row was never seen", never_seen=True)})
    who = f"the listener with pid {os.getpid()} and the state folder /its/state holds it:"
    assert others.ask() == Peers(
        {
            P: Hold(f"{who} the table was replaced", never_seen=False),
            Q: Hold(f"{who} its row was never seen", never_seen=True),
        }
    )


def test_nobody_hears_of_itself_or_of_those_on_another_engine(serve: Serve, mark: str) -> None:
    ours = serve({P: WHY})
    assert OtherListeners(lambda: mark, ours.is_ours).ask() == Peers()
    assert OtherListeners(lambda: "another").ask() == Peers()
    assert OtherListeners(lambda: "").ask() == Peers()


def test_one_that_has_judged_nothing_yet_is_silent(serve: Serve, others: OtherListeners) -> None:
    serve(None)
    assert others.ask() == Peers({}, f"the listener with pid {os.getpid()}")


@pytest.mark.usefixtures("at_once")
def test_a_silent_one_is_named_and_its_answer_is_taken_when_it_comes(
    frozen: socket.socket, others: OtherListeners
) -> None:
    silent = Peers({}, f"the listener with pid {os.getpid()}")
    assert others.ask() == silent
    assert others.ask() == silent
    connection, _ = frozen.accept()
    frozen.settimeout(0)
    with pytest.raises(BlockingIOError):
        frozen.accept()  # it was asked but once
    with connection:
        answer = b'{"state": "/x", "held": {"%b": {"reason": "y", "never_seen": false}}}'
        connection.sendall(answer % P.encode())
    eventually(lambda: P in others.ask().holds, "it is heard")


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    "said",
    [b"", b"{", b"[]", b'{"state": "", "held": []}', b'{"state": "", "held": {"%b": {}}}'],
)
def test_an_answer_that_cannot_be_understood_is_none(
    frozen: socket.socket, others: OtherListeners, said: bytes
) -> None:
    assert others.ask().silent
    connection, _ = frozen.accept()
    with connection:
        connection.sendall(said.replace(b"%b", P.encode()))
    found = others.ask()
    assert (found.holds, bool(found.silent)) == ({}, True)


def crowd(name: bytes, stack: ExitStack) -> None:
    """Fill the queue of whoever listens at this name."""
    while True:
        one = stack.enter_context(socket.socket(socket.AF_UNIX))
        one.setblocking(False)
        try:
            one.connect(name)
        except BlockingIOError:
            return


@pytest.mark.usefixtures("frozen")
def test_who_has_so_many_waiting_that_it_cannot_be_asked_is_silent(
    others: OtherListeners, mark: str
) -> None:
    (name,) = names.find(mark)
    with ExitStack() as stack, socket.socket(socket.AF_UNIX) as forged:
        # Our parent does not listen there, whatever the name says.
        forged.bind(names.prefix(mark) + b"%d-1-0badcafe" % os.getppid())
        forged.listen(0)
        crowd(name, stack)
        crowd(forged.getsockname(), stack)
        assert others.ask() == Peers({}, f"the listener with pid {os.getpid()}")
    others.close()


def test_where_nobody_can_tell_who_listens_all_may_be_silent(
    serve: Serve, others: OtherListeners, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve({P: WHY})
    held = others.ask().holds
    monkeypatch.setattr(names, "SOCKETS", tmp_path / "none")
    found = others.ask()
    assert (found.holds, bool(found.silent)) == (held, True)


def test_of_two_who_hold_the_same_the_stronger_reason_counts(
    serve: Serve, others: OtherListeners
) -> None:
    for never_seen in (True, False, True):
        serve({P: Hold("because", never_seen=never_seen)})
    assert not others.ask().holds[P].never_seen


def test_what_one_held_that_is_gone_is_held_for_a_while(
    serve: Serve, others: OtherListeners, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = serve({P: WHY})
    held = others.ask()
    one.close()
    assert others.ask() == others.ask() == held
    monkeypatch.setattr(asking, "LINGER", 0.0)
    eventually(lambda: others.ask() == Peers(), "it counts no more")


AS_NOBODY = """
import os, sys
from pathlib import Path
from listener.core.judge import Hold
from listener.runtime.peers import asking, names
from listener.runtime.peers.asking import OtherListeners
from listener.runtime.peers.serving import HoldsSocket
os.setresuid(65534, 65534, 65534)
mark = sys.argv[1]
one = HoldsSocket(Path("/of/nobody"), lambda: {"cccccccc": Hold("because", never_seen=False)})
one.open(mark)
asking.PATIENCE = 60.0
print(*sorted(OtherListeners(lambda: mark).ask().holds), flush=True)
sys.stdin.read()
"""
"""Begins a listener as another user, and asks all, until its input ends."""


def test_only_root_and_the_same_user_are_believed(
    serve: Serve, others: OtherListeners, mark: str
) -> None:
    serve({P: WHY})
    stranger = subprocess.Popen(
        [sys.executable, "-c", AS_NOBODY, mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with stranger:
        assert stranger.stdin is not None
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == f"{P} cccccccc\n", "root's word, and its own"
        assert len(names.find(mark)) == 2
        found = others.ask()
        assert (list(found.holds), found.silent) == ([P], "")
        stranger.stdin.close()
    assert stranger.returncode == 0
