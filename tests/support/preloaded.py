"""Whatever the command and the writers of the tests import, also what they import late.

A process that has become another user may not be able to read our interpreter any more.
"""

import encodings.idna  # noqa: F401

import sqlalchemy as sa

import tests.support.rows  # noqa: F401

for _driver in ("postgresql+psycopg", "mysql+pymysql"):
    sa.create_engine(f"{_driver}://host/name")
