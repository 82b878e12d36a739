"""The sealed blocks of a finished segment: what its skeletons and texts may be searched for."""

import struct

from primitives import demand, open_part, sha256, verify_signature

HEAD = 200
# How many numbers a word has, by its first byte.
NUMBERS = {1: 2, 2: 1, 3: 1, 4: 1, 5: 1}
VALUES, SKELETON = 1, 2
BITS = 8 * 8188


def parse_blocks(data, first_block_hash, segment, end, next_batch, digest, public, where):
    """The blocks of the segment that ends there, in the order of their tags."""
    verify_signature(public, data[136:HEAD], b"portreeve segment blocks\0" + data[:136], where)
    (count,) = struct.unpack_from("<Q", data, 96)
    head = b"PRTRBLK1" + first_block_hash + struct.pack("<QQQ", segment, end, next_batch) + digest
    demand(data[:136] == head + struct.pack("<Q", count) + sha256(data[HEAD:]), f"{where} are not those of their segment")
    blocks, at = [], HEAD + 48 * count
    for number in range(count):
        tag, key, start, length, texts_key, texts = struct.unpack_from("<16sQQIQI", data, HEAD + 48 * number)
        behind = at + length + texts
        demand(behind <= len(data), f"{where} end too early")
        demand(texts or not texts_key, f"{where} name a data key for no bits")
        block = {"tag": tag, "key": key, "start": start, "sealed": data[at : at + length]}
        blocks.append(block | {"texts_key": texts_key, "texts": data[at + length : behind]})
        at = behind
    tags = [block["tag"] for block in blocks]
    demand(at == len(data) and tags == sorted(set(tags)), f"{where} have something else behind them, or no order")
    return blocks


def open_block(block, data_key, origin, segment):
    """The words of a block: each its first byte and its numbers."""
    content = open_padded(block, "key", data_key, origin, segment, SKELETON, "sealed")
    words, at = [], 0
    while at < len(content) and content[at]:
        count = NUMBERS[content[at]]
        words.append((content[at], *struct.unpack_from(f"<{count}Q", content, at + 1)))
        at += 1 + 8 * count
    demand(not any(content[at:]) and words == sorted(set(words)), "a block's words have no order, or something behind them")
    return words


def open_padded(block, key, data_key, origin, segment, part, sealed):
    """The content of words or bits, with the zeros behind them."""
    place = struct.pack("<BBHIQqQ", 1, 5, 0, 0, block[key], 0, segment) + block["tag"] + bytes(32)
    content = open_part(data_key, origin, place, part, block[sealed])
    size = len(content) + 1
    demand(size >= 256 and size & (size - 1) == 0, "a block is padded to another length")
    return content


def open_texts(block, data_key, origin, segment):
    """The numbers of the bits that are set, and the content they were in."""
    content = open_padded(block, "texts_key", data_key, origin, segment, VALUES, "texts")
    kind, count = struct.unpack_from("<BH", content)
    if kind == 1:
        bits, end = list(struct.unpack_from(f"<{count}H", content, 3)), 3 + 2 * count
        demand(count <= 2046 and bits == sorted(set(bits)), "bits are too many for a list, or have no order")
    else:
        demand(kind == 2 and count == 0 and len(content) == 8191, "bits of another kind")
        bits, end = [at for at in range(BITS) if content[3 + at // 8] >> at % 8 & 1], len(content)
        demand(len(bits) > 2046, "bits that are few are not listed")
    demand(not any(content[end:]) and all(bit < BITS for bit in bits), "something behind the bits")
    return set(bits), content


def bits_of(content):
    """Those of the bytes of a values part, or of a text."""
    lower = bytes(byte + 32 if 65 <= byte <= 90 else byte for byte in content)
    threes = (lower[at : at + 3] for at in range(len(lower) - 2))
    numbers = (int.from_bytes(three, "big") for three in threes if max(three) < 128)
    return {(number * 0x9E3779B1 % (1 << 32)) * BITS >> 32 for number in numbers}


def word_of(text):
    """FNV-1a, 64 bits."""
    number = 0xCBF29CE484222325
    for byte in text.encode():
        number = (number ^ byte) * 0x100000001B3 % (1 << 64)
    return number
