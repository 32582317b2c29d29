"""What `--help` prints for `lmdbstore` and for each of its commands."""

from __future__ import annotations

__all__ = [
    "BACKUP_HELP",
    "CLI_HELP",
    "COMPACT_HELP",
    "COPY_HELP",
    "EXPORT_HELP",
    "HISTOGRAM_HELP",
    "IMPORT_HELP",
    "PURGE_HELP",
    "REPAIR_HELP",
    "SEAL_HELP",
    "SEARCH_HELP",
    "SERVE_HELP",
    "STATS_HELP",
    "TAIL_HELP",
    "TOP_HELP",
    "VERIFY_HELP",
]

# \b keeps click from joining the lines that follow it, up to the next empty one.
CLI_HELP = """Keep events in an embedded store, and find them again.

\b
Example:
  lmdbstore import --db events /var/log/dpkg.log --flag dpkg
  lmdbstore search --db events 'status installed' --since -7d --desc --limit 20
  lmdbstore tail   --db events -f
  lmdbstore histogram --db events --by hour --since today
  lmdbstore top    --db events --since -7d
  lmdbstore export --db events --output events.jsonl
  lmdbstore stats  --db events
  lmdbstore serve  --db events
  lmdbstore seal   --db events
  lmdbstore verify --db events
  lmdbstore backup --db events events-copy
  lmdbstore purge  --db events --before -90d
  lmdbstore copy   events postgresql://user@host/database

An event has an id, a source, a timestamp, tags and a text, the content. Queries, commands and
statistics call the tags of an event its flags.

A store is in a folder DIR, or on a server of PostgreSQL: then its ADDRESS is
postgresql://USER@HOST/DATABASE, with ?schema=NAME if it is not in the schema 'lmdbstore'. Others
can see a password in an address; PGPASSWORD, or a password file (~/.pgpass), is a better place.

Without --db, the folder or address in the variable LMDBSTORE_DB is used, or else the only store in
the current folder.

\b
Completion of commands and options, in ~/.bashrc or ~/.zshrc:
  eval "$(_LMDBSTORE_COMPLETE=bash_source lmdbstore)"
  eval "$(_LMDBSTORE_COMPLETE=zsh_source lmdbstore)"  # after compinit
and in ~/.config/fish/completions/lmdbstore.fish:
  _LMDBSTORE_COMPLETE=fish_source lmdbstore | source
"""

IMPORT_HELP = """Import logs, or JSON lines of events, into a store.

\b
Example:
  lmdbstore import --dry-run /var/log/syslog
  lmdbstore import --db events /var/log/syslog /var/log/syslog.2.gz --flag syslog
  lmdbstore import --db events /var/log/nginx --glob '*.log*'
  journalctl -o json --all | lmdbstore import --db events --source journal
  lmdbstore import --db events --follow /var/log --glob '*.log*'

Without FILE, or with -, standard input is read. Of a folder DIR its files are read, in the order of
their names, but not hidden ones, and not its folders; --glob chooses some of them, or hidden ones
if it begins with a dot. What cannot be read is reported, and the others are imported. What the
input holds decides how it is read, not its name: text, JSON, logfmt, CSV with a header, or the
W3C's format; plain, or packed by gzip, bzip2, xz or zstd; UTF-8, or UTF-16 with a mark. JSON may
have an object on each line, or objects that go on over lines. Blank lines are skipped.

The format of the times is learnt from the first lines; a date inside a message is not the time of
its line. --dry-run shows what was found: the format, the first five events, and how many lines have
their own time. An event begins at a line with a time; lines without one belong to it. Lines before
the first time get that time. If no line has one, each line is an event, with the time of the file.

A time without a zone is local time; --tz names another zone. CST, IST and the like mean America's
and India's, unless the zone of --tz uses them. If lines have no year, or no day, the last line is
not later than the file, and the others are counted back from it; from a pipe, each line is not
later than now. If day and month cannot be told apart, the file decides, and the report says so.

Levels become flags: level:error, level:warning, and so on. Loggers of JSON and logfmt do, too:
logger:NAME. Of JSON, logfmt and tables the whole record is the content, except that Docker's 'log'
and journald's 'MESSAGE' are. --time-field, --message-field, --tags-field and --source-field name
fields of JSON and logfmt, or columns of tables. What 'export' writes comes back as the same events,
also from files of Parquet and Arrow, and so do the lines of 'search --json'.

No line is stored twice, and none is lost, however often an import is stopped and run again: with
the events the store keeps how far each file was read. A line is the same line if the file,
unpacked, begins with the same bytes as when the line was read. So a file that has grown gives what
is new; a rotated file is known by any name, also packed, and keeps its source; a truncated or
recreated file is another one, and is read whole, even if its first lines are equal. Two files are
one as long as the whole text read of one is the start of the other; files of a few lines only if
the other one is not there any more, and pipes of a few lines only if they have one source. If the
front of a file or of standard input was cut away, the rest is known by the last 32 lines that were
read before, or as many of them as are there, of which 8 must be different. A last event that has
grown takes the place of its first part. Events that were deleted or purged do not come back.

--redo reads files again that are known, from the start, and replaces the events that they gave:
after a wrong --tz, say. Events that were deleted or purged come back. Events with ids of their own
are replaced, but not deleted if the file does not have them any more.

--follow does not end: it stores what is in the files and what comes, until it is stopped, and reads
files that grow, appear in the folders, or take the place of others; a file that was renamed or
deleted is read to its end, and so is one that came and was numbered in between (app.log.1). A line
without an end waits for it. The last event is stored at once, and replaced when it grows. Stopped
in any way and started again, it goes on where it was.

The source is the full path of the file, or 'stdin'; --source names another one.

With two processors a large file is read by a second process, while this one saves: what is stored
is the same, and if that process is killed, the import ends with an error and can be run again.

Ctrl-C and SIGTERM stop an import: what is saved stays, and the command says how much that is.

Exit status: 0 all was read, 1 some lines or files could not be read, or no line of an input had
what an option asks for, 2 the import failed, or no file could be read.
"""

EXPORT_HELP = """Write events to a file, or to a pipe.

\b
Example:
  lmdbstore export --db events --since -7d --output week.jsonl
  lmdbstore export --db events --output events.parquet
  lmdbstore export --db events --flag sshd --format csv | gzip > sshd.csv.gz
  lmdbstore import --db other week.jsonl events.parquet sshd.csv.gz

The events are those of one state of the store, oldest first. PATTERN and the options choose them
as in 'search'. The formats are jsonl (a JSON object on each line), csv, parquet and arrow; the last
two need the extra 'arrow'. In each an event has its id, source, timestamp in seconds, tags and
content, and 'import' gives the same events back: the timestamps exact to the bit, the contents to
the byte. In csv the tags are a list in JSON, and a content may have newlines between its quotation
marks. An event is refused if its row of jsonl or csv has more than 16 MiB.

FILE is written under a temporary name, and appears when it is complete and on the disk; a file that
was there is replaced then. If the export fails or is stopped, it stays as it was.

Exit status: 0 the events are exported, 2 the export failed, 3 damaged events were left out, because
of --damaged skip.
"""

COPY_HELP = """Copy the events of a store to another one, and compare both.

\b
Example:
  lmdbstore copy events postgresql://user@host/database
  lmdbstore copy postgresql://user@host/database events --since -7d --flag sshd

SOURCE and TARGET are folders or addresses; TARGET is made if it is not there. What is copied is one
state of SOURCE; both may be in use. The events keep their ids, and what TARGET has stays. At the
end all fields of the events are compared. The digest that is printed is that of these events.

The command can be stopped at any time: run again, it goes on where it was. Run later, it brings
what came to SOURCE in the meantime; what was deleted there stays in TARGET.

Exit status: 0 TARGET has all of the events, 2 the copy failed, 130 it was interrupted.
"""

SEARCH_HELP = """Print the events whose content matches PATTERN, oldest first.

\b
Example:
  lmdbstore search --db events 'failed|refused' --since -1h --flag sshd
  lmdbstore search --db events --since 2025-06-24 --until 2025-06-24 --count
  lmdbstore search --db events --where 'status>=500' --where 'user.id=x' --not-flag debug
  lmdbstore search --db events -i -C 3 'out of memory'
  lmdbstore search --db events --since today --count-by 'status=(\\d+)'
  lmdbstore search --db events 'failed|refused' --since -7d --output failed.csv

PATTERN is a regular expression that may match anywhere in the content. Without it, every event
matches. Put -- before a PATTERN that begins with a hyphen. An event must meet every condition.

CONDITION is the path of a field, one of = != < <= > >=, and a value, such as 'status>=500' or
'user.id=x'. A value that is a number, true, false, null or in double quotes is that value of JSON;
another one is a text, and so is a number in double quotes. Contents that are not JSON objects do
not match.

-i, -F, -v, -o, -c, -A, -B and -C mean what they mean in grep. The neighbours of an event are those
of its source in time, from all files of a log; with --desc too, which prints them the other way
round. -n and -f mean what they mean in tail: the newest N of the events, and then those that come;
without -n, -f first prints all that are there.

FILE gets what a pipe would get. It appears when it is complete; if the search fails or is stopped,
a file that was there stays as it was. 'import' takes jsonl and csv back.

T is a date (2025-06-24), ISO 8601 (2025-06-24T14:36:25, also with Z or +02:00), a time of day
(14:36), a weekday (monday), 'now', 'today' or 'yesterday', each also with a zone (2025-06-24 14:36
Europe/Berlin); a time as logs have it, seconds since 1970 (or ms, us, ns), or a time ago with the
units s, m, h, d, w (90s, 1h, 7d). Without a zone it is local time. A weekday and a time of day are
the latest that have begun.

Exit status: 0 events were found, 1 no events were found, 2 the search failed, 3 damaged events
were left out, because of --damaged skip.
"""

SERVE_HELP = """Show a store on a page in the browser.

\b
Example:
  lmdbstore serve --db events
  lmdbstore serve --db events --port 0

Prints the address to open. It has a token, which the browser keeps as a cookie: each start makes a
new one. The store is only read; other processes may write to it, and the page shows what they save.

Only this machine reaches the page, unless --host says otherwise. Then others do that have the
address, and what is sent is not encrypted. The server answers to the names 127.0.0.1 and localhost,
to HOST, and to each NAME.

Ctrl-C and SIGTERM stop the server, which ends what its clients have open.

Exit status: 2 the server could not begin, 130 it was interrupted, 143 it was terminated.
"""

TAIL_HELP = """Print the newest events, and with -f those that come.

\b
Example:
  lmdbstore tail --db events -n 20
  lmdbstore tail --db events -f 'failed|refused' --flag sshd
  lmdbstore tail --db events -f -n 0 --json

The newest events are those with the latest times. With -f it then prints each event as soon as any
process has saved it, in the order of saving, events with old times included, until it is
interrupted. PATTERN, --flag and --source choose events as in 'lmdbstore search', which has further
conditions, and -n and -f too.

Exit status: 0 events were found, 1 no events were found, 2 the command failed, 130 it was
interrupted.
"""

HISTOGRAM_HELP = """Print how many events each hour, day or month has.

\b
Example:
  lmdbstore histogram --db events --by day --since -30d
  lmdbstore histogram --db events 'failed|refused' --by 15m --since today --flag sshd
  lmdbstore histogram --db events --by month --tz Europe/Berlin --json

Without --by, the period is as short as it may be for about 48 lines. Hours, days and months are
those of the local clock, or of --tz: a day may have 23 or 25 hours. Other periods are counted from
1970 in UTC. The first and the last one have events; those between are printed too, with 0.

PATTERN and the other conditions choose events as in 'lmdbstore search'. On a pipe, a line is the
start of a period in ISO 8601, two spaces, and the number; with --json, all is one list of objects
with "start", in seconds since 1970, and "events".

Exit status: 0 events were found, 1 no events were found, 2 the command failed.
"""

TOP_HELP = """Print the most frequent flags and sources.

\b
Example:
  lmdbstore top --db events
  lmdbstore top --db events --of source -n 5 --since -1h
  lmdbstore top --db events 'timed? out' --json

PATTERN and the other conditions choose events as in 'lmdbstore search'; the numbers are of these
events alone. On a pipe, a line is flag: or source: and the text as one word, and the number; at the
end it is said how many others there are.

Exit status: 0 events were found, 1 no events were found, 2 the command failed.
"""

SEAL_HELP = """Seal all events: pack neighbours together, to save space.

\b
Example:
  lmdbstore seal --db events

Complete runs of 512 neighbouring events are sealed as they are saved. This seals the others too:
the latest events, and those that were saved later than their neighbours. It merges small runs,
and removes the text of deleted events from runs. With --compression zstd it also compresses the
runs that are not. Searches find the same before and after.

The command can be stopped at any time: what was sealed so far stays. Other processes may use
the store in the meantime.

Exit status: 0 all events are sealed, 2 the command failed.
"""

PURGE_HELP = """Delete the oldest events, by age, number or total size.

\b
Example:
  lmdbstore purge --db events --before -90d --keep-flag audit
  lmdbstore purge --db events --max-bytes 10GiB --dry-run
  lmdbstore purge --db events --source old-host --match 'password=' --dry-run

--flag, --any-flag, --source, --match and --keep-flag choose the events that may be deleted. Of
these, the events before T are deleted. More are deleted, oldest first, while there are more than N
events, or while the pages of the store take more than SIZE. Without T, N and SIZE all of them are
deleted. Events that are kept count too. N counts only events that the other options choose. Events
saved while the command runs are not deleted.

T is a time as for 'search'; a date is its midnight. SIZE is in bytes, or has one of the units KiB,
MiB, GiB and TiB. It is compared with the line 'bytes' of 'lmdbstore stats', and is for a store in a
folder. The file does not shrink: its space is used again.

The command can be stopped at any time: the events deleted so far are gone, and running it again
continues. Other processes may use the store while it runs.

Exit status: 0 the events are deleted, 2 the command failed.
"""

STATS_HELP = """Print the numbers of events, flags and bytes of a store.

\b
Example:
  lmdbstore stats --db events
  lmdbstore stats --db events --prometheus > /var/lib/node_exporter/events.prom

events, oldest and newest are about all events; flags is the number of different flags, and flag:F
the number of events with F, for the ten most frequent. beyond_year_5000 is there if events are so
late: their times are mostly milliseconds. The other figures are of a store in a folder. checkpoints
and cursors are the places that programs noted to continue from. bytes is what the events and their
indexes take, free_bytes the space in the file that new events will use, file_bytes the size of the
file. snapshot:PID is a process that reads an older state, whose space cannot be used again until it
ends.

--all adds internal figures: live is the number of events that are not sealed, runs that of groups
of sealed ones, bytes:NAME the bytes of each database. The file may grow to map_bytes; map_used is
how far it has grown. readers of max_readers places for readers are taken. ever_saved counts events,
deleted ones included, and those ignored as duplicates; commits, what was committed to the file.
--json has the rates since the command opened the store, too, which say little.

--prometheus prints the figures for Prometheus, with the 100 most frequent flags, and counters of
which it makes rates: write them to a file for node_exporter's textfile collector, say.
"""

VERIFY_HELP = """Check a store: compare all records with all indexes.

\b
Example:
  lmdbstore verify --db events --pages

Every record is compared with every index, and every index with the records. The command also
compares checksums, orders, counts, runs and the next local id. It prints one line for each
thing that is wrong. Other processes may use the store while it runs.

With --pages it first checks the pages of the file without opening it; writers wait for this. If a
page is damaged, the file is not opened. Use --pages for a file that may be damaged, or that comes
from another person.

Exit status: 0 nothing is wrong, 1 something is wrong, 2 the check failed.
"""

REPAIR_HELP = """Build all indexes of a store again, from its records.

\b
Example:
  lmdbstore repair --db events

No other process may have the store open. The new file replaces the old one only after it has been
verified; until then the store is unchanged. A record is left out if it cannot be read, or agrees
with none of its checksums. The old file then stays in the folder, under another name.

Exit status: 0 everything was kept, 1 something was left out, 2 the repair failed.
"""

BACKUP_HELP = """Make a verified copy of a store in the new folder TARGET.

\b
Example:
  lmdbstore backup --db events events-$(date +%F)
  lmdbstore backup --db events --mode 640 events-for-the-group

Other processes may use the store while the command runs. The copy is one state of the store,
without its free pages. It is a store like any other. It is verified before it gets its name, and it
never replaces something else: at TARGET there is a complete backup or none.

The files of the copy have the mode of the store. With --mode they have another one: 600 is for
their owner alone, 660 also for the group. Who may read them may also enter the folder.

Exit status: 0 the backup is made, 2 the backup failed.
"""

COMPACT_HELP = """Give the free pages of a store back to the disk.

\b
Example:
  lmdbstore compact --db events

Use it after many deletions. No other process may have the store open. The store is copied into a
new file, which is verified before it replaces the old one. The copy needs free space on the disk.

Exit status: 0 the store is compacted, 2 the command failed.
"""
