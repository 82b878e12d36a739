"""The sealed blocks of a finished segment: what its skeletons may be searched for."""

import struct

from primitives import demand, open_part, sha256, verify_signature

HEAD = 200
# How many numbers a word has, by its first byte.
NUMBERS = {1: 2, 2: 1, 3: 1, 4: 1, 5: 1}
SKELETON = 2


def parse_blocks(data, first_block_hash, segment, end, next_batch, digest, public, where):
    """The blocks of the segment that ends there, in the order of their tags."""
    verify_signature(public, data[136:HEAD], b"portreeve segment blocks\0" + data[:136], where)
    (count,) = struct.unpack_from("<Q", data, 96)
    head = b"PRTRBLK1" + first_block_hash + struct.pack("<QQQ", segment, end, next_batch) + digest
    demand(data[:136] == head + struct.pack("<Q", count) + sha256(data[HEAD:]), f"{where} are not those of their segment")
    blocks, at = [], HEAD + 36 * count
    for number in range(count):
        tag, key, start, length = struct.unpack_from("<16sQQI", data, HEAD + 36 * number)
        demand(at + length <= len(data), f"{where} end too early")
        blocks.append({"tag": tag, "key": key, "start": start, "sealed": data[at : at + length]})
        at += length
    tags = [block["tag"] for block in blocks]
    demand(at == len(data) and tags == sorted(set(tags)), f"{where} have something else behind them, or no order")
    return blocks


def open_block(block, data_key, origin, segment):
    """The words of a block: each its first byte and its numbers."""
    place = struct.pack("<BBHIQqQ", 1, 5, 0, 0, block["key"], 0, segment) + block["tag"] + bytes(32)
    content = open_part(data_key, origin, place, SKELETON, block["sealed"])
    size = len(content) + 1
    demand(size >= 256 and size & (size - 1) == 0, "a block is padded to another length")
    words, at = [], 0
    while at < len(content) and content[at]:
        count = NUMBERS[content[at]]
        words.append((content[at], *struct.unpack_from(f"<{count}Q", content, at + 1)))
        at += 1 + 8 * count
    demand(not any(content[at:]) and words == sorted(set(words)), "a block's words have no order, or something behind them")
    return words


def word_of(text):
    """FNV-1a, 64 bits."""
    number = 0xCBF29CE484222325
    for byte in text.encode():
        number = (number ^ byte) * 0x100000001B3 % (1 << 64)
    return number
