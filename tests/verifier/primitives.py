"""What the format is made of: hashes and the Merkle tree, HKDF, HPKE, sealed parts, CBOR, signed notes.

Written from src/audit/FORMAT.md alone, with the standard library and `cryptography`.
"""

import base64
import hashlib
import hmac
import struct

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Wrong(Exception):
    """Something is not what the format says, and where."""


def demand(holds, what):
    if not holds:
        raise Wrong(what)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def unbase64(text):
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, TypeError) as error:
        raise Wrong(f"no base64: {text!r:.40}") from error


def expand(key, info, length):
    """HKDF-Expand, RFC 5869 section 2.3."""
    out, block = b"", b""
    for number in range(1, -(-length // 32) + 1):
        block = mac(key, block, info, bytes([number]))
        out += block
    return out[:length]


# The tree: RFC 6962 section 2.1.


def leaf_hash(leaf):
    return sha256(b"\0", leaf)


def node_hash(left, right):
    return sha256(b"\1", left, right)


def left_of(size):
    """The largest power of two below the size."""
    return 1 << ((size - 1).bit_length() - 1)


def root(leaves):
    """Over leaf hashes; kept as a stack of full subtrees, so that a long log is no recursion."""
    stack = []
    for count, leaf in enumerate(leaves):
        while count & 1:
            leaf, count = node_hash(stack.pop(), leaf), count >> 1
        stack.append(leaf)
    if not stack:
        return sha256()
    whole = stack.pop()
    while stack:
        whole = node_hash(stack.pop(), whole)
    return whole


def root_from_inclusion(index, size, leaf, proof):
    """RFC 9162 section 2.1.3.2."""
    demand(index < size, "no such leaf")
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        demand(last > 0, "the inclusion proof is too long")
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while node & 1 == 0 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    demand(last == 0, "the inclusion proof is too short")
    return found


def check_consistency(old, old_root, size, new_root, proof):
    """By the definition of RFC 6962 section 2.1.2, read backwards: both roots from the proof's subtrees."""
    demand(old <= size, "the older tree is the larger one")
    if old in (0, size):
        demand(not proof, "hashes that prove nothing")
        demand(old_root == (new_root if old == size else sha256()), "another root")
        return
    hashes = list(proof)

    def both(old, size, is_known):
        """The roots of the old and the new subtree."""
        if old == size:
            known = old_root if is_known else hashes.pop(0) if hashes else None
            demand(known is not None, "the consistency proof is too short")
            return known, known
        left = left_of(size)
        before, now = both(min(old, left), left, is_known) if old <= left else both(old - left, size - left, False)
        demand(hashes, "the consistency proof is too short")
        other = hashes.pop(0)
        if old <= left:
            return before, node_hash(now, other)
        return node_hash(other, before), node_hash(other, now)

    before, now = both(old, size, True)
    demand(not hashes, "the consistency proof is too long")
    demand(before == old_root and now == new_root, "the newer log does not begin with the older one")


def root_with(size, listed, hashes):
    """The root from listed leaves (a dict from position to leaf hash) and the roots of what lies between them."""
    rest, positions = list(hashes)[::-1], sorted(listed)
    demand(not positions or positions[-1] < size, "a leaf that is not in the tree")

    def over(low, high, inside):
        if not inside:
            demand(rest, "there are too few hashes")
            return rest.pop()
        if high - low == 1:
            return listed[low]
        middle = low + left_of(high - low)
        left = over(low, middle, [p for p in inside if p < middle])
        return node_hash(left, over(middle, high, [p for p in inside if p >= middle]))

    found = over(0, size, positions) if size else sha256()
    demand(not rest, "there are too many hashes")
    return found


# Keys and seals.


def recipient_bytes(customer):
    return struct.pack("<BQ", 2, 0) if customer is None else struct.pack("<BQ", 1, customer)


def public_of(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def verify_signature(public, signature, message, what):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature as error:
        raise Wrong(f"{what}: the signature does not verify") from error


def open_gcm(key, nonce, sealed, aad, what):
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except InvalidTag as error:
        raise Wrong(f"{what} does not open") from error


def hpke_open(private, enc, sealed, info, aad):
    """RFC 9180, base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; the first message."""

    def extract(suite, salt, label, ikm):
        return mac(salt or bytes(32), b"HPKE-v1", suite, label, ikm)

    def labeled(suite, prk, label, info, length):
        return expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite + label + info, length)

    kem = b"KEM" + struct.pack(">H", 0x20)
    suite = b"HPKE" + struct.pack(">HHH", 0x20, 1, 2)
    own = X25519PrivateKey.from_private_bytes(private)
    shared = own.exchange(X25519PublicKey.from_public_bytes(enc))
    prk = extract(kem, b"", b"eae_prk", shared)
    secret = labeled(kem, prk, b"shared_secret", enc + public_of(private), 32)
    context = b"\0" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
    prk = extract(suite, secret, b"secret", b"")
    key = labeled(suite, prk, b"key", context, 32)
    return open_gcm(key, labeled(suite, prk, b"base_nonce", context, 12), sealed, aad, "a sealed data key")


def open_data_key(private, origin, position, customer, part, period, enc, sealed):
    aad = struct.pack("<Q", position) + recipient_bytes(customer) + struct.pack("<BI", part, period)
    return hpke_open(private, enc, sealed, b"portreeve/data-key/v1", aad + origin.encode())


def fingerprint(tag_key):
    return sha256(b"portreeve/tag-fingerprint/v1\n", tag_key)[:16].hex()


def tag_of(tag_key, segment, origin):
    return mac(tag_key, b"portreeve/tag/v1\n", struct.pack("<Q", segment), origin.encode())[:16]


def link_of(tag_key, previous, origin):
    return mac(tag_key, b"portreeve/link/v1\n", previous or bytes(32), origin.encode())


def padded(length):
    marked = length + 1
    unit = max(64, (1 << (marked.bit_length() - 1)) // 8)
    return -(-marked // unit) * unit


def open_part(data_key, origin, place, part, sealed):
    """The content of a sealed part."""
    what = f"part {part} at position {struct.unpack('<Q', place[8:16])[0]}"
    demand(len(sealed) >= 64 + 64, f"{what} is too short")
    salt, commitment, ciphertext = sealed[:16], sealed[16:48], sealed[48:]
    own = expand(data_key, b"portreeve/part/v1\n" + salt + place[8:16] + bytes([part]), 64)
    demand(hmac.compare_digest(own[32:], commitment), f"{what} is committed to another key")
    plain = open_gcm(own[:32], bytes(12), ciphertext, place + bytes([part]) + origin.encode(), what)
    content = plain.rstrip(b"\0")
    demand(content.endswith(b"\x80"), f"{what} has no end")
    demand(len(plain) == padded(len(content) - 1), f"{what} is padded to another length")
    return content[:-1]


# CBOR, as much of it as records use.


def cbor(data):
    value, rest = cbor_item(data, 16)
    demand(not rest, "bytes after the CBOR value")
    return value


def cbor_item(data, depth):
    """One item and what is behind it; `depth` maps and lists may still begin within each other."""
    demand(data, "the CBOR value is cut")
    major, low, data = data[0] >> 5, data[0] & 31, data[1:]
    if major == 7:
        demand(low in (20, 21, 22), f"CBOR simple value {low}")
        return {20: False, 21: True, 22: None}[low], data
    demand(low <= 27, "a CBOR length that is not definite")
    if low >= 24:
        width = 1 << (low - 24)
        demand(len(data) >= width, "the CBOR value is cut")
        low, data = int.from_bytes(data[:width], "big"), data[width:]
    if major in (0, 1):
        return low if major == 0 else -1 - low, data
    if major in (2, 3):
        demand(len(data) >= low, "the CBOR value is cut")
        raw, data = data[:low], data[low:]
        return raw if major == 2 else raw.decode(), data
    demand(major in (4, 5), f"CBOR major type {major}")
    demand(depth, "CBOR maps and lists are nested too deeply")
    items = []
    for _ in range(low * (major - 3)):
        item, data = cbor_item(data, depth - 1)
        items.append(item)
    if major == 4:
        return items, data
    demand(all(type(key) is int and key >= 0 for key in items[::2]), "a field without a number")
    pairs = dict(zip(items[::2], items[1::2]))
    demand(len(pairs) == low, "a field twice")
    return pairs, data


# Signed notes and checkpoints.


LOG, WITNESS = 1, 4


def parse_verifier_key(text, kind=LOG):
    """The name and the Ed25519 public key of `name+id+base64`, of a log or a witness."""
    name, key_id, key = text.strip().split("+", 2)
    key = unbase64(key)
    demand(key[:1] == bytes([kind]) and len(key) == 33, "the verifier key is not of that kind")
    demand(note_key_id(name, key[1:], kind).hex() == key_id, "the verifier key's id is another")
    return name, key[1:]


def verifier_key(name, public):
    return f"{name}+{note_key_id(name, public).hex()}+{base64.b64encode(bytes([LOG]) + public).decode()}"


def is_witness(text):
    return unbase64(text.strip().split("+", 2)[2])[:1] == bytes([WITNESS])


def is_name(name):
    return name and "+" not in name and not any(sign.isspace() for sign in name)


def note_key_id(name, public, kind=LOG):
    return sha256(name.encode(), b"\n", bytes([kind]), public)[:4]


def signatures_by(note, name, public, kind):
    """The note's text, and each signature by that key."""
    text, separator, lines = note.rpartition("\n\n")
    demand(separator and lines.endswith("\n"), "the checkpoint is no signed note")
    demand(not any(sign < " " and sign != "\n" for sign in note), "a control character in a note")
    found = []
    for line in lines[:-1].split("\n"):
        mark, signer, signature = (line.split(" ") + ["", ""])[:3]
        demand(mark == "\u2014" and is_name(signer) and line.count(" ") == 2, "a line after the text is no signature")
        signature = unbase64(signature)
        demand(len(signature) > 4, "a signature is too short")
        if signer == name and signature[:4] == note_key_id(name, public, kind):
            found.append(signature[4:])
    return text + "\n", found


def cosigned(note, name, public):
    """When that witness cosigned the checkpoint, in seconds; None if it did not."""
    text, found = signatures_by(note, name, public, WITNESS)
    newest = None
    for signature in found:
        demand(len(signature) == 72, "a cosignature has not 72 bytes")
        time = int.from_bytes(signature[:8], "big")
        demand(time, "a cosignature is of no time")
        message = f"cosignature/v1\ntime {time}\n{text}".encode()
        verify_signature(public, signature[8:], message, "cosignature")
        newest = time if newest is None else max(newest, time)
    return newest


def open_checkpoint(note, name, public):
    """Size and root of a checkpoint that this key signed."""
    text, found = signatures_by(note, name, public, LOG)
    demand(found, f"the checkpoint is not signed by {name}")
    for signature in found:
        verify_signature(public, signature, text.encode(), "checkpoint")
    origin, size, tree, *more = text.split("\n")[:-1]
    demand(origin == name, "the checkpoint is of another log")
    demand(size.isascii() and size.isdigit() and str(int(size)) == size, "the checkpoint's size is no number")
    demand(all(more), "an empty line within the checkpoint")
    tree = unbase64(tree)
    demand(len(tree) == 32, "the checkpoint's root is no hash")
    return int(size), tree
