"""``harness schema``: the scenario file's JSON Schema."""

import click


@click.command(
    epilog="""\b
Example:
  harness schema > scenario.schema.json
then begin a scenario with
  # yaml-language-server: $schema=scenario.schema.json"""
)
def schema() -> None:
    """Print the JSON Schema of the scenario file, for editors."""
    import json

    from harness import app
    from harness.scenario import json_schema

    click.echo(json.dumps(json_schema(app.catalog()), indent=2))
