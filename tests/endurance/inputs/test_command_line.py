"""The command line with unexpected files and arguments: it reports them, and ends."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from lmdbstore import Event, LMDBEventStore, verify
from lmdbstore.cli.main import cli
from tests.tools.commands import LOG
from tests.tools.indexes import assert_indexes_agree

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

    from tests.tools.rounds import Rounds

SAMPLE = LOG.read_bytes().splitlines()[::50]
FOUND, NOTHING, FAILED = 0, 1, 2

# --- inputs ---------------------------------------------------------------------------------------

scraps = st.sampled_from(
    [
        *(
            b"",
            b"\0",
            b"\xff\xfe",
            b"\xed\xa0\x80",
            b"\xc3",
            b"\xef\xbb\xbf",
            b"\r",
            b"\n",
            b"\x1f\x8b",
        ),
        *(b" ", b"\t", b"\x1b[31m", b"2024-02-30 25:61:61", b"9999-12-31T23:59:60+14:00", b"0000-"),
        *(
            b"Feb 29 12:00:00",
            b"<999>1 ",
            b"[31/Feb/2020:10:00:00 +9999]",
            b"99999999999",
            b"1e999",
        ),
        *(b"\\ud800", b'"', b"{", b"}", b"NaN", b"-", b"x" * 5000, b"1" * 5000),
    ]
)


def _spliced(line: bytes, places: list[tuple[float, int, bytes]]) -> bytes:
    """Replace some of the bytes."""
    for share, length, scrap in places:
        at = int(share * len(line))
        line = line[:at] + scrap + line[at + length :]
    return line


def mutated(lines: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Draw a line with up to three damaged pieces."""
    pieces = scraps | st.binary(max_size=6)
    places = st.tuples(st.floats(0, 1), st.integers(0, 12), pieces)
    return st.builds(_spliced, lines, st.lists(places, max_size=3))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from([10**400, -(2**63), 2**64, "2024-02-30", "12", "\0", "\ud800", "é" * 600]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
right: dict[str, st.SearchStrategy[Any]] = {
    "id": st.text(min_size=1, max_size=5),
    "source": st.text(max_size=5),
    "timestamp": st.floats(-1e12, 1e12) | st.sampled_from(["2020-01-01 10:00:00", "1600000000"]),
    "tags": st.lists(st.text(max_size=5), max_size=3),
}
objects = st.fixed_dictionaries(
    {"content": st.text(max_size=20) | values},
    optional={name: of | values for name, of in right.items()},
)
json_lines = (objects | objects | values).map(
    lambda found: json.dumps(found).encode()
) | st.sampled_from(
    [
        b"[" * 5000,
        b'{"content":' * 3000,
        b'{"content": "x", "tags": ' + b"[" * 2000 + b"]" * 2000 + b"}",
        b'{"content": "x", "content": 1}',
        b'{"content": "x", "timestamp": 1e400}',
        b'{"content": "x", "timestamp": ' + b"9" * 5000 + b"}",
        b'{"content": "\\ud800"}',
        b'{"content": "x", "other": 1, "\\u001b": 2}',
        b'{"content": "x", "id": "\\u0000"}',
    ]
)
any_line = st.one_of(
    mutated(st.sampled_from(SAMPLE)), mutated(json_lines), json_lines, st.binary(max_size=40)
)


def _packed(text: bytes, broken: tuple[float, bytes] | None) -> bytes:
    packed = gzip.compress(text)
    if broken is None:
        return packed
    share, scrap = broken
    at = int(share * len(packed))
    return packed[:at] + (scrap + packed[at + len(scrap) :] if scrap else b"")


contents = st.builds(
    bytes.join,
    st.sampled_from([b"\n", b"\r\n", b"\n\n"]),
    st.lists(any_line, min_size=2, max_size=12),
)
inputs = st.one_of(
    contents,
    contents,
    st.binary(max_size=200),
    st.builds(
        _packed,
        contents,
        st.none() | st.tuples(st.floats(0, 1), st.just(b"") | st.binary(min_size=1, max_size=4)),
    ),
)
# The possible arguments of a process: no NUL, and bytes that are not UTF-8 as lone surrogates.
# They do not lead out of the current folder.
words = st.text(st.characters(exclude_characters="\0/.", exclude_categories=["Cs"]), max_size=8)
words |= st.sampled_from(["\udcff", "", "-", "--", "a\udc80", "é" * 300, "9" * 5000, "nan", "-1d"])
import_options = st.tuples(
    st.sampled_from([[], ["--format", "lines"], ["--format", "jsonl"]]),
    st.lists(words.map(lambda word: f"--flag={word}"), max_size=2),
    st.just([]) | words.map(lambda word: [f"--source={word}"]),
).map(lambda groups: [word for group in groups for word in group])
names = st.sampled_from(["a.log", "b.jsonl", "c.gz", "d.ndjson.gz", "\udcff.log", None])

# --- arguments ------------------------------------------------------------------------------------

OPTIONS = {
    "search": [
        "--since",
        "--until",
        "--flag",
        "--source",
        "--limit",
        "--desc",
        "--json",
        "--count",
    ],
    "stats": ["--json"],
    "seal": ["--db"],
    "purge": ["--before", "--max-events", "--max-bytes", "--flag", "--keep-flag", "--dry-run"],
    "verify": ["--pages"],
    "repair": ["--keep-changed"],
    "backup": ["new"],
    "compact": ["--db"],
}
OPTIONS["search"] += ["--explain", "--"]
times = st.sampled_from(
    [
        *("2024-02-30", "9999-12-31", "0001-01-01", "now", "-9e9d", "-99999999999999w", "1e400"),
        *("2024-06-24T14:36:25+99:99", "+1s", "-1h", "12:00", "9" * 400 + "w", "-" + "9" * 5000),
        *("9999-12-31T23:59:59-23:59", "0001-01-01T00:00+23:59", "5", "10GiB", "9" * 5000 + "TiB"),
        *("(", "[a", "a{9999}", "(?i)é|x", "\\", "(?=x)", "status|installed", ".*", "1"),
    ]
)


def _calls(command: str) -> st.SearchStrategy[list[str]]:
    word = st.sampled_from(OPTIONS[command]) | times | words
    pair = st.builds("{}={}".format, st.sampled_from(OPTIONS[command]), times | words)
    return st.lists(word | pair, max_size=5).map(lambda of: [command, *of])


calls = st.sampled_from(sorted(OPTIONS)).flatmap(_calls)

# --- tests ----------------------------------------------------------------------------------------


def fuzz(
    rounds: Rounds, examples: int, work: Callable[..., None], *of: st.SearchStrategy[Any]
) -> None:
    """Call `work` with this number of examples."""
    check = settings(
        database=None,
        deadline=None,
        max_examples=examples,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    seed(rounds.random.randrange(1 << 32))(
        check(given(st.tuples(*of))(lambda drawn: work(*drawn)))
    )()


def run(arguments: list[str], stdin: bytes | None = None) -> Result:
    """Run the command in this process; check that it ends with a documented status."""
    result = CliRunner().invoke(cli, arguments, input=stdin)
    assert result.exception is None or type(result.exception) is SystemExit, result.exception
    assert result.exit_code in {FOUND, NOTHING, FAILED}
    assert "Traceback" not in result.output
    return result


def state(db: Path) -> list[Event]:
    with LMDBEventStore(db) as store:
        return list(store.search())


@pytest.mark.endurance("broken files imported, and imported again: nothing twice", rounds=3)
def test_an_import_of_anything_ends_and_adds_nothing_twice(
    path: Path, tmp_path: Path, rounds: Rounds
) -> None:
    """Unreadable lines are skipped and the others are added; a second import adds nothing."""

    def work(content: bytes, name: str | None, options: list[str]) -> None:
        arguments = ["import", "--db", str(path), *options]
        if name is not None:
            (tmp_path / name).write_bytes(content)
            arguments.append(str(tmp_path / name))
        before = state(path)
        first = run(arguments, content)
        after = state(path)
        if first.exit_code == FAILED:
            assert after == before
        again = run(arguments, content)
        # A line that could not be read is reported once: the file is known then.
        assert again.exit_code in {first.exit_code, FOUND}
        assert state(path) == after
        rounds.add("imports", 2)
        rounds.add("events imported", len(after) - len(before))
        rounds.add("refused", first.exit_code == FAILED)
        rounds.add("with unreadable lines", first.exit_code == NOTHING)

    for _ in rounds:
        with LMDBEventStore(path) as store:
            store.purge(max_events=0)
        fuzz(rounds, 15, work, inputs, names, import_options)
        assert_indexes_agree(path)


@pytest.mark.endurance("commands with junk for arguments", rounds=2)
def test_junk_arguments_are_refused_in_words(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: Rounds
) -> None:
    """Every command ends with a documented status and a message, and damages nothing."""
    backups = tmp_path / "backups"
    backups.mkdir()
    (backups / "file").touch()  # an empty folder could become the backup
    monkeypatch.chdir(backups)

    def work(arguments: list[str]) -> None:
        result = run([*arguments[:1], "--db", str(path), *arguments[1:]])
        rounds.add("commands")
        rounds.add("refused", result.exit_code == FAILED)
        if result.exit_code == FAILED:
            assert result.stderr

    for _ in rounds:
        run(["import", "--db", str(path), "-"], b"\n".join(SAMPLE))
        fuzz(rounds, 40, work, calls)
        assert_indexes_agree(path)
        assert verify(path, pages=True) == []
        for backup in set(backups.iterdir()) - {backups / "file"}:
            assert verify(backup, pages=True) == []
            shutil.rmtree(backup)
            rounds.add("backups made, and right")


@pytest.mark.parametrize("command", ["purge --max-bytes", "purge --max-events", "search --limit"])
def test_a_number_of_thousands_of_digits_is_refused(command: str, path: Path) -> None:
    """`int` raises its own error for such a number."""
    name, option = command.split()
    result = run([name, "--db", str(path), option, "9" * 5000])
    assert result.exit_code == FAILED
    assert option in result.stderr
