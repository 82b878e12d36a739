// What a script may do with node's pg, pg-cursor and pg-query-stream; prints what it saw. Arguments: where, as JSON.
'use strict'

const fs = require('fs')
const { Client, Pool } = require('pg')
const Cursor = require('pg-cursor')
const QueryStream = require('pg-query-stream')

const seen = []
const see = (what, value) => seen.push([what, value])
const given = JSON.parse(process.argv[2])
const place = { ...given, ssl: given.ca ? { ca: fs.readFileSync(given.ca), servername: 'localhost' } : false }

async function parameters(client) {
  const values = [7, -(2 ** 40), 2.5, "it's é", true, null, [1, 2, null], { a: [1] }]
  for (const value of values) {
    see('parameter', (await client.query('select $1 as value', [value])).rows)
  }
  see('bytes', (await client.query('select $1::bytea as value', [Buffer.from([0, 255, 39])])).rows[0].value.toString('hex'))
  for (const binary of [false, true]) {
    const text = 'select id::int4, full_name, country from contacts where id <= $1 order by id'
    see('rows', (await client.query({ text, values: [30], binary, rowMode: 'array' })).rows)
  }
  see('dates', (await client.query('select born_on, created_at from contacts order by id limit 30')).rows)
  see('simple', (await client.query('select count(*) from orders')).rows)
  see('several', (await client.query('select 1 as a; select 2 as b')).map(({ rows }) => rows))
}

async function prepared(client) {
  const text = 'select full_name from contacts where id = $1'
  for (const id of [1, 2, 3, 4]) {
    see('prepared', (await client.query({ name: 'by-id', text, values: [id] })).rows)
  }
  // Queued at once, sent one after the other.
  const all = [...Array(40).keys()].map((number) => client.query('select $1::int * 2 as twice', [number]))
  see('queued', (await Promise.all(all)).map(({ rows }) => rows[0].twice))
}

// Parse, Bind, Describe and Flush; then Execute and Flush for each piece; Sync comes with the end.
async function cursors(client) {
  const cursor = client.query(new Cursor('select id, email from contacts where id > $1 order by id', [10]))
  for (let rows = await cursor.read(400); rows.length > 0; rows = await cursor.read(400)) {
    see('read', rows)
  }
  await cursor.close()
  const broken = client.query(new Cursor('select id from contacts order by id'))
  see('some', await broken.read(5))
  await broken.close()
  const failing = client.query(new Cursor('select 1 / (3 - g) from generate_series(1, 5) g'))
  see('before', await failing.read(2))
  see('error', await failing.read(2).catch((error) => error.code))
  await failing.close()
  const streamed = []
  for await (const row of client.query(new QueryStream('select g from generate_series(1, 1000) g', [], { batchSize: 90 }))) {
    streamed.push(row.g)
  }
  see('streamed', streamed)
  for await (const row of client.query(new QueryStream('select id from orders order by id'))) {
    see('broken off', row)
    break
  }
  see('after', (await client.query('select 1 as one')).rows)
}

async function transactions(client) {
  const error = (thrown) => [thrown.code, thrown.message, thrown.position]
  await client.query('begin')
  see('error', await client.query('select nothing_like_it').catch(error))
  see('aborted', await client.query('select $1::int', [1]).catch(error))
  see('ended', (await client.query('commit')).command)
  see('division', await client.query('select 1 / $1::int', [0]).catch(error))
  await client.query('begin isolation level serializable read only')
  see('isolation', (await client.query('show transaction_isolation')).rows)
  await client.query('rollback')
}

async function notices(client) {
  const said = []
  client.on('notice', ({ message }) => said.push(message))
  await client.query("do $$ begin raise notice 'hello é'; end $$")
  const heard = new Promise((resolve) => client.once('notification', resolve))
  await client.query('listen news')
  await client.query('select pg_notify($1, $2)', ['news', 'from myself'])
  const { channel, payload } = await heard
  see('notification', [channel, payload])
  await client.query('unlisten news')
  see('notices', said.filter((text) => !text.startsWith('access to customer')))
}

// Without TLS, as pg does it, and again and again: a cancel that comes before the statement runs is lost.
async function cancelled(client) {
  const query = client.query('select pg_sleep(300)')
  const ended = query.then(() => null, (error) => [error.code, error.message])
  let is_over = false
  ended.then(() => { is_over = true })
  while (!is_over) {
    await new Promise((resolve) => {
      const canceller = new Client(place)
      canceller.connection.once('end', resolve)
      canceller.connection.once('error', resolve)
      canceller.connection.once('connect', () => canceller.connection.cancel(client.processID, client.secretKey))
      if (place.host.startsWith('/')) {
        canceller.connection.connect(`${place.host}/.s.PGSQL.${place.port}`)
      } else {
        canceller.connection.connect(place.port, place.host)
      }
    })
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  see('cancelled', await ended)
  see('alive', (await client.query('select 1 as one, pg_sleep(0.2)')).rows)
}

async function main() {
  const client = new Client({ ...place, application_name: 'node' })
  await client.connect()
  for (const act of [parameters, prepared, cursors, transactions, notices, cancelled]) {
    await act(client)
  }
  await client.end()
  const pool = new Pool({ ...place, application_name: 'node', max: 1 })
  for (const number of [1, 2, 3]) {
    see('pooled', (await pool.query('select $1::int as number', [number])).rows)
  }
  await pool.end()
  console.log(JSON.stringify(seen, null, 1))
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
