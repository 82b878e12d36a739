"""What a script may do with asyncpg, whose pipelines end in Flush; prints what it saw. Arguments: where, and the scope."""

import asyncio
import datetime
import decimal
import io
import json
import ssl
import sys
import uuid

import asyncpg
from psycopg.conninfo import conninfo_to_dict

SEEN = []


def see(what, value):
    SEEN.append([what, json.loads(json.dumps(value, default=str))])


def place(conninfo):
    given = conninfo_to_dict(conninfo)
    told = {"host": given["host"], "port": int(given["port"]), "user": given["user"], "database": given["dbname"]}
    if "sslrootcert" in given:
        told["ssl"] = ssl.create_default_context(cafile=given["sslrootcert"])
        told["server_settings"] = {"application_name": "asyncpg"}
    return told


async def parameters(conn):
    values = {
        "int4": 7, "int8": -(2**40), "float8": 2.5, "numeric": decimal.Decimal("-0.00120"), "text": "it's é",
        "bytea": b"\x00\xff'", "bool": True, "uuid": uuid.UUID(int=0x00112233445566778899AABBCCDDEEFF),
        "date": datetime.date(2024, 2, 29), "int4[]": [1, 2, None], "text[]": ["a", 'q"uote', "c,d"],
        "timestamptz": datetime.datetime(2026, 11, 21, 23, 36, 0, 5, datetime.timezone.utc),
    }
    for kind, value in values.items():
        see(kind, await conn.fetchval(f"select $1::{kind}", value))
        see(f"no {kind}", await conn.fetchval(f"select $1::{kind}", None))
    see("rows", [tuple(row) for row in await conn.fetch("select * from contacts order by id limit 40")])
    # A type that asyncpg has to ask the catalogue about, with statements of its own.
    see("domain", await conn.fetchval("select $1::information_schema.cardinal_number", 5))


async def prepared(conn):
    statement = await conn.prepare("select full_name from contacts where id = $1")
    see("columns", [attribute.name for attribute in statement.get_attributes()])
    for number in range(5):
        see("prepared", await statement.fetchval(number + 1))
    many = await conn.fetchmany("select $1::int * 2", [(number,) for number in range(50)])
    see("many", [tuple(row) for row in many])
    await conn.executemany("select $1::int4", [(number,) for number in range(50)])


async def cursors(conn):
    async with conn.transaction():
        rows = [tuple(row) async for row in conn.cursor("select id, email from contacts order by id", prefetch=170)]
        see("cursor", rows)
        cursor = await conn.cursor("select id from orders order by id")
        await cursor.forward(100)
        see("scrolled", [row["id"] for row in await cursor.fetch(3)])


async def copies(conn):
    for form in ("text", "csv", "binary"):
        out = io.BytesIO()
        query = "select id, full_name, born_on from contacts where id > $1 order by id"
        see("tag", await conn.copy_from_query(query, 30, output=out, format=form))
        see(form, out.getvalue().hex())


async def transactions(conn):
    try:
        async with conn.transaction():
            async with conn.transaction():
                await conn.execute("select nothing_like_it")
    except asyncpg.UndefinedColumnError as error:
        see("error", [error.sqlstate, error.args[0], error.position])
    try:
        await conn.fetch("select 1 / (g - $1) from generate_series(1, 3) g", 2)
    except asyncpg.DivisionByZeroError as error:
        see("error", error.sqlstate)
    async with conn.transaction(isolation="serializable", readonly=True):
        see("isolation", await conn.fetchval("show transaction_isolation"))
    see("several", await conn.execute("select 1; select 2"))


async def notices(conn):
    said, heard = [], asyncio.Queue()
    conn.add_log_listener(lambda _, message: said.append(message.message))
    await conn.execute("do $$ begin raise notice 'hello é'; end $$")

    def hear(_, pid, channel, payload):
        heard.put_nowait([channel, payload])

    await conn.add_listener("news", hear)
    await conn.execute("select pg_notify('news', $1)", "from myself")
    see("notification", await asyncio.wait_for(heard.get(), 20))
    await conn.remove_listener("news", hear)
    see("notices", [text for text in said if not text.startswith("access to customer")])


async def cancelled(conn):
    # asyncpg cancels what runs out of time, over a connection of its own.
    try:
        await conn.fetch("select pg_sleep(300)", timeout=0.5)
    except asyncio.TimeoutError:
        see("cancelled", await conn.fetchval("select 'alive'"))
    for number in range(20):
        try:
            await conn.fetch("select pg_sleep(3)", timeout=0.05)
        except asyncio.TimeoutError:
            see("cancelled again", await conn.fetchval("select $1::int, pg_sleep(0.005)", number))


async def writes(conn):
    records = [(number, f"name {number}") for number in range(3000)]
    see("records", await conn.copy_records_to_table("imported", records=records, columns=["id", "name"]))
    text = "".join(f"{number}\tname {number}\n" for number in range(3000, 6000)).encode()
    see("table", await conn.copy_to_table("imported", source=io.BytesIO(text)))
    await conn.executemany("insert into imported values ($1, $2)", [(number, "x") for number in range(6000, 6100)])
    try:
        await conn.copy_records_to_table("imported", records=[(0, "twice")])
    except asyncpg.UniqueViolationError as error:
        see("error", error.sqlstate)

    async def breaks():
        yield b"9000\tx\n"
        raise ValueError("changed my mind")

    try:
        await conn.copy_to_table("imported", source=breaks())
    except (ValueError, asyncpg.QueryCanceledError) as error:
        see("given up", type(error).__name__)
    see("rows", [tuple(row) for row in await conn.fetch("select count(*), sum(length(name)) from imported")])
    see("emptied", await conn.execute("delete from imported"))


async def main(conninfo, scope):
    acts = [parameters, prepared, cursors, copies, transactions, notices, cancelled]
    if scope == "write":
        acts.append(writes)
    conn = await asyncpg.connect(**place(conninfo), timeout=20)
    for act in acts:
        await act(conn)
    await conn.close()
    # Each connection that goes back to a pool is reset.
    async with asyncpg.create_pool(**place(conninfo), min_size=1, max_size=1) as pool:
        for number in range(3):
            see("pooled", await pool.fetchval("select $1::int", number))
    json.dump(SEEN, sys.stdout, indent=1, ensure_ascii=False)


asyncio.run(main(*sys.argv[1:]))
