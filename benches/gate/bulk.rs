//! Much data at once: half a gigabyte of COPY by psql and by a client that only discards, and one value of 100 MB.

use std::pin::pin;
use std::process::Stdio;
use std::time::Instant;

use futures_util::TryStreamExt as _;
use portreeve::cli::demo::stage::said;
use portreeve::net::tls_connect::{VerifiedTls, client_config};

use tokio_postgres::config::{ChannelBinding, SslMode};

use super::Failed;
use super::ground::{Contender, Ground, READ};
use super::process::cpu;
use super::samples::Measured;

/// What is fetched.
#[derive(Clone, Copy, Debug)]
pub enum Bulk {
    /// `\copy` to /dev/null.
    CopyByPsql,
    /// COPY to a client that discards what it gets.
    Copy,
    /// One large value in one row.
    Value,
}

/// All of them.
pub const ALL: [Bulk; 3] = [Bulk::CopyByPsql, Bulk::Copy, Bulk::Value];

impl Bulk {
    /// Its name in the report.
    pub fn id(self) -> &'static str {
        match self {
            Bulk::CopyByPsql => "copy_out_psql",
            Bulk::Copy => "copy_out",
            Bulk::Value => "large_value",
        }
    }
}

/// Fetches it once.
pub async fn run(ground: &Ground, contender: &Contender, bulk: Bulk) -> Result<Measured, Failed> {
    let before = contender.pid.and_then(cpu);
    let begun = Instant::now();
    let bytes = match bulk {
        Bulk::CopyByPsql => {
            by_psql(contender)?;
            None
        }
        Bulk::Copy | Bulk::Value => Some(discarded(contender, bulk).await?),
    };
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = match bytes {
        Some(bytes) => bytes,
        // The same bytes that the discarding client counts.
        None => copied_bytes(ground).await?,
    };
    let mut measured = vec![("mb_per_s", bytes as f64 / 1e6 / seconds)];
    if let (Some(before), Some(after)) = (before, contender.pid.and_then(cpu)) {
        measured.push(("cpu_ms_per_gb", (after - before).as_secs_f64() * 1e3 / (bytes as f64 / 1e9)));
    }
    Ok(measured)
}

fn by_psql(contender: &Contender) -> Result<(), Failed> {
    let mut psql = contender.command("psql", READ);
    psql.args(["-X", "-q", "-c", "\\copy bulk to /dev/null"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = psql.output()?;
    if output.status.success() { Ok(()) } else { Err(format!("psql: {}", said(&output)).into()) }
}

async fn copied_bytes(ground: &Ground) -> Result<usize, Failed> {
    let sql = "select sum(length(id::text) + length(note) + 2) from bulk";
    let rows = ground.stage.cluster.run_sql(READ, sql).await?;
    let count = rows.into_iter().flatten().flatten().next().ok_or("no bytes to copy")?;
    Ok(count.parse()?)
}

async fn discarded(contender: &Contender, bulk: Bulk) -> Result<usize, Failed> {
    let client = connect(contender, READ).await?;
    match bulk {
        Bulk::CopyByPsql | Bulk::Copy => {
            let mut rows = pin!(client.copy_out("copy bulk to stdout").await?);
            let mut bytes = 0;
            while let Some(row) = rows.try_next().await? {
                bytes += row.len();
            }
            Ok(bytes)
        }
        Bulk::Value => {
            let row = client.query_one("select value from large", &[]).await?;
            Ok(row.get::<_, &str>(0).len())
        }
    }
}

/// A connection over TLS; it is driven in the background until the client is dropped.
pub async fn connect(contender: &Contender, database: &str) -> Result<tokio_postgres::Client, Failed> {
    let (client, connection) = configuration(contender, database).connect(tls(contender)?).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// How tokio-postgres reaches a database that way.
pub fn configuration(contender: &Contender, database: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host("localhost").hostaddr([127, 0, 0, 1].into()).port(contender.port).dbname(database);
    config.user(&contender.user).password(&contender.password);
    config.ssl_mode(SslMode::Require).channel_binding(ChannelBinding::Disable);
    config
}

/// What verifies the contender's certificate.
pub fn tls(contender: &Contender) -> Result<VerifiedTls, Failed> {
    Ok(VerifiedTls::new(client_config(&contender.ca, None)?, "localhost")?)
}
