//! Snapshots of the stage's whole cluster: ours, checked and sealed, beside plain `pg_basebackup` to a file on the same
//! disk, made durable.
//! Not here: dumps, whose speed is `pg_dump`'s.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use portreeve::audit::keys::generate_key_pair;
use portreeve::cli::demo::cluster::{Cluster, postgres_bin};
use portreeve::clock::{Clock, SystemClock};
use portreeve::disk::RealDisk;
use portreeve::entropy::OsEntropy;
use portreeve::secret::Secret;
use portreeve::snapshots::{
    About, Algorithm, Deleted, Instance, Named, Order, PgBaseBackup, Programs, Progress, Store, Upstream,
};

use super::Failed;
use super::samples::Measured;

const ROLE: &str = "bench_snapshot";
const PASSWORD: &str = "bench";

/// One round, each beside the other; `dir` is made and removed.
pub async fn run(cluster: &Cluster, dir: &Path) -> Result<[(&'static str, Measured); 2], Failed> {
    fs::create_dir(dir)?;
    allow(cluster).await?;
    let upstream = Upstream {
        host: "127.0.0.1".to_owned(),
        port: cluster.port(),
        user: ROLE.to_owned(),
        password: Secret::new(PASSWORD.to_owned()),
        ca: cluster.certificates().cluster_ca.clone(),
        certificate: None,
        database: "postgres".to_owned(),
        private: dir.to_owned(),
    };
    let plain = (plain(&upstream, dir, "CRC32C")?, plain(&upstream, dir, "SHA256")?);
    let sha256 = ours(&upstream, dir, Algorithm::Sha256).await?;
    let crc32c = ours(&upstream, dir, Algorithm::Crc32c).await?;
    fs::remove_dir_all(dir)?;
    let figures = |(crc32c, sha256)| vec![("mb_per_s", crc32c), ("sha256_mb_per_s", sha256)];
    Ok([("portreeve", figures((crc32c, sha256))), ("floor", figures(plain))])
}

/// A role that may stream the cluster, once.
async fn allow(cluster: &Cluster) -> Result<(), Failed> {
    let exists = format!("select 1 from pg_roles where rolname = '{ROLE}'");
    if !cluster.run_sql("postgres", &exists).await?.is_empty() {
        return Ok(());
    }
    let hba = cluster.directory().join("data/pg_hba.conf");
    let lines = fs::read_to_string(&hba)?;
    fs::write(&hba, format!("hostssl all,replication {ROLE} 127.0.0.1/32 scram-sha-256\n{lines}"))?;
    let role = format!(
        "create role {ROLE} login replication password '{PASSWORD}' in role pg_read_all_stats; \
         grant connect on database postgres to {ROLE}; select pg_reload_conf()"
    );
    cluster.run_sql("postgres", &role).await?;
    Ok(())
}

/// MB/s of `pg_basebackup` as one would run it by hand; its own checksums are CRC-32C.
fn plain(upstream: &Upstream, dir: &Path, checksums: &str) -> Result<f64, Failed> {
    let passwords = dir.join("passwords");
    fs::write(&passwords, format!("*:*:*:*:{PASSWORD}\n"))?;
    fs::set_permissions(&passwords, PermissionsExt::from_mode(0o600))?;
    let path = dir.join("plain.tar");
    let begun = Instant::now();
    let file = File::create(&path)?;
    let status = Command::new(postgres_bin()?.join("pg_basebackup"))
        .args(["--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast", "--no-password"])
        .arg(format!("--manifest-checksums={checksums}"))
        .env("PGHOST", &upstream.host)
        .env("PGPORT", upstream.port.to_string())
        .env("PGUSER", ROLE)
        .env("PGSSLMODE", "verify-full")
        .env("PGSSLROOTCERT", &upstream.ca)
        .env("PGPASSFILE", &passwords)
        .stdout(file.try_clone()?)
        .status()?;
    if !status.success() {
        return Err("pg_basebackup failed".into());
    }
    file.sync_all()?;
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = file.metadata()?.len();
    fs::remove_file(&path)?;
    Ok(bytes as f64 / 1e6 / seconds)
}

/// MB/s of ours, before sealing.
async fn ours(upstream: &Upstream, dir: &Path, checksums: Algorithm) -> Result<f64, Failed> {
    let instance = Instance::new([1; 16], &Secret::new([2; 32]));
    let path = dir.join("store");
    let store = match Store::open(Arc::new(RealDisk), &path, instance.clone()) {
        Ok(store) => store,
        Err(_) => Store::create(Arc::new(RealDisk), &path, instance, &OsEntropy)?,
    };
    let lease = store.lease()?;
    let programs = Programs::in_directory(&postgres_bin()?);
    let (recipient, _) = generate_key_pair();
    let (id, started) = (Order::fresh_id(&OsEntropy), SystemClock.now());
    let (customers, bytes_per_second_max) = (Vec::new(), None);
    let order = Order { id, started, slot: None, recipient, customers, bytes_per_second_max };
    let begun = Instant::now();
    let about = About::ask(upstream, None).await?;
    let taken = tokio::task::block_in_place(|| {
        let (back_end, mut on) = (PgBaseBackup { checksums }, |_: Progress| ControlFlow::Continue(()));
        store.take(&lease, &back_end, &programs, upstream, &about, &order, &SystemClock, &OsEntropy, &mut on)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let named = Named { id: order.id, started: taken.header.started() };
    match store.delete(&lease, &named)? {
        Deleted::Removed => Ok(taken.foot.plain_bytes as f64 / 1e6 / seconds),
        Deleted::WasGone => Err("the snapshot was gone before it was deleted".into()),
    }
}
