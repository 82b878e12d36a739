"""Large objects through libpq itself: every lo_ function it has. Argument: where to connect."""

import ctypes
import os
import sys

PQ = ctypes.CDLL("libpq.so.5")
INV_WRITE, INV_READ = 0x20000, 0x40000
PQ.PQconnectdb.restype = PQ.PQexec.restype = PQ.PQgetvalue.restype = PQ.PQerrorMessage.restype = ctypes.c_void_p
PQ.PQresultErrorField.restype = ctypes.c_char_p
PQ.lo_create.restype = PQ.lo_creat.restype = ctypes.c_uint
for name in ("lo_lseek64", "lo_tell64"):
    getattr(PQ, name).restype = ctypes.c_int64


def said(conn):
    return ctypes.string_at(PQ.PQerrorMessage(conn)).decode()


def run(conn, sql):
    result = ctypes.c_void_p(PQ.PQexec(conn, sql.encode()))
    assert PQ.PQresultStatus(result) in (1, 2), said(conn)
    PQ.PQclear(result)


def main(conninfo):
    conn = ctypes.c_void_p(PQ.PQconnectdb(conninfo.encode()))
    assert PQ.PQstatus(conn) == 0, said(conn)
    run(conn, "begin")
    oid = PQ.lo_create(conn, 5000)
    assert oid == 5000, said(conn)
    file = PQ.lo_open(conn, oid, INV_READ | INV_WRITE)
    assert file >= 0, said(conn)
    data = bytes(range(256)) * 1024
    for at in range(0, len(data), 50_000):
        piece = data[at:at + 50_000]
        assert PQ.lo_write(conn, file, piece, ctypes.c_size_t(len(piece))) == len(piece), said(conn)
    assert PQ.lo_tell64(conn, file) == PQ.lo_tell(conn, file) == len(data)
    # Beyond 2 GB: eight bytes where the older functions have four.
    far = 3 << 30
    assert PQ.lo_lseek64(conn, file, ctypes.c_int64(far), os.SEEK_SET) == far, said(conn)
    assert PQ.lo_write(conn, file, b"far away", ctypes.c_size_t(8)) == 8, said(conn)
    assert PQ.lo_truncate64(conn, file, ctypes.c_int64(len(data))) == 0, said(conn)
    assert PQ.lo_lseek(conn, file, -1000, os.SEEK_END) == len(data) - 1000
    buffer = ctypes.create_string_buffer(4096)
    assert PQ.lo_read(conn, file, buffer, ctypes.c_size_t(4096)) == 1000
    assert buffer.raw[:1000] == data[-1000:]
    assert PQ.lo_truncate(conn, file, ctypes.c_size_t(100)) == 0
    assert PQ.lo_close(conn, file) == 0
    run(conn, "commit")
    # Outside a transaction a descriptor is gone at once; the session lives on.
    assert PQ.lo_read(conn, 77, buffer, ctypes.c_size_t(10)) == -1
    print(said(conn).strip())
    assert PQ.lo_open(conn, 4711, INV_READ) == -1
    print(said(conn).strip())
    # In a transaction that failed nothing works until it is over.
    run(conn, "begin")
    assert PQ.lo_unlink(conn, 4711) == -1
    assert PQ.lo_unlink(conn, oid) == -1
    print(said(conn).strip())
    run(conn, "rollback")
    assert PQ.lo_unlink(conn, PQ.lo_creat(conn, INV_READ | INV_WRITE)) == 1, said(conn)
    run(conn, "select 1")
    PQ.PQfinish(conn)
    print("done", oid)


main(sys.argv[1])
