"""Scenario files: text to values; every error names file, line, column and key.

catalog.py      what is installed: the words that may be used
reading.py      from a text to a scenario, through all of the following
tree.py         YAML with the place of every key and value (nodes.py: what it is made of; files.py: reading files)
overrides.py    --set PATH=VALUE
context.py      what one part of a file must know of the others
document.py     the input models, with environment.py; inputs.py: their base; quantities.py, words.py: their values
problems.py     from what the models found wrong to problems with a place
convert.py      from a checked document to domain values
schema.py       JSON Schema, for editors
"""

from harness.domain.quantity import duration_ns as parse_duration
from harness.scenario.catalog import Catalog
from harness.scenario.reading import load, place_in
from harness.scenario.schema import json_schema

__all__ = ["Catalog", "json_schema", "load", "parse_duration", "place_in"]
