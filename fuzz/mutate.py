"""Damage done to good files, blindly or by somebody who knows the format. A seed gives it again."""

from __future__ import annotations

import gzip
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from random import Random

Damage = Callable[[Random, bytearray], bytes]

LENGTHS = [0, 1, 127, 255, 256, 65535, 1 << 16, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]
NUMBERS = (
    "nan", "inf", "-inf", "-0", "0", "-1", "1e400", "-1e308", "1e308", "1e-320", "1e20", "9" * 400,
    "9" * 20, "2147483647", "4294967296", "9223372036854775808", "0x1p3", "1_000", "1,5", "1e", "",
    " ", "true", "null", "None", "٣", "1e5", "+1", "00012", ".5", "5.", "1j", "-1e20", "1e-7",
)  # fmt: skip
TOKENS = (
    "\0", "\0\0\0\0", "[", "{", "}", "]", "(", '"', "'", '""', ",", ",,,", ";", "\n", "\r\n", "\r",
    "\n\n\n", "\t", " ", "\ufeff", "\u2028", "\x85", "\x1c", "#", "&a [*a]", "*a", "!!int x", "? ",
    "!!python/object/apply:os.system [id]", "- - - -", "---\n", "...", "%YAML 9\n", "<<: *a", "|",
    "../../../etc/passwd", "/etc/passwd", "C:\\x", "=1+1", "2024-99-99", "2018-01-01T00:00:00Z",
    "0001-01-01", "9999-12-31T23:59:59+23:59", "End Site", "JOINT a {", "MOTION", "Frames: ",
    "person1", "\\ud800", "\U0010ffff", "a" * 5000, "1:1:1:1:1", "\x7f", "\x1b[2J",
)  # fmt: skip
BAD_TEXT = (b"\xff\xfe", b"\xed\xa0\x80", b"\xc3", b"\xf8\x88\x80\x80\x80", b"\x80", b"\xef\xbb")
DEEP = ("[", "{", "(", "- ", "[[", '{"a":', "9", " ", "\n", "a", "#", ",", "\0", "&a [", "? ", "-")
_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_SEPARATORS = b", \t"


def damaged(
    random: Random, data: bytes, others: Sequence[bytes], kinds: Sequence[str] = ("bytes",)
) -> bytes:
    """Damage a file in one to four places.

    Args:
        random: What decides; the same state gives the same bytes.
        data: The file.
        others: Good files of the kind, of which parts may come in.
        kinds: What the damage is to know of the format: keys of `DAMAGES`.
    """
    damages = [damage for kind in kinds for damage in DAMAGES[kind]]
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        if random.random() < 0.08:
            data = _splice(random, data, random.choice(others))
        else:
            data = random.choice(damages)(random, bytearray(data))
    return data


def _span(random: Random, data: bytes | bytearray) -> tuple[int, int]:
    start = random.randint(0, len(data))
    return start, min(len(data), start + int(random.paretovariate(0.5)))


def _splice(random: Random, data: bytes, other: bytes) -> bytes:
    start, end = _span(random, data)
    first, last = _span(random, other)
    return (
        data[:start]
        + (other[first:] if random.random() < 0.5 else other[first:last])
        + (data[end:] if random.random() < 0.7 else b"")
    )


def _flip(random: Random, data: bytearray) -> bytes:
    for _ in range(random.choice((1, 1, 2, 8)) if data else 0):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


def _byte(random: Random, data: bytearray) -> bytes:
    for _ in range(random.choice((1, 1, 2, 8)) if data else 0):
        data[random.randrange(len(data))] = random.choice((0, 255, 127, 128, random.randrange(256)))
    return bytes(data)


def _truncate(random: Random, data: bytearray) -> bytes:
    return bytes(data[: random.randint(0, len(data))])


def _cut(random: Random, data: bytearray) -> bytes:
    start, end = _span(random, data)
    return bytes(data[:start] + data[end:])


def _repeat(random: Random, data: bytearray) -> bytes:
    start, end = _span(random, data)
    times = random.choice((1, 1, 2, 10, 200)) if end - start < 1000 else 1
    return bytes(data[:end] + data[start:end] * times + data[end:])


def _integer(random: Random, data: bytearray) -> bytes:
    """Put a length that is a lie where one may stand."""
    form = random.choice(("<H", ">H", "<I", ">I", "<I", "<Q", ">Q"))
    size = struct.calcsize(form)
    value = random.choice(LENGTHS) if random.random() < 0.8 else random.getrandbits(64)
    if len(data) >= size:
        at = random.randrange(len(data) - size + 1)
        data[at : at + size] = struct.pack(form, value % (1 << 8 * size))
    return bytes(data)


def _insert(random: Random, data: bytearray) -> bytes:
    token = random.choice((random.choice(TOKENS + NUMBERS).encode(), random.choice(BAD_TEXT)))
    at = 0 if random.random() < 0.1 else random.randint(0, len(data))
    return bytes(data[:at] + token + data[at:])


def _number(random: Random, data: bytearray) -> bytes:
    start = random.randint(0, len(data))
    match = _NUMBER.search(data, start) or _NUMBER.search(data)
    if not match:
        return bytes(data)
    new = random.choice((random.choice(NUMBERS), str(random.choice(LENGTHS))))
    if random.random() < 0.2:
        new = str(random.uniform(-1, 1) * 10 ** random.randint(-5, 25))
    return bytes(data[: match.start()] + new.encode() + data[match.end() :])


def _number_everywhere(random: Random, data: bytearray) -> bytes:
    """Replace a number by another wherever it stands, as in a column of one value."""
    found = _NUMBER.findall(data, 0, 20_000)
    if not found:
        return bytes(data)
    return bytes(data.replace(random.choice(found), random.choice(NUMBERS).encode()))


def _lines(random: Random, data: bytearray) -> bytes:
    lines = bytes(data).split(b"\n")
    i, j = random.randrange(len(lines)), random.randrange(len(lines))
    how = random.randrange(5)
    if how == 0:
        del lines[i : i + random.choice((1, 1, 5, 1000))]
    elif how == 1:
        lines[i], lines[j] = lines[j], lines[i]
    elif how == 2:
        lines[i:i] = [lines[j]] * random.choice((1, 1, 3, 2000 if len(lines[j]) < 200 else 3))
    elif how == 3:
        lines.reverse()
    else:
        return random.choice((b"\r\n", b"\r", b"\n\n", b"\n\r")).join(lines)
    return b"\n".join(lines)


def _column(random: Random, data: bytearray) -> bytes:
    """Drop, double or empty a column of a table."""
    separator = max(_SEPARATORS, key=lambda byte: data.count(bytes([byte])))
    lines = [line.split(bytes([separator])) for line in bytes(data).split(b"\n")]
    at, how = random.randrange(max(map(len, lines))), random.randrange(3)
    for cells in lines:
        if at < len(cells):
            cells[at : at + 1] = ([], [cells[at]] * 2, [b""])[how]
    return b"\n".join(bytes([separator]).join(cells) for cells in lines)


def _deep(random: Random, data: bytearray, most: int = 100_000) -> bytes:
    """Put one thing a hundred thousand times."""
    token = random.choice(DEEP).encode() * min(most, random.choice((100, 1000, 10_000, 100_000)))
    at = random.choice((0, random.randint(0, len(data)), len(data)))
    return bytes(data[:at] + token + data[at:])


def _less_deep(random: Random, data: bytearray) -> bytes:
    """Put one thing a thousand times: PyYAML takes seconds to refuse more brackets."""
    return _deep(random, data, 1000)


def _other_coding(random: Random, data: bytearray) -> bytes:
    text = bytes(data).decode("utf-8", "replace")
    return text.encode(random.choice(("utf-16", "utf-32-le", "utf-8-sig", "utf-7")), "replace")


_ZIP_FIELDS = {  # offset and size of what a header says
    b"PK\3\4": ((6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
    b"PK\1\2": ((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (38, 4), (42, 4)),
    b"PK\5\6": ((8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
}
_NAMES = (b"../x", b"/abs", b"a\\..\\b", b"C:/x", b"a\0b", b"", b".", b"..", b"a//b", b"x" * 90)


def _zip_header(random: Random, data: bytearray) -> bytes:
    mark = random.choice(list(_ZIP_FIELDS))
    found = [match.start() for match in re.finditer(re.escape(mark), data)]
    if found:
        offset, size = random.choice(_ZIP_FIELDS[mark])
        at = random.choice(found) + offset
        value = random.choice((*LENGTHS, len(data), random.getrandbits(32)))
        data[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(data)


def _zip_name(random: Random, data: bytearray) -> bytes:
    """Give a member another name, of the length that it had."""
    found = [match.start() for match in re.finditer(b"PK\1\2|PK\3\4", data)]
    if found:
        at = random.choice(found)
        place, start = (at + 28, at + 46) if data[at + 2] == 1 else (at + 26, at + 30)
        size = int.from_bytes(data[place : place + 2], "little")
        name = random.choice((*_NAMES, b"\xff" * size))
        data[start : start + size] = name.ljust(size, random.choice((b"\0", b"/", b"x")))[:size]
    return bytes(data)


@cache
def _zeros(size: int) -> bytes:
    return gzip.compress(bytes(size), 9, mtime=0)


@cache
def _bomb(members: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(members):
            name = f"a{number + 1}_s1_t1_inertial.mat"
            archive.writestr(zipfile.ZipInfo(name), bytes(3 << 20), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _zip_bomb(random: Random, data: bytearray) -> bytes:
    bomb = _bomb(random.choice((1, 3)))
    return _zip_header(random, bytearray(bomb)) if random.random() < 0.7 else bomb


_TAR_FIELDS = ((0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155))


def _tar_header(random: Random, data: bytearray) -> bytes:
    """Change a field of a header, with a checksum that fits nearly always."""
    found = [match.start() - 257 for match in re.finditer(b"ustar", data)]
    if not found:
        return bytes(data)
    at = random.choice(found)
    offset, size = random.choice(_TAR_FIELDS)
    octal = b"%o" % random.choice(LENGTHS)
    value = random.choice((octal, b"\x80" + octal, b"-1", b"9", *_NAMES, random.randbytes(size)))
    if size == 1:
        value = random.choice((b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"L", b"K", b"x", b"g"))
    data[at + offset : at + offset + size] = value[:size].ljust(size, b"\0")
    if random.random() < 0.9:
        data[at + 148 : at + 156] = b" " * 8
        data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    return bytes(data)


def _within_gzip(random: Random, data: bytearray) -> bytes:
    """Damage a tar within its gzip; or put a bomb in its place."""
    if random.random() < 0.05:
        return _zeros(random.choice((1 << 20, 30 << 20)))
    stream = zlib.decompressobj(31)
    try:
        plain = stream.decompress(bytes(data), 4 << 20)
    except zlib.error:
        return bytes(data)
    return gzip.compress(random.choice(DAMAGES["tar"])(random, bytearray(plain)), 1, mtime=0)


def _within_mat(random: Random, data: bytearray) -> bytes:
    """Damage the first element of a .mat file within its zlib stream; or make it a bomb."""
    if data[128:132] != b"\x0f\0\0\0":
        return _integer(random, data)
    try:
        plain = zlib.decompressobj().decompress(bytes(data[136:]), 1 << 20)
    except zlib.error:
        return bytes(data)
    if random.random() < 0.03:
        plain += bytes(8 << 20)
    else:
        start = bytearray(plain[:96])  # the tags are at the beginning
        plain = random.choice(DAMAGES["bytes"])(random, start) + plain[96:]
    packed = zlib.compress(plain, 1)
    return bytes(data[:132]) + struct.pack("<I", len(packed)) + packed


_DTYPES = ("<f4", ">f8", "|O", "<i8", "<U9", "<f2", "<c16", "|S5", "<M8[s]", "<f16", "|V9", "|b1")
_SHAPES = ("()", "(0,)", "(2,)", "(-1, 4, 3)", "(2**40,)", "(4294967296, 4294967296)", "(2, 4, 3)")


def _npy_header(random: Random, data: bytearray) -> bytes:
    """Let the header of an npy file say something else, at its own length."""
    size = int.from_bytes(data[8:10], "little")
    text = bytes(data[10 : 10 + size]).decode("latin-1")
    how = random.randrange(6)
    if how == 0:
        text = re.sub(r"'descr': '[^']*'", f"'descr': '{random.choice(_DTYPES)}'", text)
    elif how == 1:
        text = re.sub(r"\([^)]*\)", random.choice(_SHAPES), text)
    elif how == 2:
        text = re.sub(r"\d+", random.choice(("0", "1", "2", "99999999", "1e3", "18", "3")), text)
    elif how == 3:
        text = text.replace("False", random.choice(("True", "None", "0", "[]", "__import__('os')")))
    elif how == 4:
        text = random.choice(("[", "(", "{", "-", "'", "lambda:", "0x")) * random.randint(1, 9000)
    else:
        text = text.replace("'descr'", random.choice(("'x'", "descr", "b'descr'", "1")))
    header = text.encode("latin-1", "replace")
    return bytes(data[:8]) + struct.pack("<H", len(header)) + header + bytes(data[10 + size :])


_TENSORS = ("F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F4", "F6_E2M3", "C64", "O", "")


def _safetensors_header(random: Random, data: bytearray) -> bytes:
    """Let the header of a safetensors file say something else, at its own length or a false one."""
    size = int.from_bytes(data[:8], "little")
    text = bytes(data[8 : 8 + size]).decode("latin-1")
    how = random.randrange(6)
    if how == 0:
        text = re.sub(
            r'"[FI]\d+"', f'"{random.choice(_TENSORS)}"', text, count=random.randint(0, 3)
        )
    elif how == 1:
        text = re.sub(r"\d+", str(random.choice(LENGTHS)), text, count=random.randint(1, 5))
    elif how == 2:
        text = re.sub(r"\[[^]]*\]", random.choice(("[]", "[0]", "[-1]", "[0,0]", "[1e3]")), text)
    elif how == 3:
        text = random.choice(("[", '{"a":', "{", '"', " ")) * random.randint(1, 300_000)
    elif how == 4:
        text = re.sub(r'"\w+\.', f'"{random.choice((*NUMBERS[:8], "x", "__metadata__"))}.', text)
    else:
        size = random.choice(LENGTHS)
        return struct.pack("<Q", size) + bytes(data[8:])
    header = text.encode("latin-1", "replace")
    return struct.pack("<Q", len(header)) + header + bytes(data[8 + size :])


_BLIND = [_flip, _byte, _truncate, _cut, _repeat, _insert]
_TEXT = [*_BLIND, _number, _number, _number_everywhere, _lines, _column, _other_coding]

DAMAGES: dict[str, list[Damage]] = {
    "bytes": [*_BLIND, _integer, _integer],
    "text": [*_TEXT, _deep],
    "yaml": [*_TEXT, _less_deep],
    "zip": [_flip, _truncate, _integer, *[_zip_header] * 3, _zip_name, _zip_bomb],
    "tar": [_flip, _truncate, _cut, _tar_header, _tar_header, _tar_header],
    "gzip": [_flip, _truncate, _within_gzip, _within_gzip, _within_gzip],
    "mat": [_within_mat, _within_mat],
    "npy": [_npy_header, _npy_header],
    "safetensors": [_safetensors_header] * 4,
}
"""What can be done to a file, by what is known of it."""
