//! Much data: memory stays small, and the time is told beside plain `pg_basebackup`'s.

use std::fs;
use std::time::Instant;

use portreeve::snapshots::State;

use crate::ground::{Ground, cluster_back_end, dump_of, on};

const MEMORY_BYTES_MAX: u64 = 64 << 20;

/// The most memory this process ever had.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn load_of_hundreds_of_megabytes_takes_little_memory() {
    let ground = Ground::new().await;
    let fill = "create table bulk as select i, string_agg(md5(i::text || j), '') as text \
                from generate_series(1, 150000) i, generate_series(1, 60) j group by i; checkpoint";
    ground.cluster.run_sql("acme", fill).await.expect("rows");
    let mut rounds = Vec::new();
    for _ in 0..2 {
        let began = Instant::now();
        let plain = ground.cluster.directory().join("plain.tar");
        let tar = as_superuser_to(&ground, &plain);
        let by_hand = began.elapsed();
        fs::remove_file(&plain).expect("removed");

        let order = ground.order(None);
        let began = Instant::now();
        let taken = ground.take(&cluster_back_end(), &order).await.expect("taken");
        rounds.push((by_hand.as_secs_f64(), began.elapsed().as_secs_f64()));
        assert!(taken.foot.plain_bytes > 300_000_000 && tar > 300_000_000, "{} {tar}", taken.foot.plain_bytes);
    }
    let order = ground.order(None);
    ground.take(&dump_of("acme"), &order).await.expect("taken");
    ground.store.verify(order.id, &ground.private, &ground.programs(), &mut on).expect("verified");
    ground.store.check_stored(order.id, &mut on).expect("as it was written");
    assert!(ground.ours().iter().all(|ours| matches!(ours.state, State::Complete(_))));
    println!("peak {} MiB; pg_basebackup, ours (s): {rounds:.2?}", peak() >> 20);
    assert!(peak() < MEMORY_BYTES_MAX, "{} MiB", peak() >> 20);
}

/// `pg_basebackup` to a file, made durable; bytes of it.
fn as_superuser_to(ground: &Ground, path: &std::path::Path) -> u64 {
    let upstream = ground.upstream();
    let bin = portreeve::cli::demo::cluster::postgres_bin().expect("PostgreSQL");
    let file = fs::File::create(path).expect("created");
    let passfile = ground.dir.path().join("passfile");
    fs::write(&passfile, "*:*:*:*:a\\:b\\\\c d'e\n").expect("written");
    fs::set_permissions(&passfile, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("closed");
    let words = format!(
        "host=127.0.0.1 port={} user={} sslmode=verify-full sslrootcert={} passfile={}",
        upstream.port,
        upstream.user,
        upstream.ca.display(),
        passfile.display()
    );
    let status = std::process::Command::new(bin.join("pg_basebackup"))
        .args(["-D", "-", "-Ft", "-X", "fetch", "-c", "fast", "-d", &words])
        .stdout(file.try_clone().expect("the same file"))
        .status();
    assert!(status.expect("it runs").success());
    file.sync_all().expect("durable");
    file.metadata().expect("its length").len()
}
