"""A host, its databases and whoever works on them, moved by an adversary one move at a time.

A move is a name and two numbers, which the world reads as what is possible just now; what is not
possible does nothing. Moves are made between the listener's steps, and, by :meth:`World.plan`,
inside of them: at each request to the engine and each question to a database, before it takes
effect and after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from listener.errors import NoAnswer
from listener.evidence import Answer

from .engine import Clock, Container, Daemon, Network, Thing, things
from .oracle import (
    Oracle,
    Process,
    Question,
    Violation,
    owners_of,
    plain,
    stays_connected,
)
from .process import Hint, Killed, Listener, Pauses, State, sweep_once

Move = tuple[str, int, int]
Token = tuple[str, frozenset[str], list[int]]
"""A token, the prefixes that it was given for, and the incarnations of the tables at that time."""
Plan = Sequence[tuple[int, Move]]
"""Moves inside a step, each after so many occasions since the one before it."""

PREFIXES: Final = ("aaaaaaaa", "bbbbbbb9", "cccccccc")
TOPOLOGIES: Final = tuple(
    f"{PREFIXES[prefix]}-0000-4000-8000-{number:012x}"
    for number, prefix in enumerate((0, 1, 0, 2, 1))
)
PAUSES: Final = (0.01, 0.06, 0.3, 0.6, 1.1, 2.5, 5.0, 12.0, 31.0, 120.0, 700.0)
REQUEST: Final = 0.0005
"""Seconds that a request or a question takes, there and back each."""
VISIBLE_STILL: Final = 0.4
"""Seconds for which a row can be seen after its deletion was reported."""
AT_REST: Final = 200.0
"""Seconds: longer than the longest grace, the delay and two of the longest back-offs together."""
DEEPEST: Final = 3
"""Pieces of work inside each other, as of several threads."""

NUMBERS: Final = 22
"""The numbers of a move are below this: as many as there are kinds of strangers."""

MOVES: Final[dict[str, tuple[str, ...]]] = {
    "rows": (
        *("insert", "delete", "delete", "delete", "delete", "renew"),
        *("delete_all", "truncate", "unrelated", "told_early", "move", "move"),
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
    "engine": ("refuse", "refuse_read", "engine_down", "engine_up", "engine_up", "finish"),
    "processes": ("kill", "start", "start", "start_afresh", "operator", "confirm"),
    "time": ("pass_time",),
    "work": ("work", "work", "settle", "settle", "settle", "mend", "rest"),
}


@dataclass(frozen=True)
class Config:
    """What does not change in one run."""

    databases: int = 1
    grace: float = 30.0
    delay: float = 0.0
    witnessed_only: bool = False


@dataclass(eq=False)
class Database:
    """A table of topologies.

    Attributes:
        rows: committed.
        fading: rows that are deleted and can still be seen, until when.
        backup: what a restore will bring back; None while there is none under way.
        aside: a table that was swapped for another: rows, identity.
    """

    name: str
    rows: set[str] = field(default_factory=set)
    fading: dict[str, float] = field(default_factory=dict)
    incarnation: int = 1
    generation: int = 0
    failing: bool = False
    backup: set[str] | None = None
    aside: tuple[set[str], int] | None = None
    made: int = 1

    def visible(self, now: float) -> frozenset[str]:
        """Every row that a question finds."""
        self.fading = {row: until for row, until in self.fading.items() if until > now}
        return frozenset(self.rows | self.fading.keys())

    def replace(self, rows: set[str]) -> None:
        """Another table is there now."""
        self.made += 1
        self.rows, self.incarnation = rows, self.made
        self.fading.clear()


class World:
    """The whole of it.

    Args:
        config: what does not change.
        counts: what happened is added to it.
    """

    def __init__(self, config: Config, counts: Counter[str]) -> None:
        self.config = config
        self.counts = counts
        self.clock = Clock()
        self.daemon = Daemon(self.clock, self)
        self.databases = [Database(f"db{number}") for number in range(config.databases)]
        self.oracle = Oracle(
            self.clock,
            counts,
            lambda: things(self.daemon),
            grace=config.grace,
            delay=config.delay,
            witnessed_only=config.witnessed_only,
            databases=config.databases,
        )
        self.pieces: dict[str, int] = {}
        self.state = State(config.databases)
        self.tokens: list[Token] = []
        self._plan: list[tuple[int, Move]] = []
        self._asked: list[frozenset[str]] = []
        self._names = 0
        self._doubtful: set[str] = set()
        self._operating = False
        self.listeners: list[Listener] = []
        Pauses.sleep = self.clock_forward
        self.listeners.append(Listener(self, "one", self.state))

    # Steps, and what happens inside of them.

    def play(self, move: Move, plan: Plan = ()) -> None:
        """One step of the adversary, or of a listener with moves inside of it."""
        self.counts["steps"] += 1
        self._plan = list(plan)
        self.perform(move)
        self._plan = []
        if self.oracle.violations:  # should the code under test have swallowed it
            raise Violation(self.oracle.violations[0])

    def perform(self, move: Move) -> bool:
        """Make a move; says whether it was possible."""
        name, a, b = move
        done: bool = getattr(self, f"do_{name}")(a, b)
        if done:
            self.counts[f"move {name}"] += 1
        return done

    def interleave(self, _what: str) -> None:
        """Somebody waits for an answer: what else happens?"""
        self.clock.now += REQUEST
        for stream in self.daemon.streams:
            stream.settle()
        while self._plan and self._plan[0][0] <= 0:
            _, move = self._plan.pop(0)
            if self.perform(move):
                self.counts["moves inside a step"] += 1
        if self._plan:
            skip, move = self._plan[0]
            self._plan[0] = skip - 1, move

    def clock_forward(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now += seconds

    def answer(
        self,
        process: Process,
        number: int,
        prefixes: Iterable[str],
        gate: Callable[[str], None],
        generations: Sequence[int],
    ) -> Answer:
        """A question to a database, as it is at the moment of reading."""
        database, asked = self.databases[number], frozenset(prefixes)
        at, tick = self.clock.now, self.clock.tick()
        self.counts["questions"] += 1
        self._asked.append(asked)
        try:
            gate("ask")
            if database.failing:
                self.counts["questions without an answer"] += 1
                raise NoAnswer(f"{database.name} fails")
            rows = database.visible(self.clock.now)
            generation = database.generation - generations[number]
            identity = f"{database.name}#{database.incarnation}"
            gate("answer")
        finally:
            self._asked.pop()
        question = Question(at, tick, rows, asked)
        tables = {n: d.visible(self.clock.now) for n, d in enumerate(self.databases)}
        self.oracle.answered(process, number, question, (identity, generation), tables)
        ids = frozenset(row for row in rows if row[:8] in asked)
        return Answer(asked, ids, at, identity, generation)

    # The engine's watcher.

    def changed(self, thing: Thing) -> None:
        """A thing is new, or has a new name."""
        self.oracle.changed(thing)

    def looked(self, caller: object, thing: Thing, how: str) -> None:
        """A caller is shown a thing."""
        self.oracle.looked(caller, thing, how)

    def removing(self, caller: object, thing: Thing) -> None:
        """A caller asks for a removal."""
        self.oracle.removing(caller, thing)
        if isinstance(thing, Network):
            self.oracle.left_connected(caller, thing, self.daemon.on(thing))

    def removed(self, caller: object, thing: Thing) -> None:
        """A removal happened."""
        if caller is not None:
            self.counts["removed"] += 1
        self.oracle.removed(caller, thing)

    def disconnecting(self, caller: object, network: Network, container: Container) -> None:
        """A caller asks for a container to be taken off a network."""
        self.oracle.disconnecting(caller, network, container)

    # Rows.

    def do_insert(self, a: int, b: int) -> bool:
        """A row is committed; its deploy begins anew."""
        id_, database = TOPOLOGIES[a % len(TOPOLOGIES)], self._database(b)
        if id_ in database.rows or database.backup is not None:
            return False
        database.rows.add(id_)
        database.fading.pop(id_, None)
        self.pieces[id_] = 0
        return True

    def do_delete(self, a: int, b: int) -> bool:
        """A row is deleted, and the feeds tell of it in one way or another."""
        rows = [(d, row) for d in self.databases for row in sorted(d.rows)]
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
                database.fading[row] = self.clock.now + VISIBLE_STILL
                self._hint(database, (row,))
                self.counts["reports before visibility"] += 1
            case _:
                self._hint(database, None, heard=False)
                self.counts["deletions that no feed tells of"] += 1
        return True

    def do_move(self, a: int, b: int) -> bool:
        """A row goes from one database to another; or is in both from now on."""
        source = self._database(a)
        others = [database for database in self.databases if database is not source]
        if not others or not source.rows:
            return False
        row = sorted(source.rows)[a % len(source.rows)]
        others[0].rows.add(row)
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
        if database.backup is not None:
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
        self._hint(database, (row,))
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
        if not self._has_row(id_):
            self.counts["deploys that go on after the deletion"] += 1
        return self._deploy_piece(id_, piece, b)

    def do_deploy_all(self, a: int, b: int) -> bool:
        """A row, and the deploy from its beginning to its end."""
        id_ = TOPOLOGIES[a % len(TOPOLOGIES)]
        if not self._has_row(id_):
            self.do_insert(a, b)
        if id_ not in self.pieces:
            return False
        for piece in range(self.pieces[id_], 6):
            self._deploy_piece(id_, piece, b)
        self.pieces[id_] = 6
        return True

    def do_redeploy_at_once(self, a: int, b: int) -> bool:
        """A row and the first pieces of its deploy, and everybody hears of them at once.

        While a question is on its way, it is one of those that are asked about.
        """
        asked = self._asked[-1] if self._asked else frozenset()
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
        if piece >= 6:
            return False
        if piece % 3 == 0:
            if not same_name:
                self.daemon.create_network(lan)
            else:
                self.counts["networks used once more"] += 1
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
        kinds: list[tuple[str, Callable[[], Container | Network | None]]] = [
            ("foreign, running", lambda: create(mine, {}, network=on)),
            ("foreign, stopped", lambda: create(mine, {}, network=on, state="exited")),
            ("foreign, never started", lambda: create(mine, {}, network=on, state="created")),
            (
                "protected",
                lambda: create(ours, {**label, "topology-reaper.protect": "true"}, network=on),
            ),
            (
                "protected stranger",
                lambda: create(
                    mine, {"topology-reaper.protect": "true"}, network=on, state="exited"
                ),
            ),
            ("from any image", lambda: create(mine, {}, image=image, network=on)),
            ("from an image, same label", lambda: create(mine, label, image=image, network=on)),
            ("from an image, named", lambda: create(ours, {}, image=image)),
            ("by name only", lambda: create(ours, {})),
            ("by id label only", lambda: create(mine, label)),
            ("by project only", lambda: create(mine, project)),
            (
                "two owners",
                lambda: create(f"decnet_t_{other[:8]}_{mine}", {**label, **project}, network=on),
            ),
            ("no id", lambda: create(ours, {"decnet.topology.id": "x" + id_}, network=on)),
            (
                "overlay",
                lambda: self.daemon.create_network(f"decnet_t_{prefix}_{mine}", "overlay", "swarm"),
            ),
            ("same network name", lambda: on and self.daemon.create_network(on.name)),
            ("like a network", lambda: self.daemon.create_network(_looks_like(prefix, b))),
            ("like a container", lambda: create(_looks_like(prefix, b), {}, network=on)),
            (
                "forged attributes",
                lambda: create(mine, {"name": ours, "oldName": f"/{ours}"}, network=on),
            ),
            ("linked", lambda: self._linked(create(mine, label), f"decnet_t_{other[:8]}_x")),
            ("marked", lambda: create(mine, {"decnet.topology.decky": "d"}, network=on)),
            (
                "of one, on another's network",
                lambda: create(mine, {"decnet.topology.id": other}, network=on, state="exited"),
            ),
            ("stale endpoint", lambda: self._stale(on)),
        ]
        kind, make = kinds[a % len(kinds)]
        if make() is None:
            return False
        self.counts[f"stranger: {kind}"] += 1
        return True

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
        self._doubtful |= {container.id for container in users}
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
        found = list(things(self.daemon))
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

    # Events.

    def do_pump(self, a: int, b: int) -> bool:
        """Some events arrive."""
        if (one := self._listener(a)) is None or one.stream is None or one.watched:
            return False
        one.stream.settle(now=True)
        count = 1 + b % 4 if b < 90 else len(one.stream.pending)
        lines, one.stream.pending = one.stream.pending[:count], one.stream.pending[count:]
        return self._guarded(one, lambda: one.follow(lines)) and bool(lines)

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

    def do_connect(self, a: int, b: int) -> bool:  # noqa: ARG002
        """A listener connects to the engine, and lists."""
        one = self._listener(a)
        return one is not None and self._guarded(one, one.connect)

    def do_relist(self, a: int, b: int) -> bool:  # noqa: ARG002
        """The timer asks for a listing."""
        one = self._listener(a)
        if one is None or not one.connected or one.watched:
            return False
        one.watch.relist()
        return self._guarded(one, one.follow)

    # Hints.

    def do_hint(self, a: int, b: int, which: int = 0) -> bool:
        """A hint arrives."""
        if (one := self._listener(a)) is None or not (hints := one.hints[b % len(one.hints)]):
            return False
        self._give(one, b % len(one.hints), hints.pop(which))
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
        one.controller.feed_lost(b % len(one.hints))
        return True

    def do_feed_back(self, a: int, b: int) -> bool:
        """A feed is there again, and any row may have gone."""
        if (one := self._listener(a)) is None or one.feed_up[b % len(one.feed_up)]:
            return False
        one.feed_up[b % len(one.feed_up)] = True
        self._give(one, b % len(one.hints), None)
        return True

    def _hint(self, database: Database, hint: Hint, *, heard: bool | None = True) -> None:
        """Every feed of a database gets a hint; or misses one, where it is not heard."""
        number = self.databases.index(database)
        for one in self.listeners:
            if heard is False or (heard and not one.feed_up[number]):
                one.deaf[number] = True
            elif one.feed_up[number]:
                one.hints[number].append(hint)

    def _give(self, one: Listener, number: int, hint: Hint) -> None:
        if hint is not None:
            self.oracle.reported(one.run, number, hint)
            fading = {row[:8] for row in self.databases[number].fading}
            if fading and not (one.docker_up and fading <= one.index.prefixes()):
                one.deaf[number] = True  # a sweep has to find it
        elif not self.databases[number].fading:
            one.deaf[number] = False
        one.controller.hinted(number, hint)

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

    def do_restore(self, a: int, b: int) -> bool:
        """A dump is restored: no rows for a while, then those of then."""
        database = self._database(a)
        if database.backup is not None:
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
        database.aside = set(database.rows), database.incarnation
        database.replace({TOPOLOGIES[b % len(TOPOLOGIES)]} if b % 2 else set())
        self._hint(database, None, heard=False)
        return True

    def do_swap_back(self, a: int, b: int) -> bool:  # noqa: ARG002
        """The first file is back."""
        database = self._database(a)
        if database.aside is None or database.backup is not None:
            return False
        rows, incarnation = database.aside
        database.replace(rows)
        database.incarnation, database.aside = incarnation, None
        self._hint(database, None, heard=False)
        return True

    def do_emptied(self, a: int, b: int) -> bool:  # noqa: ARG002
        """Somebody drops the table and makes it again."""
        database = self._database(a)
        if database.backup is not None:
            return False
        database.replace(set())
        self._hint(database, None, heard=False)
        return True

    def do_unfollowed(self, a: int, b: int) -> bool:  # noqa: ARG002
        """Something happens to the database that nobody can follow."""
        self._database(a).generation += 1
        return True

    # The engine.

    def do_refuse(self, a: int, b: int) -> bool:  # noqa: ARG002
        """The next change is refused, or takes its time."""
        fault = ("409", "500", "404", "timeout", "late timeout", "unfinished")[a % 6]
        self.daemon.faults.append(fault)
        self.counts[f"fault {fault}"] += 1
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

    def do_kill(self, a: int, b: int) -> bool:  # noqa: ARG002
        """A listener is killed, whatever it is doing."""
        if (one := self._listener(a)) is None:
            return False
        one.dead = True
        self.listeners.remove(one)
        self.daemon.streams = [s for s in self.daemon.streams if s is not one.stream]
        return True

    def do_start(self, a: int, b: int, *, afresh: bool = False) -> bool:  # noqa: ARG002
        """A listener is started: the first with what its last run knew, the second with nothing."""
        names = {one.name for one in self.listeners}
        if "one" not in names:
            if afresh:
                self.state = State(self.config.databases)
            self.listeners.insert(0, Listener(self, "one", self.state))
            self.counts["restarts"] += 1
        elif "two" not in names and a % 2:
            self.listeners.append(Listener(self, "two"))
            self.counts["second listeners"] += 1
        else:
            return False
        return True

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
        tables = [database.incarnation for database in self.databases]
        confirm, held, of = token
        held = held if of == tables else frozenset()
        state = self.state if b % 4 else None
        self._operating = True
        try:
            report = sweep_once(self, state, dry_run=dry_run, confirm=confirm, held=held)
        finally:
            self._operating = False
        if report is None:
            self.counts["sweeps that were refused"] += 1
            return True
        self.counts["confirmed sweeps"] += bool(confirm)
        given = next((entry["token"] for entry in report.held if entry["token"]), "")
        if given and tables == [database.incarnation for database in self.databases]:
            prefixes = frozenset(entry["prefix"] for entry in report.held if entry["token"])
            self.tokens.append((given, prefixes, tables))
        return True

    # Time, and work.

    def do_pass_time(self, a: int, b: int) -> bool:  # noqa: ARG002
        """Time passes."""
        self.clock_forward(PAUSES[a % len(PAUSES)])
        return True

    def do_work(self, a: int, b: int) -> bool:
        """A listener does one piece of work."""
        if (one := self._listener(a)) is None or len(self.oracle.frames) >= DEEPEST:
            return False
        lanes = (one.controller.screening, one.controller.reconciling)
        return self._guarded(one, lambda: one.work(lanes[b % 2]) or one.work(lanes[1 - b % 2]))

    def do_settle(self, a: int, b: int) -> bool:
        """A listener hears of everything, and does what there is to do now."""
        if (one := self._listener(a)) is None or len(self.oracle.frames) >= DEEPEST - 1:
            return False
        if not one.connected:
            self.do_connect(a, b)
        for number in range(len(self.databases)):
            while self._listener(a) is one and self.do_hint(a, number):
                pass
        self.do_pump(a, 99)
        for _ in range(30):
            if one.dead or not self.do_work(a, b):
                break
        return True

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

    def _guarded(self, one: Listener, step: Callable[[], bool]) -> bool:
        """A step of a listener, which may be its last."""
        try:
            return step()
        except Killed:
            if not one.dead:
                raise  # it is another's end
            self.counts["killed inside a step"] += 1
            return True

    # The end.

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
        self.counts["worlds that came to rest"] += 1

    def _heal(self) -> None:
        self.daemon.up = True
        self.daemon.faults.clear()
        self.daemon.read_faults.clear()
        self.daemon.finish_removals()
        for number, database in enumerate(self.databases):
            database.failing = False
            self.do_restored(number, 1)
        self.clock_forward(2 * VISIBLE_STILL)
        if "one" not in {one.name for one in self.listeners}:
            self.do_start(0, 0)
        for number, one in enumerate(self.listeners):
            if one.stream is not None and not one.stream.whole:
                self.do_cut(number, 0)
            self.do_connect(number, 0)
            for feed in range(len(self.databases)):
                self.do_feed_back(number, feed)

    def settle_all(self) -> None:
        """Everything is delivered, and all work is done, whenever it is due."""
        for number, one in enumerate(self.listeners):
            for feed in range(len(self.databases)):
                while self.do_hint(number, feed):
                    pass
                if one.deaf[feed]:
                    self._give(one, feed, None)
            self.do_pump(number, 99)
        until = self.clock.now + AT_REST
        for _ in range(2000):
            if any(self.do_work(n, 0) for n in range(len(self.listeners))):
                continue
            if any(self.do_pump(n, 99) for n in range(len(self.listeners))):
                continue
            due = [
                at
                for one in self.listeners
                for lane in (one.controller.screening, one.controller.reconciling)
                if (at := lane.next_due()) is not None
            ]
            if not due or min(due) > until:
                return  # what is tried ever again then, has a reason to be still there
            self.clock.now = max(self.clock.now, min(due))
        stuck = [thing.name for thing in things(self.daemon) if owners_of(thing)]
        raise Violation(f"the listeners do not come to rest over {stuck}")

    def _nothing_left(
        self,
        one: Listener,
        when: str,
        *,
        only: Callable[[Thing], bool] = lambda _: True,
        witnessed_only: bool = False,
    ) -> None:
        tables = {n: d.visible(self.clock.now) for n, d in enumerate(self.databases)}
        for thing in filter(only, things(self.daemon)):
            if thing.id in self._doubtful:
                continue  # what it inherited, nobody can tell any more
            if isinstance(thing, Network) and any(map(stays_connected, self.daemon.on(thing))):
                continue  # something is on it that nobody may take off
            if owners_of(thing) and one.index.get(thing.id) is None:
                raise Violation(f"{one.name} does not know of {thing.name!r} {when}")
            if self.oracle.must_go(one.run, thing, tables, witnessed_only=witnessed_only):
                raise Violation(f"{thing.name!r} is orphaned and still there {when}")

    # Picking.

    def _database(self, number: int) -> Database:
        return self.databases[number % len(self.databases)]

    def _listener(self, number: int) -> Listener | None:
        return self.listeners[number % len(self.listeners)] if self.listeners else None

    def _container(self, number: int) -> Container | None:
        containers = list(self.daemon.containers.values())
        return containers[number % len(containers)] if containers else None

    def _has_row(self, id_: str) -> bool:
        return any(id_ in database.rows for database in self.databases)


def _looks_like(prefix: str, variant: int) -> str:
    """A name that is nearly one of DECNET's."""
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
