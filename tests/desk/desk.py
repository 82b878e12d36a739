"""psycopg at the desk: parameters, prepared lines, errors with hints, transactions that are none.

Arguments: conninfo, the digits of a one-time code.
"""

import contextlib
import select
import sys
import time

import psycopg

conninfo, code = sys.argv[1:]
WHY = ("invoices show wrong totals", "SUP-1")

with psycopg.connect(conninfo) as connection:
    # Not in autocommit: psycopg says BEGIN by itself.
    assert connection.execute("SHOW session").fetchone()[0] == "jane"
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    connection.commit()
    ask = "REQUEST %s FOR %s REASON %s TICKET %s NECESSITY %s SCOPE %s"
    row = connection.execute(ask, ("acme", "2 hours", *WHY, None, "metadata")).fetchone()
    assert row[1:5] == ("acme", "metadata", "2 h", "open"), row
    connection.rollback()
    asked = connection.execute("SHOW requests").fetchall()
    assert [line[0] for line in asked] == [row[0]], "what was asked stays asked"
    withdrawn = connection.execute("WITHDRAW %s", (row[0],)).fetchone()
    assert withdrawn[4] == "withdrawn", withdrawn
    try:
        connection.execute(ask, ("acme", "2 hours", *WHY, None, "read"))
        raise AssertionError("more than metadata needs a reason")
    except psycopg.Error as error:
        assert error.sqlstate == "42501", error.sqlstate
        assert "why metadata is not enough" in error.diag.message_primary, error.diag.message_primary
    connection.rollback()
    try:
        connection.execute("REQUEST acme FOR %s", ("soon",))
        raise AssertionError("soon is no duration")
    except psycopg.Error as error:
        assert "2 hours" in error.diag.message_hint, error.diag.message_hint

with psycopg.connect(conninfo, autocommit=True) as connection:
    for _ in range(7):
        # From the sixth time on psycopg prepares by name.
        assert len(connection.execute("SHOW CUSTOMERS").fetchall()) >= 1
    use = "REQUEST acme REASON %s TICKET %s CODE %s"
    grant = connection.execute(use, (*WHY, code)).fetchone()
    assert grant[1:4] == ("acme", "read", "live"), grant
    with connection.cursor(binary=True) as cursor:
        assert cursor.execute("SHOW GRANTS").fetchone()[0] == grant[0]
    with connection.pipeline():
        first = connection.execute("SHOW GRANTS")
        second = connection.execute("RELEASE %s", ("acme",))
    assert first.fetchone()[3] == "live" and second.fetchone()[3] == "ended by staff"

with contextlib.closing(psycopg.connect(conninfo, autocommit=True)) as connection:
    # A client that asks and asks, and never says Sync: what it does not wait for does not pile up at the gate.
    raw = connection.pgconn
    raw.nonblocking = 1
    raw.enter_pipeline_mode()
    for _ in range(400):
        raw.send_query_params(b"SHOW HELP", None)
    until = time.monotonic() + 20
    while raw.flush() or raw.is_busy():
        left = until - time.monotonic()
        assert left > 0, "nothing was answered before Sync"
        if select.select([raw.socket], [], [], left)[0]:
            raw.consume_input()
    assert raw.get_result().ntuples == 10
print("done")
