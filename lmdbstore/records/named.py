"""Texts that are stored under a name: checkpoints, and the states of cursors.

Rules: pure. `disk.format` documents the bytes. A value has its whole name, and a checksum over all
of it: so it proves where it belongs, and nothing of it is used before that is compared.
"""

from __future__ import annotations

from typing import NamedTuple

from lmdbstore.disk import format as fmt
from lmdbstore.disk.keys import CHECKSUM, is_whole, text_key
from lmdbstore.errors import StoreDamaged, shown

from .layout import record_checksum

__all__ = ["NamedText", "decode_named", "encode_named", "name_of", "named_in", "text_in"]

SIZE = len(fmt.NO_LOCAL_ID)  # bytes of a number
AT = CHECKSUM + SIZE  # where the name begins


class NamedText(NamedTuple):
    """A name, and its text."""

    name: str
    text: str

    @property
    def key(self) -> bytes:
        """The key under which it is stored."""
        return text_key(self.name)


def encode_named(named: NamedText) -> bytes:
    """Encode a value."""
    name = named.name.encode()
    rest = fmt.encode_number(len(name)) + name + named.text.encode()
    return _checksum(rest) + rest


def decode_named(value: bytes) -> NamedText | None:
    """Decode a value; None if it is damaged."""
    rest = value[CHECKSUM:]
    end = AT + int.from_bytes(rest[:SIZE])
    if value[:CHECKSUM] != _checksum(rest) or not AT < end <= len(value):
        return None
    try:
        return NamedText(value[AT:end].decode(), value[end:].decode())
    except UnicodeDecodeError:
        return None


def name_of(key: bytes, value: bytes) -> str:
    """Return the name of an entry that may be damaged, as well as it can be told."""
    end = AT + int.from_bytes(value[CHECKSUM:AT])
    name = key if is_whole(key) or not AT < end <= len(value) else value[AT:end]
    return name.decode("utf-8", "backslashreplace")


def text_in(kind: str, name: str, value: bytes | None) -> str | None:
    """Return the text in the value found for a name; None: none was found. `kind` is what it is.

    Raises:
        StoreDamaged: it is not what was written for this name.
    """
    if value is None:
        return None
    found = decode_named(bytes(value))
    if found is None or found.name != name:
        raise StoreDamaged(f"the {kind} {shown(name)} is not what was written")
    return found.text


def named_in(kind: str, key: bytes, value: bytes) -> NamedText:
    """Return the name and the text in an entry; raises StoreDamaged as `text_in` does."""
    named = decode_named(value)
    if named is None or named.key != key:
        raise StoreDamaged(f"the {kind} {shown(name_of(key, value))} is not what was written")
    return named


def _checksum(rest: bytes) -> bytes:
    return record_checksum(rest).to_bytes(CHECKSUM, "little")
