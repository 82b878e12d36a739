//! The real daemon, as a process, and what is put in its way: a store or a disk that refuses, a database that is down or
//! read-only, a signal, another daemon that dies while it deletes.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve::cli::demo::cluster::postgres_bin;
use portreeve::cli::demo::stage::{self, Settings, Stage, said};
use portreeve::clock::{Clock as _, SystemClock, Timestamp};
use portreeve::config;
use portreeve::grant::{SnapshotStatus, State, Trust};
use portreeve::keyring::init;
use portreeve::register::Register;

use crate::ground::HOUR;

/// How long what must come soon may take.
const SOON: Duration = Duration::from_secs(30);

/// A stage on which snapshots become eight hours old at the most, with all roles but retention.
pub async fn staged() -> Stage {
    let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
    let settings = Settings { cache, ..Settings::new(env!("CARGO_BIN_EXE_portreeve")) };
    let stage = Stage::set_up(settings).await.expect("a stage");
    configure(&stage, "[promise]\nsnapshot_max_age = \"8h\"\n");
    stage.prepare_retention().await.expect("prepared");
    stage
}

/// Puts more at the end of the configuration.
pub fn configure(stage: &Stage, more: &str) {
    let text = fs::read_to_string(stage.configuration()).expect("a configuration");
    fs::write(stage.configuration(), format!("{text}{more}")).expect("written");
}

/// What the register says.
pub fn state(stage: &Stage) -> Arc<State> {
    let config = config::load(&stage.configuration()).expect("a configuration");
    let trust = Trust { portal_key: init::read_public_key(&config.portal.signing_public_key).expect("a key") };
    Register::open(&config.register.path, trust).expect("a register").state().expect("a state")
}

/// Files of the store with that ending.
pub fn files(stage: &Stage, ending: &str) -> Vec<String> {
    let names =
        fs::read_dir(stage.path("store")).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(ending));
    names.sort();
    names
}

/// One turn.
pub fn once(stage: &Stage) -> Output {
    stage.command(&["retention", "run", "--once"]).output().expect("it runs")
}

/// Dumps that are said to be nine hours old, taken in: they are due at once.
pub fn adopt_old(stage: &Stage, count: usize) -> Vec<String> {
    let path = stage.path("old.dump");
    let dump = Command::new(postgres_bin().expect("PostgreSQL").join("pg_dump"))
        .args(["-Fc", "-f", &path.to_string_lossy(), "-d", &stage.cluster.superuser_dsn("acme")])
        .output()
        .expect("it runs");
    assert!(dump.status.success(), "{}", said(&dump));
    let before = files(stage, ".snapshot");
    let started = Timestamp(SystemClock.now().0 - 9 * HOUR).to_string();
    for _ in 0..count {
        let path = path.to_string_lossy();
        let adopt = ["retention", "adopt", "--backend", "nightly", "--path", &path, "--started", &started];
        stage.run(&adopt).expect("taken in");
    }
    files(stage, ".snapshot").into_iter().filter(|name| !before.contains(name)).collect()
}

/// What the register says was deleted is not in the store; what it says is whole is.
pub fn register_and_store_agree(stage: &Stage) {
    for snapshot in state(stage).snapshots() {
        let is_there = stage.path("store").join(format!("{}.snapshot", snapshot.id)).exists();
        match snapshot.status {
            SnapshotStatus::Deleted { .. } => assert!(!is_there, "{snapshot:?} was said to be gone"),
            SnapshotStatus::Verified | SnapshotStatus::Adopted => assert!(is_there, "{snapshot:?} is lost"),
            SnapshotStatus::Begun | SnapshotStatus::Failed | SnapshotStatus::Expiring { .. } => {}
        }
    }
}

/// One turn of a daemon whose rights are those of the files, even where tests run as root.
fn once_by_rights(stage: &Stage) -> Output {
    if !rustix::process::getuid().is_root() {
        return once(stage);
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-dac_override,-dac_read_search", env!("CARGO_BIN_EXE_portreeve"), "--config"]);
    command.arg(stage.configuration()).args(["retention", "run", "--once"]);
    command.stdin(Stdio::null()).output().expect("it runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_rights_were_changed_is_told_and_left_as_it_is() {
    let stage = staged().await;
    assert_eq!(once(&stage).status.code(), Some(0));
    let old = adopt_old(&stage, 2);
    let whole = files(&stage, ".snapshot");
    let store = stage.path("store");
    let one = store.join(&old[0]);
    let cases: [(&str, &PathBuf, u32, u32); 4] = [
        ("read-only", &store, 0o555, 0o750),
        ("not to be listed", &store, 0o311, 0o750),
        ("not to be entered", &store, 0o000, 0o750),
        ("a snapshot in it cannot be read", &one, 0o000, 0o640),
    ];
    for (what, path, wrong, right) in cases {
        fs::set_permissions(path, Permissions::from_mode(wrong)).expect("changed");
        let output = once_by_rights(&stage);
        fs::set_permissions(path, Permissions::from_mode(right)).expect("changed back");
        assert_eq!(output.status.code(), Some(4), "{what}: {}", said(&output));
        assert!(said(&output).contains("ermission denied"), "{what}: {}", said(&output));
        assert_eq!(files(&stage, ".snapshot"), whole, "{what}");
        let gone = state(&stage).snapshots().filter(|snapshot| !snapshot.may_exist()).count();
        assert_eq!(gone, 0, "{what}: something is claimed to be gone");
    }
    let output = once_by_rights(&stage);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(files(&stage, ".snapshot").iter().all(|name| !old.contains(name)), "what is due goes when it can");
    register_and_store_agree(&stage);
    stage.run(&["audit", "verify"]).expect("every log verifies");
}

/// A limit on the length of files ends a snapshot in the middle, as a quota or a full disk does.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_reached_leaves_no_half_snapshot_and_deletes_on_time() {
    let stage = staged().await;
    let fill = "create table bulk as select i, md5(random()::text) || md5(random()::text) as text \
                from generate_series(1, 300000) i";
    stage.cluster.run_sql("acme", fill).await.expect("rows");
    let run = "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"";
    // In blocks of 512 bytes: more than any log's segment or the register, less than acme's dump.
    let mut limited = Command::new("sh");
    limited.args(["-c", run, "sh", "16384", env!("CARGO_BIN_EXE_portreeve"), "--config"]);
    limited.arg(stage.configuration()).args(["retention", "run", "--once"]);
    let output = limited.stdin(Stdio::null()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("File too large"), "{}", said(&output));
    assert_eq!(files(&stage, ".running"), [] as [&str; 0]);
    assert_eq!(files(&stage, ".snapshot").len(), stage::CUSTOMERS.len(), "the other databases have theirs");
    register_and_store_agree(&stage);
    let again = once(&stage);
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    assert_eq!(files(&stage, ".snapshot").len(), stage::CUSTOMERS.len() + 1);
    register_and_store_agree(&stage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_read_only_is_snapshotted_and_one_that_is_down_is_told() {
    let mut stage = staged().await;
    stage.cluster.stop();
    let down = once(&stage);
    assert_eq!(down.status.code(), Some(4), "{}", said(&down));
    assert!(said(&down).contains("cannot ask the database"), "{}", said(&down));
    assert!(state(&stage).snapshots().next().is_none(), "nothing was begun");
    stage.cluster.start_again().await.expect("up again");
    let only = "alter system set default_transaction_read_only = on; select pg_reload_conf()";
    for statement in only.split("; ") {
        stage.cluster.run_sql("postgres", statement).await.expect("read-only");
    }
    let began = Instant::now();
    let shows = || stage.cluster.run_sql("postgres", "show default_transaction_read_only");
    while shows().await.expect("shown") != [[Some("on".to_owned())]] {
        assert!(began.elapsed() < SOON, "it is not read-only");
    }
    let output = once(&stage);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(files(&stage, ".snapshot").len(), stage::CUSTOMERS.len() + 1);
    register_and_store_agree(&stage);
}

/// Looks until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_told_to_stop_gives_up_the_snapshot_at_hand_and_leaves_nothing_open() {
    let mut stage = staged().await;
    // pg_dump waits for this transaction, so that the snapshot is being taken when the signal comes.
    let dsn = stage.cluster.superuser_dsn("acme");
    let (client, connection) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.expect("connected");
    let driver = tokio::spawn(connection);
    client.batch_execute("begin; lock table contacts in access exclusive mode").await.expect("locked");
    stage.start_retention().await.expect("started");
    until("no snapshot is begun", || !files(&stage, ".running").is_empty());
    let began = Instant::now();
    stage.retention.as_mut().expect("it runs").stop().expect("stopped");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(client);
    driver.await.expect("no panic").expect("ended");
    assert_eq!(files(&stage, ".running"), [] as [&str; 0]);
    let state = state(&stage);
    let statuses: Vec<_> = state.snapshots().map(|snapshot| snapshot.status).collect();
    let is_settled =
        |status: &SnapshotStatus| matches!(status, SnapshotStatus::Deleted { .. } | SnapshotStatus::Verified);
    assert!(!statuses.is_empty() && statuses.iter().all(is_settled), "{statuses:?}");
    let output = once(&stage);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(files(&stage, ".snapshot").len(), stage::CUSTOMERS.len() + 1, "taken after all");
    register_and_store_agree(&stage);
    stage.run(&["audit", "verify"]).expect("every log verifies");
}

/// How far the deletion of these is: files that are left, deletions begun and not confirmed, those that are.
fn progress(stage: &Stage, old: &[String]) -> (usize, usize, usize) {
    let left = files(stage, ".snapshot").iter().filter(|name| old.contains(name)).count();
    let state = state(stage);
    let begun = state.snapshots().filter(|one| matches!(one.status, SnapshotStatus::Expiring { .. })).count();
    (left, begun, state.snapshots().filter(|snapshot| !snapshot.may_exist()).count())
}

/// A daemon that is killed as soon as it has gone so far with one more of them; how many it left begun and not confirmed,
/// and how many gone and not confirmed.
async fn killed_when(stage: &mut Stage, old: &[String], what: &str) -> (usize, usize) {
    let before = progress(stage, old);
    stage.start_retention().await.expect("it leads");
    let is_so = |(left, begun, confirmed): (usize, usize, usize)| match what {
        "begun" => begun > 0,
        "gone" => left < before.0,
        _ => confirmed > before.2,
    };
    until("nothing moves", || is_so(progress(stage, old)));
    stage.retention.as_mut().expect("it runs").kill().expect("killed");
    let (left, begun, confirmed) = progress(stage, old);
    println!("killed when one was {what}: {left} of {} left, {begun} begun, {confirmed} confirmed gone", old.len());
    assert!(left > 0, "the kill came after the end");
    assert!(confirmed <= old.len() - left, "what is there is not claimed to be gone");
    register_and_store_agree(stage);
    (begun, old.len() - left - confirmed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_killed_while_it_deletes_is_followed_by_the_daemon_that_waited() {
    let mut stage = staged().await;
    assert_eq!(once(&stage).status.code(), Some(0));
    // more than a plan may delete by itself
    let text = fs::read_to_string(stage.configuration()).expect("a configuration");
    assert!(text.contains("state = \"retention\"\n"), "{text}");
    let text = text.replace("state = \"retention\"\n", "state = \"retention\"\nexpire_max = 12\n");
    fs::write(stage.configuration(), text).expect("written");
    let old = adopt_old(&stage, 12);
    let mut found = BTreeSet::new();
    for (round, what) in ["begun", "gone", "confirmed"].into_iter().cycle().take(9).enumerate() {
        if round >= 3 && found.len() >= 2 {
            break;
        }
        found.insert(killed_when(&mut stage, &old, what).await);
    }
    assert!(found.len() >= 2, "every kill met the same: {found:?}");
    let log = stage.path("second.log");
    let said_by_second = || fs::read_to_string(&log).unwrap_or_default();
    let left = progress(&stage, &old).0;
    stage.start_retention().await.expect("the first leads");
    let mut second = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    second.arg("--config").arg(stage.configuration()).args(["retention", "run"]).env("RUST_LOG", "info");
    second.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).expect("a log"));
    let mut second = second.spawn().expect("the second waits");
    until("nothing is deleted", || progress(&stage, &old).0 < left);
    stage.retention.as_mut().expect("it runs").kill().expect("killed");
    let (left, ..) = progress(&stage, &old);
    assert!(left > 0, "nothing is left for the second");
    register_and_store_agree(&stage);
    until("the second does not take over", || said_by_second().contains("keeps watch"));
    until("the second does not end it", || progress(&stage, &old) == (0, 0, old.len()));
    let pid = rustix::process::Pid::from_child(&second);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told to stop");
    second.wait().expect("it ends");
    register_and_store_agree(&stage);
    stage.run(&["audit", "verify"]).expect("every log verifies");
}
