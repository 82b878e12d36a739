"""An independent verifier of Portreeve's audit logs, for its tests. Prints JSON lines; what is wrong ends with exit code 1.

    verifier.py vectors VECTORS.json
    verifier.py log DIRECTORY VERIFIER_KEY [KEYS.json]
    verifier.py logs DIRECTORY VERIFIER_KEY DIRECTORY VERIFIER_KEY...
    verifier.py tiles DIRECTORY VERIFIER_KEY
    verifier.py proof PROOF.json VERIFIER_KEY...      (of logs, and of witnesses that must have cosigned)
"""

import json
import sys

import auditlog
import primitives
import proof
import together
import vectors


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def plain(value):
    """What JSON cannot hold, as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {str(field): plain(inner) for field, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def run(verb, path, *more):
    if verb == "vectors":
        print(json.dumps({"groups": vectors.check(read(path))}))
    elif verb == "log":
        log = auditlog.Log(path, *primitives.parse_verifier_key(read(more[0])))
        kinds = [entry.leaf.kind for entry in log.entries]
        print(json.dumps({"origin": log.origin, "size": log.size, "leaves": len(kinds), "kinds": kinds,
                          "indexes": log.indexes}))
        for keys in more[1:]:
            for position, kind, customer, skeleton, values in log.records(*auditlog.read_keys(json.loads(read(keys)))):
                print(json.dumps({"position": position, "kind": kind, "customer": customer,
                                  "skeleton": plain(primitives.cbor(skeleton)), "values": plain(primitives.cbor(values))}))
    elif verb == "logs":
        pairs = zip([path, *more[1::2]], more[::2], strict=True)
        logs = [auditlog.Log(folder, *primitives.parse_verifier_key(read(key))) for folder, key in pairs]
        erased = together.check(logs)
        print(json.dumps({"logs": [log.origin for log in logs],
                          "erased": [[origin, part, count] for (origin, part), count in sorted(erased.items())]}))
    elif verb == "tiles":
        leaves = auditlog.check_tiles(path, *primitives.parse_verifier_key(read(more[0])))
        print(json.dumps({"leaves": len(leaves), "kinds": [leaf.kind for leaf in leaves]}))
    elif verb == "proof":
        of_witness = [primitives.is_witness(read(key)) for key in more]
        keys = dict(primitives.parse_verifier_key(read(key)) for key, is_one in zip(more, of_witness) if not is_one)
        witnesses = [
            primitives.parse_verifier_key(read(key), primitives.WITNESS) for key, is_one in zip(more, of_witness) if is_one
        ]
        fingerprint, ends, shown = proof.check(read(path), keys, witnesses)
        print(json.dumps({"fingerprint": fingerprint, "records": len(shown), "ends": ends}))
        for one in shown:
            print(json.dumps({name: plain(value) for name, value in one._asdict().items()}))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        run(*sys.argv[1:])
    except primitives.Wrong as wrong:
        sys.exit(f"wrong: {wrong}")
    except (KeyError, TypeError, ValueError, IndexError) as unreadable:
        sys.exit(f"wrong: unreadable: {unreadable!r}")
