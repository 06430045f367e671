"""The rows of the matrix: what is tried, where it comes from, and the tests that try it.

A row is about one thing in one version. The tests are the suite's own: the options of
``tests/conftest.py`` lead its fixtures to the system that the thing comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.conftest import LIBRARIES
from tests.engine.test_images import PACKAGES as DOCKER_AND_COMPOSE


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing in one version.

    Attributes:
        name: what it is chosen by.
        what: it is, for readers.
        says: the properties of the tests' report in which it says its version.
        version: how the first of these begins; if it does not, it is not what the row is about.
        tests: what pytest runs.
        release: the Debian that it comes from; this machine if empty.
        packages: what it takes there.
        root: the option of the tests that takes it from there; if empty, they run in there.
        environment: the name of that in which the tests run; the one that runs this if empty.
        python: the version of Python in it.
        make: variables with which make makes it.
        is_new: it is made anew each time.
    """

    name: str
    what: str
    says: Sequence[str]
    version: str = ""
    tests: Sequence[str]
    release: str = ""
    packages: Sequence[str] = ()
    root: str = ""
    environment: str = ""
    python: str = ""
    make: Sequence[str] = ()
    is_new: bool = False


ENGINE = (
    *("tests/engine/test_main_job.py", "tests/engine/test_sweep.py", "tests/engine/test_watch.py"),
    *("tests/engine/test_what_stays.py", "tests/engine/test_faults.py"),
    *("tests/engine/test_images.py", "tests/engine/test_built_images.py"),
    *("tests/engine/doctor/test_engine.py", "tests/engine/doctor/test_healthy.py"),
)
ON_DOCKER = "not podman and not postgres and not mariadb"
"""Which of them: for what they ask of SQLite, they need no other database."""
# Newer ones make no two networks of one name, and leave no endpoint behind in the way that the test
# knows of.
ON_NEWER = f"{ON_DOCKER} and not two_networks and not outlived"
# There a removal by force leaves the record of an image, and a commit keeps nothing of what it was
# made of. What goes and what stays there is what the deep tests try.
WITH_CONTAINERD = f"{ON_NEWER} and not compose_made and not anybody_wants"
ON_PODMAN = (*ENGINE, "tests/engine/test_podman.py", "tests/engine/test_demo.py", "-k", "podman")
ON_SQLITE = (
    *("tests/database", "tests/engine/test_main_job.py", "tests/engine/test_behind.py"),
    *("tests/engine/test_evidence.py", "tests/engine/test_wrong_database.py"),
    *("-k", ON_DOCKER),
)
SERVER = (
    *("tests/engine/test_main_job.py", "tests/engine/test_behind.py"),
    *("tests/engine/doctor/test_healthy.py", "tests/engine/doctor/test_databases.py"),
    *("tests/servers/test_answers.py", "tests/servers/test_order.py"),
    *("tests/servers/test_feeds.py", "tests/servers/test_feed_faults.py"),
    *("tests/servers/test_changed_servers.py", "tests/servers/test_torn_down.py"),
    *("tests/servers/test_currency_mysql.py", "tests/servers/test_currency_postgres.py"),
)
CODE = ("tests/unit", "tests/database", "tests/engine/test_main_job.py")


def docker_28(name: str, how: str, *arguments: str, which: str = ON_NEWER) -> Row:
    """A Docker Engine of sid that is set up in some way."""
    return Row(
        name=f"docker-28{name}",
        what=f"Docker Engine of Debian sid{how}",
        says=("Docker Engine",),
        version="28.",
        tests=(*ENGINE, *arguments, "-k", which),
        release="sid",
        packages=DOCKER_AND_COMPOSE,
        root="--docker-root",
    )


def python(version: str, release: str = "", *packages: str) -> Row:
    """A Python, with the SQLite that it uses."""
    return Row(
        name=f"python-{version}",
        what=f"Python{f' of Debian {release}' if release else ''}, with its SQLite",
        says=("Python", "SQLite"),
        version=f"{version}.",
        tests=(*CODE, "-k", "not podman"),
        release=release,
        packages=packages,
        environment=version,
        python=version,
    )


ROWS = (
    Row(
        name="docker-20",
        what="Docker Engine of Debian 12",
        says=("Docker Engine",),
        version="20.10.",
        tests=(*ENGINE, "-k", ON_DOCKER),
    ),
    Row(
        name="docker-26",
        what="Docker Engine of Debian 13",
        says=("Docker Engine",),
        version="26.1.",
        tests=(*ENGINE, "-k", ON_NEWER),
        release="trixie",
        packages=("docker.io", "iptables"),
        root="--docker-root",
    ),
    docker_28("", ""),
    docker_28(
        "-containerd",
        ", with the containerd image store",
        "--docker-option=--feature=containerd-snapshotter=true",
        *("-m", "deep or not deep"),
        which=WITH_CONTAINERD,
    ),
    docker_28(
        "-live-restore",
        ", with `--live-restore`",
        "--docker-option=--live-restore",
        which=f"{ON_NEWER} and not overlay",  # there is no swarm then
    ),
    docker_28("-userns", ", with `--userns-remap`", "--docker-option=--userns-remap=default"),
    Row(
        name="podman-4",
        what="Podman of Debian 12",
        says=("Podman",),
        version="4.3.",
        tests=ON_PODMAN,
    ),
    Row(
        name="podman-5",
        what="Podman of Debian 13",
        says=("Podman",),
        version="5.4.",
        # crun, its usual runtime, refuses a host that has both hierarchies of control groups.
        tests=(*ON_PODMAN, "--podman-option=--runtime=runc"),
        release="trixie",
        packages=("podman", "runc", "netavark", "aardvark-dns", "iptables", "nftables"),
        root="--podman-root",
    ),
    Row(
        name="sqlite-3",
        what="SQLite of Debian 12",
        says=("SQLite",),
        version="3.",
        tests=ON_SQLITE,
    ),
    Row(
        name="mariadb-10",
        what="MariaDB of Debian 12",
        says=("MariaDB or MySQL",),
        version="10.11.",
        tests=(*SERVER, "-k", "(mariadb or currency_mysql) and not podman"),
    ),
    Row(
        name="mariadb-11",
        what="MariaDB of Debian 13",
        says=("MariaDB or MySQL",),
        version="11.8.",
        tests=(*SERVER, "-k", "(mariadb or currency_mysql) and not podman"),
        release="trixie",
        packages=("mariadb-server",),
        root="--mariadb-root",
    ),
    Row(
        name="mysql-9",
        what="MySQL of Debian sid",
        says=("MariaDB or MySQL",),
        version="9.",
        tests=(*SERVER, "-k", "mariadb and not podman and not mariadb_alone"),
        release="sid",
        packages=("mysql-server-core",),
        root="--mysql-root",
    ),
    Row(
        name="postgresql-15",
        what="PostgreSQL of Debian 12",
        says=("PostgreSQL",),
        version="15.",
        tests=(*SERVER, "-k", "postgres and not podman"),
    ),
    Row(
        name="postgresql-17",
        what="PostgreSQL of Debian 13",
        says=("PostgreSQL",),
        version="17.",
        tests=(*SERVER, "-k", "postgres and not podman"),
        release="trixie",
        packages=("postgresql-17",),
        root="--postgres-root",
    ),
    Row(
        name="postgresql-18",
        what="PostgreSQL of Debian sid",
        says=("PostgreSQL",),
        version="18.",
        tests=(*SERVER, "-k", "postgres and not podman"),
        release="sid",
        packages=("postgresql-18",),
        root="--postgres-root",
    ),
    python("3.11"),
    python("3.12"),
    python("3.13"),
    python(
        "3.14",
        "sid",
        *("python3.14-venv", "make", "bindfs", "docker.io", "iptables", "busybox-static"),
        *("postgresql-18", "mariadb-server", "nats-server", "e2fsprogs"),
    ),
    Row(
        name="lowest",
        what="the lowest versions that `pyproject.toml` allows",
        says=LIBRARIES,
        tests=(*CODE, "tests/servers/test_feeds.py", "-k", "not podman"),
        environment="lowest",
        make=("CONSTRAINTS=build/lowest.txt",),
    ),
    Row(
        name="newest",
        what="the newest versions that there are",
        says=LIBRARIES,
        tests=(*CODE, "tests/servers/test_feeds.py", "-k", "not podman"),
        environment="newest",
        make=("CONSTRAINTS=/dev/null",),
        is_new=True,
    ),
)
