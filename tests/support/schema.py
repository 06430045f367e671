"""The JSON schemas of docs/, against what is really told.

They let a reader expect the keys that are named, and leave room for more; here a key that is not
named is a fault as well.
"""

from __future__ import annotations

import json
from pathlib import Path

from jsonschema import Draft202012Validator

DOCS = Path(__file__).parents[2] / "docs"


def check(name: str, told: object) -> None:
    """Hold what was told against docs/NAME.schema.json.

    Raises:
        jsonschema.ValidationError: it does not fit.
    """
    schema = json.loads((DOCS / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    for part in schema["$defs"].values():
        part["additionalProperties"] = False
    Draft202012Validator(schema).validate(told)
