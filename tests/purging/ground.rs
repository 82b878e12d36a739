//! What these tests stand on: a PostgreSQL of their own.

use std::path::Path;

use portreeve::cli::demo::cluster::{Cluster, Settings};
use portreeve::datamap::DataMap;
use portreeve::purge::{Connection, Road};
use portreeve::secret::Secret;

/// A server with an empty database `shared`.
pub async fn cluster() -> Cluster {
    let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
    let parameters = vec![("max_locks_per_transaction".to_owned(), "512".to_owned())];
    let cluster = Cluster::start(Settings { cache, parameters, ..Settings::default() }).await.expect("a cluster");
    cluster.create_database("shared").await.expect("a database");
    cluster
}

/// The superuser's road.
pub fn road(cluster: &Cluster) -> Road {
    Road::new(&Secret::new(cluster.superuser_dsn("postgres")), None).expect("a road")
}

pub async fn connect(cluster: &Cluster, database: &str) -> Connection {
    road(cluster).connect(database).await.expect("a connection")
}

pub fn map(text: &str) -> DataMap {
    DataMap::parse("datamap.toml", text).expect("a data map")
}
