"""What several logs say of each other: where one goes on as another, and how much the notices say was erased."""

from primitives import Wrong, cbor, demand, open_checkpoint, parse_verifier_key

CONTINUES, CONTINUED, NOTICE = PUBLIC = (44, 45, 46)


def parse_notice(content):
    """(id, part, lawful, {log: records})"""
    fields = cbor(content)
    demand(isinstance(fields, dict) and set(fields) >= {0, 1, 2, 3}, "a notice lacks a field")
    demand(len(fields[0]) == 16 and fields[1] in (1, 2), "a notice is of no part")
    logs = {}
    for lost in fields[3]:
        logs[lost[0]] = logs.get(lost[0], 0) + lost[1]
    return fields[0], fields[1], fields[2], logs


def check_place(leaf, skeleton, position):
    """Nobody's tag, no link, no key; the end of another log only at the beginning."""
    nobodys = not any(leaf.tag + leaf.link) and leaf.keys == (0, 0) and leaf.lengths[1] == 0 and not skeleton
    demand(nobodys, f"leaf {position} is open to everybody and somebody's")
    demand(leaf.kind != CONTINUES or position == 0, f"leaf {position}: the log goes on from another in its middle")


def check(logs):
    """`logs` are whole by themselves. Gives how many records of which log and part the notices say are erased."""
    by_origin = {log.origin: log for log in logs}
    for log in logs:
        _successions(log, by_origin)
    notices = {}
    for log in logs:
        for leaf, content in log.public:
            if leaf.kind == NOTICE:
                id, part, lawful, lost = parse_notice(content)
                demand(leaf.at >= lawful, f"{log.origin} position {leaf.position}: erased early")
                notices.setdefault((id, part), lost)
    erased = {}
    for (_, part), lost in notices.items():
        for origin, records in lost.items():
            demand(origin in by_origin or not records, f"{origin}: missing, and notices tell of it")
            erased[origin, part] = erased.get((origin, part), 0) + records
    for (origin, part), records in erased.items():
        demand(records <= by_origin[origin].records_count, f"{origin}: more is erased than there is")
    return erased


def _one(log, kind):
    return next((content.decode() for leaf, content in log.public if leaf.kind == kind), None)


def _successions(log, by_origin):
    note, key = _one(log, CONTINUES), _one(log, CONTINUED)
    if note is not None:
        origin = note.split("\n")[0]
        demand(origin in by_origin, f"{log.origin}: goes on from {origin}, which is missing")
        old = by_origin[origin]
        size, root = open_checkpoint(note, origin, old.public_key)
        demand(len(old.hashes) >= size, f"{origin}: rolled back to {len(old.hashes)} of {size} leaves")
        same = (len(old.hashes), old.whole_root) == (size, root)
        demand(same and _one(old, CONTINUED) == log.verifier_key, f"{origin}: forked, it did not end so")
    if key is not None:
        origin, public = parse_verifier_key(key)
        demand(origin in by_origin, f"{log.origin}: goes on as {origin}, which is missing")
        next_log = by_origin[origin]
        demand(next_log.public_key == public, f"{log.origin}: goes on under another key")
        said = _one(next_log, CONTINUES)
        demand(said is not None and said.split("\n")[0] == log.origin, f"{origin}: does not say what it goes on from")


__all__ = ["CONTINUED", "PUBLIC", "Wrong", "check", "check_place", "parse_notice"]
