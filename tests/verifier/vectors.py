"""The vectors of the format: everything in vectors.json, made again or opened."""

import json
import os
import struct
import tempfile

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import auditlog
import primitives
import proof as proofs
import together
from blocks import bits_of, open_block, open_texts, parse_blocks, word_of
from index import check_index
from keyring import open_keyring
from primitives import demand


def raw(text):
    return bytes.fromhex(text)


def raws(texts):
    return [raw(text) for text in texts]


def tree(vector):
    hashes = [primitives.leaf_hash(leaf) for leaf in raws(vector["leaves"])]
    roots = raws(vector["roots"])
    for size, expected in enumerate(roots):
        demand(primitives.root(hashes[:size]) == expected, f"the root of {size} leaves")
    for case in vector["inclusion"]:
        index, size = case["index"], case["size"]
        found = primitives.root_from_inclusion(index, size, hashes[index], raws(case["proof"]))
        demand(found == roots[size], f"inclusion of {index} in {size}")
    for case in vector["consistency"]:
        old, size = case["old"], case["size"]
        primitives.check_consistency(old, roots[old], size, roots[size], raws(case["proof"]))
    for case in vector["listed"]:
        listed = {position: hashes[position] for position in case["positions"]}
        found = primitives.root_with(case["size"], listed, raws(case["hashes"]))
        demand(found == roots[case["size"]], f"listed {case['positions']} of {case['size']}")


def tags(vector):
    key, origin = raw(vector["tag_key"]), vector["origin"]
    demand(primitives.fingerprint(key) == vector["fingerprint"], "the fingerprint")
    for case in vector["tags"]:
        demand(primitives.tag_of(key, case["segment"], origin) == raw(case["tag"]), f"the tag in {case['segment']}")
    for case in vector["links"]:
        previous = None if case["previous"] is None else raw(case["previous"])
        demand(primitives.link_of(key, previous, origin) == raw(case["link"]), "a link")


def padding(vector):
    for length, padded in vector:
        demand(primitives.padded(length) == padded, f"the padding of {length}")


def sealed_parts(vectors):
    for vector in vectors:
        key, origin, place, part = raw(vector["data_key"]), vector["origin"], raw(vector["place"]), vector["part"]
        content, salt = raw(vector["content"]), raw(vector["salt"])
        own = primitives.expand(key, b"portreeve/part/v1\n" + salt + place[8:16] + bytes([part]), 64)
        plain = (content + b"\x80").ljust(primitives.padded(len(content)), b"\0")
        sealed = salt + own[32:] + AESGCM(own[:32]).encrypt(bytes(12), plain, place + bytes([part]) + origin.encode())
        demand(sealed == raw(vector["sealed"]), "a sealed part")
        demand(primitives.open_part(key, origin, place, part, sealed) == content, "what a sealed part holds")


def leaf(vector):
    found = auditlog.parse_leaf(raw(vector["leaf"]))
    names = ("kind", "slot", "position", "at", "segment")
    demand([getattr(found, name) for name in names] == [vector[name] for name in names], "the leaf's fields")
    demand((found.tag, found.link) == (raw(vector["tag"]), raw(vector["link"])), "the leaf's tag and link")
    for index, part in enumerate(("values", "skeleton")):
        expected = (raw(vector[part]["hash"]), vector[part]["length"], vector[part]["key"])
        demand((found.hashes[index], found.lengths[index], found.keys[index]) == expected, f"the leaf's {part}")
    demand(primitives.leaf_hash(found.raw) == raw(vector["hash"]), "the leaf's hash")


def index(vector):
    batches = [(batch["block"], [auditlog.parse_leaf(raw(leaf)) for leaf in batch["leaves"]]) for batch in vector["batches"]]
    place = (raw(vector["block_hash"]), vector["segment"], batches, vector["next_batch"], raw(vector["digest"]))
    demand(check_index(raw(vector["index"]), *place, raw(vector["public"]), "the index"), "the index's signature")


def blocks(vector):
    place = (raw(vector["block_hash"]), vector["segment"], vector["end"], vector["next_batch"], raw(vector["digest"]))
    found = parse_blocks(raw(vector["file"]), *place, raw(vector["public"]), "the blocks")
    demand(len(found) == len(vector["blocks"]), "so many blocks")
    for block, expected in zip(found, vector["blocks"]):
        names = ("tag", "key", "start")
        demand([block[name] for name in names] == [raw(expected["tag"]), expected["key"], expected["from"]], "a block's place")
        words = open_block(block, raw(expected["data_key"]), vector["origin"], vector["segment"])
        demand(words == [tuple(word) for word in expected["words"]], "a block's words")
        texts = expected["texts"]
        demand(bool(block["texts"]) == bool(texts) and block["texts_key"] == (texts or {"key": 0})["key"], "whether there are bits")
        if texts:
            bits, content = open_texts(block, raw(texts["data_key"]), vector["origin"], vector["segment"])
            demand(content == raw(texts["content"]) and bits == bits_of(vector["text"]["is"].encode()), "a block's bits")
            for word, holds in [("holds", True), ("lacks", False)]:
                for text in vector["text"][word]:
                    demand((bits_of(text.lower().encode()) <= bits) == holds, f"whether the bits hold {text}")
    for case in vector["names"]:
        lower = "".join(letter.lower() if letter.isascii() else letter for letter in case["relation"])
        demand(word_of(lower) == case["number"], "a relation's number")
    for case in vector["states"]:
        demand(word_of(case["sqlstate"]) == case["number"], "an SQLSTATE's number")


def recipient_keys(vectors):
    for vector in vectors:
        private, public = raw(vector["private"]), raw(vector["public"])
        demand(primitives.public_of(private) == public, "a recipient's public key")
        signed = b"portreeve/recipient-key/v1\n" + primitives.recipient_bytes(vector["customer"])
        signed += struct.pack("<BI", vector["part"], vector["period"]) + public
        keyring = Ed25519PrivateKey.from_private_bytes(raw(vector["keyring_seed"]))
        demand(keyring.public_key().public_bytes_raw() == raw(vector["keyring_public"]), "the keyring's public key")
        demand(keyring.sign(signed) == raw(vector["signature"]), "the keyring's signature")


def checkpoint(vector):
    signing = Ed25519PrivateKey.from_private_bytes(raw(vector["seed"]))
    origin, public = primitives.parse_verifier_key(vector["verifier_key"])
    demand(signing.public_key().public_bytes_raw() == public and origin == vector["origin"], "the verifier key")
    opened = primitives.open_checkpoint(vector["note"], origin, public)
    demand(opened == (vector["size"], raw(vector["root"])), "the checkpoint")


def cosignature(vector):
    signing = Ed25519PrivateKey.from_private_bytes(raw(vector["seed"]))
    name, public = primitives.parse_verifier_key(vector["verifier_key"], primitives.WITNESS)
    demand(signing.public_key().public_bytes_raw() == public and name == vector["name"], "the witness's verifier key")
    demand(primitives.cosigned(vector["note"], name, public) == vector["time"], "the cosignature")


def headers(vector):
    expected = vector["segment"]
    block = raw(expected["front"]).ljust(4064, b"\0") + raw(expected["check"])
    names = ("number", "first_position", "first_batch", "begun", "length")
    found = auditlog.segment_header(block, "the vector")
    demand(list(found[:5]) == [expected[name] for name in names], "the segment's numbers")
    demand(found[5:] == (raw(expected["previous"]), raw(expected["root"]), expected["origin"]), "the segment's hashes")
    expected = vector["batch"]
    names = ("number", "first_position", "leaves", "length", "written")
    found = auditlog.batch_header(raw(expected["header"]), "the vector")
    demand(list(found) == [expected[name] for name in names] + [raw(expected["previous"])], "the batch's header")


def data_key(vector):
    place = (vector["origin"], vector["position"], vector["customer"], vector["part"], vector["period"])
    opened = primitives.open_data_key(raw(vector["private"]), *place, raw(vector["enc"]), raw(vector["sealed"]))
    demand(opened == raw(vector["data_key"]), "the data key")


def public(vector):
    key = primitives.verifier_key(vector["origin"], raw(vector["public"]))
    demand(raw(vector["continued"]).decode() == key, "the key of the log that goes on")
    id, part, lawful, logs = together.parse_notice(raw(vector["notice"]))
    demand(id == primitives.sha256(b"portreeve/notice/v1\n", raw(vector["event"]))[:16], "the notice's id")
    demand((part, lawful, logs) == (vector["part"], vector["lawful"], vector["logs"]), "the notice")


def rotated(vector):
    logs = []
    for one in vector["logs"]:
        name, key = primitives.parse_verifier_key(one["verifier_key"])
        with tempfile.TemporaryDirectory() as folder:
            for file, content in one["files"].items():
                with open(os.path.join(folder, file), "wb") as opened:
                    opened.write(primitives.unbase64(content))
            logs.append(auditlog.Log(folder, name, key))
    erased = together.check(logs)
    found = [{"log": origin, "part": part, "records": count} for (origin, part), count in sorted(erased.items())]
    demand(found == vector["erased"], "what the notices say is erased")
    for left_out in range(len(logs)):
        try:
            together.check(logs[:left_out] + logs[left_out + 1 :])
        except primitives.Wrong:
            continue
        raise primitives.Wrong("a log that is missing is not noticed")


def log(vector):
    name, public = primitives.parse_verifier_key(vector["verifier_key"])
    with tempfile.TemporaryDirectory() as folder:
        for file, content in vector["files"].items():
            with open(os.path.join(folder, file), "wb") as opened:
                opened.write(primitives.unbase64(content))
        read = auditlog.Log(folder, name, public)
    found = [
        {"position": position, "kind": kind, "customer": customer, "skeleton": skeleton.hex(), "values": values.hex()}
        for position, kind, customer, skeleton, values in read.records(*auditlog.read_keys(vector))
    ]
    demand(found == vector["records"], "the records of the log")


def proof(vector):
    public = Ed25519PrivateKey.from_private_bytes(b"\1" * 32).public_key().public_bytes_raw()
    fingerprint, ends, shown = proofs.check(json.dumps(vector), {"portreeve/proxy-gate-1": public})
    demand(fingerprint == primitives.fingerprint(b"\7" * 32), "the proof's fingerprint")
    demand(ends["portreeve/proxy-gate-1"] == ("checkpoint", 1_795_262_400_000_000), "what the proof ends with")
    texts = [record.values[0].decode() for record in shown]
    demand(texts == ["select * from contacts where id = $1", "commit"], "the records of the proof")


def keyring(vector):
    found = open_keyring(raw(vector["file"]), raw(vector["secrets"]), raw(vector["credential"]))
    demand((found.generation, found.revision) == (vector["generation"], vector["revision"]), "the keyring's numbers")
    demand(found.seed == raw(vector["seed"]), "the keyring's seed")
    private = {(key["customer"], key["part"], key["period"]): raw(key["key"]) for key in vector["private"]}
    demand(found.private == private, "the keyring's private keys")
    demand(found.tags == {key["customer"]: raw(key["key"]) for key in vector["tags"]}, "the keyring's tag keys")
    names = ("customer", "part", "period", "at", "was_there")
    destroyed = [[raw(gone["event"]), *(gone[name] for name in names)] for gone in vector["destroyed"]]
    demand(found.destroyed == destroyed, "what the keyring destroyed")


def check(text):
    """How many groups there are; each is checked, and none is unknown."""
    vectors = json.loads(text)
    demand(vectors.pop("format") == "portreeve-vectors/1", "other vectors")
    for name, vector in vectors.items():
        globals()[name](vector)
    return len(vectors)
