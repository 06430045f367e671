"""Everything that anybody but a listener can do on a host and to its databases.

A move says whether it was possible. The adversary has no plan of its own: chance picks its moves,
and numbers for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .database import Shows
from .engine import Container, Network
from .listener import TornDown, sweep_once
from .oracle import plain
from .world import DEEPEST, Config, World

Token = tuple[str, frozenset[str], list[str]]
"""A token, the prefixes that it was given for, and the identities of the tables at that time."""

PREFIXES: Final = ("aaaaaaaa", "bbbbbbb9", "cccccccc", "dddddddd", "eeeeeee0", "ffffffff")
TOPOLOGIES: Final = tuple(
    f"{PREFIXES[prefix]}-0000-4000-8000-{number:012x}"
    for number, prefix in enumerate((0, 1, 0, 2, 1, 3, 4, 5))
)
VISIBLE_STILL: Final = 0.375
"""Seconds for which a row can be seen after its deletion was reported."""
PIECES: Final = 6
"""Of a deploy: twice a network, a base and a service."""
NUMBERS: Final = 22
"""The numbers of a move are below this: as many as there are kinds of strangers."""

MOVES: Final[dict[str, tuple[str, ...]]] = {
    "rows": (
        *("insert", "deployed", "delete", "delete", "delete", "delete", "renew"),
        *("delete_all", "truncate", "unrelated", "told_early", "move", "move"),
        *("tear_down", "tear_down", "tear_down", "not_torn_down"),
    ),
    "deploys": (*("deploy", "deploy", "deploy_all", "deploy_all"), *("redeploy_at_once",) * 3),
    "strangers": (
        *("stranger", "stranger", "stranger"),
        *("image", "rename", "rename", "stop", "remove_otherwise"),
        "image_gone",
    ),
    "events": (*("pump", "pump", "pump", "connect", "connect"), "double", "drop", "cut", "relist"),
    "hints": (
        *("hint", "hint", "hint"),
        *("hint_late", "hint_lost", "hint_doubled", "forged", "feed_lost", "feed_back"),
    ),
    "databases": (
        *("database_fails", "database_answers", "database_answers", "restore", "restored"),
        *("swap", "swap_back", "emptied", "unfollowed"),
    ),
    "copies": (
        *("fall_behind", "fall_behind", "take_over", "take_over", "catch_up", "outage", "outage"),
        *("deployed", "deploy_all", "deploy_all"),
    ),
    "engine": ("refuse", "refuse_read", "engine_down", "engine_up", "engine_up", "finish"),
    "processes": ("kill", "start", "start", "start_afresh", "operator", "confirm"),
    "time": ("pass_time",),
    "work": ("work", "work", "settle", "settle", "settle", "mend", "rest"),
}


class Adversary(World):
    """Whoever works on the host, by chance at the worst moment."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.pieces: dict[str, int] = {}
        """By topology, how far its deploy has come."""
        self.tokens: list[Token] = []
        self._names = 0
        self._operating = False

    # Rows.

    def do_insert(self, a: int, b: int) -> bool:
        """A row is committed; its deploy begins anew."""
        id_, database = TOPOLOGIES[a % len(TOPOLOGIES)], self._origin(b)
        if id_ in database.rows or database.backup is not None:
            return False
        if database is self.elsewhere and any(id_ in d.torn_down & d.rows for d in self.databases):
            return False  # for good, which nobody else writes
        database.rows.add(id_)
        database.deployed.discard(id_)
        database.torn_down.discard(id_)
        database.fading.pop(id_, None)
        database.tearing.pop(id_, None)
        self.committed()
        self.pieces[id_] = 0
        return True

    def do_deployed(self, a: int, b: int) -> bool:  # noqa: ARG002
        """DECNET writes that a topology is deployed."""
        done = sorted(id_ for id_, pieces in self.pieces.items() if pieces >= PIECES)
        if not done:
            return False
        for database in self.origins:
            database.deployed |= {done[a % len(done)]} & database.rows
        return True

    def do_delete(self, a: int, b: int) -> bool:
        """A row is deleted, and the feeds tell of it in one way or another."""
        rows = [(d, row) for d in self.origins for row in sorted(d.rows)]
        if not rows:
            return False
        database, row = rows[a % len(rows)]
        database.rows.discard(row)
        match b % 5:
            case 0 | 1:
                self._hint(database, (row,))
            case 2:
                self._hint(database, None)
            case 3:
                if database.shows is Shows.ORIGIN:
                    database.fading[row] = self.clock.now + VISIBLE_STILL
                self._hint(database, (row,))
            case _:
                self._hint(database, None, heard=False)
        return True

    def do_tear_down(self, a: int, b: int) -> bool:
        """A teardown ends, whatever it has left; the feeds tell of it in one way or another."""
        rows = [(d, row) for d in self.databases for row in sorted(d.rows - d.torn_down)]
        if not rows:
            return False
        database, row = rows[a % len(rows)]
        database.torn_down.add(row)
        self.elsewhere.torn_down |= self.elsewhere.rows & {row}
        match b % 5:
            case 0 | 1:
                self._hint(database, TornDown((row,)))
            case 2:
                self._hint(database, None)
            case 3:
                if database.shows is Shows.ORIGIN:
                    database.tearing[row] = self.clock.now + VISIBLE_STILL
                self._hint(database, TornDown((row,)))
            case _:
                self._hint(database, None, heard=False)
        return True

    def do_not_torn_down(self, a: int, b: int) -> bool:
        """Somebody writes another status over it; no copy is so far behind."""
        database = self._database(b)
        rows = sorted(database.rows & database.torn_down)
        if not rows or database.shows is not Shows.ORIGIN:
            return False
        row = rows[a % len(rows)]
        database.torn_down.discard(row)
        database.tearing.pop(row, None)
        self._hint(database, None, heard=None if b % 2 else False)
        return True

    def do_move(self, a: int, b: int) -> bool:
        """A row goes from one database to another; or is in both from now on."""
        source = self._database(a)
        others = [database for database in self.origins if database is not source]
        if not others or not source.rows:
            return False
        row = sorted(source.rows)[a % len(source.rows)]
        others[0].rows.add(row)
        others[0].torn_down |= {row} & source.torn_down
        self._hint(others[0], None)
        if b % 3:
            source.rows.discard(row)
            self._hint(source, (row,))
        return True

    def do_told_early(self, a: int, b: int) -> bool:
        """A deletion is reported, and looked at, before it can be seen."""
        return not self.oracle.frames and self.do_delete(a, 3) and self.do_settle(b, 0)

    def do_delete_all(self, a: int, b: int) -> bool:
        """``DELETE FROM topologies``."""
        database = self._database(a)
        if not database.rows:
            return False
        rows = tuple(sorted(database.rows))
        database.rows.clear()
        self._hint(database, rows if b % 2 else None)
        return True

    def do_truncate(self, a: int, b: int) -> bool:
        """``TRUNCATE``: where it makes a new table underneath, that shows."""
        database = self._database(a)
        if database.backup is not None or database.shows is not Shows.ORIGIN:
            return False
        if b % 2:
            database.replace(set())
        else:
            database.rows.clear()
        self._hint(database, None)
        return True

    def do_renew(self, a: int, b: int) -> bool:  # noqa: ARG002
        """A row is deleted and comes back at once."""
        database = self._database(a)
        if not database.rows:
            return False
        row = sorted(database.rows)[a % len(database.rows)]
        if row in database.torn_down and database.shows is not Shows.ORIGIN:
            return False
        self._hint(database, (row,))
        database.deployed.discard(row)
        database.torn_down.discard(row)
        database.tearing.pop(row, None)
        self.pieces[row] = 0
        return True

    def do_unrelated(self, a: int, b: int) -> bool:  # noqa: ARG002
        """A commit that has nothing to do with it wakes the feeds."""
        self._hint(self._database(a), None, heard=None)
        return True

    # Deploys.

    def do_deploy(self, a: int, b: int) -> bool:
        """One more piece of a deploy that was begun, whether or not its row is still there."""
        begun = sorted(self.pieces)
        if not begun:
            return False
        id_ = begun[a % len(begun)]
        piece, self.pieces[id_] = self.pieces[id_], self.pieces[id_] + 1
        return self._deploy_piece(id_, piece, b)

    def do_deploy_all(self, a: int, b: int) -> bool:
        """A row, and the deploy from its beginning to its end."""
        id_ = TOPOLOGIES[a % len(TOPOLOGIES)]
        if not self._has_row(id_):
            self.do_insert(a, b)
        if id_ not in self.pieces:
            return False
        for piece in range(self.pieces[id_], PIECES):
            self._deploy_piece(id_, piece, b)
        self.pieces[id_] = PIECES
        return True

    def do_redeploy_at_once(self, a: int, b: int) -> bool:
        """A row and the first pieces of its deploy, and everybody hears of them at once.

        While a question is on its way, it is one of those that are asked about.
        """
        asked = self.asked[-1] if self.asked else frozenset()
        absent = [id_ for id_ in TOPOLOGIES if id_[:8] in asked and not self._has_row(id_)]
        id_ = absent[a % len(absent)] if absent else TOPOLOGIES[a % len(TOPOLOGIES)]
        if not self.do_insert(TOPOLOGIES.index(id_), b):
            return False
        self._deploy_piece(id_, 0, b)
        self._deploy_piece(id_, 1, b)
        self.pieces[id_] = 2
        for number in range(len(self.listeners)):
            self.do_pump(number, 99)
        return True

    def _deploy_piece(self, id_: str, piece: int, variant: int) -> bool:
        prefix, number = id_[:8], TOPOLOGIES.index(id_)
        decky = f"d{number}{piece // 3}"
        lan = f"decnet_t_{prefix}_{('lan', 'dmz')[piece // 3 % 2]}"
        labels = {
            "decnet.topology.id": id_,
            "decnet.topology.decky": decky,
            "com.docker.compose.project": f"decnet-topo-{prefix}",
        }
        built = f"built-{prefix}"
        self.daemon.images.setdefault(
            built, {"com.docker.compose.project": f"decnet-topo-{prefix}"}
        )
        image = (*("plain", built) * 2, *sorted(self.daemon.images))[
            variant % (4 + len(self.daemon.images))
        ]
        same_name = [n for n in self.daemon.networks.values() if n.name == lan]
        if piece >= PIECES:
            return False
        if piece % 3 == 0:
            if not same_name:
                self.daemon.create_network(lan)
        elif piece % 3 == 1:
            labels["decnet.topology.role"] = "base"
            network = same_name[0] if same_name else None
            name = f"decnet_t_{prefix}_{decky}"
            state = "created" if variant % 7 == 6 else "running"
            made = self.daemon.create_container(
                name, labels, image=image, network=network, state=state
            )
            return made is not None
        else:
            labels |= {
                "decnet.topology.service": "true",
                "decnet.topology.service_name": "ssh",
            }
            return self.daemon.create_container(f"{decky}-ssh", labels, image=image) is not None
        return True

    # What else there is on a host.

    def do_stranger(self, a: int, b: int) -> bool:
        """Something that is not, or only partly, what a deploy makes."""
        id_ = TOPOLOGIES[b % len(TOPOLOGIES)]
        other = TOPOLOGIES[(b + 1) % len(TOPOLOGIES)]
        prefix = id_[:8]
        networks = list(self.daemon.networks.values())
        on = networks[b % len(networks)] if networks else None
        image = sorted(self.daemon.images)[b % len(self.daemon.images)]
        label = {"decnet.topology.id": id_}
        project = {"com.docker.compose.project": f"decnet-topo-{prefix}"}
        self._names += 1
        mine = f"s{self._names}"
        ours = f"decnet_t_{prefix}_{mine}"
        create = self.daemon.create_container
        kinds: dict[str, Callable[[], Container | Network | None]] = {
            "foreign, running": lambda: create(mine, {}, network=on),
            "foreign, stopped": lambda: create(mine, {}, network=on, state="exited"),
            "foreign, never started": lambda: create(mine, {}, network=on, state="created"),
            "protected": lambda: create(
                ours, {**label, "topology-reaper.protect": "true"}, network=on
            ),
            "protected stranger": lambda: create(
                mine, {"topology-reaper.protect": "true"}, network=on, state="exited"
            ),
            "from any image": lambda: create(mine, {}, image=image, network=on),
            "from an image, same label": lambda: create(mine, label, image=image, network=on),
            "from an image, named": lambda: create(ours, {}, image=image),
            "by name only": lambda: create(ours, {}),
            "by id label only": lambda: create(mine, label),
            "by project only": lambda: create(mine, project),
            "two owners": lambda: create(
                f"decnet_t_{other[:8]}_{mine}", {**label, **project}, network=on
            ),
            "no id": lambda: create(ours, {"decnet.topology.id": "x" + id_}, network=on),
            "overlay": lambda: self.daemon.create_network(
                f"decnet_t_{prefix}_{mine}", "overlay", "swarm"
            ),
            "same network name": lambda: on and self.daemon.create_network(on.name),
            "like a network": lambda: self.daemon.create_network(_looks_like(prefix, b)),
            "like a container": lambda: create(_looks_like(prefix, b), {}, network=on),
            "forged attributes": lambda: create(
                mine, {"name": ours, "oldName": f"/{ours}"}, network=on
            ),
            "linked": lambda: self._linked(create(mine, label), f"decnet_t_{other[:8]}_x"),
            "marked": lambda: create(mine, {"decnet.topology.decky": "d"}, network=on),
            "of one, on another's network": lambda: create(
                mine, {"decnet.topology.id": other}, network=on, state="exited"
            ),
            "stale endpoint": lambda: self._stale(on),
        }
        return list(kinds.values())[a % len(kinds)]() is not None

    def _linked(self, container: Container | None, link: str) -> Container | None:
        if container is not None:
            container.links.append(link)
        return container

    def _stale(self, network: Network | None) -> Network | None:
        if network is not None:
            network.stale[f"ep-{self._names:04x}"] = f"gone{self._names}"
        return network

    def do_image(self, a: int, b: int) -> bool:  # noqa: ARG002
        """``docker commit``: an image that carries a container's labels."""
        if (container := self._container(a)) is None:
            return False
        self.daemon.images[f"commit-{self.clock.tick()}"] = dict(container.labels)
        return True

    def do_image_gone(self, a: int, b: int) -> bool:  # noqa: ARG002
        """An image is removed by force."""
        images = sorted(self.daemon.images)
        image = images[a % len(images)]
        users = [c for c in self.daemon.containers.values() if c.image == image]
        if image == "plain" or any(c.state == "running" for c in users):
            return False
        del self.daemon.images[image]
        # A new build may make the same image again, and a listing then tells what they inherited.
        self.doubtful |= {container.id for container in users}
        return True

    def do_rename(self, a: int, b: int) -> bool:
        """Compose renames while it recreates; somebody may rename to anything."""
        if (container := self._container(a)) is None:
            return False
        plain = container.name.removeprefix("0123456789ab_")
        match b % 4:
            case 0 | 1:
                name = "0123456789ab_" + plain if plain == container.name else plain
            case 2:
                name = f"renamed{self.clock.tick()}"
            case _:
                name = f"decnet_t_{PREFIXES[b % len(PREFIXES)]}_r{self.clock.tick()}"
        return self.daemon.rename(container, name)

    def do_stop(self, a: int, b: int) -> bool:  # noqa: ARG002
        """A container stops, or starts."""
        if (container := self._container(a)) is None:
            return False
        if container.state == "running":
            container.state = "exited"
            return True
        by_name = {network.name: network.id for network in self.daemon.networks.values()}
        for name in container.networks:
            container.networks[name] = container.networks[name] or by_name.get(name, "")
        container.state = "running"
        return True

    def do_remove_otherwise(self, a: int, b: int) -> bool:
        """Somebody else removes something."""
        found = list(self.daemon.things())
        if not found:
            return False
        thing = found[a % len(found)]
        if isinstance(thing, Network):
            if self.daemon.on(thing) or thing.stale:
                return False
        elif b % 2 and not thing.removing:
            thing.removing = True  # and is not done with it yet
            return True
        self.daemon.delete(thing)
        return True

    # Events and hints that go astray.

    def do_double(self, a: int, b: int) -> bool:  # noqa: ARG002
        """An event comes twice."""
        if (one := self._listener(a)) is None or one.stream is None or not one.stream.pending:
            return False
        one.stream.pending.insert(0, one.stream.pending[0])
        return True

    def do_drop(self, a: int, b: int) -> bool:
        """The engine's buffer is full: an event is dropped."""
        if (one := self._listener(a)) is None or one.stream is None or not one.stream.pending:
            return False
        del one.stream.pending[b % len(one.stream.pending)]
        one.stream.whole = False
        return True

    def do_cut(self, a: int, b: int) -> bool:
        """A stream ends; what was on its way may still arrive, or not."""
        if (one := self._listener(a)) is None or one.stream is None or one.watched:
            return False
        if b % 2:
            self.do_pump(a, 99)
        self.daemon.streams = [s for s in self.daemon.streams if s is not one.stream]
        one.stream.open = False
        return True

    def do_hint_late(self, a: int, b: int) -> bool:
        """A hint arrives before those that were sent earlier."""
        return self.do_hint(a, b, -1)

    def do_hint_lost(self, a: int, b: int) -> bool:
        """A hint is lost."""
        if (one := self._listener(a)) is None or not (hints := one.hints[b % len(one.hints)]):
            return False
        hints.pop()
        one.deaf[b % len(one.hints)] = True
        return True

    def do_hint_doubled(self, a: int, b: int) -> bool:
        """A hint comes twice."""
        if (one := self._listener(a)) is None or not (hints := one.hints[b % len(one.hints)]):
            return False
        hints.append(hints[0])
        return True

    def do_forged(self, a: int, b: int) -> bool:
        """Anybody may say that a row was deleted."""
        if (one := self._listener(b)) is None:
            return False
        self._give(one, b % len(one.hints), (TOPOLOGIES[a % len(TOPOLOGIES)], "nonsense"))
        return True

    def do_feed_lost(self, a: int, b: int) -> bool:
        """A feed breaks off."""
        if (one := self._listener(a)) is None or not one.feed_up[b % len(one.feed_up)]:
            return False
        one.feed_up[b % len(one.feed_up)] = False
        one.deaf[b % len(one.deaf)] = True
        one.hints[b % len(one.hints)].clear()
        broken = a % 3 > 0
        one.controller.feed_lost(b % len(one.hints), broken=broken)
        if broken:
            self.oracle.feed_lost(one.run, b % len(one.hints))
        return True

    def do_feed_back(self, a: int, b: int) -> bool:
        """A feed is there again, and any row may have gone."""
        if (one := self._listener(a)) is None or one.feed_up[b % len(one.feed_up)]:
            return False
        one.feed_up[b % len(one.feed_up)] = True
        self._give(one, b % len(one.hints), None)
        return True

    # Databases.

    def do_database_fails(self, a: int, b: int) -> bool:  # noqa: ARG002
        """A database gives no answers."""
        database = self._database(a)
        done, database.failing = not database.failing, True
        return done

    def do_database_answers(self, a: int, b: int) -> bool:  # noqa: ARG002
        """It gives answers again."""
        database = self._database(a)
        done, database.failing = database.failing, False
        return done

    def do_fall_behind(self, a: int, b: int) -> bool:  # noqa: ARG002
        """A copy falls behind."""
        database = self._database(a)
        if database.shows is Shows.ORIGIN or database.copied is not None:
            return False
        database.stop()
        return True

    def do_take_over(self, a: int, b: int) -> bool:  # noqa: ARG002
        """A copy that is behind takes over the next commit."""
        return self._database(a).take_over()

    def do_catch_up(self, a: int, b: int) -> bool:  # noqa: ARG002
        """A copy takes over all that it is behind."""
        database = self._database(a)
        done = database.copied is not None
        while database.take_over():
            pass
        return done

    def do_outage(self, a: int, b: int) -> bool:
        """A database gives no answers for a while."""
        database = self._database(b)
        if database.failing:
            return False
        database.failing = True
        self.do_pass_time(a, b)
        self.do_work(b, 0)
        database.failing = False
        return True

    def do_restore(self, a: int, b: int) -> bool:
        """A dump is restored: no rows for a while, then those of then."""
        database = self._database(a)
        if database.backup is not None or database.shows is not Shows.ORIGIN:
            return False
        rows = sorted(database.rows)
        backup = set(rows if b % 2 else rows[: b % 3])
        database.replace(set())
        database.backup = backup
        self._hint(database, None, heard=False)
        return True

    def do_restored(self, a: int, b: int) -> bool:
        """The rows are back."""
        database = self._database(a)
        if database.backup is None:
            return False
        if b % 3:
            database.rows |= database.backup
        else:
            database.replace(database.rows | database.backup)
        database.backup = None
        self._hint(database, None, heard=None if b % 2 else False)
        return True

    def do_swap(self, a: int, b: int) -> bool:
        """The file is swapped for another one."""
        database = self._database(a)
        if database.aside is not None or database.backup is not None:
            return False
        if database.shows is not Shows.ORIGIN:
            return False
        database.aside = set(database.rows), database.identity
        database.replace({TOPOLOGIES[b % len(TOPOLOGIES)]} if b % 2 else set())
        self._hint(database, None, heard=False)
        return True

    def do_swap_back(self, a: int, b: int) -> bool:  # noqa: ARG002
        """The first file is back."""
        database = self._database(a)
        if database.aside is None or database.backup is not None:
            return False
        rows, identity = database.aside
        database.replace(rows)
        database.identity, database.aside = identity, None
        self._hint(database, None, heard=False)
        return True

    def do_emptied(self, a: int, b: int) -> bool:  # noqa: ARG002
        """Somebody drops the table and makes it again."""
        database = self._database(a)
        if database.backup is not None or database.shows is not Shows.ORIGIN:
            return False
        database.replace(set())
        self._hint(database, None, heard=False)
        return True

    def do_unfollowed(self, a: int, b: int) -> bool:  # noqa: ARG002
        """Something happens to the database that nobody can follow."""
        database = self._database(a)
        database.generation += 1
        if database.unseen:  # what was told of them is forgotten
            self._hint(database, None, heard=False)
        return True

    # The engine.

    def do_refuse(self, a: int, b: int) -> bool:  # noqa: ARG002
        """The next change is refused, or takes its time."""
        faults = ("409", "500", "404", "timeout", "late timeout", "unfinished", "stopped")
        self.daemon.faults.append(faults[a % len(faults)])
        return True

    def do_refuse_read(self, a: int, b: int) -> bool:  # noqa: ARG002
        """The next look fails."""
        self.daemon.read_faults.append(("500", "timeout")[a % 2])
        return True

    def do_engine_down(self, a: int, b: int) -> bool:
        """The engine stops; its containers may stop with it."""
        if not self.daemon.up:
            return False
        self.daemon.up = False
        self.daemon.cut_streams()
        for container in self.daemon.containers.values():
            if a % 2 and container.state == "running":
                container.state = "exited"
            container.removing = container.removing and bool(b % 2)
        return True

    def do_engine_up(self, a: int, b: int) -> bool:  # noqa: ARG002
        """The engine is there again."""
        done, self.daemon.up = not self.daemon.up, True
        return done

    def do_finish(self, a: int, b: int) -> bool:  # noqa: ARG002
        """Removals that are under way come to their end."""
        return self.daemon.up and self.daemon.finish_removals()

    # Processes.

    def do_start_afresh(self, a: int, b: int) -> bool:
        """A listener is started after its memory was lost."""
        return self.do_start(a, b, afresh=True)

    def do_operator(self, a: int, b: int) -> bool:
        """An operator sweeps once: to look, for good, with an earlier token, or with a guess."""
        token: Token = ("", frozenset(), [])
        if a % 4 == 2 and self.tokens:
            token = self.tokens[b % len(self.tokens)]
        elif a % 4 == 3:
            token = ("0123456789ab", frozenset(), [])
        return self._sweep_once(b, token, dry_run=a % 4 == 0)

    def do_confirm(self, a: int, b: int) -> bool:  # noqa: ARG002
        """An operator looks, and confirms at once what is held."""
        known = len(self.tokens)
        if not self._sweep_once(b, ("", frozenset(), []), dry_run=True):
            return False
        return len(self.tokens) == known or self._sweep_once(b, self.tokens[-1], dry_run=False)

    def _sweep_once(self, b: int, token: Token, *, dry_run: bool) -> bool:
        if self._operating or len(self.oracle.frames) >= DEEPEST:
            return False
        tables = [database.identity for database in self.databases]
        confirm, held, of = token
        held = held if of == tables else frozenset()
        state = self.state if b % 4 else None
        self._operating = True
        try:
            report = sweep_once(self, state, dry_run=dry_run, confirm=confirm, held=held)
        finally:
            self._operating = False
        if report is None:
            return True
        given = next((entry["token"] for entry in report.held if entry["token"]), "")
        if given and tables == [database.identity for database in self.databases]:
            prefixes = frozenset(entry["prefix"] for entry in report.held if entry["token"])
            self.tokens.append((given, prefixes, tables))
        return True

    # The end.

    def do_mend(self, a: int, b: int) -> bool:
        """What is broken and needs no listener's help works again, and a listener settles."""
        if len(self.oracle.frames):
            return False
        self.daemon.up = True
        for database in self.databases:
            database.failing = False
        if not self.listeners:
            self.do_start(a, b)
        return self.do_settle(a, b)

    def do_rest(self, a: int, b: int) -> bool:  # noqa: ARG002
        """All is well for a while, and what was witnessed and is gone goes without a sweep."""
        if self.oracle.frames:
            return False
        self._plan = []
        self._heal()
        self.settle_all()
        for one in self.listeners:
            self._nothing_left(one, "without a sweep", only=plain, witnessed_only=True)
        return True

    def finish(self) -> None:
        """All is well again: what is orphaned goes, first by events and hints, then by a sweep."""
        self.do_rest(0, 0)
        for one in self.listeners:
            for feed in range(len(self.databases)):
                self._give(one, feed, None)
        self.settle_all()
        for one in self.listeners:
            self._nothing_left(one, "without a listing", only=plain)
        for number in range(len(self.listeners)):
            self.do_relist(number, 0)
        self.settle_all()
        for one in self.listeners:
            self._nothing_left(one, "after a sweep")

    def _heal(self) -> None:
        self.daemon.up = True
        self.daemon.faults.clear()
        self.daemon.read_faults.clear()
        self.daemon.finish_removals()
        for number, database in enumerate(self.databases):
            database.failing = False
            self.do_restored(number, 1)
            self.do_catch_up(number, 0)
        self.clock_forward(2 * VISIBLE_STILL)
        if "one" not in {one.name for one in self.listeners}:
            self.do_start(0, 0)
        for number, one in enumerate(self.listeners):
            if one.stream is not None and not one.stream.whole:
                self.do_cut(number, 0)
            self.do_connect(number, 0)
            for feed in range(len(self.databases)):
                self.do_feed_back(number, feed)

    def _container(self, number: int) -> Container | None:
        containers = list(self.daemon.containers.values())
        return containers[number % len(containers)] if containers else None


def _looks_like(prefix: str, variant: int) -> str:
    """A name that is nearly one of DECNET's, or an odd one of its networks."""
    return (
        f"x_decnet_t_{prefix}_lan",
        f"decnet_t_{prefix}",
        f"decnet_t_{prefix}_",
        f"decnet_t_{prefix.upper()}_lan",
        f"decnet_t_{prefix}0_lan",
        f"decnet_t_{prefix}_lan copy",
        f"decnet_t_{prefix}_lan\n",
        f"decnet-t-{prefix}-lan",
        f"decnet_t_{prefix[:7]}_lan",
        f"Decnet_t_{prefix}_lan",
    )[variant % 10]
