//! Makes the register's tables and its role in a database, as a superuser.
//! Not here: what they are (`prepare.sql`), and a password of the role, which whoever runs the server gives it.

use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, NoTls};

use super::link::{said, tls};
use crate::config::RegisterServer;
use crate::register::at::Place;
use crate::register::error::Error;
use crate::secret::Secret;

/// The oldest server that is taken.
pub(super) const VERSION_MIN: i32 = 150_000;
const SQL: &str = include_str!("prepare.sql");
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const SETTINGS: &str = "-c search_path=pg_catalog -c lock_timeout=10s -c client_min_messages=warning";

/// Makes what is missing of the register in the database that the configuration names, over the connection string of a
/// superuser: libpq's `host=… port=… user=…`, a socket or the network with TLS. Again at any time.
///
/// # Errors
/// With the server's words; [`Error::Unfit`] if the server is too old, or whoever connects is no superuser.
pub async fn prepare(dsn: &Secret<String>, server: &RegisterServer) -> Result<(), Error> {
    let place = Place::of(server);
    let unfit = |why: &str| Error::Unfit { place: place.clone(), why: why.to_owned() };
    // The parser's message may repeat a part of the text, which may hold a password.
    let mut config: Config = dsn.expose().parse().map_err(|_| {
        unfit("the connection string cannot be read; expected \"host=… port=… user=…\" without sslmode=verify-full")
    })?;
    config.dbname(&server.database).options(SETTINGS).connect_timeout(CONNECT_WITHIN);
    let client = connect(config, server, &place).await?;
    let failed = |fault: tokio_postgres::Error| server_fault("prepare", &place, &fault);
    let about =
        "select current_setting('server_version_num')::int4, rolsuper from pg_roles where rolname = current_user";
    let about = client.query_typed(about, &[]).await.map_err(failed)?;
    let (version, is_super) = about.first().map_or((0, false), |row| (row.get::<_, i32>(0), row.get(1)));
    if version < VERSION_MIN {
        return Err(unfit(&format!("it is PostgreSQL {}; 15 or newer is needed", version / 10_000)));
    }
    if !is_super {
        return Err(unfit("whoever prepares it must be a superuser: name one in the connection string"));
    }
    client.batch_execute("begin").await.map_err(failed)?;
    let role = "select set_config('portreeve.role', $1, true)";
    client.query_typed(role, &[(&server.role, Type::TEXT)]).await.map_err(failed)?;
    client.batch_execute(SQL).await.map_err(failed)?;
    client.batch_execute("commit").await.map_err(failed)
}

async fn connect(mut config: Config, server: &RegisterServer, place: &Place) -> Result<Client, Error> {
    let socket = |host: &Host| matches!(host, Host::Unix(_));
    let is_local = config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(socket);
    let failed = |fault: tokio_postgres::Error| server_fault("connect to", place, &fault);
    if is_local {
        let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
        tokio::spawn(connection);
        return Ok(client);
    }
    config.ssl_mode(SslMode::Require);
    let (client, connection) = config.connect(tls(server)?).await.map_err(failed)?;
    tokio::spawn(connection);
    Ok(client)
}

fn server_fault(doing: &'static str, place: &Place, fault: &tokio_postgres::Error) -> Error {
    Error::Server { doing, place: place.clone(), said: said(fault) }
}
