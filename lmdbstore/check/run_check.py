"""Checking one run by itself: its checksums, each of its records, and how its parts fit together.

Rules: damage is one finding, however many events the run has. A run that is damaged, or out of its
place, has no events here: nothing else is compared with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lmdbstore.contract.checking import checked
from lmdbstore.disk import format as fmt
from lmdbstore.errors import InvalidEvent, StoreDamaged
from lmdbstore.patterns.signature import holds, signature
from lmdbstore.records.layout import digest, record_checksum
from lmdbstore.records.pack import directory_of, pack
from lmdbstore.records.record import TermKeys, decode
from lmdbstore.records.run import Run
from lmdbstore.records.salvage import salvaged

from .findings import FindingKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from lmdbstore.records.events import Events

__all__ = ["Examined", "Wrong", "examine", "signature_holds"]


class Wrong(NamedTuple):
    """What is wrong with a run."""

    kind: FindingKind
    detail: str
    event_id: str | None = None


class Examined(NamedTuple):
    """The events of a run, if it is sound."""

    events: Events
    ids: list[str]
    directory: dict[bytes, list[int]]  # the slots of each term, by its key


def examine(before: bytes, end: bytes, value: bytes) -> Examined | Wrong:
    """Check the run that ends at `end`, after the one that ends at `before`."""
    try:
        run = Run(end, value)
        if damage := _damage(run, value):
            return Wrong(FindingKind.RUN_DAMAGED, damage)
        return _examined(before, run)
    except (StoreDamaged, InvalidEvent, ValueError, IndexError, OverflowError) as error:
        return Wrong(FindingKind.RUN_DAMAGED, f"the one that ends at {end.hex()}: {error}")


def _damage(run: Run, value: bytes) -> str:
    """Return which parts of a run do not agree with their checksums; an empty text for none."""
    parts = {"front": run.check_front, "headers": run.check_headers, "contents": run.check_contents}
    bad = [name for name, check in parts.items() if _fails(check)]
    if not bad:
        return ""
    left = salvaged(value)
    known = sum(record.vouched for record in left)
    return (
        f"the {' and the '.join(bad)} of the one that ends at {run.end.hex()}: "
        f"{known:,} of {len(left):,} records are what was written"
    )


def _fails(check: Callable[[], None]) -> bool:
    try:
        check()
    except StoreDamaged:
        return True
    return False


def _examined(before: bytes, run: Run) -> Examined | Wrong:
    events = run.unpacked(TermKeys())
    keys = events.keys
    if sorted(set(keys)) != keys or keys[0] <= before or keys[-1] > run.end:
        detail = f"{keys[0].hex()} to {keys[-1].hex()}, in the one that ends at {run.end.hex()}"
        return Wrong(FindingKind.RUN_ORDER, detail)
    records = [b"%b\n%b" % both for both in zip(events.headers, events.contents, strict=True)]
    decoded = decode(records)
    for key, record, checksum, event in zip(keys, records, events.checksums, decoded, strict=True):
        if record_checksum(record) != checksum:
            detail = f"{key.hex()}: it does not agree with its checksum"
            return Wrong(FindingKind.RECORD_CHANGED, detail, event.id)
        if checked(event) != event:
            detail = f"{key.hex()}: it is not in the form in which events are saved"
            return Wrong(FindingKind.RECORD_UNREADABLE, detail, event.id)
        if fmt.time_of(key) != fmt.encode_time(event.timestamp):
            return Wrong(FindingKind.RUN_WRONG, f"{key.hex()} is not the time of it", event.id)
    directory = directory_of(events.terms)
    noted = run.directory()
    if noted != {digest(term): slots for term, slots in directory.items()} or (
        pack(events, noted) != run.plain()
    ):
        return Wrong(FindingKind.RUN_WRONG, f"the front of the one that ends at {run.end.hex()}")
    return Examined(events, [event.id for event in decoded], directory)


def signature_holds(filter_: bytes, contents: list[bytes], deleted: frozenset[int]) -> bool:
    """Whether a signature excludes nothing that is in the contents that are not deleted."""
    if not filter_ or filter_ == signature(contents):
        return True
    left = [content for slot, content in enumerate(contents) if slot not in deleted]
    # A word that is there twice adds nothing, and no gram has white space.
    return holds(filter_, set(b"\n".join(left).split()))
