"""Lists and restores Parados repositories; written from docs/format.md alone and sharing no code."""

import argparse, collections, errno, functools, json, os, re, stat, sys

import argon2.low_level
import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

KIB, MIB = 1 << 10, 1 << 20


class Bad(Exception):
    """What is wrong, with the name of the object in front."""


def need(holds, why):
    if not holds:
        raise Bad(why)


def warn(text):
    print("warning:", text, file=sys.stderr)


def number(data):
    return int.from_bytes(data, "little")


# --- CBOR and the types of records -------------------------------------------------------------


def decode(data, kind, limit):
    need(len(data) <= limit, "a record that is too long")
    value, end = item(data, 0, 0)
    need(end == len(data), "bytes follow the record")
    return typed(value, kind)


def item(data, at, depth):
    need(at < len(data) and depth < 16, "CBOR ends too early")
    major, value = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        need(value in (20, 21), "CBOR that is no bool")
        return value == 21, at
    if value >= 24:
        need(value <= 27, "CBOR of indefinite length")
        width = 1 << value - 24
        need(at + width <= len(data), "CBOR ends too early")
        value, at = int.from_bytes(data[at : at + width], "big"), at + width
        need(value >= (24 if width == 1 else 1 << 4 * width), "a CBOR number in a long form")
    if major < 2:
        return (-1 - value if major else value), at
    need(major < 6 and value <= len(data) - at, "a CBOR tag, or CBOR that ends too early")
    if major < 4:
        part = data[at : at + value]
        try:
            return (part.decode("utf-8") if major == 3 else part), at + value
        except UnicodeDecodeError:
            raise Bad("text that is not UTF-8") from None
    parts, keys = [], []
    for _ in range(value):
        if major == 5:
            key, at = item(data, at, depth + 1)
            need(type(key) is int and (not keys or key > keys[-1]), "CBOR keys out of order")
            keys.append(key)
        part, at = item(data, at, depth + 1)
        parts.append(part)
    return (dict(zip(keys, parts)) if major == 5 else parts), at


class Optional(collections.namedtuple("Optional", "kind")):
    """A field that may be left out."""


def typed(value, kind):
    """Checks a value: [T] any array, a tuple an array record, a dict a map record, else a test."""
    if isinstance(kind, Optional):
        typed(value, kind.kind)
    elif isinstance(kind, list):
        need(type(value) is list, "no array")
        for part in value:
            typed(part, kind[0])
    elif isinstance(kind, tuple):
        need(type(value) is list and len(value) == len(kind), "an array of another length")
        for part, part_kind in zip(value, kind):
            typed(part, part_kind)
    elif isinstance(kind, dict):
        need(type(value) is dict and value.keys() <= kind.keys(), "no map, or unknown keys")
        for key, part_kind in kind.items():
            need(key in value or isinstance(part_kind, Optional), f"key {key} is missing")
            if key in value:
                typed(value[key], part_kind)
    else:
        need(kind(value), f"a value of another type or beyond its limits: {value!r:.60}")
    return value


def up_to(most, least=0):
    return lambda value: type(value) is int and least <= value <= most


def octets(most, least=0, without=b""):
    return lambda value: (
        type(value) is bytes and least <= len(value) <= most and not set(value) & set(without)
    )


def text(most=1 << 26):
    return lambda value: type(value) is str and len(value.encode()) <= most


def ascending(values, why="out of order"):
    need(all(a < b for a, b in zip(values, values[1:])), why)


U8, U16, U32, U64, BOOL = *(up_to((1 << n) - 1) for n in (8, 16, 32, 64)), lambda v: type(v) is bool
ID, NOT_ZERO, CODEC, SUITE = octets(32, 32), up_to((1 << 64) - 1, 1), up_to(1), up_to(2, 1)
RAW, CHUNK_LENGTH = up_to(16 * MIB), up_to(16 * MIB, 1)
TIME = (up_to((1 << 63) - 1, -(1 << 63)), up_to(999_999_999))
ORIGIN = (ID, SUITE, U32, up_to(1, 1), octets(0), ID)
HEADER = {0: [ORIGIN], 1: [(U32, RAW, CODEC, CODEC, U32, [(ID, CHUNK_LENGTH)])]}
FENCE_PACK = (ID, U64, [(U32, RAW, CODEC, CODEC, U32)])
FENCE = {0: [ORIGIN], 1: [FENCE_PACK], 2: [(ID, U32, up_to(4096, 1))], 3: octets(MIB * 64), 4: [ID]}
BLOCK = [(ID, U32, U32, U32, up_to((1 << 32) - 1, 1))]
NAME = lambda v: octets(255, 1, b"/\0")(v) and v not in (b".", b"..")  # noqa: E731
LEVEL, REFERENCE = up_to(4), (ID, up_to(4), NOT_ZERO, U64)
RANGES, PIECE = [(U64, NOT_ZERO)], (ID, NOT_ZERO)
PAGE, BRANCH = (up_to(2, 2), up_to(3), [PIECE]), (up_to(1, 1), LEVEL, [(NAME, ID, NOT_ZERO, U64)])
ENTRY = {
    0: NAME, 1: up_to(6), 2: up_to(0o7777), 3: U32, 4: U32, 5: Optional(octets(MIB)),
    6: Optional(octets(MIB)), 7: Optional(TIME), 9: Optional((U32, U64)), 10: Optional((U32, U32)),
    8: Optional([(octets(MIB, 1, b"\0"), octets(4 * MIB))]), 11: Optional(octets(4095, 1, b"\0")),
    12: Optional(up_to((1 << 63) - 1)), 13: Optional(RANGES), 14: Optional((LEVEL, [PIECE])),
    15: Optional(REFERENCE), 16: Optional(up_to(3, 1)), 17: Optional(up_to(2, 1)),
    18: Optional(RANGES),
}  # fmt: skip
# What only some kinds of entries have: those that they must have, those that they may have.
ENTRY_KINDS = [({12}, {9, 13, 14, 17, 18}), (set(), {15}), ({11}, {9}), (set(), {9}), ({10}, {9})]
ENTRY_KINDS += [({10}, {9}), (set(), {9})]
KIND_NAMES = ["file", "directory", "symlink", "fifo", "character", "block", "socket"]
LEAF = (up_to(1, 1), up_to(0), [ENTRY])
SEEN, SHORT = [(ID, ID, U64)], text(4096)
COMPONENT = {
    0: text(), 1: text(), 2: Optional(text()), 3: Optional(REFERENCE), 4: (U64,) * 7, 5: up_to(2),
    6: [octets(MIB)],
}  # fmt: skip
SNAPSHOT = {
    0: [COMPONENT], 1: Optional(octets(16, 16)), 2: TIME, 3: TIME, 4: SHORT, 5: SHORT, 6: [SHORT],
    7: text(), 8: ID, 9: NOT_ZERO, 10: Optional(ID), 11: [ID], 12: SEEN, 14: Optional(SHORT),
}  # fmt: skip
CONFIG = {
    0: up_to(1, 1), 1: ID, 2: SUITE, 3: U32, 4: (U32,) * 3, 5: up_to(128 * MIB, 16 * KIB),
    6: up_to(0), 7: TIME, 8: Optional(ID), 9: (BOOL, BOOL),
}  # fmt: skip
NOTE = {0: ID, 1: TIME, 2: Optional([text()]), 3: Optional(BOOL), 4: Optional(text())}
ABORT = (up_to(1, 1), TIME, text())
# Sealed objects by the number of their kind: type and longest body.
RECORDS = {
    1: (CONFIG, 64 * KIB), 5: ((BOOL, SNAPSHOT), 16 * MIB), 8: ({0: U64, 1: TIME, 2: [ID]}, 64 * MIB),
    6: (lambda v: typed(v, ABORT if v[:1] == [1] else (up_to(0), SNAPSHOT)), 16 * MIB), 9: (NOTE, MIB),
    7: ({0: [ID], 1: TIME, 2: SEEN, 3: text()}, 64 * MIB),
    10: ({0: TIME, 1: ID, 2: [ID], 3: Optional(text())}, 64 * MIB),
}  # fmt: skip
HEX, DIGITS = "([0-9a-f]{64})", "(0|[1-9][0-9]*)"
NAMES = [
    None, f"config/{DIGITS}", f"keys/{HEX}", f"packs/([0-9a-f][0-9a-f])/(?=\\1){HEX}",
    f"index/{HEX}-{DIGITS}-{HEX}", f"sessions/{HEX}/{DIGITS}", f"snapshots/{HEX}", f"tombs/{HEX}",
    f"gc/{DIGITS}/([cbd])", f"notes/{HEX}/{DIGITS}", "ledger/([a-z0-9]{1,128})/([a-z0-9]{1,128})",
]  # fmt: skip
NUMBERS = {1: (1, 64), 4: (2, 32), 5: (2, 32), 8: (1, 64), 9: (2, 32)}  # group, bits

# --- Keys --------------------------------------------------------------------------------------


def derive(context, *parts, length=32):
    context = "parados 2026-11-23 v1 " + context
    return blake3(b"".join(parts), derive_key_context=context).digest(length)


def unseal(suite, key, message, sealed, associated):
    cipher = (ChaCha20Poly1305 if suite == 1 else AESGCM)(key)
    try:
        return cipher.decrypt(message.to_bytes(8, "little") + bytes(4), sealed, associated)
    except (InvalidTag, ValueError):
        raise Bad("forged: other key, other name, or altered bytes") from None


def key_from_code(prefix, code):
    """Bech32m of 32 bytes."""
    code = re.sub(r"[\s-]", "", code).lower()
    letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    need(len(code) == 62 and code.startswith(prefix + "1"), f"no {prefix} code")
    need(set(code[4:]) <= set(letters), "a letter that no code has")
    data = [letters.index(letter) for letter in code[4:]]
    check = 1
    for value in [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + data:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= term if top >> bit & 1 else 0
    need(check == 0x2BC830A3, "the code has a wrong letter")
    bits = functools.reduce(lambda total, value: total << 5 | value, data[:52], 0)
    need(bits & 15 == 0, "the last four bits of the code are not zero")
    return (bits >> 4).to_bytes(32, "big")


def open_slot(name, slot, kind, secret):
    """The repository id and the root keys, or None when the secret is that of another slot."""
    need(len(slot) == 1024 and slot[:6] == b"PRDK\1\0", "no key slot of format 1")
    need(1 <= slot[6] <= 3, "a key slot of an unknown kind")
    need(not any(slot[7:8] + slot[84:88] + slot[152:192]), "reserved bytes are not zero")
    need(slot[40:72].hex() == name[5:], "a renamed key slot")
    memory, passes, lanes = (number(slot[at : at + 4]) for at in (72, 76, 80))
    if slot[6] == 1:
        fits = 64 * KIB <= memory <= 4 * MIB and 1 <= passes <= 64 and 1 <= lanes <= 16
        need(fits and memory * passes <= 16 * MIB, "a cost beyond the limits")
    else:
        need(not memory | passes | lanes, "a cost without passphrase")
    if slot[6] != kind:
        return None
    if kind == 1:
        made = argon2.low_level.hash_secret_raw(
            secret, slot[88:120], passes, memory, lanes, 64, argon2.Type.ID, 0x13
        )
    else:
        made = derive("slot secret", bytes([kind]), secret, slot[88:120], length=64)
    if made[32:] != slot[120:152]:
        return None
    bundle = unseal(1, made[:32], 0, slot[192:720], slot[:192])
    end = 2 + number(bundle[:2])
    body, count = bundle[2:end], number(bundle[34:38])
    need(end <= 512 and not any(bundle[end:]), "a bundle with wrong padding")
    need(1 <= count <= 12 and len(body) == 36 + 36 * count, "a bundle of another length")
    need(body[:32] == slot[8:40], "a slot of another repository")
    roots = [(number(body[at : at + 4]), body[at + 4 : at + 36]) for at in range(36, len(body), 36)]
    ascending([epoch for epoch, _ in roots])
    need(roots[0][0] == 0, "no root key of epoch 0")
    return slot[8:40], dict(roots)


# --- Repository --------------------------------------------------------------------------------

Place = collections.namedtuple("Place", "pack at sealed raw codec kind origin offset length")


def plain(codec, stored, raw):
    if codec == 0:
        need(len(stored) == raw, "lengths differ")
        return stored
    try:
        claimed = zstandard.get_frame_parameters(stored).content_size
        need(claimed in (raw, zstandard.CONTENTSIZE_UNKNOWN), "zstd of another length")
        body = zstandard.ZstdDecompressor().decompress(stored, raw, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Bad(f"zstd: {error}") from None
    need(len(body) == raw, "zstd of another length")
    return body


def inner(data, limit, padded=True):
    stored, raw, codec = number(data[:4]), number(data[4:8]), data[8]
    need(len(data) >= 12 + stored and raw <= limit and codec <= 1, "lengths beyond the limits")
    need(not any(data[9:12]) and not any(data[12 + stored :]), "reserved bytes are not zero")
    need(padded or len(data) == 12 + stored, "padding where there is none")
    return plain(codec, data[12 : 12 + stored], raw)


class Repository:
    def __init__(self, path, kind, secret, from_packs):
        self.path, self.from_packs, self.places = path, from_packs, None
        slots = [(n, self.read(n)) for n in self.names(2)]
        opened = [keys for n, data in slots if (keys := self.guard(n, open_slot, n, data, kind, secret))]
        need(opened, "keys: no key slot opens with this secret")
        self.id, self.roots = opened[0]
        self.id_keys = [derive(f"{w} id", self.roots[0], self.id) for w in ("chunk", "tree")]
        configs = sorted(self.names(1), key=lambda name: int(name[7:]))
        need(configs and configs[-1] == f"config/{len(configs)}", "config: one is missing")
        for n, name in enumerate(configs):
            config = self.record(name)
            last = blake3(self.read(configs[n - 1])).digest() if n else None
            need(config[1] == self.id, f"{name}: of another repository")
            need(config.get(8) == last, f"{name}: does not follow the config before it")

    def names(self, kind):
        top = NAMES[kind].split("/")[0]
        found = []
        for folder, _, files in os.walk(os.path.join(self.path, top)):
            found += [os.path.relpath(os.path.join(folder, file), self.path) for file in files]
        for name in sorted(found):
            if self.kind_of(name) == kind:
                yield name
            else:
                warn(f"{name} is no name of format 1")

    def kind_of(self, name):
        for kind, pattern in enumerate(NAMES[1:], 1):
            if found := re.fullmatch(pattern, name):
                group, bits = NUMBERS.get(kind, (0, 0))
                return kind if not group or int(found[group]) < 1 << bits else None

    def read(self, name, at=0, length=None):
        try:
            with open(os.path.join(self.path, name), "rb") as file:
                file.seek(at)
                data = file.read(length if length is not None else -1)
        except OSError as error:
            raise Bad(f"{name}: {error.strerror}") from None
        need(length is None or len(data) == length, f"{name}: ends too early")
        return data

    def guard(self, name, work, *arguments):
        """Does something with an object; when it is bad, says which one it was."""
        try:
            return work(*arguments)
        except Bad as error:
            raise Bad(str(error) if str(error).startswith(name) else f"{name}: {error}") from None

    def object_key(self, kind, header):
        need(header[:6] == b"PRDO\1\0" and header[6] == kind, "no object of this kind of format 1")
        need(header[7] in (1, 2) and not any(header[12:16]), "unknown suite or reserved bytes")
        need(number(header[8:12]) in self.roots, "no root key for its epoch")
        root = self.roots[number(header[8:12])]
        key = derive("object", root, self.id, header[8:12], bytes([kind]))
        return header[7], derive("object key", key, header[16:48])

    def record(self, name):
        return self.guard(name, self.open_record, name, self.read(name))

    def open_record(self, name, data):
        kind = self.kind_of(name)
        need(512 <= len(data) <= 128 * MIB, "an object of a wrong length")
        suite, key = self.object_key(kind, data[:48])
        body = unseal(suite, key, 0, data[48:], self.id + data[:48] + name.encode())
        return decode(inner(body, 64 * MIB), *RECORDS[kind])

    def session_key(self, origin):
        session, suite, epoch, _, wrapped, commitment = origin
        need(wrapped == b"" and epoch in self.roots, "a wrapped key, or no root key for its epoch")
        kind_key = derive("object", self.roots[epoch], self.id, epoch.to_bytes(4, "little"), b"\3")
        key = derive("session", kind_key, session, bytes([suite]))
        need(derive("session commitment", key) == commitment, "forged: another session commitment")
        return key

    # Index: from segments, or from the headers of packs.

    def add_pack(self, pack, lengths, sealed_end, origins):
        """The places of the frames of a pack, without chunks."""
        frames, at = [], 128
        for sealed, raw, codec, kind, origin, *_ in lengths:
            need(origin < len(origins), "an origin that is not there")
            need(40 <= sealed <= raw + 40, "a frame shorter than its seal or longer than its content")
            need(codec or sealed == raw + 40, "lengths differ")
            frames.append(Place(pack, at, sealed, raw, codec, kind, origins[origin], 0, 0))
            at += sealed
        need(sealed_end in (None, at), "frames end elsewhere")
        return frames

    def open_segment(self, name, data):
        session, seq, own = re.fullmatch(NAMES[4], name).groups()
        need(blake3(data).hexdigest() == own, "its bytes are not those of its name")
        need(len(data) >= 512, "ends too early")
        suite, key = self.object_key(4, data[:48])
        associated = self.id + data[:48] + f"index/{session}-{seq}".encode()
        trailer = unseal(suite, key, 2**64 - 1, data[-40:], associated)
        total, at, length = (number(trailer[n : n + 8]) for n in (0, 8, 16))
        need(total == len(data) == at + length + 40 and at >= 48, "a trailer of other lengths")
        fence = unseal(suite, key, 2**64 - 2, data[at : at + length], associated)
        fence = decode(inner(fence, 64 * MIB), FENCE, 64 * MIB)
        packs = [self.add_pack(pack, frames, None, fence[0]) for pack, _, frames in fence[1]]
        need(len({pack[0] for pack in fence[1]}) == len(packs), "a pack twice")
        offset, entries = 48, []
        ascending([first for first, _, _ in fence[2]])
        for n, (first, sealed, count) in enumerate(fence[2]):
            need(offset + sealed <= at, "a block beyond the fence")
            block = unseal(suite, key, n, data[offset : offset + sealed], associated)
            block = decode(inner(block, MIB, padded=False), BLOCK, MIB)
            need(len(block) == count and block[0][0] == first, "another block than the fence says")
            entries, offset = entries + block, offset + sealed
        need(offset == at, "blocks end elsewhere")
        ascending(entries)
        bits, filter_bits = -(-len(entries) * 10 // 64) * 64, 0
        for a, b in {(number(entry[0][:8]), number(entry[0][8:16]) | 1) for entry in entries}:
            for i in range(7):
                filter_bits |= 1 << (a + i * b) % 2**64 % bits
        need(filter_bits.to_bytes(bits // 8, "little") == fence[3], "a filter of other chunks")
        found = []
        for chunk, pack, frame, start, length in entries:
            need(pack < len(packs) and frame < len(packs[pack]), "a frame that is not there")
            need(start + length <= packs[pack][frame].raw, "a chunk beyond its frame")
            found.append((chunk, packs[pack][frame]._replace(offset=start, length=length)))
        return own, fence, found

    def open_pack(self, name):
        prefix, size = self.read(name, 0, 128), os.path.getsize(os.path.join(self.path, name))
        need(prefix[:6] == b"PRDP\1\0" and prefix[6] in (1, 2) and prefix[7] == 1, "no pack")
        need(not any(prefix[12:24]) and not any(prefix[88:]), "flags or reserved bytes")
        need(size >= 128 + 40 + 64, "ends too early")
        epoch, session = number(prefix[8:12]), prefix[24:56]
        session_key = self.session_key((session, prefix[6], epoch, 1, b"", prefix[56:88]))
        sealed = self.read(name, size - 64, 64)
        key = derive("pack trailer", session_key, sealed[:24])
        trailer = unseal(prefix[6], key, 0, sealed[24:], prefix)
        total, end, length = (number(trailer[n : n + 8]) for n in (0, 8, 16))
        need(total == size and 128 <= end <= size - 64 - length, "a trailer of other lengths")
        need(40 <= length <= 64 * MIB + 40, "a header of a wrong length")
        sealed = self.read(name, size - 64 - length, length)
        key = derive("pack header", session_key, sealed[:24])
        header = decode(unseal(prefix[6], key, 0, sealed[24:], prefix), HEADER, 64 * MIB)
        frames, found = self.add_pack(bytes.fromhex(name[-64:]), header[1], end, header[0]), []
        need(frames, "a pack without frames")
        for place, record in zip(frames, header[1]):
            offset = 0
            need(1 <= len(record[5]) <= 65_536, "a wrong number of chunks")
            for chunk, length in record[5]:
                found.append((chunk, place._replace(offset=offset, length=length)))
                offset += length
            need(offset == place.raw, "chunks of other lengths than their frame")
        return found

    def load(self):
        self.places, segments, known, self.packs_left = {}, {}, set(), False
        for name in () if self.from_packs else self.names(4):
            try:
                own, fence, found = self.guard(name, self.open_segment, name, self.read(name))
                segments[own] = fence, found
            except Bad as error:
                warn(error)
        skipped = {other.hex() for fence, _ in segments.values() for other in fence[4]}
        for own, (fence, found) in segments.items():
            known |= {pack[0].hex() for pack in fence[1]}
            for chunk, place in found if own not in skipped else ():
                self.places.setdefault(chunk, []).append(place)
        self.other_packs = [name for name in self.names(3) if name[-64:] not in known]
        if self.from_packs:
            self.load_packs()

    def load_packs(self):
        """Packs that no segment names: the last place to look."""
        while self.other_packs:
            name = self.other_packs.pop()
            try:
                for chunk, place in self.guard(name, self.open_pack, name):
                    self.places.setdefault(chunk, []).append(place)
            except Bad as error:
                warn(error)

    # Content.

    @functools.lru_cache(maxsize=16)
    def frame(self, place):
        name = f"packs/{place.pack.hex()[:2]}/{place.pack.hex()}"
        return self.guard(name, self.open_frame, name, place)

    def open_frame(self, name, place):
        data = self.read(name, place.at, place.sealed)
        session, suite, epoch = place.origin[:3]
        meaning = bytes([place.kind, place.codec]) + place.raw.to_bytes(4, "little")
        meaning = self.id + bytes([suite]) + epoch.to_bytes(4, "little") + session + meaning
        key = derive("frame", self.session_key(place.origin), data[:24])
        return plain(place.codec, unseal(suite, key, 0, data[24:], meaning), place.raw)

    def chunk(self, chunk, kind):
        if self.places is None:
            self.load()
        why = ["it is in no index segment and no pack"]
        for last in (False, True):
            for place in self.places.get(chunk, ()):
                try:
                    frame = self.frame(place._replace(origin=tuple(place.origin), offset=0, length=0))
                    raw = frame[place.offset : place.offset + place.length]
                    keyed = blake3(raw, key=self.id_keys[kind]).digest()
                    need(place.kind == kind and keyed == chunk, f"packs/{place.pack.hex()}: other content")
                    return raw
                except Bad as error:
                    why.append(str(error))
            if not last:
                self.load_packs()
        raise Bad(f"chunk {chunk.hex()}: {'; '.join(why[1:] or why)}")

    def pieces(self, level, pieces):
        """The data chunks of a chunk list."""
        for chunk, length in pieces:
            if level == 0:
                data = self.chunk(chunk, 0)
                need(len(data) == length, f"chunk {chunk.hex()}: another length than its list says")
                yield data
                continue
            _, below, page = self.guard(f"chunk {chunk.hex()}", decode, self.chunk(chunk, 1), PAGE, MIB)
            need(below == level - 1 and 1 <= len(page) <= 4096, f"chunk {chunk.hex()}: another level")
            need(sum(part[1] for part in page) == length, f"chunk {chunk.hex()}: another sum")
            yield from self.pieces(below, page)

    def node(self, chunk, level, promised, first=None):
        name, kind = f"chunk {chunk.hex()}", BRANCH if level else LEAF
        _, own, elements = self.guard(name, decode, self.chunk(chunk, 1), kind, 8 * MIB)
        need(own == level and 1 <= len(elements) <= 4096, f"{name}: another level or length")
        need(first in (None, elements[0][0]), f"{name}: another first name")
        ascending([element[0] for element in elements], f"{name}: names out of order")
        sums = [sum(element[n] for element in elements) for n in (2, 3)] if level else promised
        need(sums == promised, f"{name}: other sums than promised")
        for element in elements:
            if level:
                yield from self.node(element[1], level - 1, element[2:], element[0])
            else:
                self.guard(f"{name}: {element[0]!r}", check_entry, element)
                yield element

    def walk(self, reference, above=b""):
        """All entries below a tree reference with their paths, parents before children."""
        count, size, last = 0, 0, b""
        for entry in self.node(reference[0], reference[1], reference[2:]):
            need(entry[0] > last, f"chunk {reference[0].hex()}: names out of order")
            path, last = above + b"/" + entry[0], entry[0]
            yield path, entry
            below = (yield from self.walk(entry[15], path)) if 15 in entry else (0, 0)
            count, size = count + 1 + below[0], size + entry.get(12, 0) + below[1]
        need([count, size] == reference[2:], f"chunk {reference[0].hex()}: other sums than promised")
        return count, size

    def snapshots(self):
        """Session to snapshot; tombstones are read first."""
        tombs = [(name, self.record(name)) for name in self.names(7)]
        for name, tomb in tombs:
            ascending(tomb[0], f"{name}: out of order")
            need(bytes.fromhex(name[6:]) in tomb[0], f"{name}: of another session")
        forgotten = {session.hex() for _, tomb in tombs for session in tomb[0]}
        found = {name[10:]: self.record(name) for name in self.names(6) if name[10:] not in forgotten}
        found = {session: decision[1] for session, decision in found.items() if decision[0] == 0}
        for name in sorted(self.names(9), key=lambda name: int(name.split("/")[2])):
            if (session := name.split("/")[1]) in found:
                note = self.record(name)
                need(note[0].hex() == session, f"{name}: about another session")
                changed = {6: note.get(2), 14: note.get(4), "pinned": note.get(3)}
                found[session] |= {key: value for key, value in changed.items() if value is not None}
        return dict(sorted(found.items(), key=lambda pair: pair[1][2]))


def check_entry(entry):
    must, may = ENTRY_KINDS[entry[1]]
    special = entry.keys() & {9, 10, 11, 12, 13, 14, 15, 17, 18}
    need(must <= special <= must | may, "fields that this kind must or must not have")
    for ranges in (entry.get(13, []), entry.get(18, [])):
        ends = [0] + [offset + length for offset, length in ranges]
        need(all(a < r[0] or not n for n, (a, r) in enumerate(zip(ends, ranges))), "ranges too close")
        need(ends[-1] <= entry.get(12, 0), "a range beyond the end")
    level, pieces = entry.get(14, (0, []))
    need(len(pieces) <= 16 and (pieces or 14 not in entry), "a wrong number of pieces")
    need(level or all(piece[1] <= 16 * MIB for piece in pieces), "a chunk that is too long")
    total = sum(part[1] for part in pieces + entry.get(13, []))
    need(total == entry.get(12, 0), "content and holes do not add up to the size")
    names = [name for name, _ in entry.get(8, [])]
    ascending(names, "attributes out of order")
    need(names or 8 not in entry, "no attributes")


# --- Commands ----------------------------------------------------------------------------------


def shown(data):
    return data.decode("utf-8", "backslashreplace")


def nanoseconds(time):
    return time[0] * 10**9 + time[1]


def show_entry(path, entry):
    line = {"path": shown(path), "type": KIND_NAMES[entry[1]], "mode": entry[2]}
    line |= {"uid": entry[3], "gid": entry[4], "size": entry.get(12), "device": entry.get(10)}
    line |= {"user": entry.get(5), "group": entry.get(6), "target": entry.get(11)}
    line |= {"mtime": nanoseconds(entry[7]) if 7 in entry else None, "link": entry.get(9)}
    line |= {"holes": entry.get(13), "lost": entry.get(18), "flags": entry.get(16)}
    line |= {"xattrs": {shown(name): value.hex() for name, value in entry.get(8, [])} or None}
    line = {key: shown(v) if type(v) is bytes else v for key, v in line.items() if v is not None}
    print(json.dumps(line))


def restore(repository, root, target):
    os.makedirs(target, exist_ok=True)
    links, directories = {}, []
    for path, entry in repository.walk(root):
        place, kind, mode = os.fsencode(target) + path, entry[1], entry[2]
        group = tuple(entry.get(9, ()))
        if group in links:
            os.link(links[group], place, follow_symlinks=False)
            continue
        if group:
            links[group] = place
        if kind == 0:
            restore_file(repository, entry, place)
        elif kind == 1:
            os.mkdir(place, 0o700)
            directories.append((place, entry))
            continue
        elif kind == 2:
            os.symlink(entry[11], place)
        else:
            types = {3: stat.S_IFIFO, 4: stat.S_IFCHR, 5: stat.S_IFBLK, 6: stat.S_IFSOCK}
            os.mknod(place, types[kind] | 0o600, os.makedev(*entry.get(10, (0, 0))))
        restore_metadata(place, entry)
    for place, entry in reversed(directories):
        restore_metadata(place, entry)


def restore_file(repository, entry, place):
    """Fills what lies between the holes, in order."""
    ranges, at = [], 0
    for offset, length in entry.get(13, []) + [[entry[12], 0]]:
        ranges, at = ranges + [(at, offset)] * (at < offset), offset + length
    with open(place, "xb") as file:
        for data in repository.pieces(*entry.get(14, (0, []))):
            while data:
                start, end = ranges.pop(0)
                file.seek(start)
                start += file.write(data[: end - start])
                data = data[start - file.tell() + len(data) :] if False else data[end - start :]
        file.truncate(entry[12])


def restore_metadata(place, entry):
    if os.geteuid() == 0:
        os.chown(place, entry[3], entry[4], follow_symlinks=False)
    if entry[1] != 2:
        os.chmod(place, entry[2])
    for name, value in entry.get(8, []):
        try:
            os.setxattr(place, name, value, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
    if 7 in entry:
        time = nanoseconds(entry[7])
        os.utime(place, ns=(time, time), follow_symlinks=False)
