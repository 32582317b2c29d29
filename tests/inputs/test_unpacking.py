"""Packed input, damaged input, encodings, and what is refused."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import random
import subprocess
import tarfile
import zipfile
import zlib
from shutil import which
from typing import TYPE_CHECKING, BinaryIO, cast

import pytest

from lmdbstore.inputs import unpacking
from lmdbstore.inputs.unpacking import UnreadableInput, chunks
from tests.tools.imports import MOMENT, events_of, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LINES = "".join(f"2024-03-05 10:00:00 line {n} {n * n}\n" for n in range(5000)).encode()

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
try:
    from backports import zstd  # type: ignore[import-not-found,unused-ignore]  # an extra

    PACKERS["zstd"] = zstd.compress
except ImportError:
    pass


def text_of(data: bytes) -> tuple[bytes, str]:
    """Return what an input gives, and the error that it ends with."""
    found = bytearray()
    try:
        for chunk in chunks(cast("BinaryIO", io.BytesIO(data))):
            found += chunk
    except UnreadableInput as error:
        return bytes(found), str(error)
    return bytes(found), ""


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
@pytest.mark.parametrize("chunk", [1, 100, 1 << 18])
def test_packed_data_is_known_by_its_first_bytes(
    pack: Callable[[bytes], bytes], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "CHUNK", chunk)
    assert text_of(pack(LINES)) == (LINES, "")
    assert text_of(pack(LINES) + pack(b"more\n")) == (LINES + b"more\n", "")
    assert text_of(pack(b"")) == (b"", "")


def test_padding_after_packed_data_is_no_error() -> None:
    assert text_of(gzip.compress(LINES) + bytes(100)) == (LINES, "")


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_what_follows_packed_data_is_reported(pack: Callable[[bytes], bytes]) -> None:
    assert text_of(pack(LINES) + b"text\n") == (
        LINES,
        "what follows the compressed data is no compressed data",
    )


def test_truncated_gzip_gives_all_that_can_be_unpacked() -> None:
    packed = gzip.compress(LINES)
    for size in (20, 1000, len(packed) // 2, len(packed) - 9, len(packed) - 1):
        found, error = text_of(packed[:size])
        assert error == "the compressed data ends too early"
        assert found == zlib.decompressobj(31).decompress(packed[:size])


@pytest.mark.parametrize(("name", "tool"), [("gzip", "gzip"), ("bzip2", "bzip2"), ("xz", "xz")])
@pytest.mark.parametrize("damage", ["truncated", "changed", "end"])
def test_damaged_data_gives_all_that_the_tools_get_out_of_it(
    name: str, tool: str, damage: str, tmp_path: Path
) -> None:
    path = which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed")
    packed = bytearray(PACKERS[name](LINES * 6))
    if damage == "truncated":
        del packed[-len(packed) // 3 :]
    else:
        packed[-5 if damage == "end" else len(packed) * 2 // 3] ^= 0x55
    file = written(tmp_path / "x", bytes(packed))
    with file.open("rb") as opened:
        theirs = subprocess.run([path, "-dc"], stdin=opened, capture_output=True, check=False)
    found, error = text_of(bytes(packed))
    assert theirs.returncode
    assert error
    assert found.startswith(theirs.stdout)


def test_damage_ends_the_import_with_an_error_after_the_good_lines(tmp_path: Path) -> None:
    packed = gzip.compress(LINES)
    events, report = events_of(tmp_path / "a.gz", packed[: len(packed) // 2])
    assert len(events) > 1000
    assert report.unreadables == 1
    assert "ends too early; the rest is skipped" in report.notices()[0]


def test_a_damaged_log_without_years_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    lines = b"".join(b"Mar  5 10:00:00 h line %d\n" % n for n in range(5000))
    packed = gzip.compress(lines)
    events, report = events_of(tmp_path / "a.gz", packed[: len(packed) // 2])
    assert len(events) > 1000
    assert {event.timestamp for event in events} == {MOMENT}
    assert report.unreadables == 1


def test_an_input_that_does_not_wait_is_no_end_of_the_input() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.write(writing, b"one\n")
    with open(reading, "rb", buffering=0) as raw, open(writing, "wb"):
        given = chunks(cast("BinaryIO", raw))
        assert next(given) == b"one\n"
        with pytest.raises(UnreadableInput, match="O_NONBLOCK"):
            next(given)


# -- encodings --------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("chunk", [1, 3, 1 << 18])
def test_utf16_with_a_mark_is_decoded(
    encoding: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "CHUNK", chunk)
    mark = codecs.BOM_UTF16_LE if encoding == "utf-16-le" else codecs.BOM_UTF16_BE
    lines = ["2024-03-05 10:00:00 café \U0001f600", "2024-03-05 10:00:01 x"]
    data = mark + "\r\n".join(lines).encode(encoding)
    events, report = events_of(tmp_path / "a.txt", data)
    assert [event.content for event in events] == lines
    assert report.unreadables == 0
    events, _ = events_of(tmp_path / "a.txt", gzip.compress(data))
    assert [event.content for event in events] == lines


def test_a_line_that_is_not_utf8_is_latin1_and_reported(tmp_path: Path) -> None:
    data = "2024-03-05 10:00:00 ok é\n".encode() + "2024-03-05 10:00:01 façade\n".encode("latin-1")
    events, report = events_of(tmp_path / "a", data)
    assert [event.content[20:] for event in events] == ["ok é", "façade"]
    assert report.notices() == [f"{tmp_path / 'a'}: line 2: not UTF-8; read as Latin-1"]


# -- what is refused --------------------------------------------------------------------------


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.log", LINES)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("a.log")
        member.size = len(LINES)
        archive.addfile(member, io.BytesIO(LINES))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (zipped(), "a zip file"),
        (tarred(), "a tar file"),
        (gzip.compress(tarred()), "a tar file"),
        (bz2.compress(tarred()), "a tar file"),
        (gzip.compress(gzip.compress(LINES)), "packed twice"),
        (b"SQLite format 3\x00" + bytes(100), "an SQLite database"),
        (b"LPKSHHRH" + bytes(100), "journalctl -o json"),
        (b"\x7fELF" + bytes(100), "a program"),
        (b"\x04\x22\x4d\x18" + bytes(100), "lz4"),
        (bytes(range(256)) * 20, "binary data"),
        (random.Random(7).randbytes(5000), "binary data"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_text_is_refused_by_name(tmp_path: Path, data: bytes, words: str) -> None:
    events, report = events_of(tmp_path / "a.log", data)
    assert events == []
    assert report.unreadables == 1
    assert words in report.notices()[0]


def test_text_with_a_few_control_characters_is_text(tmp_path: Path) -> None:
    fix = "8=FIX.4.2\x019=65\x0135=A\x0149=SERVER\x0156=CLIENT\x0134=177\x0110=062\x01\n"
    events, _ = events_of(tmp_path / "a", fix * 3 + "\x0c\x1b[0mend\n" + "é" * 40)
    assert len(events) == 5
    events, _ = events_of(tmp_path / "b", "Привет мир журнал\n".encode("cp1251"))
    assert len(events) == 1


def test_zstd_without_its_library_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    events, report = events_of(tmp_path / "a.zst", b"\x28\xb5\x2f\xfd" + bytes(20))
    assert events == []
    assert "lmdbstore[zstd]" in report.notices()[0]
