"""Damage that goes deeper than bytes do: into values, records, packed data and headers, repeatable as well.

A damage takes the bytes of a good file and a number, and gives the bytes of a damaged one; the same number
damages the same data in the same way. `mutations.mutate` is the plainest one.
"""

from __future__ import annotations

import copy
import gzip
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from tests.fuzz.mutations import mutate

Damage = Callable[[bytes, int], bytes]

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 2**31, 2**63, -(2**63), 2**64, 10**30, 0.5, -0.0, 1e308, "", " ", "\0",
    "\ud800", "あ", "../../x", "/etc/passwd", "none", "\n", "a" * 10_000, "a/b/c", [], {}, [[]], [None],
    {"": None}, ["a", 1], {"a": {"b": []}},
)  # fmt: skip
MARK = "@@raw@@"  # a string that is replaced by one of these in the text, for what `json` does not write
RAW = (
    "NaN", "-Infinity", "1e999", "9" * 5_000, "[" * 100_000, "[" * 900 + "]" * 900, '{"a":' * 20_000, "tru",
    "'x'", '{"a": 1, "a": 2}', "", "1 2", "// x", '"\\u12"', "0x10", "01",
)  # fmt: skip
INTEGERS = (
    0,
    1,
    2,
    4,
    7,
    8,
    255,
    256,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
    2**64 - 1,
)


# -------------------------------------------------------------------------------------------------- JSON


def json_values(data: bytes, number: int) -> bytes:
    """One to three values of a JSON file swapped, dropped, doubled, or of another type; the rest is sound.

    What is no JSON is damaged as bytes are.
    """
    chance = random.Random(number)
    try:
        box = [json.loads(data)]
    except ValueError:
        return mutate(data, number)
    raws: list[str] = []
    for _ in range(chance.choice((1, 1, 2, 3))):
        _change(box, chance, raws)
    text = json.dumps(box[0], ensure_ascii=chance.random() < 0.5, indent=chance.choice((None, 1)))
    for raw in raws:
        text = text.replace(f'"{MARK}"', raw, 1)
    return text.encode("utf-8", "surrogatepass")


def json_lines(data: bytes, number: int) -> bytes:
    """The same for one line of a file of JSON lines."""
    lines = data.split(b"\n")
    at = random.Random(number).randrange(max(1, len(lines) - 1))
    if lines[at].strip():
        lines[at] = json_values(lines[at], number)
    return b"\n".join(lines)


def _change(box: list[Any], chance: random.Random, raws: list[str]) -> None:
    holder: Any = box
    key: Any = 0
    while isinstance(holder[key], (list, dict)) and holder[key] and chance.random() < 0.8:
        holder = holder[key]
        key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    value = copy.deepcopy(holder[key])
    match chance.randrange(9):
        case 0 | 1:
            holder[key] = copy.deepcopy(chance.choice(VALUES))
        case 2:
            holder[key] = MARK
            raws.append(chance.choice(RAW))
        case 3 if holder is not box:
            del holder[key]
        case 4 if isinstance(value, (int, float)):
            holder[key] = chance.choice((-value, value + 1, value - 1, value * 2**20, str(value), [value]))
        case 4 if isinstance(value, str):
            holder[key] = chance.choice(
                (value + "x", value[:-1], value * 2, value.upper(), [value], f" {value}")
            )
        case 5 if isinstance(holder, dict) and holder is not box:
            holder[chance.choice(("x", "", "type", "あ", f"{key}2"))] = value
        case 5 if isinstance(holder, list) and holder is not box:
            holder.insert(chance.randrange(len(holder) + 1), value)
        case 6 if holder is not box:  # two values change places
            other = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
            holder[key], holder[other] = holder[other], holder[key]
        case 7:
            holder[key] = chance.choice(([value], {"a": value}))
        case _ if isinstance(value, list):
            holder[key] = chance.sample(value, len(value))[: chance.choice((1, len(value)))]
        case _:
            holder[key] = copy.deepcopy(chance.choice(VALUES))


def sealed(data: bytes, number: int) -> bytes:
    """A manifest with other values and a hash of its own that fits: as another program might write it."""
    from tane.files import digest

    changed = json_values(data, number)
    try:
        body = json.loads(changed)
        body.pop("self")
        body["self"] = digest(body)
        return (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return changed


# ------------------------------------------------------------------------------------------ lines of text


def lines(*odd: str) -> Damage:
    """A damage of whole lines: doubled, dropped, swapped, or one of these put in."""

    def damage(data: bytes, number: int) -> bytes:
        chance = random.Random(number)
        rows = data.split(b"\n")
        for _ in range(chance.choice((1, 1, 2, 5))):
            at, other = chance.randrange(len(rows)), chance.randrange(len(rows))
            match chance.randrange(5):
                case 0:
                    rows.insert(at, rows[other])
                case 1 if len(rows) > 1:
                    del rows[at]
                case 2:
                    rows[at], rows[other] = rows[other], rows[at]
                case 3:
                    rows.insert(at, chance.choice(odd).encode("utf-8", "surrogatepass"))
                case _:
                    rows[at] = mutate(rows[at], chance.randrange(2**32))
        return b"\n".join(rows)

    return damage


SCALARS = (
    "!!python/object:os.system x", "!!python/name:os.system", "&a [*a]", "*a", "1e999", ".inf", ".nan", "-1",
    "0", "9" * 5_000, "[" * 2_000, "{a: " * 500, "null", "~", "!!binary x", "!!timestamp x", "2020-01-01",
    "0x10", "0o17", "1_000", "yes", "true", "|", ">", "? x", "{<<: {a: 1}}", "=", "@", "`", "%", "'", '"',
    "[]", "{}", "{a: 1, a: 2}", "[a, [b, {c: d}]]", '"\\ud800"', '"\\0"', "!!int あ", "!!float x", "!!bool x",
    "!!null x", "!!set {a}", "!!map [a]", "!!seq {a: b}", "!!str [a]", "text", "10 steps", "1e18 epochs",
    "nan steps", "../../x", "hf://x", "https://localhost:1/x", "\t", "1e-400", "1e400", "-0", "1" * 400,
)  # fmt: skip


def yaml_values(data: bytes, number: int) -> bytes:
    """Lines of a YAML file with another value, key, tag or indent."""
    chance = random.Random(number)
    rows = data.decode().split("\n")
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(rows))
        key, colon, value = rows[at].partition(":")
        match chance.randrange(7):
            case 0 | 1 | 2 if colon:
                rows[at] = f"{key}: {chance.choice(SCALARS)}"
            case 3:
                rows.insert(chance.randrange(len(rows)), rows[at])
            case 4:
                rows[at] = chance.choice(("  ", "\t", " ", "- ", "? ", "# ")) + rows[at]
            case 5 if colon:
                rows[at] = f"{key}{chance.choice('xX_.-あ1')}:{value}"
            case _:
                rows[at] = f"{rows[at].rstrip()} {chance.choice(SCALARS)}"
    return "\n".join(rows).encode("utf-8", "surrogatepass")


def scalars(data: bytes, number: int) -> bytes:
    """One odd YAML value, alone or beside a part of the good text."""
    chance = random.Random(number)
    odd = chance.choice(SCALARS).encode("utf-8", "surrogatepass")
    at = chance.randrange(len(data) + 1)
    return chance.choice((odd, data[:at] + odd, odd + data[at:], data[:at] + odd + data[at:]))


# ------------------------------------------------------------------------------------ bytes of fixed length


def steady(data: bytes, number: int) -> bytes:
    """One to four places overwritten, the length as it was; most of them near the start or the end."""
    chance = random.Random(number)
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        reach = chance.choice((64, 256, 1024, len(found)))
        place = min(chance.randrange(reach), len(found) - 1)
        place = place if chance.random() < 0.5 else len(found) - 1 - place
        match chance.randrange(4):
            case 0:
                found[place] ^= 1 << chance.randrange(8)
            case 1:
                found[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                width = chance.choice((1, 2, 4, 8))
                value = chance.choice((*INTEGERS, len(found), len(found) * 2)) % 256**width
                found[place : place + width] = value.to_bytes(width, "little")[: len(found) - place]
            case _:
                width = min(chance.choice((1, 4, 16, 256)), len(found) - place)
                found[place : place + width] = chance.randbytes(width)
    return bytes(found)


def header_values(data: bytes, number: int) -> bytes:
    """A safetensors file whose header has other values; its length fits, the tensors are as they were."""
    size = struct.unpack_from("<Q", data)[0]
    head = json_values(data[8 : 8 + size], number)
    return struct.pack("<Q", len(head)) + head + data[8 + size :]


# ------------------------------------------------------------------------------------------- packed data


def in_gzip(inner: Damage) -> Damage:
    """Damage of what a gzip file holds; the packing is sound."""
    return lambda data, number: gzip.compress(inner(gzip.decompress(data), number), 1, mtime=0)


def in_zstd(inner: Damage) -> Damage:
    """Damage of what a zstd file holds; the packing is sound, with its checksum."""

    def damage(data: bytes, number: int) -> bytes:
        import zstandard

        plain = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        packer = zstandard.ZstdCompressor(level=1, write_checksum=True).compressobj()
        return packer.compress(inner(plain, number)) + packer.flush()

    return damage


def in_zip(data: bytes, number: int) -> bytes:
    """A zip file in which one part is damaged, dropped, doubled or renamed; the rest is packed anew."""
    chance = random.Random(number)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at = chance.randrange(len(parts))
    name, content = parts[at]
    match chance.randrange(8):
        case 0:
            del parts[at]
        case 1:
            parts.append((name, chance.choice(parts)[1]))
        case 2:
            parts[at] = (chance.choice(("../x.xml", "/x", name.upper(), f"{name}x", "あ")), content)
        case _:
            parts[at] = (name, mutate(content, number))
    return zipped(parts)


def zipped(parts: list[tuple[str, bytes]]) -> bytes:
    """A zip file of these parts, the same bytes at any time."""
    import warnings

    held = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(held, "w") as archive:
        warnings.simplefilter("ignore")  # a part that stands twice is what is wanted
        for name, content in parts:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return held.getvalue()


# ---------------------------------------------------------------------------------------------- protobuf


def proto_values(data: bytes, number: int) -> bytes:
    """A SentencePiece model with other pieces, scores, types, flags or rules; its bytes parse."""
    from sentencepiece import sentencepiece_model_pb2

    chance = random.Random(number)
    proto: Any = getattr(sentencepiece_model_pb2, "ModelProto")()  # noqa: B009 - a name made at run time
    proto.ParseFromString(data)
    for _ in range(chance.choice((1, 1, 2, 4))):
        _change_model(proto, chance)
    return bytes(proto.SerializeToString())


def _change_model(proto: Any, chance: random.Random) -> None:
    one, other = (proto.pieces[chance.randrange(len(proto.pieces))] for _ in range(2))
    match chance.randrange(9):
        case 0:
            one.piece = chance.choice(("", " ", "▁", "\0", "a" * 1_000, other.piece, "<0x00>", "あ\n"))
        case 1:
            one.score = chance.choice((0.0, -0.0, 1e30, -1e30, float("nan"), float("inf"), 5.0, -1e-40))
        case 2:
            one.type = chance.choice((1, 2, 3, 4, 5, 6))
        case 3:
            del proto.pieces[chance.randrange(len(proto.pieces))]
            proto.pieces.add(piece=f"new{chance.randrange(99)}", score=-1.0)
        case 4:
            one.piece, other.piece = other.piece, one.piece
        case 5:
            rules = proto.normalizer_spec.precompiled_charsmap
            proto.normalizer_spec.precompiled_charsmap = mutate(rules, chance.randrange(2**32))
        case 6:
            spec = chance.choice((proto.normalizer_spec, proto.trainer_spec, proto.denormalizer_spec))
            _set_field(spec, chance)
        case 7:
            proto.trainer_spec.model_type = chance.choice((1, 2, 3, 4))
        case _:
            _set_field(proto.trainer_spec, chance)


def _set_field(spec: Any, chance: random.Random) -> None:
    """Another value, of its own type, for one field of a message."""
    single = [field for field in spec.DESCRIPTOR.fields if not field.is_repeated]
    field = chance.choice(single)
    if field.cpp_type == field.CPPTYPE_BOOL:
        setattr(spec, field.name, not getattr(spec, field.name))
    elif field.cpp_type == field.CPPTYPE_INT32:
        setattr(spec, field.name, chance.choice((0, -1, 1, 2**31 - 1, -(2**31))))
    elif field.cpp_type == field.CPPTYPE_STRING and field.type == field.TYPE_BYTES:
        setattr(spec, field.name, chance.choice((b"", b"\xff" * 40, b"\0\0\0\0", b"\4\0\0\0abcd")))
    elif field.cpp_type == field.CPPTYPE_STRING:
        setattr(spec, field.name, chance.choice(("", "あ", "<s>", "a" * 1_000)))
    elif field.cpp_type == field.CPPTYPE_FLOAT:
        setattr(spec, field.name, chance.choice((0.0, -1.0, float("nan"), float("inf"))))
