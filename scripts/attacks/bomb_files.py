"""Files that are small and become large, or are no files at all."""

import gzip
import os
import pathlib
import struct
import zlib
from collections.abc import Iterable

MIB = 1 << 20
# What no reader may follow to its end.
SPARSE_BYTES = 8 << 30
# The most that a block of zstd can hold.
ZST_BLOCK_BYTES = 128 << 10


def gzip_of(path: pathlib.Path, pieces: Iterable[tuple[bytes, int]]) -> None:
    """A gzip file of pieces, each a number of times. It has a member for each repetition, and compresses each once."""
    with open(path, "wb") as file:
        for data, times in pieces:
            member = gzip.compress(data, 9, mtime=0)
            for _ in range(times):
                file.write(member)


def gzip_of_byte(path: pathlib.Path, byte: bytes, count: int) -> None:
    """A gzip file, of one member, of one byte `count` times: 1,000 to 1."""
    compressor = zlib.compressobj(9, wbits=31)
    block = byte * MIB
    with open(path, "wb") as file:
        for _ in range(count // MIB):
            file.write(compressor.compress(block))
        file.write(compressor.flush())


def zst_of_byte(path: pathlib.Path, byte: bytes, count: int, window_log: int = 17, head: bytes = b"") -> None:
    """A zstd file, made by hand, of `head` and one byte `count` times: 32,000 to 1, the most that zstd can do."""

    def block(kind: int, size: int, content: bytes, is_last: bool = False) -> bytes:
        return struct.pack("<I", size << 3 | kind << 1 | is_last)[:3] + content

    raw, repeated = 0, 1
    with open(path, "wb") as file:
        # No size of the content, no checksum, no dictionary: only the size of the window.
        file.write(b"\x28\xb5\x2f\xfd" + bytes([0, (window_log - 10) << 3]))
        if head:
            file.write(block(raw, len(head), head))
        full = block(repeated, ZST_BLOCK_BYTES, byte)
        for _ in range(count // ZST_BLOCK_BYTES):
            file.write(full)
        file.write(block(repeated, 1, byte, is_last=True))


def event(**fields) -> dict:
    """An exposure of demo/home on 1 January 2026."""
    usual = {
        "v": 1,
        "ts": "2026-01-01T10:00:00Z",
        "tenant": "demo",
        "surface": "home",
        "session_id": "s1",
        "item_id": "i1",
    }
    return {**usual, **fields}


def long_ids(path: pathlib.Path, field: str, count: int, length: int) -> None:
    """A gzip file of `count` events, each with an id of its own in `field` that is `length` bytes long."""
    filler = b"x" * (length - 8)
    pairs = ",".join(f'"{name}":{value!r}'.replace("'", '"') for name, value in event().items() if name != field)
    end = gzip.compress(filler + b'",' + pairs.encode() + b"}\n", 9, mtime=0)
    with open(path, "wb") as file:
        for number in range(count):
            file.write(gzip.compress(f'{{"{field}":"{number:08}'.encode(), 1, mtime=0) + end)


def days(path: pathlib.Path, names: list[str], events_of_day: int) -> None:
    """A flat file of events of many days, in turns, as a log that came out of order."""
    with open(path, "w") as file:
        for number in range(events_of_day):
            session, item = f"session-{number // 5}", f"item-{number % 997}"
            end = f',"tenant":"demo","surface":"home","user_id":"user-{number % 5003}",'
            end += f'"session_id":"{session}","request_id":"request-{number}","item_id":"{item}","rank":1}}\n'
            second = f"{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"
            file.write("".join(f'{{"v":1,"ts":"{day}T{second}Z"{end}' for day in names))


def catalogue_of_tags(path: pathlib.Path, tags: int, format_: str) -> None:
    """A catalogue of one row with so many tags."""
    # Short ones: a row has at most 1 MiB.
    names = [f"{number:x}" for number in range(tags)]
    if format_ == "csv":
        path.write_text('item_id,tags\ni1,"' + ";".join(names) + '"\n')
    else:
        path.write_text('{"item_id":"i1","tags":["' + '","'.join(names) + '"]}\n')


def catalogue_of_columns(path: pathlib.Path, columns: int, rows: int = 1) -> None:
    """A CSV catalogue with so many columns that nobody asked for."""
    row = ",".join(["i{}", "red", *("x" for _ in range(columns))]) + "\n"
    with open(path, "w") as file:
        file.write(",".join(["item_id", "tags", *(f"c{number}" for number in range(columns))]) + "\n")
        for number in range(rows):
            file.write(row.replace("{}", str(number), 1))


def nested(depth: int, opening: str = "[", closing: str = "]", inside: str = "") -> str:
    return opening * depth + inside + closing * depth


def yaml_aliases(levels: int) -> str:
    """Lists of lists by aliases: nine to the power of `levels` items, in a kilobyte."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [" + ",".join(f"*a{level - 1}" for _ in range(9)) + "]")
    return "\n".join([*lines, f"artifact_kinds: *a{levels - 1}"]) + "\n"


def odd_file(path: pathlib.Path, form: str) -> None:
    """In the place of a document: a sparse file of 8 GiB, a FIFO that nobody writes to, or a folder."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "sparse":
        with open(path, "wb") as file:
            file.truncate(SPARSE_BYTES)
    elif form == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
