//! What needs two people on the command line, each with a password of their own; and a whole cluster that the daemon took,
//! restored by two people and started as a server.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Output;

use portreeve::cli::demo::stage::{STAFF, Stage, said};
use portreeve::grant::SnapshotStatus;

use crate::real::{adopt_old, configure, files, once, register_and_store_agree, staged, state};

const SECOND: &str = "omar";

/// A second member of staff.
fn second(stage: &Stage) -> PathBuf {
    let file = stage.write_secret("omar.password", "a-password-of-omars-own").expect("written");
    stage.run(&["staff", "create", SECOND, "--password-file", &file.to_string_lossy()]).expect("made");
    file
}

/// Runs it with those people and their passwords.
fn by(stage: &Stage, arguments: &[&str], people: &[(&str, &Path)]) -> Output {
    let names = [["--by", "--password-file"], ["--second", "--second-password-file"]];
    let mut command = stage.command(arguments);
    for ([name, file], (who, password)) in names.into_iter().zip(people) {
        command.args([name, who, file]).arg(password);
    }
    command.output().expect("it runs")
}

fn plan(stage: &Stage) -> String {
    let output = stage.run(&["retention", "plan", "--format", "json"]).expect("a plan");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    last.get("plan").and_then(serde_json::Value::as_str).expect("a token").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_above_its_cap_is_applied_by_two_people_or_not_at_all() {
    let stage = staged().await;
    let (omars, janes) = (second(&stage), stage.path(&format!("{STAFF}.password")));
    let wrong = stage.write_secret("wrong.password", "something-else-entirely").expect("written");
    assert_eq!(once(&stage).status.code(), Some(0));
    let old = adopt_old(&stage, 4);
    let left = || files(&stage, ".snapshot").iter().filter(|name| old.contains(name)).count();
    let output = once(&stage);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("second-person-needed"), "{}", said(&output));
    assert_eq!(left(), 4, "above its cap the daemon deletes nothing by itself");

    let token = plan(&stage);
    let apply = ["retention", "apply", "--plan", &token];
    let (jane, omar) = ((STAFF, janes.as_path()), (SECOND, omars.as_path()));
    let cases: [(&str, &[(&str, &Path)]); 6] = [
        ("nobody", &[]),
        ("one", &[jane]),
        ("the same twice", &[jane, jane]),
        ("a wrong password", &[jane, (SECOND, &wrong)]),
        ("another's password", &[jane, (SECOND, &janes)]),
        ("nobody of that name", &[jane, ("nobody", &omars)]),
    ];
    for (who, people) in cases {
        let output = by(&stage, &apply, people);
        assert_eq!(output.status.code(), Some(3), "{who}: {}", said(&output));
        assert_eq!(left(), 4, "{who}");
    }
    // A plan of another moment: one more snapshot is there than those who approve have seen.
    adopt_old(&stage, 1);
    let stale = by(&stage, &apply, &[jane, omar]);
    assert_eq!(stale.status.code(), Some(3), "{}", said(&stale));
    assert_eq!(left(), 4, "a stale plan deletes nothing");

    let token = plan(&stage);
    let applied = by(&stage, &["retention", "apply", "--plan", &token], &[jane, omar]);
    assert_eq!(applied.status.code(), Some(0), "{}", said(&applied));
    assert_eq!((left(), said(&applied).matches("gone").count()), (0, 5), "{}", said(&applied));
    register_and_store_agree(&stage);
    let gone = state(&stage).snapshots().filter(|known| matches!(known.status, SnapshotStatus::Deleted { .. })).count();
    assert_eq!(gone, 5);
    assert_eq!(once(&stage).status.code(), Some(0));
    stage.run(&["audit", "verify"]).expect("every log verifies");
}

fn give(path: &Path, uid: u32, gid: u32) {
    chown(path, Some(uid), Some(gid)).expect("given");
    if path.is_dir() {
        fs::read_dir(path).expect("listed").for_each(|entry| give(&entry.expect("an entry").path(), uid, gid));
    }
}

const ROWS: &str = "select count(*) || ' ' || md5(string_agg(c::text, ',' order by c::text)) from contacts c";

async fn rows(stage: &Stage, database: &str) -> String {
    let rows = stage.cluster.run_sql(database, ROWS).await.expect("rows");
    rows.into_iter().flatten().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_daemon_took_is_restored_by_two_people_and_starts_as_a_server() {
    let mut stage = staged().await;
    let (omars, janes) = (second(&stage), stage.path(&format!("{STAFF}.password")));
    configure(
        &stage,
        "[snapshots.whole]\nkind = \"base-backup\"\ncluster = \"main\"\ndirectory = \"store-whole\"\n\
         recipient = \"snapshots.pub\"\npassword_file = \"snapshots.password\"\n",
    );
    stage.run(&["retention", "store", "whole"]).expect("a store");
    let output = once(&stage);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let id_in = |folder: &str, wanted: &dyn Fn(&str) -> bool| -> String {
        let names =
            fs::read_dir(stage.path(folder)).expect("a store").map(|entry| entry.expect("an entry").file_name());
        let mut names = names.filter_map(|name| name.to_str()?.strip_suffix(".snapshot").map(str::to_owned));
        names.find(|name| wanted(name)).expect("a snapshot")
    };
    let whole = id_in("store-whole", &|_| true);
    let (jane, omar) = ((STAFF, janes.as_path()), (SECOND, omars.as_path()));
    let expected = (rows(&stage, "acme").await, rows(&stage, "globex").await);

    let data = stage.cluster.directory().join("restored");
    let (key, into) = (stage.path("snapshots.key"), data.to_string_lossy().into_owned());
    let key = key.to_string_lossy().into_owned();
    let restore = [
        "retention",
        "restore",
        "--backend",
        "whole",
        "--snapshot",
        &whole,
        "--private-key",
        &key,
        "--directory",
        &into,
        "--reason",
        "a drill, as every quarter",
    ];
    let wrong = stage.write_secret("wrong.password", "something-else-entirely").expect("written");
    for (who, people) in [
        ("one", vec![jane]),
        ("the same twice", vec![jane, jane]),
        ("a wrong password", vec![jane, (SECOND, wrong.as_path())]),
    ] {
        let output = by(&stage, &restore, &people);
        assert_eq!(output.status.code(), Some(3), "{who}: {}", said(&output));
        assert!(!data.exists(), "{who}: nothing is brought back");
    }
    let output = by(&stage, &restore, &[jane, omar]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("restored"), "{}", said(&output));
    let again = by(&stage, &restore, &[jane, omar]);
    assert_eq!(again.status.code(), Some(1), "the directory is not empty: {}", said(&again));

    // The original goes away; the copy takes its place.
    stage.cluster.stop();
    let original = stage.cluster.directory().join("data");
    let owner = fs::metadata(&original).expect("the data");
    give(&data, owner.uid(), owner.gid());
    fs::rename(&original, stage.cluster.directory().join("original")).expect("moved");
    fs::rename(&data, &original).expect("moved");
    stage.cluster.start_again().await.expect("the restored server starts");
    assert_eq!((rows(&stage, "acme").await, rows(&stage, "globex").await), expected);

    // A dump comes back into a database, by two people as well.
    stage.cluster.create_database("again").await.expect("a database");
    let role = "create role restorer superuser login password 'r'";
    stage.cluster.run_sql("postgres", role).await.expect("a role");
    let hba = stage.cluster.directory().join("data/pg_hba.conf");
    let lines = fs::read_to_string(&hba).expect("readable");
    fs::write(&hba, format!("hostssl all restorer 127.0.0.1/32 scram-sha-256\n{lines}")).expect("writable");
    stage.cluster.run_sql("postgres", "select pg_reload_conf()").await.expect("reloaded");
    let password = stage.write_secret("restorer.password", "r").expect("written");
    let password = password.to_string_lossy().into_owned();
    let known = state(&stage);
    let dump = first_dump(&stage, &known);
    let restore = [
        "retention",
        "restore",
        "--backend",
        "nightly",
        "--snapshot",
        &dump,
        "--private-key",
        &key,
        "--database",
        "again",
        "--role",
        "restorer",
        "--role-password-file",
        &password,
        "--reason",
        "a drill, as every quarter",
    ];
    let output = by(&stage, &restore, &[jane, omar]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let back = rows(&stage, "again").await;
    assert!(back == expected.0 || back == expected.1, "{back} is neither of {expected:?}");
    stage.run(&["audit", "verify"]).expect("every log verifies");
}

/// The first dump of the daemon: databases are taken by their names, so it is a customer's own.
fn first_dump(stage: &Stage, known: &portreeve::grant::State) -> String {
    let dumps = known.snapshots().map(|snapshot| (snapshot.sequence, snapshot.id.to_string()));
    let mut dumps: Vec<_> =
        dumps.filter(|(_, id)| stage.path("store").join(format!("{id}.snapshot")).exists()).collect();
    dumps.sort();
    dumps.first().expect("a dump").1.clone()
}
