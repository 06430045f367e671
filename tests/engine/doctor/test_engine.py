"""What is said of Docker: how it is reached, and each call that a proxy may refuse."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
import pytest
from debian_packages import ensure
from private_engine import PrivateEngine

from listener.core.findings import Status
from tests.cli.fake import HTML, Answers, FakeServer
from tests.engine.doctor.conftest import Look, assert_fault, assert_warning, diagnose
from tests.sidecar.haproxy import API_CALLS
from tests.sidecar.test_tls import Authority
from tests.support import contexts
from tests.support.process import PATIENCE, command, environment
from tests.support.proxy import Action, FaultProxy, Proxy, Request, answer, delay, stall

CALLS = {
    "docker.ping": "GET /_ping",
    "docker.events": "/events$",
    "docker.containers.list": "containers/json$",
    "docker.networks.list": "networks$",
    "docker.containers.read": "[a-zA-Z0-9_.-]*/json$",
    "docker.networks.read": "GET (/v1\\.[0-9]+)?/networks/",
    "docker.images.read": "images",
    "docker.networks.disconnect": "POST",
    "docker.networks.remove": "DELETE (/v1\\.[0-9]+)?/networks",
    "docker.containers.remove": "DELETE (/v1\\.[0-9]+)?/containers",
    "docker.volumes.read": "GET (/v1\\.[0-9]+)?/volumes",
    "docker.volumes.remove": "DELETE (/v1\\.[0-9]+)?/volumes",
}
"""By the id of what is found: a part of the call's line in the list of calls, and of no other."""
DEPENDING = {
    "docker.containers.read": {"docker.containers.remove"},
    "docker.volumes.read": {"docker.volumes.remove"},
    "docker.networks.read": {"docker.networks.remove", "docker.networks.disconnect"},
}
"""By call: those that are not tried without it."""
ID = re.compile(r"[0-9a-f]{64}")


def lines() -> list[str]:
    """The lines of the list of calls."""
    return [line for line in API_CALLS.read_text().splitlines() if not line.startswith("#")]


def test_each_call_that_a_proxy_refuses_is_named(look: Look, proxy: FaultProxy) -> None:
    for refused, part in CALLS.items():
        (line,) = [line for line in lines() if part in line]

        def hook(request: Request, line: str = line) -> Any:
            called = f"{request.method} {request.path.split('?')[0]}"
            return answer(403, "Forbidden") if re.search(line, called) else None

        proxy.hook = hook
        found = look(docker_host=proxy.host)
        faults = {f.id: f for f in found.findings if f.status is Status.FAULT}
        assert list(faults) == [refused]
        assert re.search(r"(GET|POST|DELETE) /\S+ was answered with 403", faults[refused].message)
        assert "contrib/compose/api-calls.txt" in str(faults[refused].remedy)
        untried = {f.id for f in found.findings if "was not tried" in f.message}
        assert untried == DEPENDING.get(refused, set())
        assert found.exit_status == 1


def test_each_call_of_the_list_is_tried_and_no_other(look: Look, proxy: FaultProxy) -> None:
    assert look(docker_host=proxy.host).exit_status == 0
    tried = [f"{r.method} {r.path.split('?')[0]}" for r in proxy.requests]
    assert [line for line in lines() if not any(re.search(line, what) for what in tried)] == []
    beyond = [what for what in tried if not any(re.search(line, what) for line in lines())]
    assert [re.sub(r"/v[0-9.]+", "", what) for what in beyond] == ["GET /info"], (
        "one can do without"
    )


def test_the_engine_is_named_with_the_context_that_it_is_from(
    api: docker.APIClient, engine: PrivateEngine, look: Look, tmp_path: Path
) -> None:
    contexts.create(tmp_path / "docker", "rootless", engine.host)
    contexts.use(tmp_path / "docker", "rootless")
    found = look(docker_host="", docker_config=str(tmp_path / "docker"))
    subjects = [subject for subject, _ in found.sections]
    assert f"Docker at {engine.host} (context rootless)" in subjects
    name, version = socket.gethostname(), api.version()["Version"]
    store = "containerd" if "snapshotter" in str(api.info()["DriverStatus"]) else "classic"
    said = f"it is Docker Engine {version} on {name}, not rootless, with the {store} image store"
    assert said in [f.message for f in found.findings if f.id == "docker.engine"]
    assert found.exit_status == 0


@pytest.mark.parametrize("refusal", [answer(403, "Forbidden"), answer(404, "{}")])
def test_of_an_engine_behind_a_proxy_the_version_is_told(
    api: docker.APIClient, look: Look, proxy: FaultProxy, refusal: Action
) -> None:
    proxy.hook = lambda request: refusal if request.path.endswith("/info") else None
    found = look(docker_host=proxy.host)
    (said,) = [f.message for f in found.findings if f.id == "docker.engine"]
    assert said == f"it is Docker Engine {api.version()['Version']}"
    assert found.exit_status == 0


def test_what_would_change_something_is_asked_of_an_id_that_was_seen_not_to_exist(
    look: Look, proxy: FaultProxy
) -> None:
    look(docker_host=proxy.host)
    read: set[str] = set()
    changing = []
    for request in proxy.requests:
        if request.method == "GET":
            read |= set(ID.findall(request.path))
        else:
            changing.append(request)
            assert set(ID.findall(request.path)) <= read
    assert len(changing) == 4


def test_a_proxy_need_not_let_through_what_is_about_volumes_if_they_are_kept(
    look: Look, proxy: FaultProxy
) -> None:
    assert look(docker_host=proxy.host, keep_volumes=True).exit_status == 0
    assert not [request for request in proxy.requests if "/volumes/" in request.path]


def test_what_is_about_images_is_tried_if_they_are_to_go(look: Look, proxy: FaultProxy) -> None:
    assert look(docker_host=proxy.host).exit_status == 0
    assert {r.method for r in proxy.requests if "/images/" in r.path} == {"GET"}
    assert look(docker_host=proxy.host, images=True).exit_status == 0
    for part, refused in {"/images/json": "list", "DELETE /images/": "remove"}.items():
        proxy.hook = lambda request, part=part: (
            answer(403, "Forbidden")
            if part in re.sub(r"/v1\.\d+", "", f"{request.method} {request.path}")
            else None
        )
        found = look(docker_host=proxy.host, images=True)
        faults = [f.id for f in found.findings if f.status is Status.FAULT]
        assert faults == [f"docker.images.{refused}"]


@pytest.mark.parametrize("kind", ["containers", "networks", "volumes"])
@pytest.mark.parametrize("status", [200, 404])
def test_nothing_is_tried_on_an_id_that_may_exist(
    look: Look, proxy: FaultProxy, kind: str, status: int
) -> None:
    def hook(request: Request) -> Any:
        asked = request.method == "GET" and f"/{kind}/" in request.path and ID.search(request.path)
        return answer(status, '{"message": "what is that?"}') if asked else None

    proxy.hook = hook
    found = look(docker_host=proxy.host)
    assert found.exit_status == 1
    assert not [r for r in proxy.requests if r.method != "GET" and f"/{kind}/" in r.path]


def test_an_engine_that_is_silent_is_not_waited_for_again_and_again(
    look: Look, proxy: FaultProxy
) -> None:
    for_ever = threading.Event()
    proxy.hook = lambda r: stall(for_ever) if "/networks" in r.path else None
    found = look(docker_host=proxy.host, docker_timeout=0.5)
    for_ever.set()
    faults = {f.id: f for f in found.findings if f.status is Status.FAULT}
    assert list(faults) == ["docker.networks.list"]
    assert "does not answer in time" in faults["docker.networks.list"].message
    assert "--docker-timeout" in str(faults["docker.networks.list"].remedy)
    untried = [f.id for f in found.findings if f.remedy == "see to docker.networks.list first"]
    assert untried == list(CALLS)[list(CALLS).index("docker.networks.list") + 1 :]
    assert found.exit_status == 1


def test_an_engine_whose_lists_take_long_is_slow_and_no_proxy_is_blamed(
    look: Look, proxy: FaultProxy
) -> None:
    proxy.hook = lambda r: delay(3.1) if "/containers/json" in r.path else None
    found = look(docker_host=proxy.host, docker_timeout=3, timeout=PATIENCE)
    assert_warning(found, "docker.containers.list", "the engine is slow", "--docker-timeout")


def nothing(_: Path) -> None:
    pass


def bound(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))


SOCKETS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "missing": (nothing, "does not exist", "start the Docker Engine"),
    "refused": (bound, "refuses connections", "start the Docker Engine"),
    "a file": (Path.touch, "is not a socket", "the address of a Docker Engine"),
}


@pytest.mark.parametrize("case", SOCKETS)
def test_a_socket_that_is_none(healthy: dict[str, Any], tmp_path: Path, case: str) -> None:
    prepare, message, remedy = SOCKETS[case]
    path = tmp_path / "docker.sock"
    prepare(path)
    found = diagnose({**healthy, "docker_host": f"unix://{path}"})
    assert_fault(found, 3, "docker.reachable", f"--docker-host: unix://{path} {message}", remedy)


STRANGERS: dict[str, Answers] = {
    "noise": b"\x00\xff noise\r\n\r\n",
    "HTML": {"/version": HTML, "/_ping": HTML},
}


@pytest.mark.parametrize("case", STRANGERS)
def test_who_is_no_engine(healthy: dict[str, Any], tmp_path: Path, case: str) -> None:
    path = tmp_path / "docker.sock"
    with FakeServer(path, STRANGERS[case]):
        found = diagnose({**healthy, "docker_host": f"unix://{path}"})
    assert_fault(found, 3, "docker.reachable", str(path), "the address of a Docker Engine")


def test_a_socket_that_we_may_not_use(engine: PrivateEngine) -> None:
    refused = diagnose({"docker_host": engine.host, "timeout": 0}, user=54321)
    (found,) = [f for f in refused.findings if f.id == "docker.reachable"]
    assert "may not be used by uid 54321" in found.message
    assert found.remedy == "run in the socket's group"


def test_a_socket_that_anybody_may_use(engine: PrivateEngine, look: Look) -> None:
    engine.socket.chmod(0o666)
    try:
        found = look()
    finally:
        engine.socket.chmod(0o660)
    assert_warning(found, "docker.socket", "anybody on this host", f"chmod o-rw {engine.socket}")


def test_a_socket_that_is_mounted_as_a_file(engine: PrivateEngine, tmp_path: Path) -> None:
    mounted = tmp_path / "mounted here.sock"
    mounted.touch()
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    inner = command("doctor", "--docker-host", f"unix://{mounted}", "--timeout", "0")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(engine.socket), str(mounted), *inner],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert "docker.mount" in done.stdout, done.stderr
    assert "-> mount the folder that it lies in" in done.stdout


def test_tcp_without_tls(engine: PrivateEngine, look: Look) -> None:
    with FaultProxy(engine.host) as proxy:
        found = look(docker_host=proxy.host)
    assert_warning(found, "docker.tls", "without TLS", "DOCKER_TLS_VERIFY")


def test_a_port_that_does_not_speak_tls(engine: PrivateEngine, look: Look, tmp_path: Path) -> None:
    ensure({"openssl": "openssl"}, "a certificate")
    certificates = Authority(tmp_path / "tls").certify("listener", "clientAuth")
    with Proxy(engine.host) as proxy:
        over_tls = {"docker_host": proxy.host, "docker_cert_path": str(certificates)}
        found = look(**over_tls, docker_tls_verify=True)
        unverified = look(**over_tls)
    assert_fault(found, 3, "docker.reachable", proxy.host, "DOCKER_CERT_PATH")
    (said,) = [f for f in unverified.findings if f.id == "docker.tls"]
    assert "not verified" in said.message
    assert said.remedy == "set DOCKER_TLS_VERIFY=1"


def test_certificates_that_are_missing(look: Look) -> None:
    found = look(docker_host="tcp://127.0.0.1:1", docker_cert_path="/none", docker_tls_verify=True)
    assert_fault(found, 2, "options.docker", "DOCKER_CERT_PATH: /none has no usable", "give")
    assert "database.table" in {f.id for f in found.findings}, "the other side is looked at"


@pytest.mark.parametrize(("ahead", "side"), [(100, "behind"), (-100, "ahead of")])
def test_a_clock_that_differs(
    look: Look, monkeypatch: pytest.MonkeyPatch, ahead: int, side: str
) -> None:
    ours = time.time
    monkeypatch.setattr(time, "time", lambda: ours() + ahead)
    found = look()
    assert_warning(found, "docker.clock", f"100 s {side} this host's", "NTP")
