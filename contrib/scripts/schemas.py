"""The JSON schemas of the status and of a sweep's report, made from their types: `make docs`.

msgspec translates the types; what a key means is taken from the docstring of its class. A key that
is not named may be there as well, for a later version may add some.

    python schemas.py docs
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from listener.core import report, status

SCHEMAS = {"status": status.Status, "relay": status.RelayStatus, "report": report.Report}
"""What each file is of: docs/NAME.schema.json."""
_ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)$", re.MULTILINE)


def schema(name: str) -> str:
    """The text of this file."""
    made = msgspec.json.schema(SCHEMAS[name])
    for title, part in made["$defs"].items():
        part["description"], meanings = _described(title)
        part["required"] = list(part["properties"])  # also what a dataclass has a default for
        for key, value in part["properties"].items():
            value.pop("default", None)
            value["description"] = meanings[key]
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def _described(title: str) -> tuple[str, Mapping[str, str]]:
    """What a class and its keys mean; an inherited key stands in the docstring of another class."""
    classes: Mapping[str, Any] = {**vars(report), **vars(status)}
    keys = classes[title].__annotations__.keys()
    meanings: dict[str, str] = {}
    for each in (*filter(_is_documented, classes.values()), classes[title]):
        if each.__annotations__.keys() <= keys:
            found = _ATTRIBUTE.findall(inspect.getdoc(each) or "")
            meanings |= {key: re.sub(r"\s+", " ", meaning) for key, meaning in found}
    summary, _, _ = (inspect.getdoc(classes[title]) or "").partition("\n")
    return summary, meanings


def _is_documented(thing: Any) -> bool:
    return inspect.isclass(thing) and bool(getattr(thing, "__annotations__", None))


if __name__ == "__main__":
    for _name in SCHEMAS:
        Path(sys.argv[1], f"{_name}.schema.json").write_text(schema(_name))
