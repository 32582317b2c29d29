"""The least program that follows logs and can be killed, to test what kills it.

`python -m tests.endurance.tools.least_follower STORE GLOB follow FOLDER` follows, and with `once`
imports once. The id of an event is made of all that its file has up to its end, so it needs no
checkpoint; it reads whole files again and again.
"""

from __future__ import annotations

import signal
import sys
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from lmdbstore import Event, LMDBEventStore
from lmdbstore.inputs.unpacking import UnreadableInput, chunks
from lmdbstore.watch.changes import Changes
from lmdbstore.watch.files import Followed
from tests.endurance.tools.rotating import HEADER, moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lmdbstore.watch.opened import FollowedFile


def main(path: str, glob: str, how: str, folder: str) -> None:
    """Follow, or import once."""
    once = how == "once"
    with (
        LMDBEventStore(path, durability="none") as store,
        Followed([Path(folder)], glob) as followed,
        Changes(followed.folders(), followed.wanted) as changes,
    ):
        while True:
            for file in followed.files():
                file.taken = file.status.st_size
                events = {event.id: event for event in events_of(file, to_the_end=once)}
                store.save_many(event for event in events.values() if event.id not in store)
            if once:
                return
            changes.wait(1.0)


def events_of(file: FollowedFile, *, to_the_end: bool) -> Iterator[Event]:
    """Give the events of a file; of one that may grow, without the last record."""
    digest = blake2b(digest_size=8)
    records = texts(file)
    if not to_the_end:
        records = records[:-1]
    for n, text in enumerate(records):
        digest.update(text.encode() + b"\n")
        number = 0 if text == HEADER else int(text.split()[3][:-1])
        yield Event(f"{n:08d} {digest.hexdigest()}", "app", moment(number), [], text)


def texts(file: FollowedFile) -> list[str]:
    """Return the records of a file, as far as it can be read; half a line is none."""
    content = b""
    try:
        with file.raw() as raw:
            for chunk in chunks(cast("BinaryIO", raw)):
                content += chunk
    except (UnreadableInput, FileNotFoundError):
        pass  # it is being packed, or was deleted
    records: list[str] = []
    for line in content[: content.rfind(b"\n") + 1].decode().splitlines():
        if line.startswith(" "):
            records[-1] += f"\n{line}"
        else:
            records.append(line)
    return records


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main(*sys.argv[1:])
