"""The keyring's files: its generation secrets, and what is sealed under one of them."""

import struct
from collections import namedtuple

from primitives import cbor, demand, expand, mac, open_gcm

Keyring = namedtuple("Keyring", "generation revision seed private tags destroyed")

MAGIC, SECRETS = b"portreeve keyring v1\n", b"portreeve generation v0\n"


def generations(data):
    """From number to secret: one, or two while the keyring moves from one to the next."""
    demand(data.startswith(SECRETS), "no generation secrets")
    entries = data[len(SECRETS) :]
    demand(len(entries) in (40, 80), "neither one generation secret nor two")
    return {struct.unpack(">Q", entries[at : at + 8])[0]: entries[at + 8 : at + 40] for at in range(0, len(entries), 40)}


def open_keyring(file, secrets, credential):
    demand(file.startswith(MAGIC) and len(file) >= 41 + 16, "no keyring file of version 1")
    header, number, nonce = file[:41], file[21:29], file[29:41]
    generation = struct.unpack(">Q", number)[0]
    secret = generations(secrets).get(generation)
    demand(secret is not None, "an old keyring file: the secret of its generation is gone")
    key = expand(mac(secret, credential), b"portreeve keyring kek v0" + number, 32)
    content = cbor(open_gcm(key, nonce, file[41:], header, "the keyring file"))
    private = {(customer, part, period): key for customer, part, period, key in content[2]}
    tags = dict(content[3])
    gone = content.get(4) or []
    # What is listed as destroyed is gone, whatever else is there.
    for _, customer, part, period, _, _ in gone:
        private = {
            slot: key
            for slot, key in private.items()
            if slot[:2] != (customer, part) or period not in (None, slot[2])
        }
    forever = {(customer, part) for _, customer, part, period, _, _ in gone if period is None}
    tags = {customer: key for customer, key in tags.items() if not {(customer, 1), (customer, 2)} <= forever}
    return Keyring(generation, content[0], content[1], private, tags, gone)
