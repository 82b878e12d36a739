//! What was there before us: taken in with the start it had, or refused.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::time::Duration;

use portreeve::clock::{SystemClock, Timestamp};
use portreeve::entropy::OsEntropy;
use portreeve::snapshots::{Error, Kind, Order, Origin, Taken};

use crate::ground::{Ground, now, on};
use crate::restored::as_superuser;

fn adopt(ground: &Ground, path: &Path, started: Timestamp) -> Result<Taken, Error> {
    let lease = ground.store.lease()?;
    let (programs, order) = (ground.programs(), Order { started, ..ground.order(None) });
    ground.store.adopt(&lease, &programs, path, &order, &SystemClock, &OsEntropy, &mut on)
}

fn before(moment: Timestamp, hours: u64) -> Timestamp {
    let micros = i64::try_from(Duration::from_secs(hours * 3600).as_micros()).expect("not that long");
    Timestamp(moment.0 - micros)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_is_taken_in_with_its_start() {
    let ground = Ground::new().await;
    let path = ground.dir.path().join("nightly.dump");
    let dump = as_superuser(&ground.cluster, "pg_dump", &["-Fc", "acme"]);
    fs::write(&path, &dump).expect("written");
    let started = before(now(), 9);
    let taken = adopt(&ground, &path, started).expect("nine hours may be a time zone");
    assert_eq!((taken.header.kind, taken.header.origin), (Kind::PgDump, Origin::Adopted));
    assert_eq!(taken.header.started(), started);
    assert!(taken.header.server_version.starts_with("1"), "{:?}", taken.header.server_version);
    let verified = ground.store.verify(taken.header.id(), &ground.private, &ground.programs(), &mut on);
    let verified = verified.expect("verified");
    assert_eq!((verified.names.database.as_str(), verified.bytes), ("acme", dump.len() as u64));
    assert!(path.exists(), "the original is its owner's to remove");

    for (stated, expected) in [
        (before(now(), 72), "says that it was begun"),
        (now().plus(Duration::from_secs(600)), "cannot have been begun"),
    ] {
        let refused = adopt(&ground, &path, stated).expect_err("another start").to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    // Cut off within its rows: the table of contents is there all the same, so only a full reading tells.
    fs::write(&path, b"PGDMP and then nothing").expect("written");
    let torn = adopt(&ground, &path, started).expect_err("no dump");
    assert!(matches!(torn, Error::NotVerified(_)), "{torn}");
    assert_eq!(ground.ours().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_backup_is_taken_in_or_found_to_differ() {
    let ground = Ground::new().await;
    let path = ground.cluster.directory().join("nightly");
    fs::create_dir(&path).expect("created");
    let owner = fs::metadata(ground.cluster.directory().join("data")).expect("the data");
    chown(&path, Some(owner.uid()), Some(owner.gid())).expect("given");
    let started = now();
    as_superuser(&ground.cluster, "pg_basebackup", &["-D", &path.to_string_lossy(), "-X", "stream", "-c", "fast"]);
    let taken = adopt(&ground, &path, started).expect("taken in");
    assert_eq!((taken.header.kind, taken.header.origin), (Kind::PgBaseBackup, Origin::Adopted));
    let by_file = taken.header.source_started().expect("the server writes UTC");
    assert!(by_file.0 - started.0 > -1_000_000 && by_file.0 - started.0 < 60_000_000, "{by_file} {started}");
    ground.store.verify(taken.header.id(), &ground.private, &ground.programs(), &mut on).expect("verified");

    let refused = adopt(&ground, &path, before(started, 9)).expect_err("its zone is known").to_string();
    assert!(refused.contains("UTC"), "{refused}");
    let version = path.join("base/1/PG_VERSION");
    fs::write(&version, "16\n").expect("written");
    let differs = adopt(&ground, &path, started).expect_err("a file changed").to_string();
    assert!(differs.contains("base/1/PG_VERSION"), "{differs}");
    fs::remove_file(path.join("backup_manifest")).expect("removed");
    let bare = adopt(&ground, &path, started).expect_err("no manifest").to_string();
    assert!(bare.contains("has no backup_manifest"), "{bare}");
    assert_eq!(ground.ours().len(), 1);
}
