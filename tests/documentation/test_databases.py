"""The rights that docs/databases.md gives are those with which the tests do all that they do."""

from __future__ import annotations

import re

import pytest

from tests.servers.conftest import HEARING
from tests.support.servers import PrivateMariaDB, PrivatePostgres, PrivateServer

from .pages import TREE, Page

SQL = [text for language, text in Page(TREE / "docs" / "databases.md").blocks if language == "sql"]


@pytest.mark.parametrize("server", [PrivatePostgres, PrivateMariaDB])
def test_the_grants(server: type[PrivateServer]) -> None:
    role = "reaper" if server is PrivatePostgres else "'topology_reaper'@'%'"
    needed = [grant.format(role, database="decnet") for grant in HEARING[server]]
    granted = [re.findall(r"^GRANT [^;]+", text, re.MULTILINE) for text in SQL]
    assert needed in granted
