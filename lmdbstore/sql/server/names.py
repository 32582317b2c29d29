"""The names of a store's tables and locks in the server."""

from __future__ import annotations

from psycopg import sql

from lmdbstore.errors import InvalidOption, shown

__all__ = ["CLEANING", "LONGEST_NAME", "MIGRATING", "WRITING", "Names", "checked_schema"]

# The classes of our advisory locks; the second key is that of the schema.
WRITING = 0x6C6D6462  # held by a writer, from before it looks until it is published
CLEANING = 0x6C6D6463  # shared by those who need what was deleted, exclusive for removing it
MIGRATING = 0x6C6D6465  # shared by those who change cursors; taken before any other

LONGEST_NAME = 63  # bytes of a name in PostgreSQL


class Names:
    """The names of a store's tables, quoted."""

    def __init__(self, schema: str) -> None:
        """Quote the names in a schema."""
        self.plain = schema
        self.schema = sql.Identifier(schema).as_string(None)
        for name in ("store", "events", "checkpoints", "cursors", "busy", "shard"):
            setattr(self, name, f"{self.schema}.{name}")

    store: str
    events: str
    checkpoints: str
    cursors: str
    busy: str
    shard: str

    def lock(self, kind: int) -> str:
        """Return the two keys of an advisory lock."""
        return f"{kind}, hashtext('{self.plain.encode().hex()}')"

    def filled(self, statement: str) -> str:
        """Return a statement with the names in it."""
        return statement.format(**vars(self))


def checked_schema(schema: object, longest: int = LONGEST_NAME) -> str:
    """Return the name of a schema; raises InvalidOption."""
    if isinstance(schema, str):
        name = str.__str__(schema)
        size = len(name.encode(errors="replace"))
        if 0 < size <= longest and name.isprintable() and "%" not in name:
            return name
    raise InvalidOption(
        f"schema: {shown(schema)} cannot be used; pass a name of 1 to {longest} bytes, without a "
        "percent sign"
    )
