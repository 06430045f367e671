"""What belongs to which topology."""

from __future__ import annotations

import pytest

from listener.core import ownership
from listener.core.resources import Kind, Resource, Stage
from tests.world.parts import TOPOLOGY, P, Q, topology

ID = "decnet.topology.id"
PROJECT = "com.docker.compose.project"
IMAGE = "com.docker.compose.image"
SERVICE = "decnet.topology.service"
PROTECT = "topology-reaper.protect"
NAME = f"decnet_t_{P}_decky-001"


def container(
    name: str = "anything",
    labels: ownership.Labels | None = None,
    image: ownership.Labels | None = None,
    *,
    event: bool = False,
) -> Resource | None:
    return ownership.container("id", name, labels or {}, None if event else (image or {}), 12.5)


def owners(
    name: str = "anything",
    labels: ownership.Labels | None = None,
    image: ownership.Labels | None = None,
) -> tuple[str, ...]:
    found = container(name, labels, image)
    return found.owners if found else ()


# The signals, one by one and together.


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        (NAME, {}, (P,)),
        ("any", {PROJECT: f"decnet-topo-{P}"}, (P,)),
        ("decky-001-ssh", {ID: TOPOLOGY}, (TOPOLOGY,)),
        (f"0123abcd_{NAME}", {ID: TOPOLOGY, PROJECT: f"decnet-topo-{P}"}, (TOPOLOGY,)),
        (NAME, {ID: TOPOLOGY, PROJECT: f"decnet-topo-{P}"}, (TOPOLOGY,)),
        (NAME, {PROJECT: f"decnet-topo-{P}"}, (P,)),
        (NAME, {PROJECT: f"decnet-topo-{Q}"}, (P, Q)),
        (NAME, {ID: topology(Q)}, (P, topology(Q))),
        (f"decnet_t_{Q}_x", {ID: TOPOLOGY, PROJECT: "decnet-topo-cccccccc"}, None),
        ("", {}, ()),
    ],
)
def test_every_signal_names_an_owner_and_a_full_id_supersedes_its_own_prefix(
    name: str, labels: ownership.Labels, expected: tuple[str, ...] | None
) -> None:
    if expected is None:
        expected = (TOPOLOGY, Q, "cccccccc")
    assert owners(name, labels) == tuple(sorted(expected))


@pytest.mark.parametrize(
    "name",
    [
        f"xdecnet_t_{P}_lan",
        f"0123_decnet_t_{P}_lan",
        f"decnet_t_{P}x_lan",
        f"decnet_t_{P}_",
        f"decnet_t_{P}",
        f"decnet_t_{P.upper()}_lan",
        f"DECNET_T_{P}_lan",
        f" decnet_t_{P}_lan",
        f"\ndecnet_t_{P}_lan",
        f"decnet_t_{P[:-1]}_lan",
        f"decnet_t_{P[:-1]}g_lan",
        f"decnet_t_{P[:-1]}é_lan",
        f"decnet_t_{chr(0x660) * 8}_lan",  # digits, but not ours
        f"decnet-t-{P}_lan",
        f"/decnet_t_{P}_lan",
        "",
    ],
)
def test_a_name_counts_only_when_it_matches_in_full(name: str) -> None:
    assert ownership.network("id", name, driver="bridge", scope="local") is None
    assert owners(name) == ()


@pytest.mark.parametrize(
    "project",
    [
        f"xdecnet-topo-{P}",
        f"decnet-topo-{P}x",
        f"decnet-topo-{P}-2",
        f"decnet-topo-{P}\n",
        f"decnet-topo-{P.upper()}",
        f"decnet_topo_{P}",
        f"decnet-topo-{P[:-1]}",
        "",
        None,
        8,
        [f"decnet-topo-{P}"],
    ],
)
def test_a_compose_project_counts_only_when_it_matches_in_full(project: object) -> None:
    assert owners(labels={PROJECT: project}) == ()


@pytest.mark.parametrize(
    "value",
    [
        *("", P, "not-an-id", TOPOLOGY.upper(), TOPOLOGY + "\n", " " + TOPOLOGY),
        *(TOPOLOGY.replace("-", ""), TOPOLOGY[:-1], TOPOLOGY + "0"),
        *(7, [], {}, TOPOLOGY.encode()),
    ],
)
def test_an_id_label_that_cannot_be_asked_about_makes_the_container_nobodys(value: object) -> None:
    labels = {ID: value, PROJECT: f"decnet-topo-{P}"}
    assert owners(NAME, labels) == ()
    assert ownership.carries_marks("any", labels, {})


# Networks.


@pytest.mark.parametrize(
    "lan",
    [
        *("lan1", "a", "A.b_c-9", "_", "server lan", "büro", "lan(1)", "a/b", "lan\n", "\n"),
        *("a\nb", " ", "x" * 5000, "\x00", "\u2028", "😀"),
    ],
)
def test_a_bridge_network_is_known_by_its_name(lan: str) -> None:
    found = ownership.network(
        "id", f"decnet_t_{P}_{lan}", driver="bridge", scope="local", created=3.0
    )
    assert found == Resource(
        Kind.NETWORK, "id", f"decnet_t_{P}_{lan}", (P,), Stage.NETWORK, 3.0, verified=False
    )
    assert ownership.network_name(P, lan) == found.name


@pytest.mark.parametrize(
    ("driver", "scope"),
    [
        *(("overlay", "swarm"), ("bridge", "swarm"), ("overlay", "local"), ("macvlan", "local")),
        *((None, "local"), ("bridge", None), ("", ""), (["bridge"], "local")),
    ],
)
def test_a_network_that_is_no_local_bridge_is_never_ours(driver: object, scope: object) -> None:
    assert ownership.network("id", f"decnet_t_{P}_lan", driver=driver, scope=scope) is None


# Inherited labels.


@pytest.mark.parametrize(
    ("labels", "image", "expected"),
    [
        ({ID: TOPOLOGY}, {ID: TOPOLOGY}, ()),
        ({ID: TOPOLOGY}, {ID: topology(tail=2)}, (TOPOLOGY,)),
        ({ID: TOPOLOGY}, {PROJECT: TOPOLOGY}, (TOPOLOGY,)),
        ({PROJECT: f"decnet-topo-{P}"}, {PROJECT: f"decnet-topo-{P}"}, ()),
        ({PROJECT: f"decnet-topo-{P}"}, {PROJECT: f"decnet-topo-{Q}"}, (P,)),
        (
            {ID: TOPOLOGY, PROJECT: f"decnet-topo-{Q}"},
            {ID: TOPOLOGY},
            (Q,),
        ),
        ({ID: "broken", PROJECT: f"decnet-topo-{Q}"}, {ID: "broken"}, (Q,)),
    ],
)
def test_a_label_that_the_image_carries_with_the_same_value_does_not_count(
    labels: ownership.Labels, image: ownership.Labels, expected: tuple[str, ...]
) -> None:
    assert owners("any", labels, image) == expected
    # In an event the image is not known yet, and every label counts for now.
    assert (container("any", labels, event=True) is not None) == (
        labels[next(iter(labels))] != "broken"
    )


@pytest.mark.parametrize("image", [{}, {PROTECT: "true"}, None])
def test_a_protected_container_is_never_ours_whether_it_inherits_that_or_not(
    image: ownership.Labels | None,
) -> None:
    labels = {ID: TOPOLOGY, PROTECT: "true"}
    assert ownership.container("id", NAME, labels, image) is None
    assert ownership.carries_marks("any", {PROTECT: "true"}, image)


# An image that is gone.


@pytest.mark.parametrize(
    ("name", "labels", "owners"),
    [
        ("decky-001-ssh", {ID: TOPOLOGY}, (TOPOLOGY,)),
        ("decky-001-ssh", {PROJECT: f"decnet-topo-{P}"}, (P,)),
        (NAME, {}, (P,)),
        (NAME, {ID: TOPOLOGY}, (TOPOLOGY,)),
        (NAME, {ID: topology(Q)}, (P, topology(Q))),
    ],
)
def test_labels_whose_image_is_gone_keep_a_container_alive_and_are_no_reason_to_remove_it(
    name: str, labels: ownership.Labels, owners: tuple[str, ...]
) -> None:
    found = ownership.container("id", name, labels, ownership.LOST)
    assert found is not None
    assert (found.owners, found.doubtful, found.verified) == (owners, name != NAME, False)
    assert ownership.carries_marks(name, labels, ownership.LOST)


@pytest.mark.parametrize(
    ("labels", "theirs"),
    [
        ({IMAGE: "sha256:1", PROJECT: f"decnet-topo-{P}", ID: TOPOLOGY}, True),
        ({IMAGE: "sha256:1", PROJECT: f"decnet-topo-{P}"}, True),
        # Inherited through `docker commit`.
        ({IMAGE: "sha256:0", PROJECT: f"decnet-topo-{P}", ID: TOPOLOGY}, False),
        # Another's compose made it of such an image: the project is its own, the rest is not.
        ({IMAGE: "sha256:1", PROJECT: "analysis", ID: TOPOLOGY}, False),
        # By hand, by a library, or by a compose of long ago.
        ({PROJECT: f"decnet-topo-{P}", ID: TOPOLOGY}, False),
        ({IMAGE: "sha256:1", ID: TOPOLOGY}, False),
    ],
)
def test_what_decnets_compose_made_has_its_labels_whatever_became_of_its_image(
    labels: dict[str, str], theirs: bool
) -> None:
    image = ownership.of_lost_image("sha256:1", labels)
    found = ownership.container("id", "decky-001-ssh", labels, image)
    assert found is not None
    assert (found.verified, found.doubtful) == (theirs, not theirs)


# What a person is told.


@pytest.mark.parametrize(
    ("name", "labels", "image", "lines"),
    [
        (
            NAME,
            {},
            {},
            [f"label {ID}: absent", f"label {PROJECT}: absent", f"name={NAME!r}: counts"],
        ),
        (
            "web",
            {ID: TOPOLOGY, PROJECT: f"decnet-topo-{P}", PROTECT: "true"},
            {ID: TOPOLOGY},
            [
                "it is protected, by its label or as our own: it is never touched",
                f"label {ID}={TOPOLOGY!r}: does not count, its image carries it too",
                f"label {PROJECT}='decnet-topo-{P}': counts",
                "name='web': is not of DECNET's form",
            ],
        ),
    ],
)
def test_each_signal_of_a_container_is_told_with_whether_it_counts(
    name: str, labels: ownership.Labels, image: ownership.Labels, lines: list[str]
) -> None:
    assert [str(signal) for signal in ownership.container_signals(name, labels, image)] == lines


# What is known besides the owners.


@pytest.mark.parametrize(
    ("name", "labels", "image", "verified"),
    [
        ("any", {ID: TOPOLOGY}, {}, True),
        ("any", {PROJECT: f"decnet-topo-{P}"}, {}, True),
        (NAME, {}, {}, False),
        (NAME, {ID: TOPOLOGY}, {ID: TOPOLOGY}, False),
        ("any", {ID: TOPOLOGY}, None, False),
        (NAME, {}, None, False),
    ],
)
def test_settled_is_what_rests_on_labels_compared_with_the_images(
    name: str, labels: ownership.Labels, image: ownership.Labels | None, verified: bool
) -> None:
    found = ownership.container("id", name, labels, image)
    assert found is not None
    assert found.verified is verified


@pytest.mark.parametrize(
    ("labels", "image", "stage"),
    [
        ({SERVICE: "true"}, {}, Stage.SERVICE),
        ({SERVICE: "true"}, None, Stage.SERVICE),
        ({SERVICE: "true"}, {SERVICE: "true"}, Stage.BASE),
        ({SERVICE: "false"}, {}, Stage.BASE),
        ({SERVICE: True}, {}, Stage.BASE),
        ({"decnet.topology.role": "base"}, {}, Stage.BASE),
        ({}, {}, Stage.BASE),
    ],
)
def test_only_a_container_labelled_as_a_service_waits_for_the_bases(
    labels: ownership.Labels, image: ownership.Labels | None, stage: Stage
) -> None:
    found = ownership.container("id", "any", {ID: TOPOLOGY, **labels}, image, 12.5)
    assert found is not None
    assert (found.stage, found.kind, found.id, found.name) == (stage, Kind.CONTAINER, "id", "any")
    assert found.created == 12.5
    assert Stage.BASE < Stage.NETWORK < Stage.SERVICE < Stage.IMAGE


@pytest.mark.parametrize(
    ("name", "labels", "image", "marked"),
    [
        ("tcpdump", {}, {}, False),
        ("tcpdump", {"com.docker.compose.project": "shop"}, {}, False),
        ("tcpdump", {ID: TOPOLOGY}, {ID: TOPOLOGY}, False),
        ("tcpdump", {ID: TOPOLOGY}, {ID: topology(tail=2)}, True),
        ("tcpdump", {ID: TOPOLOGY}, None, True),
        ("tcpdump", {"decnet.topology.decky": "decky-001"}, {}, True),
        ("tcpdump", {"decnet.topology.future": "?"}, {}, True),
        ("tcpdump", {PROJECT: f"decnet-topo-{P}"}, {}, True),
        ("tcpdump", {PROTECT: "true"}, {PROTECT: "true"}, True),
        ("tcpdump", {PROTECT: "false"}, {}, False),
        (NAME, {}, {}, True),
        (f"x{NAME}", {}, {}, False),
    ],
)
def test_what_carries_marks_is_wider_than_what_is_ours(
    name: str, labels: ownership.Labels, image: ownership.Labels | None, marked: bool
) -> None:
    assert ownership.carries_marks(name, labels, image) is marked
    assert ownership.container("id", name, labels, image) is None or marked


def test_a_protected_network_is_never_ours() -> None:
    def of(labels: ownership.Labels | None) -> Resource | None:
        return ownership.network(
            "id", f"decnet_t_{P}_lan", driver="bridge", scope="local", labels=labels
        )

    assert of({PROTECT: "true"}) is None
    assert of({PROTECT: "false"}) is not None
    assert of(None) is not None


BUILT = f"decnet-topo-{P}-decky-001-ssh"
SERVICE_OF_IMAGE = "com.docker.compose.service"


@pytest.mark.parametrize(
    ("names", "more", "goes"),
    [
        ([f"{BUILT}:latest"], {}, True),
        ([f"decnet-topo-{P}_decky-001-ssh:latest"], {}, True),  # as compose did at first
        ([f"{BUILT}:latest", f"{BUILT}@sha256:ab"], {}, True),
        ([f"localhost/{BUILT}:latest"], {}, True),
        ([f"docker.io/library/{BUILT}:latest"], {}, True),
        ([f"{BUILT}:evidence"], {}, False),  # the next build has taken the other tag
        ([f"{BUILT}:evidence", f"{BUILT}@sha256:ab"], {}, False),
        ([f"{BUILT}-gdb:latest"], {}, False),  # built on top of it
        ([f"decnet-topo-{P}-http:latest"], {}, False),
        ([f"{BUILT}:latest"], {SERVICE_OF_IMAGE: None}, False),
        (["evidence/ssh:case-17"], {}, False),
        (["localhost:5000/decoy:1", "localhost:5000/decoy@sha256:ab"], {}, False),
        ([], {}, False),
        ([f"{BUILT}@sha256:ab"], {}, False),
        ([f"registry/{BUILT}:latest"], {}, False),
        ([f"decnet-topo-{P}:latest"], {}, False),
        ([f"decnet-topo-{Q}-decky-001-ssh:latest"], {}, False),
        ([f"{BUILT}:latest", f"{BUILT}:kept"], {}, False),
        ([f"{BUILT}:latest", "evidence:1"], {}, False),
        ([f"{BUILT}:latest", "evidence@sha256:ab"], {}, False),
        ([f"{BUILT}:latest"], {"com.docker.compose.container-number": "1"}, False),
        ([f"{BUILT}:latest"], {ID: TOPOLOGY}, False),
        ([f"{BUILT}:latest"], {"decnet.topology.future": "?"}, False),
        ([f"{BUILT}:latest"], {PROTECT: "true"}, False),
        ([f"{BUILT}:latest"], {PROJECT: "decnet"}, False),
        ([f"{BUILT}:latest"], {PROJECT: f"decnet-topo-{P} decnet-topo-{Q}"}, False),
        ([f"{BUILT}:latest"], {PROJECT: None}, False),
    ],
)
def test_an_image_is_composes_own_by_the_one_name_that_compose_gives_it(
    names: list[str], more: ownership.Labels, goes: bool
) -> None:
    labels = {PROJECT: f"decnet-topo-{P}", SERVICE_OF_IMAGE: "decky-001-ssh", **more}
    found = ownership.image("sha256:1", names, labels)
    assert (found is not None) is goes
    if found is not None:
        assert (found.owners, found.name) == ((P,), names[0])
