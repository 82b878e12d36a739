"""The index of a finished segment, made again from the segment's leaves."""

import struct

from primitives import Wrong, demand, sha256, verify_signature


def index_body(batches):
    """Everything behind the head. `batches`: the block where each begins, and its leaves."""
    spans, tags, count = b"", {}, 0
    for block, leaves in batches:
        for leaf in leaves:
            tags.setdefault(leaf.tag, []).append(count)
            count += 1
        times = [leaf.at for leaf in leaves]
        spans += struct.pack("<IIqq", block, count, min(times), max(times))
    named, numbers = b"", []
    for tag in sorted(tags):
        numbers += tags[tag]
        named += struct.pack("<16sI", tag, len(numbers))
    return spans + named + struct.pack(f"<{count}I", *numbers), len(tags)


def is_gone_by(data, first_block_hash, segment, batches, next_batch, digest):
    """Whether a reader goes by an index with this head, if the log signed it: it ends where the next segment begins."""
    (first,), (count,) = struct.unpack_from("<Q", data, 48), struct.unpack_from("<I", data, 112)
    place = b"PRTRIDX1" + first_block_hash + struct.pack("<Q", segment)
    behind = struct.pack("<Q", next_batch) + digest
    return data[:48] == place and data[56:96] == behind and first + count == batches[-1][1][-1].position + 1


def check_index(data, first_block_hash, segment, batches, next_batch, digest, public, where):
    """That these bytes are the index of a segment with these batches; False: the log did not sign them, or what is behind
    the head was changed, and they are passed over."""
    try:
        verify_signature(public, data[160:224], b"portreeve segment index\0" + data[:160], where)
    except Wrong:
        return False
    body, tags = index_body(batches)
    leaves = [leaf for _, of in batches for leaf in of]
    times = [leaf.at for leaf in leaves]
    head = b"PRTRIDX1" + first_block_hash + struct.pack("<QQQ", segment, leaves[0].position, next_batch) + digest
    head += struct.pack("<qqIIII", min(times), max(times), len(leaves), len(batches), tags, 0) + sha256(body)
    demand(data[:160] == head, f"{where} is not that of its segment")
    return data[224:] == body
