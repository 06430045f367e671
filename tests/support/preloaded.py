"""Imports what the command and the writers of the tests do, and what they import late.

A process that has become another user may not be able to read our interpreter any more.
"""

import importlib

import sqlalchemy as sa

from listener.cli import COMMANDS, load

for _module in (
    "encodings.idna",
    "listener.databases.mysql.table",
    "listener.databases.nats.table",
    "listener.databases.postgres.table",
    "listener.runtime.relay.relay",
    "tests.support.rows",
):
    importlib.import_module(_module)
for _command in COMMANDS:
    load(_command)
for _driver in ("postgresql+psycopg", "mysql+pymysql"):
    sa.create_engine(f"{_driver}://host/name")
