//! Accounts from their closing to the last certificate, and what may come between.

use std::process::Command;

use portreeve::cli::demo::stage::{SHARED_DATABASE, owner};
use portreeve::grant::{AccountStep, RecordPart, SnapshotStep, Stage};
use portreeve::retention::certificate::{Findings, Part};

use super::ground::{DAY, Ground};

/// Every row of the vendor's other customers is as it was, whatever happens to initech (tenant 7) and acme.
async fn bystanders(ground: &Ground) -> Vec<String> {
    let mut digests = ground.others(7).await;
    digests.extend(ground.column("globex", "select count(*)::text from pg_class").await);
    let rows = "select count(*) || ' ' || md5(string_agg(c::text, ',' order by id)) from contacts c";
    digests.extend(ground.column("globex", rows).await);
    digests
}

#[tokio::test(flavor = "multi_thread")]
async fn both_layouts_go_from_closing_to_the_last_certificate() {
    let mut ground = Ground::new().await;
    let before = bystanders(&ground).await;
    let started = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    for name in ["initech", "acme"] {
        ground.close(name).await;
    }
    ground.well().await;
    for name in ["initech", "acme"] {
        assert_eq!(ground.stage_of(name), Stage::Choice, "{name}");
        assert!(ground.files(name).iter().any(|file| file.ends_with(".tar.sealed")), "{name} has an archive");
    }
    assert_eq!(ground.rows(7).await, "1200");

    ground.later(DAY * 30).await;
    let fresh = ground.now();
    ground.snapshot(2, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(2, SnapshotStep::Verified { bytes: 9 }).await;
    ground.well().await;
    for name in ["initech", "acme"] {
        assert_eq!(ground.stage_of(name), Stage::Planned, "{name}");
    }
    assert_eq!(ground.rows(7).await, "1200", "not a day early");

    ground.later(DAY + DAY / 24).await;
    ground.well().await;
    for name in ["initech", "acme"] {
        assert_eq!(ground.stage_of(name), Stage::LiveClean, "{name}");
        assert_eq!(ground.verified(name).findings, [], "{name}");
        assert!(ground.files(name).contains(&"certificate.html".to_owned()));
    }
    assert_eq!(ground.rows(7).await, "0");
    assert!(ground.column("postgres", "select datname from pg_database where datname = 'acme'").await.is_empty());
    assert_eq!(ground.closure("initech").purge.verified.map(|(_, rows, level)| (rows, level)), Some((1200, 1)));
    assert_eq!(ground.closure("acme").purge.verified.map(|(.., level)| level), Some(0), "nothing was looked for");
    let residue = &ground.verified("acme").parts[0].body.residue;
    assert!(residue.report.iter().any(|line| line.starts_with("level 0: no known value")), "{residue:?}");
    assert!(!residue.report.iter().any(|line| line.contains("was gone before")), "{residue:?}");
    let needles = format!("{}.needles", ground.customer("initech").id);
    assert!(!ground.stage.path("retention/closing").join(needles).exists());
    assert_eq!(bystanders(&ground).await, before);

    ground.later(DAY + DAY / 24).await;
    ground.well().await;
    ground.later(DAY * 7).await;
    let turned = ground.well().await;
    assert!(turned.waits.iter().any(|(_, why, _)| why.contains("2 snapshots that hold its rows")), "{turned:?}");
    assert_eq!(ground.stage_of("initech"), Stage::LiveClean);
    for id in [1, 2] {
        ground.snapshot(id, SnapshotStep::Expiring).await;
        let confirmed = ground.now();
        ground.snapshot(id, SnapshotStep::Deleted { confirmed }).await;
    }
    ground.well().await;
    for name in ["initech", "acme"] {
        assert_eq!(ground.stage_of(name), Stage::BackupsClean, "{name}");
        let verdict = ground.verified(name);
        let Findings::Backups(backups) = &verdict.parts[1].body.findings else { panic!("part 2 is about backups") };
        assert_eq!((backups.held, backups.rechecked.len()), (2, 2), "{name}");
        assert!(ground.opens(name).await, "{name}: the archive can still be opened");
    }

    ground.later(DAY * 51).await;
    ground.well().await;
    for name in ["initech", "acme"] {
        assert_eq!(ground.stage_of(name), Stage::ArchiveDestroyed, "{name}");
        assert_eq!(ground.files(name), ["certificate.html", "certificate.json"], "{name}: no archive is left");
        assert!(!ground.opens(name).await, "{name}: nothing opens any more");
    }
    ground.later(DAY * 276).await;
    ground.well().await;
    for name in ["initech", "acme"] {
        assert_eq!(ground.stage_of(name), Stage::LogsClean, "{name}");
        let verdict = ground.verified(name);
        assert_eq!(verdict.findings, [], "{name}");
        let parts: Vec<Part> = verdict.parts.iter().map(|shown| shown.body.part).collect();
        assert_eq!(parts, Part::ALL, "{name}");
        let Findings::Logs(logs) = &verdict.parts[3].body.findings else { panic!("part 4 is about logs") };
        assert!(logs.logs.iter().any(|log| log.records > 0), "{name}: {logs:?}");
        assert!(logs.logs.iter().all(|log| log.unreadable == log.records), "{name}: {logs:?}");
    }
    assert_eq!(bystanders(&ground).await, before);
    assert!(ground.customer("umbrella").closure.is_none());

    // The last thing that is forgotten is whose it was.
    let ids = ["initech", "acme"].map(|name| ground.customer(name).id);
    let words = ["initech", "acme"].map(|name| [name.to_owned(), owner(name)]).concat();
    assert!(words.iter().all(|word| ground.register_holds(word)), "they are there");
    ground.later(DAY * 31).await;
    ground.well().await;
    for word in &words {
        assert!(!ground.register_holds(word), "{word} is still in the register's files");
    }
    assert!(ground.register_holds("umbrella") && ground.register_holds(&owner("umbrella")));
    let state = ground.state();
    for id in ids {
        let closure = state.customer(id).and_then(|customer| customer.closure.clone()).expect("its events stay");
        assert!(closure.forgotten.is_some() && closure.stage() == Stage::LogsClean, "{id}");
    }
    ground.well().await;
}

/// Whoever destroys the keys by hand takes the daemon's work, not its certificate.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_destroyed_is_certified_by_what_the_notices_told() {
    let mut ground = Ground::new().await;
    ground.close("initech").await;
    ground.well().await;
    ground.later(DAY * 32).await;
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    ground.well().await;
    ground.later(DAY * 9).await;
    ground.snapshot(1, SnapshotStep::Expiring).await;
    let confirmed = ground.now();
    ground.snapshot(1, SnapshotStep::Deleted { confirmed }).await;
    ground.well().await;
    ground.later(DAY * 49).await;
    let told = ground.destroyed_by_hand("initech", RecordPart::Values).await;
    assert!(told > 0, "the owner's own doings are there");
    ground.well().await;
    assert_eq!(ground.stage_of("initech"), Stage::ArchiveDestroyed);
    ground.later(DAY * 276).await;
    assert_eq!(ground.destroyed_by_hand("initech", RecordPart::Skeleton).await, told);
    assert!(!ground.opens("initech").await, "nothing opens any more");
    ground.well().await;
    assert_eq!(ground.stage_of("initech"), Stage::LogsClean);
    let verdict = ground.verified("initech");
    assert_eq!(verdict.findings, []);
    let Findings::Logs(logs) = &verdict.parts[3].body.findings else { panic!("part 4 is about logs") };
    assert_eq!(logs.logs.iter().map(|log| log.unreadable).sum::<u64>(), told, "{logs:?}");
    assert!(!verdict.parts[3].body.not_covered.iter().any(|line| line.contains("the count is lost")), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn immediate_removal_is_refused_under_a_hold_which_keeps_archive_and_keys() {
    let mut ground = Ground::new().await;
    ground.close("initech").await;
    ground.well().await;
    ground.hold("initech", 200).await;
    let refused = ground.account("initech", AccountStep::Immediate).await.expect_err("a hold outranks it");
    assert!(refused.contains("a hold forbids it"), "{refused}");
    ground.release("initech").await;
    ground.account("initech", AccountStep::Immediate).await.expect("no hold any more");
    ground.hold("initech", 200).await;
    ground.later(DAY * 32).await;
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    ground.well().await;
    assert_eq!(ground.rows(7).await, "0", "live rows go on time, hold or not");
    ground.later(DAY * 60).await;
    ground.turn().await;
    assert!(ground.files("initech").iter().any(|file| file.ends_with(".tar.sealed")), "the hold keeps the archive");
    assert!(ground.opens("initech").await, "and the keys");
    ground.release("initech").await;
    ground.turn().await;
    assert!(!ground.files("initech").iter().any(|file| file.ends_with(".tar.sealed")));
    assert!(!ground.opens("initech").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn immediate_removal_waits_for_no_date_and_verify_proof_accepts_it() {
    let ground = Ground::new().await;
    ground.close("initech").await;
    ground.account("initech", AccountStep::Immediate).await.expect("asked for");
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    ground.well().await;
    assert_eq!((ground.stage_of("initech"), ground.rows(7).await.as_str()), (Stage::LiveClean, "0"));
    // what is destroyed at once goes in the turn after the one that found no live row
    ground.well().await;
    assert_eq!(ground.files("initech"), ["certificate.html", "certificate.json"], "no archive is left");
    assert!(!ground.opens("initech").await);
    let body = &ground.verified("initech").parts[0].body;
    assert!(body.not_covered.iter().any(|line| line.starts_with("not fenced between closing and purge")), "{body:?}");
    // neither of the two acts of that round lost what the other noted
    let notes = ground.stage.path("retention/closing").join(format!("{}.json", ground.customer("initech").id));
    let notes = std::fs::read_to_string(notes).expect("notes");
    assert!(notes.contains("\"destroying\": true") && !notes.contains("\"noticed\": []"), "{notes}");

    use base64::Engine as _;
    let key = base64::engine::general_purpose::STANDARD.encode(ground.public_key());
    let key = ground.stage.write_secret("certificate.pub", &key).expect("a file");
    let folder = ground.config().portal.archives.join(ground.customer("initech").id.to_string());
    let proof = |file: &std::path::Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
        command.arg("verify-proof").arg(file).arg("--key").arg(&key);
        command.output().expect("it runs").status.code()
    };
    let file = folder.join("certificate.json");
    assert_eq!(proof(&file), Some(0));
    let mut bytes = std::fs::read(&file).expect("a certificate");
    let at = bytes.windows(9).position(|window| window == b"\"deleted\"").expect("a count") + 10;
    bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
    let flipped = folder.join("flipped.json");
    std::fs::write(&flipped, bytes).expect("written");
    assert_eq!(proof(&flipped), Some(4), "one changed digit is found");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_account_takes_its_data_home_and_a_reopened_one_keeps_it() {
    let mut ground = Ground::new().await;
    ground.account("initech", AccountStep::ExportRequested).await.expect("asked for");
    let turned = ground.well().await;
    assert_eq!(turned.exports.len(), 1);
    assert_eq!(ground.files("initech").len(), 1);
    let id = ground.customer("initech").id;
    let state = ground.state();
    let made = state.exports_of(id).next().and_then(|export| export.made).expect("it is made");
    let path = ground.config().portal.archives.join(id.to_string()).join(&ground.files("initech")[0]);
    let bytes = std::fs::read(path).expect("an archive");
    assert_eq!((made.1, made.2.as_slice()), (bytes.len() as u64, sha256(&bytes).as_slice()));
    assert!(!bytes.windows(16).any(|window| window == b"@initech.example"), "it is sealed");
    let plain = opened(&ground, &bytes).await;
    let count = |text: &str| plain.windows(text.len()).filter(|window| *window == text.as_bytes()).count();
    assert_eq!((count("@initech.example"), count("@umbrella.example")), (400, 0), "its owner's rows, nobody else's");

    ground.close("initech").await;
    ground.well().await;
    ground.account("initech", AccountStep::Reopened).await.expect("in time");
    ground.later(DAY * 40).await;
    ground.well().await;
    assert!(ground.customer("initech").closure.is_none());
    assert_eq!(ground.rows(7).await, "1200");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_ones_own_goes_home_with_every_row() {
    let ground = Ground::new().await;
    let values = "select email from contacts union all select number from orders union all select number from invoices \
                  union all select subject from tickets";
    let values = ground.column("acme", values).await;
    assert!(values.len() > 7000, "{}", values.len());
    ground.close("acme").await;
    ground.well().await;
    assert_eq!(ground.stage_of("acme"), Stage::Choice);
    let path = ground.config().portal.archives.join(ground.customer("acme").id.to_string());
    let sealed = std::fs::read(path.join(&ground.files("acme")[0])).expect("an archive");
    let plain = opened(&ground, &sealed).await;
    let plain = String::from_utf8_lossy(&plain);
    for value in values {
        assert!(plain.contains(&value), "{value} is lost");
    }
    let fence = ground.column("acme", "select to_regclass('portreeve.grants')::text").await;
    assert_eq!(fence, ["portreeve.grants"]);
    assert!(
        plain.contains("public.contacts") && !plain.contains("portreeve.grants"),
        "the fence's is not the customer's"
    );
}

/// What the keyring lets the owner read.
async fn opened(ground: &Ground, sealed: &[u8]) -> Vec<u8> {
    use portreeve::audit::archive::{CHUNK_BYTES, Header, Opener, TAG_BYTES};
    let header = Header::read(sealed).expect("a header");
    let (chunks, _) = header.holds(sealed.len() as u64).expect("chunks");
    let world = ground.world().await;
    let keys = world.keyring.open(vec![header.key.clone()], "o1", "a test").await.expect("the key is there");
    world.acts.log.close().expect("the log closes");
    let mut opener = Opener::new(&header, keys.first().expect("one"), chunks);
    let begin = usize::try_from(header.length()).expect("short");
    let open = |chunk: &[u8]| opener.open(&mut chunk.to_vec()).expect("it opens").to_vec();
    let chunks = sealed.get(begin..).expect("chunks");
    chunks.chunks(CHUNK_BYTES + TAG_BYTES).flat_map(open).collect()
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_rows_are_named_and_a_server_that_is_down_or_read_only_is_told_and_waited_for() {
    let mut ground = Ground::new().await;
    let cluster = &ground.stage.cluster;
    let sql = "set role app; create table links (tenant_id int not null, id int primary key, other int, \
               other_id int, foreign key (other, other_id) references contacts (tenant_id, id)); \
               insert into links values (8, 1, 7, 1)";
    cluster.run_sql(SHARED_DATABASE, sql).await.expect("a stranger's row");
    ground.close("initech").await;
    let unmapped = ground.turn().await;
    assert!(unmapped.troubles.is_empty(), "{unmapped:?}");
    ground.account("initech", AccountStep::Immediate).await.expect("asked for");
    let refused = ground.turn().await;
    assert!(refused.troubles.iter().any(|(_, why)| why.contains("public.links")), "{refused:?}");
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    let columns = "tenant_id = 'pseudonym'\nid = 'pseudonym'\nother = 'pseudonym'\nother_id = 'pseudonym'\n";
    ground.more_map = format!("[tables.'public.links'.columns]\n{columns}");
    let pointed = ground.turn().await;
    let named = |why: &String| why.contains("1 rows of others in public.links (customers 8)");
    assert!(pointed.troubles.iter().any(|(_, why)| named(why)), "{pointed:?}");
    assert_eq!(ground.rows(7).await, "1200");
    ground.stage.cluster.run_sql(SHARED_DATABASE, "delete from links").await.expect("mended");

    let only = "alter database shared set default_transaction_read_only = on; \
                alter role portreeve_maintenance set default_transaction_read_only = on";
    ground.stage.cluster.run_sql("postgres", only).await.expect("read-only");
    ground.stage.cluster.stop();
    let down = ground.turn().await;
    assert!(!down.troubles.is_empty() && ground.closure("initech").purge.verified.is_none(), "{down:?}");
    ground.stage.cluster.start_again().await.expect("started again");
    ground.well().await;
    assert_eq!((ground.stage_of("initech"), ground.rows(7).await.as_str()), (Stage::LiveClean, "0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_came_back_are_told_and_purged_again_and_a_customer_without_rows_is_level_0() {
    let mut ground = Ground::new().await;
    let cluster = &ground.stage.cluster;
    cluster.run_sql(SHARED_DATABASE, "delete from orders where tenant_id = 8").await.expect("no orders");
    cluster.run_sql(SHARED_DATABASE, "delete from contacts where tenant_id = 8").await.expect("no contacts");
    for name in ["initech", "umbrella"] {
        ground.close(name).await;
        ground.account(name, AccountStep::Immediate).await.expect("asked for");
    }
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    ground.well().await;
    assert_eq!(ground.closure("umbrella").purge.verified.map(|(_, rows, level)| (rows, level)), Some((0, 0)));
    let back = "alter table contacts disable trigger portreeve_tombstone; \
                insert into contacts values (7, 1, 'Anna Alves', 'came@back.example', 'NL'); \
                alter table contacts enable always trigger portreeve_tombstone";
    ground.stage.cluster.run_sql(SHARED_DATABASE, back).await.expect("a row is back");
    ground.later(DAY + DAY / 24).await;
    ground.well().await;
    let purge = ground.closure("initech").purge;
    assert_eq!(purge.rechecked.map(|(_, rows)| rows), Some(1), "it was told");
    assert_eq!(purge.verified.map(|(_, rows, _)| rows), Some(1201), "and purged again");
    assert_eq!((ground.stage_of("initech"), ground.rows(7).await.as_str()), (Stage::LiveClean, "0"));
    ground.later(DAY * 7 + DAY / 24).await;
    ground.well().await;
    assert_eq!(ground.closure("initech").purge.rechecked.map(|(_, rows)| rows), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_purged_while_clocks_disagree_snapshots_are_missing_or_a_daemon_is_told_to_stop() {
    use portreeve::retentiond::closing::turn;
    let ground = Ground::new().await;
    ground.close("initech").await;
    ground.account("initech", AccountStep::Immediate).await.expect("asked for");
    let turned = ground.well().await;
    assert!(turned.waits.iter().any(|(_, why, _)| why.contains("no verified snapshot is young enough")), "{turned:?}");
    let started = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;

    let mut world = ground.world().await;
    world.clocks.is_frozen = true;
    let turned = turn(&world, ground.now()).await.expect("a turn");
    assert!(turned.waits.iter().any(|(_, why, _)| why.contains("the clocks disagree")), "{turned:?}");
    assert_eq!(ground.rows(7).await, "1200");
    world.clocks.is_frozen = false;
    let (_keep, stop) = tokio::sync::watch::channel(true);
    world.stop = stop;
    let turned = turn(&world, ground.now()).await.expect("a turn");
    assert_eq!(turned.troubles, [], "to be told to stop is no trouble");
    assert_eq!((ground.stage_of("initech"), ground.rows(7).await.as_str()), (Stage::Purging, "1200"));
    world.acts.log.close().expect("the log closes");
    let late = ground.account("initech", AccountStep::Reopened).await.expect_err("the purge has begun");
    assert!(late.contains("the deletion has begun"), "{late}");

    let mut world = ground.world().await;
    world.snapshots = None;
    turn(&world, ground.now()).await.expect("a turn");
    world.acts.log.close().expect("the log closes");
    assert_eq!((ground.stage_of("initech"), ground.rows(7).await.as_str()), (Stage::LiveClean, "0"));
}

/// The purge comes to a database that somebody else dropped meanwhile: the certificate says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_somebody_else_dropped_is_said_to_have_been_gone() {
    let ground = Ground::new().await;
    ground.close("acme").await;
    ground.account("acme", AccountStep::Immediate).await.expect("asked for");
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    let cluster = &ground.stage.cluster;
    cluster.run_sql("postgres", "alter database acme is_template true").await.expect("something in the way");
    let refused = ground.turn().await;
    assert!(refused.troubles.iter().any(|(_, why)| why.contains("it is a template")), "{refused:?}");
    assert_eq!(ground.stage_of("acme"), Stage::Purging);
    let drop = ["alter database acme is_template false", "drop database acme with (force)"];
    for sql in drop {
        cluster.run_sql("postgres", sql).await.expect("dropped");
    }
    ground.well().await;
    assert_eq!(ground.stage_of("acme"), Stage::LiveClean);
    let residue = &ground.verified("acme").parts[0].body.residue;
    assert!(residue.report.iter().any(|line| line.starts_with("the database was gone before")), "{residue:?}");
}

/// Archives of a file system that is not mounted are not gone, whatever stands in its place.
#[tokio::test(flavor = "multi_thread")]
async fn archives_that_are_not_where_they_were_put_are_not_said_to_be_destroyed() {
    let ground = Ground::new().await;
    ground.close("initech").await;
    ground.account("initech", AccountStep::Immediate).await.expect("asked for");
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    ground.well().await;
    assert_eq!(ground.stage_of("initech"), Stage::LiveClean);

    let id = ground.customer("initech").id;
    let root = ground.config().portal.archives.clone();
    let (folder, aside) = (root.join(id.to_string()), root.with_extension("aside"));
    let lost = |turned: &portreeve::retentiond::closing::Turned, says: &str| {
        let is_told = turned.troubles.iter().any(|(_, why)| why.contains(says));
        let state = ground.state();
        let is_destroyed = state.exports_of(id).any(|export| export.destroyed.is_some());
        assert!(is_told && !is_destroyed, "{says}: {turned:?}");
    };
    // the file system, its folder for this customer, the file: each may be away
    std::fs::rename(&root, &aside).expect("away");
    lost(&ground.turn().await, "is not where it was put");
    std::fs::create_dir(&root).expect("an empty place to mount it");
    lost(&ground.turn().await, "is not where it was put");
    std::fs::create_dir(&folder).expect("with a folder");
    lost(&ground.turn().await, "is not where it was put");
    std::fs::remove_dir_all(&root).expect("empty");
    std::fs::rename(&aside, &root).expect("back");
    ground.well().await;
    assert_eq!(ground.files("initech"), ["certificate.html", "certificate.json"], "no archive is left");
    assert!(ground.state().exports_of(id).all(|export| export.destroyed.is_some()));

    // what was destroyed is looked for again before that is certified
    std::fs::rename(&folder, &aside).expect("away");
    let turned = ground.turn().await;
    assert!(turned.troubles.iter().any(|(_, why)| why.contains("every archive may be elsewhere")), "{turned:?}");
}

/// A purge of one account may take hours: the next account's begins by the time that it is then.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_turn_comes_after_the_window_closed_waits_for_the_next() {
    use portreeve::retention::window::Window;
    use portreeve::retentiond::closing::{beside, purge};
    let mut ground = Ground::new().await;
    ground.close("initech").await;
    ground.well().await;
    ground.later(DAY * 32).await;
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    let hour = u64::try_from(ground.now().0).expect("after 1970") / 3_600_000_000 % 24;
    let schedule = format!("* * {},{} * * *", hour, (hour + 1) % 24).parse().expect("a cron expression");
    let window = Window::new(schedule, chrono_tz::UTC);
    let opened = async |ground: &Ground| {
        let mut world = ground.world().await;
        std::sync::Arc::make_mut(&mut world.config).retention.window = window.clone();
        world
    };
    let world = opened(&ground).await;
    let due = beside(&world, &Default::default(), ground.now()).await.expect("a turn").due;
    world.acts.log.close().expect("the log closes");
    assert_eq!((due.len(), ground.stage_of("initech")), (1, Stage::Planned), "it is left to the purge");

    ground.later(DAY / 4).await;
    let world = opened(&ground).await;
    let turned = purge(&world, &due).await.expect("looked at");
    world.acts.log.close().expect("the log closes");
    assert!(turned.waits.iter().any(|(_, why, _)| why.contains("at this hour")), "{turned:?}");
    assert_eq!((ground.stage_of("initech"), ground.rows(7).await.as_str()), (Stage::Planned, "1200"));
}

/// What stays in the way for days is told each turn, and does not fill the audit log.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_trouble_is_recorded_once_and_told_each_turn() {
    use portreeve::retentiond::closing::turn;
    let ground = Ground::new().await;
    ground.close("acme").await;
    ground.account("acme", AccountStep::Immediate).await.expect("asked for");
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    let obstacle = "alter database acme is_template true";
    ground.stage.cluster.run_sql("postgres", obstacle).await.expect("something in the way");
    let world = ground.world().await;
    let mut sizes = Vec::new();
    for _ in 0..5 {
        let turned = turn(&world, ground.now()).await.expect("a turn");
        assert!(turned.troubles.iter().any(|(_, why)| why.contains("it is a template")), "{turned:?}");
        sizes.push(world.acts.log.checkpoint().size);
    }
    assert!(sizes[0] > 0 && sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
    world.acts.log.close().expect("the log closes");
}
