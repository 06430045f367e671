"""What goes on beside the faults: topologies come and go, and strangers live on the same host.

Several `Traffic` share one `Truth` and one host, and pay no heed to each other: one deletes the row
of a topology that another still deploys. Whatever fails because something is down is tried again
until it is done, so at the end everybody knows what is there.
"""

from __future__ import annotations

import itertools
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import docker
import requests

from tests.engine.chaos.parts import Deed
from tests.engine.chaos.truth import FOREIGN, Thing, Truth
from tests.support.decnet import new_id
from tests.support.process import PATIENCE

T = TypeVar("T")

FEW, MANY = 3, 8
"""So many topologies there are at least, and at most, before other things happen."""
STARTED = 0.15
"""The share of base containers that are started; the others are created, which is much quicker."""
OWN_NETWORKS = ("bridge", "host", "none")

_serials = itertools.count(1)


def patiently(action: Callable[[], T], passes: Callable[[Exception], bool]) -> T:
    """Try until it works."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return action()
        except Exception as error:
            if not passes(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def engine_is_ill(error: Exception) -> bool:
    """Whether this is no answer about the object in question."""
    if isinstance(error, docker.errors.APIError):
        return bool(error.is_server_error())
    return isinstance(error, requests.RequestException)


def database_is_ill(error: Exception) -> bool:
    """Whether what was to be committed may or may not have been."""
    ill = isinstance(error, sqlite3.Error | RuntimeError)
    return ill and not isinstance(error, sqlite3.IntegrityError)


def listed(api: docker.APIClient) -> dict[str, str]:
    """By name, the ids of everything on the host but the engine's own networks.

    A container that the engine is at removing has no name, and stands under its id.
    """
    containers = ((each["Id"], each["Names"]) for each in api.containers(all=True))
    found = {names[0][1:] if names else id_: id_ for id_, names in containers}
    networks = {entry["Name"]: entry["Id"] for entry in api.networks()}
    return found | {name: id_ for name, id_ in networks.items() if name not in OWN_NETWORKS}


class Traffic:
    """One of those who deploy and delete.

    Args:
        host: the engine's.
        commit: has the writer of the database do something, once; raises what that does.
        truth: the book, of everybody.
        anchor: the id of a topology that stays for ever.
        chance: decides.
    """

    def __init__(
        self,
        host: str,
        commit: Callable[[Deed], int],
        truth: Truth,
        anchor: str,
        chance: random.Random,
    ) -> None:
        self._api = docker.APIClient(host, version="auto")
        self._commit_once = commit
        self._truth = truth
        self._anchor = anchor
        self._chance = chance

    def act(self) -> None:
        """Do something, to its end."""
        live = len(self._truth.rows)
        if live < FEW:
            self._one_comes()
        elif live > MANY:
            self._one_goes()
        else:
            deeds = {
                self._one_comes: 3,
                self._one_collides: 2,
                self._one_goes: 4,
                self._one_comes_and_goes: 3,
                self._one_goes_and_comes: 4,
                self._one_is_renewed: 1,
                self._all_are_nearly_deleted: 1,
                self._strangers_come: 1,
                self._an_image_is_made_of_one: 1,
            }
            (deed,) = self._chance.choices([*deeds], [*deeds.values()])
            deed()

    def deploy(self, id_: str) -> None:
        """Commit a row, then create what it takes."""
        self.insert(id_)
        for _ in self._create(id_):
            pass

    def insert(self, id_: str) -> None:
        """Commit a row."""
        with suppress(sqlite3.IntegrityError):  # committed before, and only the answer was lost
            self._commit(lambda rows: rows.insert(id_))
        self._truth.inserted(id_)

    def delete(self, id_: str) -> bool:
        """Delete a row; returns False if somebody else does."""
        try:
            self._truth.deleting(id_)
        except KeyError:
            return False
        self._commit(lambda rows: rows.delete(id_))
        return True

    def come_and_go(self) -> None:
        """One comes and stays, one comes and goes, one goes in the midst of its deploy."""
        self._one_comes()
        passing = new_id()
        self.deploy(passing)
        self.delete(passing)
        self._one_comes_and_goes()

    def act_calmly(self) -> None:
        """A little of everything, while nothing goes wrong."""
        self.come_and_go()
        self._one_goes()
        self._one_goes_and_comes()

    def close(self) -> None:
        """Let go of the engine."""
        self._api.close()

    # What happens.

    def _one_comes(self) -> None:
        self.deploy(new_id())

    def _one_collides(self) -> None:
        """Another one has its prefix."""
        self.deploy(new_id(self._any()[:8]))

    def _one_goes(self) -> None:
        self.delete(self._any())

    def _one_comes_and_goes(self) -> None:
        """The row goes in the midst of the deploy, which goes on."""
        id_ = new_id()
        self.insert(id_)
        last = self._chance.randrange(4)
        for number, _ in enumerate(self._create(id_)):
            if number == last:
                self.delete(id_)
                time.sleep(self._chance.choice((0.0, 0.3)))
        self.delete(id_)

    def _one_goes_and_comes(self) -> None:
        """It is deployed again under the same id, sooner or later."""
        id_ = self._any()
        if self.delete(id_):
            time.sleep(self._chance.choice((0.0, 0.1, 0.5)))
            self.deploy(id_)

    def _one_is_renewed(self) -> None:
        """Deleted and inserted in one transaction: the row was never away."""
        self._commit(lambda rows: rows.renew(self._anchor))

    def _all_are_nearly_deleted(self) -> None:
        self._commit(lambda rows: rows.take_back(*self._truth.rows))

    def _strangers_come(self) -> None:
        """Names that are nearly DECNET's, and one that looks on at a topology's network."""
        number, id_ = next(_serials), self._any()
        self._network(f"decnet_t_mine_{number}", FOREIGN)
        self._container(f"decnet_t_{new_id()[:8]}", FOREIGN, {"decnet.stage": "test"})
        watched = self._network(f"decnet_t_{id_[:8]}_tap-{number}", id_[:8])
        self._container(f"tcpdump-{number}", FOREIGN, beside=watched, network=watched.id)

    def _an_image_is_made_of_one(self) -> None:
        """What is started from that carries a topology's labels without belonging to it."""
        number, id_ = next(_serials), self._any()
        evidence = self._container(f"evidence-{number}", id_, {"decnet.topology.id": id_})
        image = f"seized-{number}"
        if evidence is None or not self._unless_gone(
            evidence, lambda: self._api.commit(evidence.id, image)
        ):
            return
        self._container(f"analysis-{number}", FOREIGN, image=image)

    # How.

    def _any(self) -> str:
        """Some topology that may go."""
        ids = sorted(self._truth.rows - {self._anchor})
        if not ids:
            ids = [new_id()]
            self.deploy(ids[0])
        return self._chance.choice(ids)

    def _commit(self, deed: Deed) -> None:
        patiently(lambda: self._commit_once(deed), database_is_ill)

    def _create(self, id_: str) -> Iterator[None]:
        """Create a topology's parts, one a step, in DECNET's shape."""
        prefix, number = id_[:8], next(_serials)
        stem, decky = f"decnet_t_{prefix}_", f"decky-{number:03d}"
        project = {"com.docker.compose.project": f"decnet-topo-{prefix}"}
        labels = {"decnet.topology.id": id_, "decnet.topology.decky": decky, **project}
        lan = self._network(f"{stem}lan-{number}", prefix)
        yield
        role = {**labels, "decnet.topology.role": "base"}
        base = self._container(f"{stem}{decky}", id_, role, beside=lan, network=lan.id)
        yield
        if base is not None:
            if self._chance.random() < STARTED:
                self._start(base)
            role = {**labels, "decnet.topology.service": "true"}
            network = f"container:{base.id}"
            self._container(f"{decky}-ssh", id_, role, beside=base, network=network)
            yield
        other = self._chance.randrange(3)
        if other == 1:
            self._container(f"{stem}bare-{number}", prefix)
            yield
        elif other == 2:
            self._container(f"helper-{number}", prefix, project)
            yield

    def _start(self, base: Thing) -> None:
        """Try once: whether it runs is never asked, and a start that was broken off stays so."""
        try:
            self._api.start(base.id)
        except docker.errors.NotFound:
            assert base.doomed, f"{base.name} is gone"
        except Exception as error:
            if not (engine_is_ill(error) or _conflicts(error)):
                raise

    def _network(self, name: str, owner: str) -> Thing:
        return self._make(name, owner, lambda: self._api.create_network(name, driver="bridge"))

    def _container(
        self,
        name: str,
        owner: str,
        labels: Mapping[str, str] | None = None,
        *,
        image: str = "busybox",
        network: str = "none",
        beside: Thing | None = None,
    ) -> Thing | None:
        """Returns None if what it was to stand beside is gone, as it may be."""
        host = self._api.create_host_config(
            network_mode=network, restart_policy={"Name": "unless-stopped"}
        )

        def create() -> Any:
            return self._api.create_container(
                image,
                ["sleep", "1000000"],
                stop_signal="SIGKILL",
                name=name,
                labels=dict(labels or {}),
                host_config=host,
            )

        try:
            return self._make(name, owner, create)
        except docker.errors.NotFound:
            assert beside is not None
            assert beside.doomed, f"{beside.name} is gone"
            return None

    def _make(self, name: str, owner: str, create: Callable[[], Any]) -> Thing:
        """Create it once, also when the engine goes down before it has answered."""
        thing = self._truth.begin(name, owner)
        attempts = 0

        def attempt() -> str:
            nonlocal thing, attempts
            attempts += 1
            if attempts > 1:
                if (found := listed(self._api).get(name)) is not None:
                    return found
                thing = self._truth.begin(name, owner)
            return str(create()["Id"])

        id_ = patiently(attempt, lambda error: engine_is_ill(error) or _conflicts(error))
        thing.id = id_
        return thing

    def _unless_gone(self, thing: Thing, action: Callable[[], object]) -> bool:
        """Do something with a thing; returns False if it is gone, as it may be."""
        try:
            patiently(action, lambda error: engine_is_ill(error) or _conflicts(error))
        except docker.errors.NotFound:
            assert thing.doomed, f"{thing.name} is gone"
            return False
        return True


def _conflicts(error: Exception) -> bool:
    """Something of it is on its way, in or out."""
    return isinstance(error, docker.errors.APIError) and error.status_code == 409
