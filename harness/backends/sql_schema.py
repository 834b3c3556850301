"""The tables of a registry in a database. Their names begin with ``harness_``: others may live in the same one."""

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, Integer, MetaData, Table, Text

VERSION: Final = 1
"""Of the tables. A change of them is a number more, and whatever brings an older database there."""

tables: Final = MetaData()

about = Table(
    "harness_registry",
    tables,
    Column("schema", Integer, primary_key=True),
    Column("artifacts", Text, nullable=False),  # where files are kept; empty: beside the database
)

models = Table(
    "harness_models",
    tables,
    Column("name", Text, primary_key=True),
    Column("last_version", Integer, nullable=False),  # its row is what registrations of one name wait for each other at
    Column("created_at", Text, nullable=False),
)

versions = Table(
    "harness_versions",
    tables,
    Column("name", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("intent", Text, nullable=False, unique=True),
    Column("status", Text, nullable=False),
    Column("label", Text, nullable=False),  # what its maker calls the version, where that is not its number
    Column("run", Text, nullable=False),
    Column("algorithm", Text, nullable=False),
    Column("params", Text, nullable=False),  # JSON, as all that follows and has parts
    Column("metrics", Text, nullable=False),
    Column("data_digest", Text),
    Column("features_digest", Text),
    Column("facts", Text, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("signed_by", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    ForeignKeyConstraint(["name"], ["harness_models.name"]),
)

_OF_A_VERSION: Final = (["name", "number"], ["harness_versions.name", "harness_versions.number"])

aliases = Table(
    "harness_aliases",
    tables,
    Column("name", Text, primary_key=True),
    Column("alias", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    ForeignKeyConstraint(*_OF_A_VERSION),
)

artifacts = Table(
    "harness_artifacts",
    tables,
    Column("name", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("path", Text, primary_key=True),  # what the file is called in the version
    Column("sha256", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    ForeignKeyConstraint(*_OF_A_VERSION),
)
Index("harness_artifacts_sha256", artifacts.c.sha256)

links = Table(
    "harness_links",
    tables,
    Column("name", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("what", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    ForeignKeyConstraint(*_OF_A_VERSION),
)

deployments = Table(
    "harness_deployments",
    tables,
    Column("name", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("run", Text, primary_key=True),
    Column("rollout", Integer, primary_key=True),
    Column("outcome", Text, primary_key=True),
    Column("place", Integer, nullable=False),  # in the order in which they were recorded
    Column("told", Text, nullable=False),
    ForeignKeyConstraint(*_OF_A_VERSION),
)
