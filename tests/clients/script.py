"""What a support engineer's script may do with psycopg 3; prints what it saw. Arguments: where to connect."""

import datetime
import decimal
import json
import sys
import threading
import uuid

import psycopg
from psycopg.rows import dict_row

SEEN = []


def see(what, value):
    SEEN.append([what, json.loads(json.dumps(value, default=str))])


def parameters(conn):
    values = [
        7, -(2**40), 2.5, decimal.Decimal("-0.00120"), "it's é", b"\x00\xff'", True, None,
        uuid.UUID(int=0x00112233445566778899AABBCCDDEEFF), datetime.date(2024, 2, 29),
        datetime.datetime(2026, 11, 21, 23, 36, 0, 5, datetime.timezone.utc), [1, 2, None], ["a", 'q"uote', "c,d"],
    ]
    for placeholder in ("%s", "%t", "%b"):
        for value in values:
            see(f"parameter {placeholder}", conn.execute(f"select {placeholder}", (value,)).fetchone())
    for binary in (False, True):
        rows = conn.execute("select id, born_on, created_at, note from contacts order by id limit 20", binary=binary)
        see("rows", rows.fetchall())


def prepared(conn):
    conn.prepare_threshold = 2
    for number in range(6):
        row = conn.execute("select full_name from contacts where id = %s", (number + 1,)).fetchone()
        see("prepared", row)
    see("prepared at once", conn.execute("select %s::int + 1", (41,), prepare=True).fetchone())


def pipelined(conn):
    with conn.pipeline() as pipeline:
        cursors = [conn.execute("select %s::int * 2", (number,)) for number in range(20)]
        pipeline.sync()
        see("pipeline", [cursor.fetchone() for cursor in cursors])
    try:
        with conn.pipeline():
            good = conn.execute("select 'before'")
            conn.execute("select 1 / (g - %s) from generate_series(1, 3) g", (2,))
            conn.execute("select 'skipped'")
            see("before the error", good.fetchone())
    except psycopg.Error as error:
        see("pipeline error", [type(error).__name__, error.sqlstate])
    conn.rollback()


def cursors(conn):
    with conn.transaction():
        with conn.cursor(name="on_the_server") as cursor:
            cursor.itersize = 400
            cursor.execute("select id, email from contacts order by id")
            see("server-side cursor", [row for row in cursor])
        with conn.cursor(name="scrolling", scrollable=True, row_factory=dict_row) as cursor:
            cursor.execute("select id from orders order by id")
            cursor.scroll(100)
            see("scrolled", cursor.fetchmany(3))
    with conn.cursor() as cursor:
        see("streamed", [row for row in cursor.stream("select generate_series(1, 300)")][-1])


def copies(conn):
    with conn.cursor() as cursor:
        with cursor.copy("copy (select id, full_name from contacts order by id) to stdout") as copy:
            see("copy", b"".join(bytes(block) for block in copy).decode())
        with cursor.copy("copy (select 1, null, 'x') to stdout (format binary)") as copy:
            copy.set_types(["int4", "text", "text"])
            see("binary copy", list(copy.rows()))


def transactions(dsn):
    with psycopg.connect(dsn, autocommit=True) as conn:
        see("autocommit", conn.info.transaction_status.name)
        conn.execute("select 1")
        see("autocommit", conn.info.transaction_status.name)
        try:
            with conn.transaction():
                with conn.transaction() as inner:
                    conn.execute("select 2")
                    raise psycopg.Rollback(inner)
                conn.execute("select nothing_like_it")
        except psycopg.errors.UndefinedColumn as error:
            see("error", [error.sqlstate, error.diag.message_primary, error.diag.statement_position])
        notices = []
        conn.add_notice_handler(lambda diag: notices.append(diag.message_primary))
        conn.execute("do $$ begin raise notice 'hello é'; end $$")
        see("notices", notices)
        see("several", [cursor.fetchall() for cursor in conn.execute("select 1; select 2").results()])
        conn.execute("select pg_notify('nobody', 'x')")


def cancelled(dsn):
    with psycopg.connect(dsn) as conn:
        ended = threading.Event()

        def cancel():
            # A cancel that comes before the statement runs is lost, as PostgreSQL's are.
            while not ended.wait(0.1):
                conn.cancel_safe()

        thread = threading.Thread(target=cancel)
        thread.start()
        try:
            conn.execute("select pg_sleep(300)")
        except psycopg.errors.QueryCanceled as error:
            see("cancelled", [error.sqlstate, error.diag.message_primary])
        finally:
            ended.set()
            thread.join()


def main(dsn):
    with psycopg.connect(dsn) as conn:
        for act in (parameters, prepared, pipelined, cursors, copies):
            act(conn)
            conn.rollback()
    transactions(dsn)
    cancelled(dsn)
    json.dump(SEEN, sys.stdout, indent=1, ensure_ascii=False)


main(sys.argv[1])
