//! One customer's archive: all rows of one snapshot as COPY text, the schema, large objects and a manifest with counts
//! and SHA-256, as a tar stream into a sink. Memory does not grow with the rows.
//! Not here: encryption, which is the sink's, where it goes, and who counts it again (`recount.rs`).

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use aws_lc_rs::digest::{Context, SHA256, digest};
use serde::Serialize;
use tokio::io::AsyncWrite;
use tokio_postgres::{IsolationLevel, Row, Transaction};

use super::copied::copied;
use super::objects::REFERRING;
use super::recount::{Difference, Whose, listed, recount};
use super::{Connection, Error, catalog, tape};
use crate::datamap::catalog::{Column, Kind, Relation};
use crate::datamap::name::{identifier, identifiers, literal};
use crate::datamap::{Catalog, DataMap, Erase, Layout, TableName};

/// About how much of a table one file of the archive holds, in bytes; a longer row has a file to itself.
const PART_BYTES: usize = 4 << 20;
/// How much of a large object is read at a time, in bytes.
const PIECE_BYTES: u64 = 1 << 20;

const README: &str = "\
manifest.json      what is in here: tables, columns, rows, bytes, SHA-256 of each table's parts one after the other
schema.sql         makes the tables; run it first
constraints.sql    keys, indexes and triggers; run it last (only where the database was the customer's own)
tables/N/*.copy    rows in PostgreSQL's COPY text format. For table N of the manifest:
                   cat tables/N/*.copy | psql -c 'COPY schema.table (columns) FROM STDIN'
large-objects/OID  contents of large objects, parts one after the other
";

/// Where the schema comes from.
#[derive(Clone, Debug)]
pub enum Schema {
    /// Made from the catalog: tables, columns, primary keys. Enumerations become text.
    Generated,
    /// What `pg_dump --schema-only` says.
    PgDump {
        /// The program.
        program: PathBuf,
        /// A connection string without a secret.
        dsn: String,
        /// A file in the form of `.pgpass`, if a password is needed.
        password_file: Option<PathBuf>,
    },
}

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The database.
    #[error(transparent)]
    Upstream(#[from] Error),
    /// The sink.
    #[error("cannot write the archive: {0}")]
    Sink(#[from] io::Error),
    /// `pg_dump`.
    #[error("{program} failed: {said}")]
    Dump {
        /// Which program.
        program: String,
        /// Its last words.
        said: String,
    },
    /// What was written is not what a second count found in the same snapshot. Ours, or the database's: a damaged index.
    #[error(
        "the archive does not hold what the database holds ({}): it is given up and nothing is dropped; if the next one ends \
         so, too, run \"reindex database\", move or detach tables that were left out, and report what stays",
        listed(.0)
    )]
    Differs(Vec<Difference>),
}

/// One table of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Archived {
    /// Which.
    pub table: TableName,
    /// The columns, in the order of the rows' fields.
    pub columns: Vec<String>,
    /// How many rows.
    pub rows: u64,
    /// How many bytes in all parts.
    pub bytes: u64,
    /// How many parts.
    pub parts: u32,
    /// SHA-256 of all parts, one after the other.
    pub sha256: String,
}

/// One large object of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Object {
    /// Its oid in the database it came from.
    pub oid: u32,
    /// How many bytes.
    pub bytes: u64,
    /// SHA-256 of them.
    pub sha256: String,
}

/// What an archive holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// 1.
    pub version: u32,
    /// The snapshot's moment as the database says it.
    pub taken_at: String,
    /// SHA-256 of `schema.sql`.
    pub schema_sha256: String,
    /// Every table, those without a row of the customer's too.
    pub tables: Vec<Archived>,
    /// Every large object the rows refer to; of a whole database, every one.
    pub large_objects: Vec<Object>,
}

impl Manifest {
    /// How many rows in all.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// Writes the archive of `customer` (a key of the tenant columns; in a database of its own it is not looked at).
/// `tell` is told of each table and its rows.
///
/// # Errors
/// Any [`ArchiveError`]; what is in the sink then is no archive: it has no manifest.
pub async fn archive<W: AsyncWrite + Unpin>(
    connection: &mut Connection,
    map: &DataMap,
    customer: &str,
    (schema, within): (&Schema, Option<&str>),
    sink: &mut W,
    tell: &mut (dyn FnMut(&TableName, u64) + Send),
) -> Result<Manifest, ArchiveError> {
    let catalog = catalog(connection).await?;
    let database = connection.database().to_owned();
    let failed = |error| Error::database(&database, error);
    let building = connection.client.build_transaction().read_only(true);
    let transaction = building.isolation_level(IsolationLevel::RepeatableRead).start().await.map_err(failed)?;
    let sql = "select pg_export_snapshot(), to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let row = transaction.query_one(sql, &[]).await.map_err(failed)?;
    let (snapshot, taken_at): (String, String) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
    tape::file(sink, "README.txt", README.as_bytes()).await?;
    let tables: Vec<&Relation> =
        archived(map, &catalog).filter(|relation| within.is_none_or(|schema| relation.name.schema == schema)).collect();
    let (first, last) = match schema {
        Schema::Generated => (generated(&tables), None),
        Schema::PgDump { .. } => {
            (dumped(schema, &snapshot, "pre-data").await?, Some(dumped(schema, &snapshot, "post-data").await?))
        }
    };
    tape::file(sink, "schema.sql", first.as_bytes()).await?;
    let mut manifest = Manifest {
        version: 1,
        taken_at,
        schema_sha256: hexadecimal(digest(&SHA256, first.as_bytes()).as_ref()),
        tables: Vec::new(),
        large_objects: Vec::new(),
    };
    let mut objects = BTreeSet::new();
    for (number, relation) in tables.iter().enumerate() {
        // A database, or a schema, of the customer's own is theirs as a whole, whatever a map says of it.
        let condition = match map.layout {
            Layout::Database => "true".to_owned(),
            Layout::Shared => map.condition(&catalog, &relation.name, customer),
        };
        let mut tape =
            Tape { sink: &mut *sink, folder: format!("tables/{number}"), end: ".copy", part: Vec::new(), parts: 0 };
        let archived = table(&transaction, &database, relation, &condition, &mut tape).await?;
        tell(&archived.table, archived.rows);
        manifest.tables.push(archived);
        for column in map.tables.get(&relation.name).into_iter().flat_map(|entry| &entry.large_objects) {
            let sql = format!(
                "select distinct t.{0} from {1} t join pg_largeobject_metadata m on m.oid = t.{0} where {condition}",
                identifier(column),
                relation.name.sql()
            );
            for row in transaction.query(&sql, &[]).await.map_err(failed)? {
                objects.insert(row.try_get::<_, u32>(0).map_err(failed)?);
            }
        }
    }
    if map.layout == Layout::Database {
        objects.extend(whole(&transaction, within).await.map_err(failed)?);
    }
    for oid in objects {
        let mut tape =
            Tape { sink: &mut *sink, folder: format!("large-objects/{oid}"), end: "", part: Vec::new(), parts: 0 };
        manifest.large_objects.push(object(&transaction, &database, oid, &mut tape).await?);
    }
    if let Some(last) = last {
        tape::file(sink, "constraints.sql", last.as_bytes()).await?;
    }
    let differences = recount(&transaction, &Whose { map, customer, within }, &manifest).await.map_err(failed)?;
    if !differences.is_empty() {
        return Err(ArchiveError::Differs(differences));
    }
    transaction.commit().await.map_err(failed)?;
    let text = serde_json::to_vec_pretty(&manifest).map_err(io::Error::from)?;
    tape::file(sink, "manifest.json", &text).await?;
    tape::end(sink).await?;
    Ok(manifest)
}

/// Large objects of what is the customer's as a whole and goes as a whole: every one of the database, or each that a
/// table of the schema `within` names.
async fn whole(transaction: &Transaction<'_>, within: Option<&str>) -> Result<Vec<u32>, tokio_postgres::Error> {
    let mut found = Vec::new();
    let sql = match within {
        None => vec!["select oid from pg_largeobject_metadata".to_owned()],
        Some(schema) => {
            let of =
                format!("{REFERRING} n.nspname = {} and c.relkind in ('r', 'm') and c.relispopulated", literal(schema));
            let each = |row: Row| {
                let table = TableName::new(row.try_get::<_, String>(1)?, row.try_get::<_, String>(2)?);
                let column = identifier(&row.try_get::<_, String>(3)?);
                let from = format!("from only {} t join pg_largeobject_metadata m on m.oid = t.{column}", table.sql());
                Ok::<_, tokio_postgres::Error>(format!("select distinct m.oid {from}"))
            };
            transaction.query(&of, &[]).await?.into_iter().map(each).collect::<Result<_, _>>()?
        }
    };
    for sql in sql {
        for row in transaction.query(&sql, &[]).await? {
            found.push(row.try_get(0)?);
        }
    }
    Ok(found)
}

/// The tables with a customer's rows; in a database of its own, those that a purge would keep, too.
fn archived<'a>(map: &'a DataMap, catalog: &'a Catalog) -> impl Iterator<Item = &'a Relation> {
    let tables = catalog.relations().filter(|relation| relation.partition_of.is_none());
    let tables = tables.filter(|relation| matches!(relation.kind, Kind::Table | Kind::Partitioned));
    tables.filter(|relation| {
        let entry = map.tables.get(&relation.name);
        map.layout == Layout::Database || entry.is_some_and(|entry| entry.erase == Erase::Delete)
    })
}

/// Files of a folder, each filled up to about [`PART_BYTES`].
struct Tape<'a, W> {
    sink: &'a mut W,
    folder: String,
    end: &'static str,
    part: Vec<u8>,
    parts: u32,
}

impl<W: AsyncWrite + Unpin> Tape<'_, W> {
    async fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.part.is_empty() && self.part.len() + bytes.len() > PART_BYTES {
            self.turn().await?;
        }
        self.part.extend_from_slice(bytes);
        Ok(())
    }

    async fn turn(&mut self) -> io::Result<()> {
        self.parts += 1;
        let name = format!("{}/{:08}{}", self.folder, self.parts, self.end);
        tape::file(self.sink, &name, &self.part).await?;
        self.part.clear();
        Ok(())
    }
}

async fn table<W: AsyncWrite + Unpin>(
    transaction: &Transaction<'_>,
    database: &str,
    relation: &Relation,
    condition: &str,
    tape: &mut Tape<'_, W>,
) -> Result<Archived, ArchiveError> {
    let columns: Vec<String> = stored(relation).map(|column| column.name.clone()).collect();
    let list: Vec<String> = columns.iter().map(|column| format!("t.{}", identifier(column))).collect();
    let only = if relation.kind == Kind::Table { "only " } else { "" };
    let sql =
        format!("copy (select {} from {only}{} t where {condition}) to stdout", list.join(", "), relation.name.sql());
    let (mut rows, mut bytes, mut hash) = (0, 0, Context::new(&SHA256));
    copied(transaction, database, &sql, async |chunk| {
        hash.update(&chunk);
        bytes += u64::try_from(chunk.len()).unwrap_or(0);
        // a line end within a value is written as \n: each real one ends a row
        rows += u64::try_from(chunk.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(0);
        tape.put(&chunk).await?;
        Ok::<(), ArchiveError>(())
    })
    .await?;
    if !tape.part.is_empty() {
        tape.turn().await?;
    }
    let (table, parts, sha256) = (relation.name.clone(), tape.parts, hexadecimal(hash.finish().as_ref()));
    Ok(Archived { table, columns, rows, bytes, parts, sha256 })
}

/// Columns that are written back; generated ones make themselves.
fn stored(relation: &Relation) -> impl Iterator<Item = &Column> {
    relation.columns.iter().filter(|column| !column.is_generated)
}

async fn object<W: AsyncWrite + Unpin>(
    transaction: &Transaction<'_>,
    database: &str,
    oid: u32,
    tape: &mut Tape<'_, W>,
) -> Result<Object, ArchiveError> {
    let failed = |error| ArchiveError::from(Error::database(database, error));
    let (mut bytes, mut hash) = (0, Context::new(&SHA256));
    loop {
        let sql = format!("select lo_get({oid}::oid, {bytes}, {PIECE_BYTES})");
        let row = transaction.query_one(&sql, &[]).await.map_err(failed)?;
        let piece: Vec<u8> = row.try_get(0).map_err(failed)?;
        if piece.is_empty() {
            break;
        }
        hash.update(&piece);
        bytes += u64::try_from(piece.len()).unwrap_or(0);
        tape.put(&piece).await?;
    }
    // an empty object has an empty part
    tape.turn().await?;
    Ok(Object { oid, bytes, sha256: hexadecimal(hash.finish().as_ref()) })
}

fn generated(tables: &[&Relation]) -> String {
    let schemas: BTreeSet<&String> = tables.iter().map(|table| &table.name.schema).collect();
    let mut text: String =
        schemas.into_iter().map(|schema| format!("create schema if not exists {};\n", identifier(schema))).collect();
    for table in tables {
        let mut lines: Vec<String> = stored(table)
            .map(|column| {
                let kind = if column.type_category == 'E' { "text" } else { &column.type_name };
                format!("    {} {kind}{}", identifier(&column.name), if column.is_required { " not null" } else { "" })
            })
            .collect();
        let is_whole = table.primary_key.iter().all(|key| stored(table).any(|column| column.name == *key));
        if !table.primary_key.is_empty() && is_whole {
            lines.push(format!("    primary key ({})", identifiers(&table.primary_key)));
        }
        text.push_str(&format!("create table {} (\n{}\n);\n", table.name.sql(), lines.join(",\n")));
    }
    text
}

/// What pg_dump says in the same snapshot.
async fn dumped(schema: &Schema, snapshot: &str, section: &str) -> Result<String, ArchiveError> {
    let Schema::PgDump { program, dsn, password_file } = schema else {
        return Ok(String::new());
    };
    let mut command = tokio::process::Command::new(program);
    command.args(["--schema-only", "--no-owner", "--no-privileges", "--exclude-schema=portreeve"]);
    command.arg(format!("--section={section}")).arg(format!("--snapshot={snapshot}")).arg(format!("--dbname={dsn}"));
    command.stdin(std::process::Stdio::null()).kill_on_drop(true);
    if let Some(file) = password_file {
        command.env("PGPASSFILE", file);
    }
    let output = command.output().await?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match (output.status.success(), String::from_utf8(output.stdout)) {
        (true, Ok(text)) => Ok(text),
        (true, Err(_)) => Err(ArchiveError::Dump {
            program: program.display().to_string(),
            said: "its answer is no UTF-8".to_owned(),
        }),
        (false, _) => Err(ArchiveError::Dump { program: program.display().to_string(), said }),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
