//! What a cluster says of itself just before a snapshot: version, identity, its clock, its size.
//! Not here: anything that changes it.

use std::time::Duration;

use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, SimpleQueryMessage};

use super::child::Upstream;
use super::error::Error;
use crate::clock::Timestamp;
use crate::net::tls_connect::{Identity, VerifiedTls, client_config};

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Sizes are counted where the role may see them: elsewhere they are missing, and so is the estimate.
const QUESTION: &str = "\
select current_setting('server_version'),
       (select system_identifier from pg_control_system()),
       (extract(epoch from clock_timestamp()) * 1000000)::bigint,
       pg_database_size(current_database()),
       (select sum(case when has_database_privilege(oid, 'connect')
                          or pg_has_role('pg_read_all_stats', 'usage') then pg_database_size(oid) end)::bigint
        from pg_database)";

/// What the cluster said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Such as `15.18`.
    pub server_version: String,
    /// The number that `initdb` gave it.
    pub system_identifier: u64,
    /// Its clock.
    pub now: Timestamp,
    /// Bytes of the database that was asked.
    pub database_bytes: Option<u64>,
    /// Bytes of all its databases.
    pub cluster_bytes: Option<u64>,
}

impl About {
    /// Asks; in that database, or in the one for questions about the whole cluster.
    ///
    /// # Errors
    /// [`Error::Database`] if it cannot be reached, trusted or asked within 30 s.
    pub async fn ask(upstream: &Upstream, database: Option<&str>) -> Result<About, Error> {
        let fault = |detail: String| Error::Database { place: upstream.place(), detail };
        let asked = tokio::time::timeout(ANSWER_WITHIN, ask(upstream, database.unwrap_or(&upstream.database))).await;
        asked.unwrap_or_else(|_| Err(format!("no answer within {ANSWER_WITHIN:?}"))).map_err(fault)
    }
}

async fn ask(upstream: &Upstream, database: &str) -> Result<About, String> {
    let identity = upstream.certificate.as_ref().map(|(chain, key)| Identity { chain, key });
    let tls = client_config(&upstream.ca, identity).map_err(|error| error.to_string())?;
    let tls = VerifiedTls::new(tls, &upstream.host).map_err(|error| error.to_string())?;
    let mut config = Config::new();
    config
        .host(&upstream.host)
        .port(upstream.port)
        .user(&upstream.user)
        .password(upstream.password.expose())
        .dbname(database)
        .application_name("portreeve snapshots")
        .ssl_mode(SslMode::Require);
    let (client, connection) = config.connect(tls).await.map_err(|error| words(&error))?;
    let driver = tokio::spawn(connection);
    let answer = client.simple_query(QUESTION).await.map_err(|error| words(&error));
    drop(client);
    if let Ok(Err(error)) = driver.await {
        tracing::debug!(%error, "a connection that was no longer needed ended badly");
    }
    let row = answer?.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.ok_or("it answered without a row")?;
    let number = |at: usize| row.get(at).and_then(|text| text.parse::<i64>().ok());
    let missing = || "it does not say who it is".to_owned();
    Ok(About {
        server_version: row.get(0).and_then(|text| text.split_whitespace().next()).ok_or_else(missing)?.to_owned(),
        // PostgreSQL shows its unsigned number as a signed one.
        system_identifier: number(1).ok_or_else(missing)?.cast_unsigned(),
        now: Timestamp(number(2).ok_or_else(missing)?),
        database_bytes: number(3).and_then(|bytes| bytes.try_into().ok()),
        cluster_bytes: number(4).and_then(|bytes| bytes.try_into().ok()),
    })
}

/// tokio-postgres prints only "db error"; the server's own words, or the cause's, are inside.
fn words(error: &tokio_postgres::Error) -> String {
    use std::error::Error as _;
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => said.to_string(),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}
