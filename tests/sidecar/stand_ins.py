"""Images that stand in for those of a registry: this machine's programs, which know what to do.

Each has programs of Debian's packages, the libraries that these are linked with, and a shell. The
entry point of a database obeys the variables that the image of that name in a registry does.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from debian_packages import ensure, which
from private_engine import PrivateEngine

from tests.sidecar.image import docker


@dataclass(frozen=True)
class StandIn:
    """What an image is made of.

    Attributes:
        programs: with Debian's package of each.
        more: other files and folders that they need.
        data: the volume in which they keep what they know.
        script: what is run; without it the command.
    """

    programs: Mapping[str, str]
    more: Sequence[str] = ()
    data: str = "/data"
    script: str = 'exec "$@"'


STAND_INS = {
    "haproxy": StandIn({"haproxy": "haproxy"}),
    "postgres": StandIn(
        {
            "/usr/lib/postgresql/*/bin/initdb": "postgresql",
            "/usr/lib/postgresql/*/bin/postgres": "postgresql",
        },
        (
            "/usr/lib/postgresql/*/lib/plpgsql.so",
            "/usr/lib/postgresql/*/lib/dict_snowball.so",
            "/usr/share/postgresql/*",
        ),
        "/var/lib/postgresql/data",
        """
        if [ ! -s PG_VERSION ]; then
            echo "$POSTGRES_PASSWORD" > /tmp/password
            initdb --pgdata=. --username="$POSTGRES_USER" --pwfile=/tmp/password \
                --auth=scram-sha-256 --locale=C --encoding=UTF8 --no-sync
            echo "host all all all scram-sha-256" >> pg_hba.conf
            echo "CREATE DATABASE $POSTGRES_DB" | postgres --single -D . postgres
        fi
        exec postgres -D . -c listen_addresses=* -c unix_socket_directories=/tmp -c fsync=off
        """,
    ),
    "mariadb": StandIn(
        {
            "mariadbd": "mariadb-server",
            "mariadb-install-db": "mariadb-server",
            "my_print_defaults": "mariadb-server",
            "resolveip": "mariadb-server",
        },
        ("/usr/share/mysql",),
        "/var/lib/mysql",
        """
        if [ ! -d mysql ]; then
            mariadb-install-db --no-defaults --datadir="$PWD" --skip-test-db
        fi
        echo "CREATE DATABASE IF NOT EXISTS $MARIADB_DATABASE;
            CREATE USER IF NOT EXISTS $MARIADB_USER IDENTIFIED BY '$MARIADB_PASSWORD';
            GRANT ALL ON $MARIADB_DATABASE.* TO $MARIADB_USER;" > /tmp/init.sql
        exec mariadbd --no-defaults --datadir="$PWD" --socket=/tmp/socket \
            --init-file=/tmp/init.sql "$@"
        """,
    ),
}
DOCKERFILE = """
FROM busybox
ADD files.tar /
COPY script /
RUN mkdir -p {data} && chown 999 {data} && echo server:x:999:999::/: > /etc/passwd
USER 999
WORKDIR {data}
VOLUME {data}
ENV PATH=/bin:{path}
ENTRYPOINT ["sh", "-e", "/script"]
"""


def make(engine: PrivateEngine, name: str, folder: Path) -> str:
    """Make the image that stands in for this one, in an empty folder; how it is called."""
    about = STAND_INS[name]
    ensure(about.programs, f"an image of {name}")
    programs = [which(program) or program for program in about.programs]
    files = {*programs, *(which(path) or path for path in about.more)}
    for program in programs:
        # A script is linked with nothing, which ldd takes for an error.
        linked = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        files.update(re.findall(r"/\S+", linked))
    relative = [file.lstrip("/") for file in sorted(files)]
    tar = ["tar", "--dereference", "-C", "/", "-cf", str(folder / "files.tar"), *relative]
    subprocess.run(tar, check=True)
    path = ":".join(sorted({str(Path(program).parent) for program in programs}))
    (folder / "Dockerfile").write_text(DOCKERFILE.format(data=about.data, path=path))
    (folder / "script").write_text(about.script)
    docker(engine, "build", "--tag", f"{name}:stand-in", str(folder))
    return f"{name}:stand-in"
