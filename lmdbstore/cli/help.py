"""What `--help` says of `lmdbstore` and of each of its commands."""

from __future__ import annotations

__all__ = [
    "BACKUP_HELP",
    "CLI_HELP",
    "COMPACT_HELP",
    "IMPORT_HELP",
    "PURGE_HELP",
    "REPAIR_HELP",
    "SEARCH_HELP",
    "SIGN_HELP",
    "STATS_HELP",
    "VERIFY_HELP",
]

# \b keeps click from joining the lines that follow it, up to the next empty one.
CLI_HELP = """Keep events in an embedded store, and find them again.

\b
Example:
  lmdbstore import --db events /var/log/dpkg.log --tag dpkg
  lmdbstore search --db events 'status installed' --since -7d --desc --limit 20
  lmdbstore stats  --db events
  lmdbstore sign   --db events
  lmdbstore verify --db events
  lmdbstore backup --db events events-copy
  lmdbstore purge  --db events --before -90d
"""

IMPORT_HELP = """Import log files, or JSON lines of events, into a store.

Each line becomes an event; without FILE, or with -, they come from standard input. gzip files are
unpacked. Blank lines are left out.

The time of an event is the one at the beginning of its line: ISO 8601, syslog, the common log of
Apache and nginx, or seconds since 1970; without a zone it is local time, and without a year the
last one that is not after the file. A line without a time has that of the line before it, and at
the beginning the file's.

A line imported twice is stored once: the id of its event is made from its number in the file and
hashes (BLAKE2b) of its source, its number and its text. So a file that has grown can be imported
again; a last line that was only half written by then stays as an event of its own. The source is
the file's full path; give --source for a file that gets another name, and for standard input.

JSON lines are what 'search --json' prints: objects with content, and, if wanted, id, source,
timestamp and tags.

Exit status: 0 all was read, 1 some lines could not be read, 2 nothing could be done.

\b
Example:
  lmdbstore import --db events /var/log/syslog /var/log/syslog.2.gz --tag syslog
  journalctl -o short-iso | lmdbstore import --db events --source journal
"""

SEARCH_HELP = """Print the events whose content matches PATTERN, oldest first.

PATTERN is a regular expression found anywhere in the content; without it, every event is found.
Put -- before one that begins with a hyphen. All conditions must hold.

T is a date (2025-06-24), ISO 8601 (2025-06-24T14:36:25, also with Z or +02:00), seconds since
1970, 'now', or a time from now with the units s, m, h, d, w (-90s, -1h, -7d). Without a zone it
is local time.

Exit status: 0 events were found, 1 none were, 2 bad arguments or no store.

\b
Example:
  lmdbstore search --db events 'failed|refused' --since -1h --flag sshd
  lmdbstore search --db events --since 2025-06-24 --until 2025-06-24 --count
"""

SIGN_HELP = """Make the signatures that are missing, for searches that read less.

A signature tells, for 512 neighbouring events, which pieces of words stand in their contents; a
search for a pattern leaves out those that cannot match, and finds the same. An import makes them;
missing are those of events that a program saved one by one, or that came late between others. The
newest events get theirs when 512 are together.

It can be stopped at any time: what is signed stays. Others may use the store meanwhile.

Exit status: 0 all is signed, 2 it could not be done.

\b
Example:
  lmdbstore sign --db events
"""

PURGE_HELP = """Delete the oldest events: those that are too old, too many, or too large together.

Of the events that --flag and --keep-flag choose, those before T go, and more, oldest first, while
there are more than N of them, or while the store's pages hold more than SIZE. Those that are kept
count too. What is saved meanwhile is left.

T is a time as 'search' takes it; of a date, its midnight. SIZE is in bytes, or with one of the
units KiB, MiB, GiB and TiB; it is that of the lines 'bytes:' of 'lmdbstore stats'. The file does
not shrink: its space is used again.

It can be stopped at any time: what went is gone, and running it again goes on. Others may use the
store meanwhile.

Exit status: 0 all that should go is gone, 2 it could not be done.

\b
Example:
  lmdbstore purge --db events --before -90d --keep-flag audit
  lmdbstore purge --db events --max-bytes 10GiB --dry-run
"""

STATS_HELP = """Print what a store holds: events, times, flags, and the bytes that it takes.

\b
Example:
  lmdbstore stats --db events
"""

VERIFY_HELP = """Look whether a store is sound: every record against every index, and back.

It also compares checksums, orders, counts, signatures and the next local id, and prints a line for
each thing that is wrong. Others may use the store meanwhile. With --pages the pages of the file are
looked at first, without opening it, while writers wait; if any is damaged, the file is not opened.
Use it for a file that may be damaged, or that comes from somebody else.

Exit status: 0 nothing is wrong, 1 something is, 2 it could not be looked at.

\b
Example:
  lmdbstore verify --db events --pages
"""

REPAIR_HELP = """Build all indexes of a store anew, from its records.

Nobody else may have the store open. The new file takes the place of the old one only when it has
been verified; until then the store is as it was. A record that cannot be read, or agrees with none
of its checksums, is left out: then the old file stays in the folder, under another name.

Exit status: 0 all was kept, 1 something was left out, 2 it could not be done.

\b
Example:
  lmdbstore repair --db events
"""

BACKUP_HELP = """Copy a store into the new folder TARGET, while others use it.

The copy is one state of the store, without its free pages, and a store like any other. It is
verified before it is given its name, and never made over something else: there is a whole backup
at TARGET, or none.

Exit status: 0 it is made, 2 it could not be made.

\b
Example:
  lmdbstore backup --db events events-$(date +%F)
"""

COMPACT_HELP = """Give the space of a store's free pages back to the disk, after many deletions.

Nobody else may have the store open. The store is copied into a new file, which is verified before
it takes the place of the old one; so it needs free space.

Exit status: 0 it is done, 2 it could not be done.

\b
Example:
  lmdbstore compact --db events
"""
