"""A log's directory: segments, batches, leaves, the checkpoint; and the records in it, for who has keys."""

import os
import re
import struct
from collections import namedtuple

from primitives import (
    Wrong,
    cbor,
    demand,
    leaf_hash,
    link_of,
    open_checkpoint,
    open_data_key,
    open_part,
    root,
    sha256,
    tag_of,
    unbase64,
    verifier_key,
)
from index import check_index, is_gone_by
from together import CONTINUED, PUBLIC, check_place

BLOCK = 4096
BATCH_MAX = 1088 << 20
KINDS = {1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15, 20, 21, 30, 31, 32, 33, 40, 41, 42, 44, 45, 46, 47, 48}
DATA_KEY = 5
VALUES, SKELETON = 1, 2

Leaf = namedtuple("Leaf", "raw kind slot position at segment tag link hashes lengths keys")
Entry = namedtuple("Entry", "leaf values skeleton")


def parse_leaf(raw):
    demand(len(raw) == 168, "a leaf has 168 bytes")
    version, kind, zero, slot, position, at, segment = struct.unpack("<BBHIQqQ", raw[:32])
    demand(version == 1, f"leaf {position} is of version {version}")
    demand(kind in KINDS and zero == 0, f"leaf {position} has an unknown kind or reserved bytes")
    lengths, keys = struct.unpack("<II", raw[144:152]), struct.unpack("<QQ", raw[152:168])
    hashes = (raw[80:112], raw[112:144])
    return Leaf(raw, kind, slot, position, at, segment, raw[32:48], raw[48:80], hashes, lengths, keys)


def hash_of(part):
    return sha256(part) if part else bytes(32)


def segment_header(block, where):
    demand(block[:7] == b"PRTRSEG" and sha256(block[:4064]) == block[4064:4096], f"{where}: no whole header")
    demand(block[7:8] == b"1", f"{where} is of format version {block[7:8].decode()}")
    number, position, batch, begun, length = struct.unpack("<QQQqQ", block[8:48])
    named = struct.unpack("<Q", block[112:120])[0]
    demand(named <= 200 and not block[120 + named : 4064].strip(b"\0"), f"{where}: bytes after the origin")
    origin = block[120 : 120 + named].decode()
    return number, position, batch, begun, length, block[48:80], block[80:112], origin


def batch_header(raw, where):
    demand(raw[:8] == b"PRTRBAT1", f"{where}: no batch")
    demand(sha256(raw[:112])[:16] == raw[112:128], f"{where}: the batch's header was changed")
    demand(not raw[80:112].strip(b"\0"), f"{where}: reserved bytes")
    number, position, leaves, length, written = struct.unpack("<QQQQq", raw[8:48])
    demand(leaves and length % BLOCK == 0, f"{where}: the batch is empty or not of whole blocks")
    demand(position + leaves < 1 << 64, f"{where}: the batch ends behind the last position there can be")
    demand(length <= BATCH_MAX, f"{where}: the batch is longer than any that is written")
    return number, position, leaves, length, written, raw[48:80]


class Log:
    """A log read from its first byte to its last; everything that needs no private key is checked."""

    def __init__(self, directory, name, public):
        self.origin, self.entries, self.hashes = name, [], []
        self.public, self.public_key, self.verifier_key = [], public, verifier_key(name, public)
        self.batch, self.previous = 0, bytes(32)
        with open(os.path.join(directory, "checkpoint"), encoding="utf-8") as file:
            self.note = file.read()
        self.size, self.root = open_checkpoint(self.note, name, public)
        self.indexes = 0
        names = sorted(n for n in os.listdir(directory) if re.fullmatch(r"\d{12}\.segment", n))
        for number, file in enumerate(names):
            demand(file == f"{number:012}.segment", f"{number:012}.segment is missing")
            with open(os.path.join(directory, file), "rb") as opened:
                self._segment(file, number, opened.read())
            index = os.path.join(directory, f"{number:012}.index")
            if self.finished and os.path.exists(index):
                with open(index, "rb") as opened:
                    data = opened.read()
                if len(data) >= 224 and is_gone_by(data, *self.finished):
                    self.indexes += check_index(data, *self.finished, public, f"{number:012}.index")
        demand(len(self.hashes) >= self.size, f"rolled back: {len(self.hashes)} of {self.size} signed leaves")
        demand(root(self.hashes[: self.size]) == self.root, "forked: the leaves are not those that were signed")
        self.whole_root = root(self.hashes)
        self.records_count = sum(entry.leaf.kind not in (DATA_KEY, *PUBLIC) for entry in self.entries)

    def _segment(self, file, number, data):
        found = segment_header(data[:BLOCK], file)
        begun = found[3]
        expected = (number, len(self.hashes), self.batch, begun, len(data), self.previous, root(self.hashes), self.origin)
        demand(found == expected, f"{file} does not continue the one before")
        at, batches, self.data_keys = BLOCK, [], {}
        while at < len(data) and data[at : at + BLOCK].strip(b"\0"):
            known = len(self.entries)
            length = self._batch(f"{file} byte {at}", number, data[at:])
            batches.append((at // BLOCK, [entry.leaf for entry in self.entries[known:]]))
            at += length
        # What an index is checked against, if there is one.
        self.finished = batches and (sha256(data[:BLOCK]), number, batches, self.batch, self.previous)
        demand(not data[at:].strip(b"\0"), f"{file} byte {at}: bytes after the last batch")

    def _batch(self, where, segment, data):
        number, position, count, length, _, previous = batch_header(data[:128], where)
        expected = (self.batch, len(self.hashes), self.previous)
        demand((number, position, previous) == expected, f"{where} does not continue the batch before")
        front = 128 + 168 * count
        demand(front + 32 <= length <= len(data), f"{where}: the batch is longer than the file")
        demand(sha256(data[:front]) == data[front : front + 32], f"{where}: the leaves do not match the digest")
        at = front + 32
        for slot in range(count):
            leaf = parse_leaf(data[128 + 168 * slot :][:168])
            place = (leaf.slot, leaf.position, leaf.segment)
            demand(place == (slot, len(self.hashes), segment), f"{where}: leaf {leaf.position} stands elsewhere")
            parts = []
            for part_length, part_hash in zip(leaf.lengths, leaf.hashes):
                parts.append(data[at : at + part_length])
                at += part_length
                demand(at <= length, f"{where}: a part does not fit")
                demand(hash_of(parts[-1]) == part_hash, f"{where}: a part of leaf {leaf.position} does not match")
            self._check_keys(leaf, parts, f"{where}: leaf {leaf.position}")
            if leaf.kind in PUBLIC:
                check_place(leaf, parts[1], leaf.position)
                self.public.append((leaf, parts[0]))
            ended = self.entries and self.entries[-1].leaf.kind == CONTINUED
            demand(not ended, f"{where}: leaf {leaf.position} stands behind the one that ended the log")
            self.entries.append(Entry(leaf, *parts))
            self.hashes.append(leaf_hash(leaf.raw))
        demand(not data[at:length].strip(b"\0"), f"{where}: the padding is not zero")
        self.batch, self.previous = self.batch + 1, data[front : front + 32]
        return length

    def _check_keys(self, leaf, parts, where):
        """Where a record's data keys stand; that a data key's leaf has nothing that only records have."""
        if leaf.kind == DATA_KEY:
            plain = not any(leaf.link) and leaf.keys == (0, 0) and leaf.lengths == (88, 0)
            part = struct.unpack("<I", parts[0][:4])[0] if plain else None
            demand(part in (VALUES, SKELETON), f"{where} is no data key")
            self.data_keys[leaf.position] = (part, leaf.tag)
        elif leaf.kind not in PUBLIC:
            for part, position in zip((VALUES, SKELETON), leaf.keys):
                demand(self.data_keys.get(position) == (part, leaf.tag), f"{where}: its data key is not at {position}")

    def records(self, tag_keys, private_keys):
        """Every record that these keys open: (position, kind, customer, skeleton, values). `tag_keys` is from customer
        (None: the vendor) to key, `private_keys` from (customer, part, period)."""
        data_keys, last, segment, tags = {}, {}, None, {}
        for leaf, values, skeleton in self.entries:
            if leaf.segment != segment:
                segment = leaf.segment
                tags = {tag_of(key, segment, self.origin): customer for customer, key in tag_keys.items()}
            if leaf.tag not in tags:
                continue
            customer = tags[leaf.tag]
            if leaf.kind == DATA_KEY:
                part, period = struct.unpack("<II", values[:8])
                private = private_keys.get((customer, part, period))
                if private is not None:
                    place = (self.origin, leaf.position, customer, part, period)
                    data_keys[leaf.position] = (part, open_data_key(private, *place, values[8:40], values[40:]))
                continue
            link = link_of(tag_keys[customer], last.get(customer), self.origin)
            demand(leaf.link == link, f"a record of {customer} before {leaf.position} is missing")
            last[customer] = leaf_hash(leaf.raw)
            opened = []
            for part, sealed, key in ((SKELETON, skeleton, leaf.keys[1]), (VALUES, values, leaf.keys[0])):
                of, data_key = data_keys.get(key, (part, None))
                demand(of == part, f"leaf {leaf.position}: the data key is of another part")
                content = None if data_key is None else open_part(data_key, self.origin, leaf.raw[:80], part, sealed)
                demand(content is None or isinstance(cbor(content), dict), f"leaf {leaf.position}: no record")
                opened.append(content)
            yield leaf.position, leaf.kind, customer, *opened


def check_tiles(directory, name, public):
    """A tile log, by C2SP tlog-tiles: the leaves that its checkpoint is signed for. Every tile of every level is compared."""
    with open(os.path.join(directory, "checkpoint"), encoding="utf-8") as file:
        size, signed = open_checkpoint(file.read(), name, public)
    used = {"checkpoint", "log.vkey"}

    def tile(level, number, width):
        digits, rest = f"{number % 1000:03}", number // 1000
        while rest:
            digits, rest = f"x{rest % 1000:03}/{digits}", rest // 1000
        path = f"tile/{level}/{digits}" + ("" if width == 256 else f".p/{width}")
        used.add(path)
        with open(os.path.join(directory, path), "rb") as file:
            return path, file.read()

    def tiles(level, count):
        for number in range(-(-count // 256)):
            yield tile(level, number, min(256, count - 256 * number))

    leaves = []
    for path, bundle in tiles("entries", size):
        while bundle:
            length = struct.unpack(">H", bundle[:2])[0]
            leaves.append(parse_leaf(bundle[2 : 2 + length]))
            demand(leaves[-1].position == len(leaves) - 1, f"{path}: a leaf stands elsewhere")
            bundle = bundle[2 + length :]
    hashes = [leaf_hash(leaf.raw) for leaf in leaves]
    demand(len(leaves) == size and root(hashes) == signed, "the leaves are not those that were signed")
    level = 0
    while hashes:
        found = b"".join(content for _, content in tiles(level, len(hashes)))
        demand(found == b"".join(hashes), f"level {level} holds other hashes")
        hashes = [root(hashes[at : at + 256]) for at in range(0, len(hashes) - 255, 256)]
        level += 1
    there = {
        os.path.relpath(os.path.join(folder, file), directory) for folder, _, files in os.walk(directory) for file in files
    }
    demand(there == used, f"files that belong to no tile: {sorted(there - used)}")
    return leaves


def read_keys(keys):
    """Tag keys and private keys of a JSON object, as the vectors write them."""
    tags = {key["customer"]: bytes.fromhex(key["tag_key"]) for key in keys["tag_keys"]}
    privates = {
        (key["customer"], key["part"], key["period"]): bytes.fromhex(key["private"]) for key in keys["private_keys"]
    }
    return tags, privates


__all__ = ["Log", "Wrong", "check_tiles", "parse_leaf", "read_keys", "unbase64"]
