"""A proof: which records are sealed to one customer in a period, all of them and nobody else's."""

import json
from collections import namedtuple

from auditlog import CONTINUED, DATA_KEY, PUBLIC, SKELETON, VALUES, hash_of, parse_leaf
from primitives import (
    check_consistency,
    cbor,
    cosigned,
    demand,
    fingerprint,
    leaf_hash,
    link_of,
    open_checkpoint,
    open_part,
    root_with,
    sha256,
    tag_of,
    unbase64,
    verifier_key,
)

Shown = namedtuple("Shown", "log position at kind skeleton values")


MEMBERS = {
    "proof": {"format", "customer", "period", "tag_key", "logs"},
    "customer": {"number", "name"},
    "period": {"since", "until"},
    "log": {"checkpoint", "earlier", "from", "to", "leaves", "hashes", "keys"},
    "earlier": {"checkpoint", "consistency"},
    "leaf": {"leaf"},
    "key": {"position", "key"},
}
OPTIONAL = {"leaf": {"values", "skeleton"}, "log": {"witnessed"}}


def has_members(kind, found):
    """All of its members, and no others."""
    missing, more = MEMBERS[kind] - set(found), set(found) - MEMBERS[kind] - OPTIONAL.get(kind, set())
    demand(not missing and not more, f"a {kind} lacks {sorted(missing)}, or has besides {sorted(more)}")


def read(text):
    """The file, of the shape that it must have."""
    proof = json.loads(text)
    demand(proof.get("format") == "portreeve-proof/1", "it is no proof of this format")
    has_members("proof", proof)
    has_members("customer", proof["customer"])
    has_members("period", proof["period"])
    demand(proof["logs"], "it is about no log")
    for log in proof["logs"]:
        has_members("log", log)
        for part in older(log):
            has_members("earlier", part)
        for leaf in log["leaves"]:
            has_members("leaf", leaf)
        for key in log["keys"]:
            has_members("key", key)
    return proof


def check(text, keys, witnesses=()):
    """The fingerprint; for each log what its part ends with; the records, in order. `keys` is from origin to public key,
    `witnesses` are names and public keys of those that must have cosigned a checkpoint of every log."""
    proof = read(text)
    tag_key = unbase64(proof["tag_key"])
    demand(len(tag_key) == 32, "the tag key has not 32 bytes")
    ends, shown = {}, []
    for log in proof["logs"]:
        origin = origin_of(log)
        demand(origin in keys, f"{origin}: no key of that log was given")
        demand(origin not in ends, f"{origin}: the log is there twice")
        ends[origin], records = check_log(log, origin, keys[origin], tag_key, proof["period"])
        for name, public in witnesses:
            times = [cosigned(note, name, public) for note in notes(log)]
            demand(any(time is not None for time in times), f"{origin}: the witness {name} cosigned none of its checkpoints")
        shown.extend(records)
    for origin in keys:
        demand(origin in ends, f"{origin}: its key was given, and the proof says nothing about this log")
    known, until = {sha256(verifier_key(origin, keys[origin]).encode()) for origin in ends}, proof["period"]["until"]
    for log in proof["logs"]:
        last = parse_leaf(unbase64(log["leaves"][-1]["leaf"])) if log["leaves"] else None
        if last is None or last.kind != CONTINUED or last.position >= log["to"] or (until is not None and last.at >= until):
            continue
        demand(last.hashes[0] in known, f"{origin_of(log)}: it goes on as another log, and the proof says nothing about that")
    return fingerprint(tag_key), ends, shown


def origin_of(log):
    return log["checkpoint"].split("\n", 1)[0]


def older(log):
    """The checkpoints that the log must begin with."""
    return [part for part in (log["earlier"], log.get("witnessed")) if part is not None]


def notes(log):
    return [log["checkpoint"]] + [part["checkpoint"] for part in older(log)]


def check_log(log, origin, public, tag_key, period):
    size, signed = open_checkpoint(log["checkpoint"], origin, public)
    listed, parts = {}, {}
    for item in log["leaves"]:
        leaf = parse_leaf(unbase64(item["leaf"]))
        demand(not listed or leaf.position > max(listed), f"{origin}: leaf {leaf.position} is out of order")
        listed[leaf.position] = leaf
        if item.get("values") is not None or item.get("skeleton") is not None:
            parts[leaf.position] = unbase64(item["values"]), unbase64(item["skeleton"])
    hashes = {position: leaf_hash(leaf.raw) for position, leaf in listed.items()}
    found = root_with(size, hashes, [unbase64(item) for item in log["hashes"]])
    demand(found == signed, f"{origin}: the leaves are not those of the checkpoint")
    for part in older(log):
        old, old_root = open_checkpoint(part["checkpoint"], origin, public)
        check_consistency(old, old_root, size, signed, [unbase64(item) for item in part["consistency"]])
    first, end = log["from"], log["to"]
    ends = check_period(origin, period, first, end, size, listed)
    records = check_chain(origin, tag_key, first, end, listed)
    within = [leaf for leaf in records if first <= leaf.position < end]
    demand(set(parts) == {leaf.position for leaf in within}, f"{origin}: parts of other records, or not of all")
    data_keys = {key["position"]: unbase64(key["key"]) for key in log["keys"]}
    shown = []
    for leaf in within:
        opened = []
        for part, index in ((SKELETON, 1), (VALUES, 0)):
            sealed, where = parts[leaf.position][index], f"{origin}: part {part} at {leaf.position}"
            demand(len(sealed) == leaf.lengths[index], f"{where} has another length")
            demand(hash_of(sealed) == leaf.hashes[index], f"{where} is another than its leaf says")
            data_key = data_keys.get(leaf.keys[index])
            content = None if data_key is None else cbor(open_part(data_key, origin, leaf.raw[:80], part, sealed))
            opened.append(content)
        shown.append(Shown(origin, leaf.position, leaf.at, leaf.kind, *opened))
    return ends, shown


def check_period(origin, period, first, end, size, listed):
    """What it ends with: the period, or the checkpoint and the time of its last leaf."""
    since, until = period["since"], period["until"]
    demand(first <= end <= size, f"{origin}: the positions are out of order")
    if since is None:
        demand(first == 0, f"{origin}: it does not begin with the log")
    elif first > 0:
        before = listed.get(first - 1)
        demand(before is not None and before.at < since, f"{origin}: nothing shows that {first} is where the period begins")
    if end < size:
        demand(until is not None, f"{origin}: it does not go to the end of the log")
        after = listed.get(end)
        demand(after is not None and after.at >= until, f"{origin}: nothing shows that {end} is where the period ends")
        return "period", None
    if size == 0:
        return "checkpoint", None
    demand(size - 1 in listed, f"{origin}: the last leaf of the log is not shown, which tells its time")
    return "checkpoint", listed[size - 1].at


def check_chain(origin, tag_key, first, end, listed):
    """The customer's records among the listed leaves, and that none is missing between `first` and `end`."""
    records = [
        leaf
        for _, leaf in sorted(listed.items())
        if leaf.kind not in (DATA_KEY, *PUBLIC) and leaf.tag == tag_of(tag_key, leaf.segment, origin)
    ]

    def all_listed(low, high, what):
        gap = next((position for position in range(low, high) if position not in listed), None)
        demand(gap is None, f"{origin}: {what}: position {gap} is not shown")

    for before, leaf in zip(records, records[1:]):
        is_linked = leaf.link == link_of(tag_key, leaf_hash(before.raw), origin)
        demand(is_linked, f"{origin}: a record between {before.position} and {leaf.position} is left out")
    if not records:
        all_listed(first, end, "a record can be left out")
        return records
    head, last = records[0], records[-1]
    if head.position >= first and head.link != link_of(tag_key, None, origin):
        all_listed(first, head.position, f"a record before {head.position} is left out")
    if last.position < end:
        all_listed(max(first, last.position + 1), end, f"a record after {last.position} can be left out")
    return records
