r"""Every byte on disk: the databases, their keys and values, and the version of the format.

A store is a folder. `data.mdb` and `lock.mdb` are LMDB's. `barrier` is our own (see
`processes.barrier`). `snapshots` notes which processes hold snapshots (see
`processes.snapshot_notes`); it may be missing or removed. `data.mdb` holds these named databases:

| database       | key                      | value                          | LMDB flags        |
|----------------|--------------------------|--------------------------------|-------------------|
| `live`         | timeline key (16 bytes)  | a checksum and a record        |                   |
| `runs`         | end: a run's last key    | the run (`records.layout`)     |                   |
| `ids`          | a group's last id key    | the entries of a group of ids  |                   |
| `postings`     | term key                 | timeline keys of live events   | DUPSORT, DUPFIXED |
| `run_postings` | term key                 | ends of runs, each with slots  | DUPSORT, DUPFIXED |
| `totals`       | term key                 | a number of sealed events      |                   |
| `summaries`    | end of a run             | a summary of the run           |                   |
| `dead`         | end of a run             | a bitmap of deleted events     |                   |
| `commits`      | a run's highest local id | its lowest local id, its end   |                   |
| `checkpoints`  | text key of its name     | a named text                   |                   |
| `cursors`      | text key of its name     | a named text                   |                   |
| `meta`         | `format`, `next`, …      | numbers: see below             |                   |

**Numbers** are unsigned, 8 bytes, big-endian, unless something else is said.

**Timestamp** (8 bytes): the IEEE-754 bits of the seconds, big-endian. The sign bit is flipped for
positive numbers and all bits for negative ones, so that byte order is the order of numbers. -0.0 is
never written.

    -1.0                 400fffffffffffff
    0.0                  8000000000000000
    1.5                  bff8000000000000
    1509989630.674905    c1d680273fab31a5

**Local id**: a number given to an event when it is saved, in the order of commits, from 1 on and
below 2 ** 48, and never used again.

**Timeline key**: the timestamp, then the local id. Timestamp 1.5 and local id 7:

    bff80000000000000000000000000007

**Record**: the header, one newline, and the content in UTF-8, to the end. The header is the id, the
source, the timestamp and the tags as the items of a JSON array, `"id","source",timestamp,["tag"]`,
without its brackets, in UTF-8, without a raw newline. Only what JSON does not allow in a text is
escaped. A record is complete in itself: with the local ids, everything else can be rebuilt from the
records.
Event(id="a", source="s", timestamp=1.5, tags=["x", "y"], content="hi\n"):

    2261222c2273222c312e352c5b2278222c2279225d0a68690a

**Live and sealed**: an event is in exactly one place. It is live, with a record of its own in
`live`, or sealed: in one run, with its neighbours. A run extends from after the end of the run
before it to its own end; the first one from the lowest key. So an event at or before the last end
belongs to one run. It may be live all the same, until it is sealed with others; an event after the
last end is live. The end of a run does not change when its last event is deleted.

**Checksum of a live record** (4 bytes, little-endian): the low half of the XXH3 (64 bits, without
a seed) of the record. It is cdb5ce04 for the record above. In a run it is in the row of the event.

**Id key** (7 bytes): the first bytes of the XXH3 (64 bits, big-endian) of the id in UTF-8, with
the store's seed. A UUIDv7 has a key that rises with its time: if an id has 36 characters, `7` is
the one at 14 (from 0 on), and those from 3 to 8 and from 9 to 13 (exclusive) are hexadecimal
digits, then its key is these nine digits, which are the lowest of its time in milliseconds, and the
first five digits of its XXH3. The id of a line, as `import` makes it, has 24 characters, of which
the last 8 are hexadecimal digits, its number; its key is the first 3 bytes of the XXH3 of the
other 16, which are the same for all lines of a file, and the number. With the seed 7:

    a                                       9ed5888bc5a2a0
    01890a5d-ac96-774b-bcce-b302099a8057    90a5dac96b5712
    95c24bf0e1a3d67800000102                7e16d500000102

Two ids may have the same key: so an event that a key leads to is the one that is looked for only if
its own id is the same. Of two ids this is true once in 2 ** 56 times, and once in 2 ** 20 times of
two UUIDs of one millisecond: a million of those cost about one more look at an event each. Of two
lines with one number it is true once in 2 ** 24 times. Who does not know the seed cannot choose ids
with one key; it is random, and neither it nor a key is shown. XXH3 is not made against those who
see its results. BLAKE2b with a key is, and takes ten times as long (0.85 us for an id, and XXH3
0.08).

**Entry of an id** (21 bytes): the id key, the timestamp, and the lowest 6 bytes of the local id.

**Group of ids**: up to 31 entries, side by side in any order; more only if they all have one id
key. An entry is in the first group whose key is not below its id key; the key of the group at the
end is 7 bytes ff. The entries of a group share a key and a node of LMDB, which take 17 bytes; and
one look at a group tells whether an id is there. With the seed 7, event `a` above at the timeline
key above:

    9ed5888bc5a2a0bff8000000000000000000000007

**Term**: a flag or a source, as the text `f` or `s` with the flag or source after it; its key is
the text key of that. `postings` has the live events of a term. `run_postings` has the runs that
have slots for it, even if these events were deleted since: the end, and up to four slots (2 bytes
each), rising, with ffff in place of each that is missing; with more slots, all four are ffff. For
the run that ends at the timeline key above, and the slots 3 and 5:

    bff8000000000000000000000000000700030005ffffffff

`totals` has how many events of runs carry the term and are not deleted; a term without any may be
missing there.

**Text key**: LMDB takes keys of 1 to 511 bytes. A text of 1 to 510 bytes of UTF-8 is its own key.
Any other text has a key of exactly 511 bytes: its first 479 bytes, padded with zero bytes, then its
BLAKE2b digest of 32 bytes (RFC 7693, without key). The record holds the whole text. The key of the
empty text is 479 zero bytes and

    0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8

**Summary** of a run: how many of its events are not deleted (2 bytes), a local id that is not below
any in it (8 bytes), and a filter over their contents (see `patterns.signature`), to the end. No
bytes there: nothing is known of the contents.

**Bitmap of deleted events**: as for the slots of a term (see `records.layout`). A run without
deleted events has none. It is for the value of the run as it is: a run that is written again
leaves the deleted events out.

**Commits**: with the local ids of live events, this gives the events after a commit in the order of
commits: they are in the runs from the first one on whose highest local id is not below.

**Named text**: a checksum over the rest, as for a live record; how many bytes the name takes, a
number; the name and the text, in UTF-8. A name is not empty. A checkpoint is what a program notes
in the transaction of a change, such as how far it has read its input. The text of a cursor is its
state, a JSON object: `flags`, `match` and `source` are the events that it is for; `hold` is whether
it holds events; those up to the local id `after` are done, and so are the parts in `done`; `leases`
are the parts that a worker has. A part is a low local id, exclusive, and a high one, and in a lease
the worker and the end in seconds. Neither text can be rebuilt from records. The checkpoint
"log" with the text "line 7":

    cbf77f1b00000000000000036c6f676c696e652037

**Meta**: `format` is the version, a checked number; `next` is the next local id; `sealed` is how
many events are in runs and not deleted. `seed` is that of id keys, a random checked number; a
repaired store has a new one. `identity` is 16 random bytes, which are made with the store, and kept
when it is compacted or repaired. A backup is another store, with an identity of its own. After that
there are the stores of which it is a copy, from the oldest on: the identity of each, and the last
local id that the copy has of it, a number; then the checksum of all of it (4 bytes, as in a checked
number). A copy of a copy, with the identities aa…, bb… and cc… from the oldest on, which branched
off after the local ids 7 and 9:

    cccccccccccccccccccccccccccccccc
    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa0000000000000007
    bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb0000000000000009
    8c789c2c

**Transaction**: each write stores the number of its LMDB transaction, as a checked number, under
the key `transaction`, next to the names of the databases, in the page that LMDB's meta page points
to. A damaged meta page can point to such a page of a former state. That state has events that were
deleted since, and all of it is sound in itself; only this number reveals it. So a state that notes
an older number is refused.

**Checked number** (12 bytes): a number, and its CRC-32 (4 bytes, big-endian; ISO 3309, as in gzip).
Checked, 7 is

    0000000000000007fb464aca

**Versions**: 8, the only one so far (1 to 7 were never released). A store of another version is
refused.
"""

from __future__ import annotations

from lmdbstore.contract.query import LOCAL_IDS

from .keys import (
    FIRST_KEY,
    IDENTITY_SIZE,
    LAST_KEY,
    NO_LOCAL_ID,
    SIGNATURE_AT,
    RunPosting,
    Summary,
    after_key,
    before_key,
    checksum,
    commit_entry,
    decode_checked,
    decode_commit,
    decode_identity,
    decode_key,
    decode_lineage,
    decode_number,
    decode_summary,
    decode_time,
    encode_checked,
    encode_lineage,
    encode_number,
    encode_numbers,
    encode_time,
    first_key,
    flag_key,
    has_slots,
    is_flag,
    is_local_id,
    is_timeline_key,
    is_whole,
    join_key,
    key_prefix,
    last_key,
    local_id_of,
    posting_key,
    run_posting,
    slots_in,
    source_key,
    split_postings,
    text_key,
    time_of,
    timeline_key,
)

__all__ = [
    "CHECKPOINTS",
    "COMMITS",
    "CURSORS",
    "DEAD",
    "FIRST_KEY",
    "FORMAT",
    "IDENTITY",
    "IDENTITY_SIZE",
    "IDS",
    "LAST_KEY",
    "LIVE",
    "LOCAL_IDS",
    "META",
    "NEXT",
    "NO_LOCAL_ID",
    "POSTINGS",
    "RUNS",
    "RUN_POSTINGS",
    "SEALED",
    "SEED",
    "SIGNATURE_AT",
    "SUMMARIES",
    "TOTALS",
    "TRANSACTION",
    "VERSION",
    "RunPosting",
    "Summary",
    "after_key",
    "before_key",
    "checksum",
    "commit_entry",
    "decode_checked",
    "decode_commit",
    "decode_identity",
    "decode_key",
    "decode_lineage",
    "decode_number",
    "decode_summary",
    "decode_time",
    "encode_checked",
    "encode_lineage",
    "encode_number",
    "encode_numbers",
    "encode_time",
    "first_key",
    "flag_key",
    "has_slots",
    "is_flag",
    "is_local_id",
    "is_timeline_key",
    "is_whole",
    "join_key",
    "key_prefix",
    "last_key",
    "local_id_of",
    "posting_key",
    "run_posting",
    "slots_in",
    "source_key",
    "split_postings",
    "text_key",
    "time_of",
    "timeline_key",
]

VERSION = 8
LIVE, RUNS, IDS, DEAD, COMMITS = b"live", b"runs", b"ids", b"dead", b"commits"
POSTINGS, RUN_POSTINGS, TOTALS = b"postings", b"run_postings", b"totals"
SUMMARIES, META = b"summaries", b"meta"
CHECKPOINTS, CURSORS = b"checkpoints", b"cursors"
# The keys of META.
FORMAT, IDENTITY, NEXT, SEALED = b"format", b"identity", b"next", b"sealed"
SEED = b"seed"
TRANSACTION = b"transaction"  # next to the names of the databases
