"""Lists and restores Parados repositories; written from docs/format.md alone, shares no code."""
import argparse, errno, functools, io, itertools, json, os, pathlib, re, stat, struct, sys
from contextlib import contextmanager
import zstandard
from argon2.low_level import Type, hash_secret_raw
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

def need(holds, why="contradicts itself or the format"):
    if not holds:
        raise RuntimeError(why)

fail = functools.partial(need, False)
warn = functools.partial(print, "warning:", file=sys.stderr)

@contextmanager
def about(name, tell):
    try:
        yield
    except Exception as error:
        tell(f"{name}: {str(error) or 'forged or altered'}")

# --- Types: a range or set of numbers, a pattern of bytes or text, BOOL, an array [T] or, where it
# --- ascends strictly, [T, ...], an array record (T, U), a map record {"a": T, "b?": U} whose keys
# --- count from 0 and are optional where there is a "?", a function from the length to a type.
MIB, U32, U64, LEVEL, BOOL = 1 << 20, range(2**32), range(2**64), range(5), True
BYTES, TEXT, ZEROS, ID, NAME = b".*", ".*", b"\0*", b".{32}", rb"(?!\.\.?\Z)[^/\0]{1,255}"
TIME, LENGTH, COUNT = (range(-2**63, 2**63), range(10**9)), range(1, 2**32), range(1, 2**64)
COST = range(2**16, 2**22 + 1), range(1, 65), range(1, 17)
CONFIG = {"version": {1}, "repository": ID, "suite": {1, 2}, "epoch": U32, "chunker": (U32,) * 3,
          "pack length": range(2**14, 2**27 + 1), "features": {0}, "created": TIME,
          "predecessor?": ID, "probe": (BOOL, BOOL)}
ORIGIN, FRAME = (ID, {1, 2}, U32, {1}, b"", ID), (U32, range(16 * MIB + 1), range(4), {0, 1}, U32)
HEADER = {"origins": [ORIGIN], "frames": [(*FRAME, [(ID, LENGTH)])]}
FENCE = {"origins": [ORIGIN], "packs": [(ID, U64, [FRAME])],
         "blocks": [(ID, U32, range(1, 4097)), ...], "filter": BYTES, "supersedes": [ID]}
BLOCK, RANGES = [(ID, U32, U32, U32, LENGTH), ...], [(U64, COUNT), ...]
PIECE, TREE, CHILD = (ID, COUNT), (ID, LEVEL, COUNT, U64), (NAME, ID, COUNT, U64)
ENTRY = {"name": NAME, "kind": range(7), "mode": range(0o10000), "uid": U32, "gid": U32,
         "user?": BYTES, "group?": BYTES, "mtime?": TIME, "xattrs?": [(rb"[^\0]+", BYTES), ...],
         "link?": (U32, U64), "device?": (U32, U32), "target?": rb"[^\0]{1,4095}",
         "size?": range(2**63), "holes?": RANGES, "content?": (LEVEL, [PIECE]), "tree?": TREE,
         "flags?": range(1, 8), "profile?": {1, 2}, "lost?": RANGES}
COMPONENT = {"name": TEXT, "kind": TEXT, "tier?": TEXT, "root?": TREE, "statistics": (U64,) * 7,
             "state": range(3), "paths": [BYTES]}
SNAPSHOT = {"components": [COMPONENT], "recovery point?": b".{16}", "time": TIME, "finished": TIME,
            "host": TEXT, "user": TEXT, "tags": [TEXT, ...], "program": TEXT, "writer": ID,
            "sequence": COUNT, "parent?": ID, "segments": [ID], "seen": [(ID, ID, U64)],
            "signature?": set(), "description?": TEXT}
DECISION = lambda length: ({0}, SNAPSHOT) if length == 2 else ({1}, TIME, TEXT)
TOMBSTONE = {"sessions": [ID, ...], "time": TIME, "seen": [(ID, ID, U64)], "reason": TEXT}
NOTE = {"session": ID, "time": TIME, "tags?": [TEXT, ...], "pinned?": BOOL, "description?": TEXT}

def check(value, kind):
    holds = value in kind if type(value) is int else re.fullmatch(kind, value, re.DOTALL)
    need(holds, f"{value!r:.60} is unknown or beyond the limits")
    return value

def fixed(layout, data, *kinds):  # Conventions: a table with offsets
    return [check(*pair) for pair in zip(struct.unpack("<" + layout, data), kinds)]

def decode(data, kind, limit=64 * MIB):  # CBOR: one value, and nothing after it
    stream = io.BytesIO(data + b"\0")  # One byte more, which nothing may read.
    value = item(stream, kind)
    need(len(data) <= limit and stream.read() == b"\0", "a record that is cut, too long or goes on")
    return value

MAJOR_TYPES = [(range, set), range, bytes, str, (list, tuple), dict, (), bool]

def item(stream, kind):  # CBOR: the next value, in its one spelling; a time in nanoseconds
    major, n = divmod(stream.read(1)[0], 32)
    if n > 23:
        width, n = 1 << n - 24, int.from_bytes(stream.read(1 << n - 24), "big")
        need(width <= 8 and n >= max(24, 1 << 4 * width), "a number in a long form")
    kind = kind(n) if callable(kind) else kind
    need(isinstance(kind, MAJOR_TYPES[major]), "another type than promised")
    if major in (0, 1):
        return check(-1 - n if major else n, kind)
    if major in (2, 3):
        return check(stream.read(n) if major == 2 else stream.read(n).decode(), kind)
    if major == 7:
        return check(n, {20, 21}) == 21
    if isinstance(kind, list):
        values = [item(stream, kind[0]) for _ in range(n)]
        need(len(kind) == 1 or values == sorted(set(values)), "an array out of order")
        return values
    if isinstance(kind, tuple):
        need(n == len(kind), "an array of another length")
        values = tuple(item(stream, part) for part in kind)
        return values[0] * 10**9 + values[1] if kind is TIME else values
    words, record, key = list(kind), {}, -1
    for _ in range(n):
        key = item(stream, range(key + 1, len(words)))
        record[words[key].strip("?")] = item(stream, kind[words[key]])
    need(all(word in record or "?" in word for word in words), "a field is missing")
    return record

def derive(context, *parts, n=32):  # Keys
    return blake3(b"".join(parts), derive_key_context="parados 2026-11-23 v1 " + context).digest(n)

def unseal(suite, key, associated, sealed, number=0):  # Suites
    cipher = {1: ChaCha20Poly1305, 2: AESGCM}[suite](key)
    return cipher.decrypt(struct.pack("<QI", number, 0), sealed, associated)

def open_slot(kind, secret, name, slot):  # Slot: repository id, roots; None: of another secret
    _, own, _, repository, own_id, memory, passes, lanes, _, salt, commitment, _, bundle, _ = fixed(
        "6sBB32s32sIII4s32s32s40s528s304s", slot, b"PRDK\1\0", {1, 2, 3}, {0}, ID, ID,
        *(COST if slot[6] == 1 else [{0}] * 3), ZEROS, ID, ID, ZEROS, BYTES, BYTES)
    need(own_id.hex() == name[5:] and memory * passes <= 2**24)
    made = derive("slot secret", bytes([own]), secret, salt, n=64)
    if kind == own == 1:
        made = hash_secret_raw(secret, salt, passes, memory, lanes, 64, Type.ID, 0x13)
    if kind != own or made[32:] != commitment:
        return None
    bundle = unseal(1, made[:32], slot[:192], bundle)
    length, owner, count = struct.unpack("<H32sI", bundle[:38])
    roots = dict(struct.iter_unpack("<I32s", bundle[38:2 + length]))
    need(owner == repository and length == 36 + 36 * count and not any(bundle[2 + length:]))
    need(0 in roots and list(roots) == sorted(roots) and len(roots) == count <= 12)
    return repository, roots

def key_from_code(prefix, code):  # Code
    code = re.sub(r"[\s-]", "", code).lower()
    need(re.fullmatch(prefix + "1[02-9ac-hj-np-z]{58}", code), f"no {prefix} code")
    data = ["qpzry9x8gf2tvdw0s3jn54khce6mua7l".index(letter) for letter in code[4:]]
    checksum = 1
    for five in [3, 3, 3, 0] + [ord(letter) & 31 for letter in prefix] + data:
        top, checksum = checksum >> 25, (checksum & 0x1FFFFFF) << 5 ^ five
        for bit, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checksum ^= term * (top >> bit & 1)
    need(checksum == 0x2BC830A3 and data[51] & 15 == 0, "the code has a wrong letter")
    return int("".join(f"{five:05b}" for five in data[:52])[:256], 2).to_bytes(32, "big")

def join(width, stored, raw):  # Planes
    count = raw // width
    joined, at = bytearray(count * width), 5 * width
    for place in range(width):
        mode, length = struct.unpack_from("<BI", stored, 5 * place)
        body, at = stored[at:at + length], at + length
        fits = mode < 3 and len(body) == length == (count, length, 1)[mode]
        need(fits, "a plane of another length")
        plane = decompress(1, body, count) if mode == 1 else body * (count if mode else 1)
        joined[place::width] = plane
    return bytes(joined) + stored[at:]

def decompress(codec, stored, raw):  # Codecs
    if codec > 1:
        stored = join(2 * codec - 2, stored, raw)
    if codec == 1:
        need(zstandard.frame_content_size(stored) in (raw, -1), "zstd of another length")
        stored = zstandard.ZstdDecompressor().decompress(stored, raw, allow_extra_data=False)
    need(len(stored) == raw, "another length than promised")
    return stored

def inner(data, kind, limit=64 * MIB):  # Envelope: the record in an inner layout
    stored, raw, codec, _ = fixed("IIB3s", data[:12], U32, range(limit + 1), {0, 1}, ZEROS)
    need(12 + stored <= len(data) and not any(data[12 + stored:]), "bytes follow the body")
    return decode(decompress(codec, data[12:12 + stored], raw), kind)

def frames_of(pack, records, origins):  # Pack, Segment: what open_frame takes
    need(all(40 <= sealed <= raw + 40 for sealed, raw, *_ in records), "a frame of another length")
    starts = itertools.accumulate((sealed for sealed, *_ in records), initial=128)
    return [(f"packs/{pack[:2]}/{pack}", start, *record[:4], origins[record[4]])
            for start, record in zip(starts, records)]

class Repository:
    def __init__(self, path, kind, secret, from_packs):
        self.path, self.from_packs = path, from_packs
        slots = self.objects("keys/ID", open_slot, kind, secret)
        _, (self.id, self.roots) = next(slots, (None, (None, None)))
        need(self.roots, "keys: no key slot opens with this secret")
        self.id_keys = [derive(f"{word} id", self.roots[0], self.id) for word in ("chunk", "tree")]
        configs = self.objects("config/N", self.open_record, 1, CONFIG, 1 << 16, tell=fail)
        before = None
        for name, config in configs:
            own = config["repository"], config.get("predecessor")
            need(own == (self.id, before), f"{name}: not one that follows the one before")
            before = blake3((self.path / name).read_bytes()).digest()
        need(before, "config: there is none")

    def objects(self, pattern, opens, *rest, skip=(), tell=warn):  # Name: with what they say
        pattern = pattern.replace("ID", "[0-9a-f]{64}").replace("N", "(0|[1-9][0-9]*)")
        found = (self.path / pattern.split("/")[0]).rglob("*")
        names = {str(path.relative_to(self.path)) for path in found if path.is_file()}
        names = filter(re.compile(pattern).fullmatch, names.difference(skip))
        for name in sorted(names, key=lambda name: (len(name), name)):
            with about(name, tell):
                if said := opens(*rest, name, (self.path / name).read_bytes()):
                    yield name, said

    def kind_key(self, epoch, kind):  # Keys
        root = self.roots[check(epoch, self.roots)]
        return derive("object", root, self.id, struct.pack("<IB", epoch, kind))

    def open_message(self, kind, name, header, sealed, number=0):  # Envelope, Segment
        _, _, suite, epoch, _, salt = fixed(
            "6sBBI4s32s", header, b"PRDO\1\0", {kind}, {1, 2}, U32, ZEROS, ID)
        key = derive("object key", self.kind_key(epoch, kind), salt)
        return unseal(suite, key, self.id + header + name.encode(), sealed, number)

    def open_record(self, kind, fields, limit, name, data):  # Envelope
        record = inner(self.open_message(kind, name, data[:48], data[48:]), fields, limit)
        need(kind != 7 or bytes.fromhex(name[6:]) in record["sessions"], "of another session")
        return record

    def open_salted(self, origin, associated, context, sealed):  # Frame, Pack
        session, suite, epoch, _, _, commitment = origin
        key = derive("session", self.kind_key(epoch, 3), session, bytes([suite]))
        need(derive("session commitment", key) == commitment, "another session key")
        return unseal(suite, derive(context, key, sealed[:24]), associated, sealed[24:])

    def open_segment(self, name, data):  # Segment: what it supersedes, its entries with frames
        need(blake3(data).hexdigest() == name[-64:], "its bytes are not those of its name")
        message = functools.partial(self.open_message, 4, name[:-65], data[:48])
        total, end, length = struct.unpack("<3Q", message(data[-40:], 2**64 - 1))
        fence, at, last, entries = inner(message(data[end:-40], 2**64 - 2), FENCE), 48, b"", []
        for n, (first, sealed, count) in enumerate(fence["blocks"]):
            block = inner(message(data[at:at + sealed], n), BLOCK, MIB)
            need(len(block) == count and last < first == block[0][0], "another block")
            at, last, entries = at + sealed, block[-1][0], entries + block
        need(at == end and total == len(data) == end + length + 40, "parts of other lengths")
        filled = bytearray(-(-len(entries) * 10 // 64) * 8)
        for a, b in (struct.unpack("<QQ", chunk[:16]) for chunk, *_ in entries):
            for k in ((a + i * (b | 1)) % 2**64 % (8 * len(filled)) for i in range(7)):
                filled[k // 8] |= 1 << k % 8
        need(filled == fence["filter"], "a filter of other chunks")
        packs = [frames_of(id.hex(), frames, fence["origins"]) for id, _, frames in fence["packs"]]
        return fence["supersedes"], [(id, packs[pack][n], *part) for id, pack, n, *part in entries]

    def open_pack(self, name, data):  # Pack: the same from its header
        _, suite, wrap, epoch, _, session, commitment, _ = fixed(
            "6sBBI12s32s32s40s", data[:128], b"PRDP\1\0", {1, 2}, {1}, U32, ZEROS, ID, ID, ZEROS)
        origin, entries = (session, suite, epoch, wrap, b"", commitment), []
        part = functools.partial(self.open_salted, origin, data[:128])
        total, end, length = struct.unpack("<3Q", part("pack trailer", data[-64:]))
        need(total == len(data) >= end + length + 64, "a trailer of other lengths")
        origins, records = decode(part("pack header", data[-64 - length:-64]), HEADER).values()
        need(records and end == 128 + sum(sealed for sealed, *_ in records), "frames end elsewhere")
        for frame, (_, raw, *_, chunks) in zip(frames_of(name[-64:], records, origins), records):
            *starts, end = itertools.accumulate((length for _, length in chunks), initial=0)
            need(end == raw, "chunks of other lengths than their frame")
            entries += [(id, frame, at, length) for at, (id, length) in zip(starts, chunks)]
        return entries

    @functools.cached_property
    def places(self):  # by chunk; the last place to look are packs that no segment names
        said = {} if self.from_packs else dict(self.objects("index/ID-N-ID", self.open_segment))
        superseded = {id.hex() for ids, _ in said.values() for id in ids}
        found = [entries for name, (_, entries) in said.items() if name[-64:] not in superseded]
        named = {pack for entries in found for _, (pack, *_), *_ in entries}
        found += dict(self.objects(r"packs/(..)/(?=\1)ID", self.open_pack, skip=named)).values()
        places = {}
        for chunk, *place in itertools.chain(*found):
            places.setdefault(chunk, []).append(place)
        return places

    @functools.lru_cache(maxsize=16)
    def open_frame(self, pack, start, sealed, raw, codec, kind, origin):  # Frame
        session, suite, epoch, *_ = origin
        meaning = struct.pack("<BI32sBBI", suite, epoch, session, kind, codec, raw)
        with open(self.path / pack, "rb") as file:
            sealed = os.pread(file.fileno(), sealed, start)
        return decompress(codec, self.open_salted(origin, self.id + meaning, "frame", sealed), raw)

    def chunk(self, kind, id, *record):  # Chunk ids: its bytes, or a node's or page's elements
        for frame, offset, length in self.places.get(id, ()):
            with about(frame[0], warn):
                raw = self.open_frame(*frame)[offset:offset + length]
                own = blake3(raw, key=self.id_keys[kind]).digest()
                need(own == id and frame[5] == kind, "content of another id")
                return decode(raw, *record)[2] if record else raw
        fail(f"chunk {id.hex()}: in no segment or pack that is good")

    def content(self, level, pieces):  # List: raw chunks
        for id, length in pieces:
            page = {2}, {level - 1}, [PIECE]
            below = self.chunk(1, id, page, MIB) if level else self.chunk(0, id)
            own = sum(part[1] for part in below) if level else len(below)
            need(own == length, f"chunk {id.hex()}: another length")
            yield from self.content(level - 1, below) if level else [below]

    def entries(self, id, level, first=None):  # Tree
        elements = self.chunk(1, id, ({1}, {level}, [CHILD if level else ENTRY]), 8 * MIB)
        own = elements[0][0 if level else "name"]
        need(first in (None, own), f"chunk {id.hex()}: another first name")
        for element in elements:
            yield from self.entries(element[1], level - 1, element[0]) if level else [element]

    def walk(self, tree, above=b""):  # Entry: with paths, a directory before what it holds
        (id, level, *sums), found, path = tree, [], b""
        for entry in self.entries(id, level):
            last, path = path, above + b"/" + entry["name"]
            ranges = entry.get("holes", []) + entry.get("content", (0, []))[1]
            fits = entry.get("size", 0) == sum(length for _, length in ranges)
            need(path > last and fits, f"{os.fsdecode(path)}: out of order, or of another size")
            found.append((path, entry))
            found += self.walk(entry["tree"], path) if "tree" in entry else []
        own = [len(found), sum(entry.get("size", 0) for _, entry in found)]
        need(own == sums, f"chunk {id.hex()}: other sums")
        return found

    def snapshots(self):  # Snapshot, Tombstone, Note: by session, oldest first
        tombs = self.objects("tombs/ID", self.open_record, 7, TOMBSTONE, 64 * MIB)
        tombed = {f"snapshots/{session.hex()}" for _, tomb in tombs for session in tomb["sessions"]}
        said = self.objects("snapshots/ID", self.open_record, 6, DECISION, 16 * MIB, skip=tombed)
        found = {name[10:]: what for name, (is_abort, what, *_) in said if not is_abort}
        for name, note in self.objects("notes/ID/N", self.open_record, 9, NOTE, MIB):
            if note["session"].hex() == name[6:70] in found:
                found[name[6:70]] |= note | {"time": found[name[6:70]]["time"]}
        return dict(sorted(found.items(), key=lambda pair: pair[1]["time"]))

KINDS = ["file", "directory", "symlink", "fifo", "character", "block", "socket"]
NODES = {3: stat.S_IFIFO, 4: stat.S_IFCHR, 5: stat.S_IFBLK, 6: stat.S_IFSOCK}
SHOWN = """mtime xattrs mode uid gid time host user group link device target size holes flags lost
           tags program description pinned"""
SECRETS = [("--key-file", "FILE", lambda path: (2, key_from_code("pkf", open(path).read()))),
           ("--passphrase", "TEXT", lambda text: (1, os.fsencode(text))),
           ("--recovery-code", "TEXT", lambda text: (3, key_from_code("prc", text)))]
readable = functools.partial(str, encoding="utf-8", errors="backslashreplace")

def show(record, **fields):
    fields |= {word: record[word] for word in SHOWN.split() if word in record}
    if "xattrs" in fields:
        fields["xattrs"] = {readable(name): value.hex() for name, value in fields["xattrs"]}
    print(json.dumps(fields, default=readable))

def restore(repository, entries, target):  # names and content, then metadata from the inside out
    made = {}
    for path, entry in entries:
        place, kind, link = target + path, entry["kind"], entry.get("link", path)
        if link in made:
            os.link(made[link][0], place, follow_symlinks=False)
        elif kind == 0:
            restore_file(place, entry, repository.content(*entry.get("content", (0, []))))
        elif kind == 1:
            os.mkdir(place, 0o700)
        elif kind == 2:
            os.symlink(entry["target"], place)
        else:
            os.mknod(place, NODES[kind] | 0o600, os.makedev(*entry.get("device", (0, 0))))
        made.setdefault(link, (place, entry))
    for place, entry in reversed(made.values()):
        if os.geteuid() == 0:
            os.chown(place, entry["uid"], entry["gid"], follow_symlinks=False)
        for name, value in entry.get("xattrs", []):
            try:
                os.setxattr(place, name, value, follow_symlinks=False)
            except OSError as error:
                need(error.errno == errno.ENOTSUP, error)
        if entry["kind"] != 2:
            os.chmod(place, entry["mode"])
        if "mtime" in entry:
            os.utime(place, ns=(entry["mtime"],) * 2, follow_symlinks=False)

def restore_file(place, entry, content):
    raw = b""
    with open(place, "xb") as file:
        for start, length in entry.get("holes", []) + [(entry["size"], 0)]:
            while file.tell() < start:
                raw = raw or next(content)
                written = file.write(raw[:start - file.tell()])
                raw = raw[written:]
            need(file.tell() == start, "holes that overlap")
            file.seek(length, os.SEEK_CUR)
        file.truncate()

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=pathlib.Path)
    secrets = parser.add_mutually_exclusive_group(required=True)
    for option, metavar, read in SECRETS:
        secrets.add_argument(option, metavar=metavar, dest="secret", type=read)
    parser.add_argument("--from-packs", action="store_true", help="do without index segments")
    parser.add_argument("command", choices=["list", "ls", "restore"])
    parser.add_argument("snapshot", nargs="?", default="", help="start of its session id")
    parser.add_argument("target", nargs="?", help="a directory that does not exist")
    given = parser.parse_args()
    repository = Repository(given.repository, *given.secret, given.from_packs)
    snapshots = repository.snapshots()
    if given.command == "list":
        return [show(snapshot, session=session) for session, snapshot in snapshots.items()]
    found = [session for session in snapshots if session.startswith(given.snapshot)]
    need(len(found) == 1, f"snapshot {given.snapshot}: {len(found)} are called so")
    roots = [part["root"] for part in snapshots[found[0]]["components"] if "root" in part]
    entries = itertools.chain.from_iterable(map(repository.walk, roots))
    if given.command == "ls":
        return [show(entry, path=path, type=KINDS[entry["kind"]]) for path, entry in entries]
    os.mkdir(given.target, 0o700)
    restore(repository, entries, os.fsencode(given.target))

with about("error", sys.exit):
    main()
