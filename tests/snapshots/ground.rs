//! A cluster with customers, a store beside it, and whoever may snapshot it.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portreeve::audit::keys::generate_key_pair;
use portreeve::cli::demo::cluster::{Cluster, Settings, postgres_bin};
use portreeve::clock::{Clock, SystemClock, Timestamp};
use portreeve::disk::RealDisk;
use portreeve::entropy::OsEntropy;
use portreeve::ids::{CustomerId, SnapshotId};
use portreeve::secret::Secret;
use portreeve::snapshots::{
    About, Algorithm, BackEnd, Error, Found, Instance, Order, Ours, PgBaseBackup, PgDump, Programs, Progress, Store,
    Taken, Upstream,
};
use tempfile::TempDir;

pub(crate) const INSTANCE: [u8; 16] = *b"the-instance-one";
pub(crate) const KEY: [u8; 32] = [7; 32];
const ROLE: &str = "portreeve_snapshot";
const PASSWORD: &str = r"a:b\c d'e";

pub(crate) struct Ground {
    pub(crate) cluster: Cluster,
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
    pub(crate) public: [u8; 32],
    pub(crate) private: Secret<[u8; 32]>,
}

pub(crate) fn instance() -> Instance {
    Instance::new(INSTANCE, &Secret::new(KEY))
}

pub(crate) fn on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

impl Ground {
    /// Two customers' databases; a role with REPLICATION that reads everything.
    pub(crate) async fn new() -> Ground {
        let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
        let cluster = Cluster::start(Settings { cache, ..Settings::default() }).await.expect("a cluster");
        let hba = cluster.directory().join("data/pg_hba.conf");
        let lines = fs::read_to_string(&hba).expect("readable");
        let roads = format!(
            "hostssl all,replication {ROLE} 127.0.0.1/32 scram-sha-256\nlocal replication postgres trust\n{lines}"
        );
        fs::write(&hba, roads).expect("writable");
        let verifier = PASSWORD.replace('\'', "''");
        let sql = format!(
            "create role {ROLE} login replication password '{verifier}' in role pg_read_all_data, pg_read_all_stats; \
             grant connect on database postgres to {ROLE}; select pg_reload_conf()"
        );
        cluster.run_sql("postgres", &sql).await.expect("a role");
        for database in ["acme", "globex"] {
            cluster.create_database(database).await.expect("a database");
            cluster.seed(database).await.expect("rows");
        }
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::create(Arc::new(RealDisk), &dir.path().join("store"), instance(), &OsEntropy);
        let (public, private) = generate_key_pair();
        Ground { cluster, dir, store: store.expect("a store"), public, private }
    }

    pub(crate) fn programs(&self) -> Programs {
        Programs::in_directory(&postgres_bin().expect("PostgreSQL"))
    }

    pub(crate) fn upstream(&self) -> Upstream {
        let private = self.dir.path().join("run");
        fs::create_dir_all(&private).expect("a directory");
        Upstream {
            host: "127.0.0.1".to_owned(),
            port: self.cluster.port(),
            user: ROLE.to_owned(),
            password: Secret::new(PASSWORD.to_owned()),
            ca: self.cluster.certificates().cluster_ca.clone(),
            certificate: None,
            database: "postgres".to_owned(),
            private,
        }
    }

    pub(crate) fn order(&self, slot: Option<Timestamp>) -> Order {
        let customers = vec![CustomerId(7), CustomerId(8)];
        let (id, started) = (Order::fresh_id(&OsEntropy), now());
        Order { id, started, slot, recipient: self.public, customers, bytes_per_second_max: None }
    }

    pub(crate) async fn take(&self, back_end: &dyn BackEnd, order: &Order) -> Result<Taken, Error> {
        let upstream = self.upstream();
        let about = About::ask(&upstream, back_end.database()).await?;
        let lease = self.store.lease()?;
        let programs = self.programs();
        tokio::task::block_in_place(|| {
            self.store.take(&lease, back_end, &programs, &upstream, &about, order, &SystemClock, &OsEntropy, &mut on)
        })
    }

    /// Files in the store other than its own three.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.store.dir()).expect("listed");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.filter(|name| !["store", "lease", "fence"].contains(&name.as_str())).collect()
    }

    pub(crate) fn ours(&self) -> Vec<Ours> {
        let found = self.store.list().expect("a list");
        let ours = found.into_iter().filter_map(|found| match found {
            Found::Ours(ours) => Some(*ours),
            Found::Foreign(_) => None,
        });
        ours.collect()
    }

    pub(crate) fn path(&self, id: SnapshotId) -> PathBuf {
        self.store.dir().join(format!("{id}.snapshot"))
    }
}

pub(crate) fn cluster_back_end() -> PgBaseBackup {
    PgBaseBackup { checksums: Algorithm::Sha256 }
}

pub(crate) fn dump_of(database: &str) -> PgDump {
    PgDump { database: database.to_owned(), compression: 1 }
}

pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}
