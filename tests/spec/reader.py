"""Lists and restores Parados repositories; written from docs/format.md alone, shares no code."""
import argparse, errno, functools, json, os, re, stat, sys
from collections import defaultdict, namedtuple
from contextlib import contextmanager
import argon2.low_level
import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

MIB = 1 << 20

class Bad(Exception):
    """What is wrong, the name of the object in front."""

def need(holds, why="contradicts itself or the format"):
    if not holds:
        raise Bad(why)

def rising(values):
    need(all(a < b for a, b in zip(values, values[1:])), "out of order")

@contextmanager
def about(name):
    try:
        yield
    except (Bad, OSError, InvalidTag, ValueError, zstandard.ZstdError) as error:
        why = "forged or altered" if isinstance(error, InvalidTag) else str(error)
        raise Bad(why if name in why else f"{name}: {why}") from None

def attempt(name, work):
    """What the object says; one that is bad says nothing."""
    try:
        with about(name):
            return list(work(name))
    except Bad as error:
        print("warning:", error, file=sys.stderr)
        return []

def numbers(data, width):
    return [number(data[at:at + width]) for at in range(0, len(data), width)]

number = functools.partial(int.from_bytes, byteorder="little")

# --- CBOR, and the types of records: [T] is an array, (T, U) an array record, {key: T, ~key: T} a
# --- map record where ~key is optional, a number that value, bytes, str, bool, int what they say.

def decode(data, kind, limit):
    need(len(data) <= limit, "a record that is too long")
    value, end = item(data, 0, 0)
    need(end == len(data), "bytes follow the record")
    return typed(value, kind)

def item(data, at, depth):
    need(at < len(data) and depth < 16, "CBOR ends too early or is too deep")
    major, value, at = data[at] >> 5, data[at] & 31, at + 1
    if major == 7:
        need(value in (20, 21), "CBOR that is no bool")
        return value == 21, at
    if value >= 24:
        width = 1 << value - 24
        need(value <= 27 and at + width <= len(data), "CBOR of indefinite length, or cut")
        value, at = int.from_bytes(data[at:at + width], "big"), at + width
        need(value >= (24 if width == 1 else 1 << 4 * width), "a CBOR number in a long form")
    if major < 2:
        return (-1 - value if major else value), at
    need(major < 6 and value <= len(data) - at, "a CBOR tag, or CBOR that ends too early")
    if major < 4:
        part = data[at:at + value]
        return (part.decode("utf-8") if major == 3 else part), at + value
    parts = []
    for _ in range(value * (major - 3)):
        part, at = item(data, at, depth + 1)
        parts.append(part)
    if major == 4:
        return parts, at
    need(all(type(key) is int for key in parts[::2]), "a CBOR key that is no number")
    rising(parts[::2])
    return dict(zip(parts[::2], parts[1::2])), at

def typed(value, kind):
    if isinstance(kind, list):
        need(type(value) is list, "no array")
        [typed(part, kind[0]) for part in value]
    elif isinstance(kind, tuple):
        need(type(value) is list and len(value) == len(kind), "an array of another length")
        [typed(part, part_kind) for part, part_kind in zip(value, kind)]
    elif isinstance(kind, dict):
        known = {max(key, ~key): part_kind for key, part_kind in kind.items()}
        required = {key for key in kind if key >= 0}
        need(type(value) is dict and required <= value.keys() <= known.keys(), "other fields")
        [typed(part, known[key]) for key, part in value.items()]
    elif isinstance(kind, type):
        need(type(value) is kind and (kind is not int or 0 <= value < 2**64), "another type")
    else:
        need(kind(value) if callable(kind) else value == kind, f"unknown value {value!r:.60}")
    return value

ID = lambda v: type(v) is bytes and len(v) == 32
NAME = lambda v: type(v) is bytes and re.fullmatch(rb"(?!\.\.?\Z)[^/\0]{1,255}", v)
SECONDS = lambda v: type(v) is int and -2**63 <= v < 2**63
TIME, ORIGIN, FRAME = (SECONDS, int), (ID, int, int, 1, b"", ID), (int, int, int, int, int)
HEADER = {0: [ORIGIN], 1: [FRAME + ([(ID, int)],)]}
FENCE = {0: [ORIGIN], 1: [(ID, int, [FRAME])], 2: [(ID, int, int)], 3: bytes, 4: [ID]}
BLOCK, REFERENCE, LIST = [(ID, int, int, int, int)], (ID, int, int, int), (int, [(ID, int)])
ENTRY = {0: NAME, 1: int, 2: int, 3: int, 4: int, ~5: bytes, ~6: bytes, ~7: TIME,
         ~8: [(bytes, bytes)], ~9: (int, int), ~10: (int, int), ~11: bytes, ~12: int,
         ~13: [(int, int)], ~14: LIST, ~15: REFERENCE, ~16: int, ~17: int, ~18: [(int, int)]}
PAGE, LEAF, BRANCH = (2, *LIST), (1, 0, [ENTRY]), (1, int, [(NAME, ID, int, int)])
COMPONENT = {0: str, 1: str, ~2: str, ~3: REFERENCE, 4: (int,) * 7, 5: int, 6: [bytes]}
SNAPSHOT = {0: [COMPONENT], ~1: bytes, 2: TIME, 3: TIME, 4: str, 5: str, 6: [str], 7: str, 8: ID,
            9: int, ~10: ID, 11: [ID], 12: [(ID, ID, int)], ~14: str}
CONFIG = {0: 1, 1: ID, 2: int, 3: int, 4: (int,) * 3, 5: int, 6: 0, 7: TIME, ~8: ID, 9: (bool,) * 2}
RECORDS = {1: CONFIG, 6: lambda v: typed(v, (1, TIME, str) if v[:1] == [1] else (0, SNAPSHOT)),
           7: {0: [ID], 1: TIME, 2: [(ID, ID, int)], 3: str},
           9: {0: ID, 1: TIME, ~2: [str], ~3: bool, ~4: str}}
OBJECTS = {1: "config/N", 2: "keys/ID", 3: "packs/[0-9a-f]{2}/ID", 4: "index/ID-N-ID",
           6: "snapshots/ID", 7: "tombs/ID", 9: "notes/ID/N"}
KINDS = ["file", "directory", "symlink", "fifo", "character", "block", "socket"]

# --- Secrets and keys

def derive(context, *parts, length=32):
    context = "parados 2026-11-23 v1 " + context
    return blake3(b"".join(parts), derive_key_context=context).digest(length)

def unseal(suite, key, sealed, associated, message=0):
    cipher = {1: ChaCha20Poly1305, 2: AESGCM}[suite](key)
    return cipher.decrypt(message.to_bytes(8, "little") + bytes(4), sealed, associated)

def key_from_code(prefix, code):
    code = re.sub(r"[\s-]", "", code).lower()
    need(re.fullmatch(prefix + "1[02-9ac-hj-np-z]{58}", code), f"no {prefix} code")
    data = ["qpzry9x8gf2tvdw0s3jn54khce6mua7l".index(letter) for letter in code[4:]]
    check = 1
    for value in [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + data:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= term if top >> bit & 1 else 0
    value = functools.reduce(lambda total, five: total << 5 | five, data[:52])
    need(check == 0x2BC830A3 and value & 15 == 0, "the code has a wrong letter")
    return (value >> 4).to_bytes(32, "big")

def open_slot(name, slot, kind, secret):
    """The repository id and the root keys by epoch, or None: the slot of another secret."""
    need(len(slot) == 1024 and slot[:6] == b"PRDK\1\0" and slot[40:72].hex() == name[5:])
    need(not any(slot[7:8] + slot[84:88] + slot[152:192]), "reserved bytes are not zero")
    memory, passes, lanes = cost = numbers(slot[72:84], 4)
    if slot[6] == 1:
        need(2**16 <= memory <= 2**22 and passes >= 1 and memory * passes <= 2**24)
        need(passes <= 64 and 1 <= lanes <= 16, "a cost beyond the limits")
    else:
        need(slot[6] in (2, 3) and not any(cost), "an unknown kind, or a cost without passphrase")
    if kind != slot[6]:
        return None
    made = derive("slot secret", bytes([kind]), secret, slot[88:120], length=64) if kind > 1 else \
        argon2.low_level.hash_secret_raw(secret, slot[88:120], *(passes, memory, lanes), 64,
                                         argon2.Type.ID, 0x13)
    if made[32:] != slot[120:152]:
        return None
    bundle = unseal(1, made[:32], slot[192:720], slot[:192])
    end = 2 + number(bundle[:2])
    body, count = bundle[2:end], number(bundle[34:38])
    need(1 <= count <= 12 and len(body) == 36 + 36 * count and not any(bundle[end:]))
    need(body[:32] == slot[8:40], "a slot of another repository")
    pairs = [body[at:at + 36] for at in range(36, len(body), 36)]
    rising([number(pair[:4]) for pair in pairs])
    return slot[8:40], {number(pair[:4]): pair[4:] for pair in pairs}

# --- Objects

Place = namedtuple("Place", "pack at sealed raw codec kind origin offset length")

def inflate(codec, stored, raw, limit):
    need(codec in (0, 1) and raw <= limit, "an unknown codec, or beyond the limits")
    if codec:
        claimed = zstandard.get_frame_parameters(stored).content_size
        need(claimed in (raw, zstandard.CONTENTSIZE_UNKNOWN), "zstd of another length")
        stored = zstandard.ZstdDecompressor().decompress(stored, raw, allow_extra_data=False)
    need(len(stored) == raw, "another length than promised")
    return stored

def inner(data, limit=64 * MIB):
    stored, raw = numbers(data[:8], 4)
    need(12 + stored <= len(data) and not any(data[9:12] + data[12 + stored:]))
    return inflate(data[8], data[12:12 + stored], raw, limit)

def frames_of(pack, records, origins):
    frames, at = [], 128
    for sealed, raw, codec, kind, origin, *_ in records:
        need(origin < len(origins) and 40 <= sealed <= raw + 40 and kind <= 1)
        frames.append(Place(pack, at, sealed, raw, codec, kind, tuple(origins[origin]), 0, 0))
        at += sealed
    return frames, at

class Repository:
    def __init__(self, path, kind, secret, from_packs):
        self.path, self.from_packs, self.places = path, from_packs, None
        slots = (attempt(name, lambda name: open_slot(name, self.read(name), kind, secret) or [])
                 for name in self.names(2))
        self.id, self.roots = next(filter(None, slots), (None, {}))
        need(0 in self.roots, "keys: no key slot opens with this secret")
        self.id_keys = [derive(word + " id", self.roots[0], self.id) for word in ("chunk", "tree")]
        highest = max((int(name[7:]) for name in self.names(1)), default=1)
        for n in range(1, highest + 1):
            config = self.record(1, f"config/{n}")
            before = blake3(self.read(f"config/{n - 1}")).digest() if n > 1 else None
            need(config[1] == self.id and config.get(8) == before, f"config/{n}: a broken chain")

    def names(self, kind):
        pattern = OBJECTS[kind].replace("ID", "[0-9a-f]{64}").replace("N", "(0|[1-9][0-9]*)")
        walk = os.walk(os.path.join(self.path, pattern.split("/")[0]))
        found = [os.path.relpath(os.path.join(above, name), self.path)
                 for above, _, names in walk for name in names]
        return sorted(name for name in found if re.fullmatch(pattern, name))

    def read(self, name, at=0, length=None):
        with about(name), open(os.path.join(self.path, name), "rb") as file:
            file.seek(at)
            data = file.read(-1 if length is None else length)
            need(length in (None, len(data)), "ends too early")
            return data

    def kind_key(self, epoch, kind):
        need(number(epoch) in self.roots, "no root key for its epoch")
        return derive("object", self.roots[number(epoch)], self.id, epoch, bytes([kind]))

    def object_key(self, kind, header):
        need(header[:6] == b"PRDO\1\0" and header[6] == kind, "no object of this kind and version")
        need(header[7] in (1, 2) and not any(header[12:16]), "unknown suite or reserved bytes")
        return header[7], derive("object key", self.kind_key(header[8:12], kind), header[16:48])

    def record(self, kind, name):
        with about(name):
            data = self.read(name)
            suite, key = self.object_key(kind, data[:48])
            body = unseal(suite, key, data[48:], self.id + data[:48] + name.encode())
            return decode(inner(body), RECORDS[kind], 64 * MIB)

    def session_key(self, origin):
        session, suite, epoch, _, _, commitment = origin
        kind_key = self.kind_key(epoch.to_bytes(4, "little"), 3)
        key = derive("session", kind_key, session, bytes([suite]))
        need(suite in (1, 2) and derive("session commitment", key) == commitment, "another key")
        return key

    def open_segment(self, name):
        session, seq, own = name[6:].split("-")
        data = self.read(name)
        need(blake3(data).hexdigest() == own, "its bytes are not those of its name")
        suite, key = self.object_key(4, data[:48])
        associated = self.id + data[:48] + f"index/{session}-{seq}".encode()
        total, at, length = numbers(unseal(suite, key, data[-40:], associated, 2**64 - 1), 8)
        need(total == len(data) == at + length + 40 and at >= 48, "a trailer of other lengths")
        fence = inner(unseal(suite, key, data[at:at + length], associated, 2**64 - 2))
        fence = decode(fence, FENCE, 64 * MIB)
        packs = [frames_of(pack.hex(), frames, fence[0])[0] for pack, _, frames in fence[1]]
        offset, entries = 48, []
        for n, (first, sealed, count) in enumerate(fence[2]):
            block = inner(unseal(suite, key, data[offset:offset + sealed], associated, n), MIB)
            block = decode(block, BLOCK, MIB)
            need(len(block) == count <= 4096 and block[0][0] == first, "another block")
            entries, offset = entries + block, offset + sealed
        need(offset == at, "blocks end elsewhere")
        rising(entries)
        rising([block[0] for block in fence[2]])
        bits, ones = -(-len(entries) * 10 // 64) * 64, set()
        for a, b in [numbers(entry[0][:16], 8) for entry in entries]:
            ones |= {(a + i * (b | 1)) % 2**64 % bits for i in range(7)}
        filled = sum(1 << bit for bit in ones).to_bytes(bits // 8, "little")
        need(filled == fence[3], "a filter of other chunks")
        for chunk, pack, frame, start, length in entries:
            need(pack < len(packs) and frame < len(packs[pack]), "a frame that is not there")
            yield chunk, packs[pack][frame]._replace(offset=start, length=length)
        self.skipped |= {segment.hex() for segment in fence[4]}

    def open_pack(self, name):
        prefix, size = self.read(name, 0, 128), os.path.getsize(os.path.join(self.path, name))
        need(prefix[:6] == b"PRDP\1\0" and prefix[7] == 1, "no pack of this version")
        need(not any(prefix[12:24] + prefix[88:]), "flags or reserved bytes")
        origin = prefix[24:56], prefix[6], number(prefix[8:12]), 1, b"", prefix[56:88]
        session_key = self.session_key(origin)
        def part(at, length, context):
            sealed = self.read(name, at, length)
            key = derive(context, session_key, sealed[:24])
            return unseal(prefix[6], key, sealed[24:], prefix)
        total, end, length = numbers(part(size - 64, 64, "pack trailer"), 8)
        need(total == size and end + length + 64 <= size and length <= 64 * MIB + 40, "lengths")
        header = decode(part(size - 64 - length, length, "pack header"), HEADER, 64 * MIB)
        frames, frames_end = frames_of(name[-64:], header[1], header[0])
        need(frames and frames_end == end, "frames end elsewhere")
        for frame, (*_, chunks) in zip(frames, header[1]):
            offset = 0
            for chunk, length in chunks:
                yield chunk, frame._replace(offset=offset, length=length)
                offset += length
            need(offset == frame.raw, "chunks of other lengths than their frame")

    def load_segments(self):
        self.places, self.skipped, self.known = defaultdict(list), set(), set()
        names = [] if self.from_packs else self.names(4)
        for name, said in [(name, attempt(name, self.open_segment)) for name in names]:
            self.known |= {place.pack for _, place in said}
            for chunk, place in said if name[-64:] not in self.skipped else ():
                self.places[chunk].append(place)

    def load_packs(self):
        for name in [name for name in self.names(3) if name[-64:] not in self.known]:
            self.known.add(name[-64:])
            for chunk, place in attempt(name, self.open_pack):
                self.places[chunk].append(place)

    # --- Content

    @functools.lru_cache(maxsize=16)
    def frame(self, name, place):
        sealed, (session, suite, epoch) = self.read(name, place.at, place.sealed), place.origin[:3]
        meaning = self.id + bytes([suite]) + epoch.to_bytes(4, "little") + session
        meaning += bytes([place.kind, place.codec]) + place.raw.to_bytes(4, "little")
        key = derive("frame", self.session_key(place.origin), sealed[:24])
        return inflate(place.codec, unseal(suite, key, sealed[24:], meaning), place.raw, 16 * MIB)

    def chunk(self, chunk, kind):
        """The raw chunk from the first place that is good; packs no segment names come last."""
        if self.places is None:
            self.load_segments()
        tried = []
        for look in (lambda: None, self.load_packs):
            look()
            for place in self.places[chunk][len(tried):]:
                name = f"packs/{place.pack[:2]}/{place.pack}"
                try:
                    with about(name):
                        raw = self.frame(name, place._replace(offset=0, length=0))
                        raw = raw[place.offset:place.offset + place.length]
                        keyed = blake3(raw, key=self.id_keys[kind]).digest()
                        need(place.kind == kind and keyed == chunk, "content of another id")
                    return raw
                except Bad as error:
                    tried.append(str(error))
        raise Bad(f"chunk {chunk.hex()}: {'; '.join(tried) or 'in no segment and no pack'}")

    def pieces(self, level, pieces):
        for chunk, length in pieces:
            raw, page = self.chunk(chunk, int(level > 0)), []
            with about(f"chunk {chunk.hex()}"):
                if level:
                    _, below, page = decode(raw, PAGE, MIB)
                    need(below == level - 1 <= 3, "a page of another level")
                need((sum(part[1] for part in page) if level else len(raw)) == length, "length")
            yield from self.pieces(below, page) if level else [raw]

    def node(self, chunk, level, first=None):
        raw = self.chunk(chunk, 1)
        with about(f"chunk {chunk.hex()}"):
            _, own, elements = decode(raw, BRANCH if level else LEAF, 8 * MIB)
            need(own == level <= 4 and elements, "a node of another level, or empty")
            names = [element[0] for element in elements]
            need(first in (None, names[0]), "a node of another first name")
            rising(names)
        for element in elements:
            yield from self.node(element[1], level - 1, element[0]) if level else [element]

    def walk(self, reference, above=b""):
        """All entries with their paths, directories before what they hold."""
        count, size, last = 0, 0, b""
        for entry in self.node(*reference[:2]):
            path = above + b"/" + entry[0]
            with about(os.fsdecode(path)):
                need(entry[0] > last and entry[1] < len(KINDS), "order or kind")
                content = sum(part[1] for part in entry.get(13, []) + entry.get(14, [0, []])[1])
                need(content == entry.get(12, 0), "content and holes are not the size")
            yield path, entry
            below = (yield from self.walk(entry[15], path)) if 15 in entry else (0, 0)
            count, size, last = count + 1 + below[0], size + content + below[1], entry[0]
        need([count, size] == reference[2:], f"chunk {reference[0].hex()}: other sums")
        return count, size

    def snapshots(self):
        """Session to snapshot, oldest first; records that are bad have no effect."""
        def forgotten(name):
            tomb = self.record(7, name)
            rising(tomb[0])
            need(bytes.fromhex(name[6:]) in tomb[0], "of another session")
            return [session.hex() for session in tomb[0]]
        tombed = {session for name in self.names(7) for session in attempt(name, forgotten)}
        names = [name for name in self.names(6) if name[10:] not in tombed]
        said = [(name[10:], attempt(name, functools.partial(self.record, 6))) for name in names]
        found = {session: value[1] for session, value in said if value[:1] == [0]}
        for name in sorted(self.names(9), key=lambda name: int(name.split("/")[2])):
            if (session := name.split("/")[1]) in found:
                note = dict(attempt(name, lambda name: self.record(9, name).items()))
                changed = {6: note.get(2), "pinned": note.get(3), 14: note.get(4)}
                if note and note[0].hex() == session:
                    found[session] |= {key: v for key, v in changed.items() if v is not None}
        return dict(sorted(found.items(), key=lambda pair: pair[1][2]))

# --- Commands

def readable(value):
    return value.decode("utf-8", "backslashreplace") if type(value) is bytes else value

def show(record, names, **fields):
    fields |= {name: record.get(key) for name, key in names.items()}
    print(json.dumps({name: readable(v) for name, v in fields.items() if v is not None}))

def nanoseconds(time):
    return time[0] * 10**9 + time[1]

def show_snapshot(session, snapshot):
    names = dict(host=4, user=5, tags=6, program=7, description=14, pinned="pinned")
    show(snapshot, names, session=session, time=nanoseconds(snapshot[2]))

def show_entry(path, entry):
    names = dict(mode=2, uid=3, gid=4, user=5, group=6, link=9, device=10, target=11, size=12,
                 holes=13, flags=16, lost=18)
    mtime = nanoseconds(entry[7]) if 7 in entry else None
    xattrs = {readable(name): value.hex() for name, value in entry.get(8, [])} or None
    show(entry, names, path=path, type=KINDS[entry[1]], mtime=mtime, xattrs=xattrs)

def restore(repository, entries, target):
    links, directories = {}, []
    for path, entry in entries:
        place, kind, link = target + path, entry[1], tuple(entry.get(9, ()))
        if link in links:
            os.link(links[link], place, follow_symlinks=False)
            continue
        links |= {link: place} if link else {}
        if kind == 0:
            restore_file(repository, entry, place)
        elif kind == 1:
            os.mkdir(place, 0o700)
            directories.append((place, entry))
            continue
        elif kind == 2:
            os.symlink(entry[11], place)
        else:
            bits = {3: stat.S_IFIFO, 4: stat.S_IFCHR, 5: stat.S_IFBLK, 6: stat.S_IFSOCK}[kind]
            os.mknod(place, bits | 0o600, os.makedev(*entry.get(10, (0, 0))))
        restore_metadata(place, entry)
    [restore_metadata(*directory) for directory in reversed(directories)]

def restore_file(repository, entry, place):
    holes = entry.get(13, [])
    at = 0
    with open(place, "xb") as file:
        for raw in repository.pieces(*entry.get(14, (0, []))):
            while raw:
                while holes and holes[0][0] == at:
                    at, holes = at + holes[0][1], holes[1:]
                part = raw[:holes[0][0] - at] if holes else raw
                file.seek(at)
                at, raw = at + file.write(part), raw[len(part):]
        file.truncate(entry[12])

def restore_metadata(place, entry):
    if os.geteuid() == 0:
        os.chown(place, entry[3], entry[4], follow_symlinks=False)
    for name, value in entry.get(8, []):
        try:
            os.setxattr(place, name, value, follow_symlinks=False)
        except OSError as error:
            need(error.errno == errno.ENOTSUP, f"{os.fsdecode(place)}: {error.strerror}")
    if entry[1] != 2:
        os.chmod(place, entry[2])
    if 7 in entry:
        os.utime(place, ns=(nanoseconds(entry[7]),) * 2, follow_symlinks=False)

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository")
    secrets = parser.add_mutually_exclusive_group(required=True)
    secrets.add_argument("--key-file", metavar="FILE")
    secrets.add_argument("--passphrase", metavar="TEXT")
    secrets.add_argument("--recovery-code", metavar="TEXT")
    parser.add_argument("--from-packs", action="store_true", help="do without index segments")
    parser.add_argument("command", choices=["list", "ls", "restore"])
    parser.add_argument("snapshot", nargs="?", default="", help="start of its session id")
    parser.add_argument("target", nargs="?", help="a directory that does not exist")
    given = parser.parse_args()
    if given.passphrase is not None:
        secret = 1, os.fsencode(given.passphrase)
    elif given.key_file:
        secret = 2, key_from_code("pkf", open(given.key_file).read())
    else:
        secret = 3, key_from_code("prc", given.recovery_code)
    repository = Repository(given.repository, *secret, given.from_packs)
    snapshots = repository.snapshots()
    if given.command == "list":
        return [show_snapshot(*pair) for pair in snapshots.items()]
    found = [session for session in snapshots if session.startswith(given.snapshot)]
    need(len(found) == 1, f"snapshot {given.snapshot}: {len(found)} are called so")
    entries = (pair for component in snapshots[found[0]][0] if 3 in component
               for pair in repository.walk(component[3]))
    if given.command == "ls":
        return [show_entry(*pair) for pair in entries]
    os.mkdir(given.target, 0o700)
    restore(repository, entries, os.fsencode(given.target))

if __name__ == "__main__":
    try:
        main()
    except (Bad, OSError) as error:
        sys.exit(f"error: {error}")
