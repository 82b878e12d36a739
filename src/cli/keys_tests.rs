use std::fs;
use std::path::PathBuf;

use clap::Parser;

use super::*;
use crate::audit::keys::{Recipient, Recipients};
use crate::audit::tree::sha256;
use crate::cli::audit::tests::{started, write};
use crate::cli::verify_proof;
use crate::cli::{Arguments, Command as AnyCommand, Verb, dispatch};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::keyring::{Client, Kept, succession};
use crate::log::{Log, Settings};

type Served = tokio::task::JoinHandle<Result<(), String>>;

struct Stage {
    dir: tempfile::TempDir,
    context: Context,
    served: Served,
}

impl Stage {
    async fn set() -> Stage {
        let dir = tempfile::tempdir().expect("a directory");
        let (context, served) = started(dir.path()).await;
        Stage { dir, context, served }
    }

    /// Runs what was typed.
    async fn run(&self, typed: &str) -> Result<Exit, String> {
        let arguments = Arguments::try_parse_from(typed.split_whitespace()).map_err(|error| error.to_string())?;
        let AnyCommand::Verb(verb) = arguments.command else { panic!("{typed} is a service") };
        let path = self.dir.path().join("portreeve.toml");
        Box::pin(dispatch(verb, &self.context, &path)).await.map_err(|failure| failure.message().to_owned())
    }

    async fn stop_keyring(&mut self) {
        self.served.abort();
        let _aborted = (&mut self.served).await;
        // Its connections go after it, and with the last of them its log.
        let lock = self.log("keyring").join(crate::log::start::LOCK);
        for _ in 0..200 {
            if !RealDisk.is_locked(&lock).expect("readable") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("the keyring's log stays locked");
    }

    fn log(&self, name: &str) -> PathBuf {
        self.context.config.audit.directory.join(name)
    }

    /// What the proxy's next start would do.
    async fn open_proxy_log(&self, name: &str) -> Result<Log, crate::log::Error> {
        let config = &self.context.config;
        let public = init::read_public_key(&config.keyring.public_key).expect("a key");
        let client = Client::connect(&config.keyring.socket, public).await.expect("connected");
        let recipients = Recipients::new();
        client.ensure(&recipients, &[Recipient::Vendor]).await.expect("keys");
        let signing = SigningKey::from_seed(&init::read_seed(&config.proxy.log_key).expect("a key"));
        let settings = Settings { segment_bytes: 1 << 20, reserve_bytes: 0, ..Settings::new(name, signing) };
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(OsEntropy));
        Log::open(Arc::new(RealDisk), &self.log(name), settings, recipients, clock, entropy)
    }
}

const ROTATE: &str = "portreeve keys rotate log proxy-gate-1";
const VERIFY: &str = "portreeve audit verify --open";

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_log_is_searched_proved_and_verified_as_one() {
    let mut stage = Stage::set().await;
    write(&stage.context).await;
    let secret = fs::read(&stage.context.config.proxy.log_key).expect("read");
    assert_eq!(stage.run(ROTATE).await, Ok(Exit::Done));
    assert_ne!(fs::read(&stage.context.config.proxy.log_key).expect("read"), secret, "the old key is gone");
    // Before its writer ever ran, a new log that was cut again would be missed.
    let register = stage.context.register().map_err(|failure| failure.message().to_owned()).expect("a register");
    let (size, _) = register.remembered("proxy-gate-1.2").expect("readable").expect("it is remembered");
    assert!(size >= 2, "where it comes from, and that it was opened: {size}");
    write(&stage.context).await;
    assert!(stage.log("proxy-gate-1.2").join("checkpoint").exists());
    assert_eq!(stage.run(VERIFY).await, Ok(Exit::Done));
    assert_eq!(stage.run("portreeve audit verify").await, Ok(Exit::Done));

    let proof = stage.dir.path().join("proof.json");
    let prove = format!("portreeve audit prove --customer c7 --output {}", proof.display());
    assert_eq!(stage.run(&prove).await, Ok(Exit::Done));
    let proof: serde_json::Value = serde_json::from_slice(&fs::read(proof).expect("read")).expect("JSON");
    let of_proxy = proof["logs"]
        .as_array()
        .expect("logs")
        .iter()
        .filter(|log| log["checkpoint"].as_str().is_some_and(|note| note.starts_with("portreeve/proxy-gate-1")));
    let records = |log: &serde_json::Value| {
        log["leaves"].as_array().expect("leaves").iter().filter(|leaf| leaf.get("values").is_some()).count()
    };
    assert_eq!(of_proxy.map(records).collect::<Vec<_>>(), [5, 5], "statements and outcomes, before and behind");
    let csv = stage.dir.path().join("all.jsonl");
    let export = format!("portreeve audit export --customer c7 --output {}", csv.display());
    assert_eq!(stage.run(&export).await, Ok(Exit::Done));
    assert_eq!(fs::read_to_string(csv).expect("read").lines().count(), 6, "three statements in each");

    // Keys that are there stay, and a second rotation goes on from the second log.
    assert_eq!(stage.run(ROTATE).await, Ok(Exit::Done));
    assert!(stage.log("proxy-gate-1.3").join("checkpoint").exists());
    // The keyring's own log, which nobody else has keys for, when it does not run.
    let refused = stage.run("portreeve keys rotate log keyring").await.expect_err("it runs");
    assert!(refused.contains("stop what writes it first"), "{refused}");
    stage.stop_keyring().await;
    assert_eq!(stage.run("portreeve keys init").await, Ok(Exit::Done));
    assert_eq!(stage.run("portreeve keys rotate log keyring").await, Ok(Exit::Done));
    assert_eq!(stage.run("portreeve audit verify").await, Ok(Exit::Done));
    fs::remove_dir_all(stage.log("proxy-gate-1.2")).expect("removed");
    assert_eq!(stage.run("portreeve audit verify").await, Ok(Exit::Findings), "a log in the middle is missing");
}

/// What is proved of the log that ended is all of the period only with the log that it goes on as, or if the period ends before.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_of_an_ended_log_alone_asks_for_the_one_that_it_goes_on_as() {
    let stage = Stage::set().await;
    write(&stage.context).await;
    let before = format!(" --until {}", SystemClock.now());
    assert_eq!(stage.run(ROTATE).await, Ok(Exit::Done));
    write(&stage.context).await;
    let after = format!(" --until {}", SystemClock.now());
    let (old, both) = (&["proxy-gate-1"][..], &["proxy-gate-1", "proxy-gate-1.2"][..]);
    let folder = stage.dir.path().display();
    for (number, (names, until, states)) in [
        (old, "", &["goes-on", "sound"][..]),
        (old, after.as_str(), &["goes-on", "sound"]),
        (old, before.as_str(), &["complete"]),
        (both, "", &["complete", "complete"]),
        (both, after.as_str(), &["complete", "to-checkpoint"]),
        (both, before.as_str(), &["complete", "complete"]),
    ]
    .into_iter()
    .enumerate()
    {
        let (logs, file) = (names.join(" --log "), format!("{folder}/{number}.json"));
        let prove = format!("portreeve audit prove --customer c7 --log {logs}{until} --output {file}");
        assert_eq!(stage.run(&prove).await, Ok(Exit::Done), "{prove}");
        let keys: Vec<PathBuf> =
            names.iter().map(|name| stage.dir.path().join(format!("log-keys/{name}.vkey"))).collect();
        let (table, exit) =
            plain(verify_proof::of_records(&fs::read_to_string(&file).expect("read"), &keys, None, &[]));
        let rows = rows(&table);
        let told: Vec<_> = rows.iter().filter(|row| row["position"].is_null()).collect();
        assert_eq!(told.iter().map(|row| &row["state"]).collect::<Vec<_>>(), states, "{prove}: {told:?}");
        let named: Vec<String> = keys.iter().map(|key| format!(" --key {}", key.display())).collect();
        let typed = format!("portreeve verify-proof {file}{}", named.concat());
        let AnyCommand::Verb(Verb::VerifyProof(arguments)) =
            Arguments::try_parse_from(typed.split_whitespace()).expect("arguments").command
        else {
            panic!("another verb")
        };
        assert_eq!(plain(verify_proof::run(&arguments, crate::cli::Format::Json)), exit);
        if states.contains(&"goes-on") {
            let says = told[0]["says"].as_str().expect("text");
            assert!(says.starts_with("the log goes on as another log (its verifier key has the SHA-256 "), "{says}");
            assert!(says.ends_with("): give its proof and key"), "{says}");
            let next = fs::read_to_string(stage.dir.path().join("log-keys/proxy-gate-1.2.vkey")).expect("read");
            let next: String = sha256(&[next.trim_end().as_bytes()]).iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(says.contains(&next), "{says}");
        }
        assert_eq!(exit, if states.contains(&"goes-on") { Exit::Findings } else { Exit::Done }, "{prove}");
    }
}

/// Wherever it is cut off, it is done by running it again; until then nothing is written anywhere wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_was_cut_off_is_taken_up_again() {
    let stage = Stage::set().await;
    let config = &stage.context.config;
    write(&stage.context).await;
    let prepare = || {
        let next = succession::prepare(
            &RealDisk,
            &config.keyring.public_key,
            "proxy-gate-1",
            &config.proxy.log_key,
            &OsEntropy,
        );
        next.expect("prepared").expect("a next key")
    };
    // The next key is pinned: the writer goes on with the old log.
    let next = prepare();
    stage.open_proxy_log("proxy-gate-1").await.expect("the old log").close().expect("closed");
    // The old log has ended: the writer does not start.
    let log = stage.open_proxy_log("proxy-gate-1").await.expect("the old log");
    log.close_to_continue(&next.name, &next.signing.public()).expect("closed");
    let refused = stage.open_proxy_log("proxy-gate-1").await.expect_err("it ended");
    assert!(refused.to_string().contains("keys rotate log"), "{refused}");
    assert_eq!(stage.run("portreeve audit verify").await, Ok(Exit::Findings), "the next log is not there yet");
    let (old, new) =
        (fs::read(&config.proxy.log_key).expect("read"), config.proxy.log_key.with_added_extension("next"));
    let made = fs::read(&new).expect("read");
    assert_eq!(stage.run(ROTATE).await, Ok(Exit::Done));
    assert_eq!(fs::read(&config.proxy.log_key).expect("read"), made, "the key that was made");
    // Both logs are there, and the old key is still in its place.
    fs::rename(&config.proxy.log_key, &new).expect("renamed");
    fs::write(&config.proxy.log_key, old).expect("written");
    fs::set_permissions(&config.proxy.log_key, std::os::unix::fs::PermissionsExt::from_mode(0o400)).expect("closed");
    assert_eq!(stage.run(ROTATE).await, Ok(Exit::Done));
    assert_eq!(fs::read(&config.proxy.log_key).expect("read"), made);
    assert!(!stage.log("proxy-gate-1.3").exists() && !new.exists());
    assert_eq!(stage.run(VERIFY).await, Ok(Exit::Done));
    // While it is being written, it is left alone.
    let log = stage.open_proxy_log("proxy-gate-1.2").await.expect("the new log");
    let refused = stage.run(ROTATE).await.expect_err("it is open");
    assert!(refused.contains("proxy-gate-1.2 is being written"), "{refused}");
    log.close().expect("closed");
    let refused = stage.run("portreeve keys rotate log nobody").await.expect_err("no such writer");
    assert!(refused.contains("proxy-gate-1, portal"), "{refused}");
    // Of a log that was never begun nothing is, either.
    let refused = stage.run("portreeve keys rotate log portal").await.expect_err("no such log");
    assert!(refused.contains("there is no log"), "{refused}");
    assert!(!config.portal.log_key.with_added_extension("next").exists() && !stage.log("portal").exists());
}

/// What a verb shows, row by row.
fn rows(table: &Table) -> Vec<serde_json::Value> {
    let mut out = Vec::new();
    table.write(crate::cli::Format::Json, &mut out).expect("written");
    let lines = String::from_utf8(out).expect("text");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn plain<T>(done: Result<T, Failure>) -> T {
    done.map_err(|failure| failure.message().to_owned()).expect("done")
}

/// What is wrong, as `what: detail`.
fn wrong(stage: &Stage) -> Vec<String> {
    let (table, exit) = plain(doctor::doctor(&stage.context));
    let found: Vec<_> = rows(&table).into_iter().filter(|row| row["verdict"] == "wrong").collect();
    assert_eq!(exit == Exit::Done, found.is_empty());
    found.iter().map(|row| format!("{}: {}", row["what"], row["detail"]).replace('"', "")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_backed_up_and_looked_after_whether_the_keyring_runs_or_not() {
    let mut stage = Stage::set().await;
    write(&stage.context).await;
    assert_eq!(stage.run(ROTATE).await, Ok(Exit::Done));
    let shown = |table: &Table| {
        let text = |row: &serde_json::Value| format!("{} {} {} {}", row["kind"], row["of"], row["part"], row["state"]);
        rows(table).iter().map(|row| text(row).replace('"', "")).collect::<Vec<_>>()
    };
    let listed = shown(&plain(list::list(&stage.context).await));
    for expected in [
        "kek keyring null in use",
        "log proxy-gate-1 null ended",
        "log proxy-gate-1.2 null in use",
        "records c7 values in use",
        "records c7 skeleton in use",
        "records vendor values in use",
    ] {
        assert!(listed.iter().any(|row| row == expected), "{expected}: {listed:#?}");
    }
    let refused = stage.run("portreeve keys backup").await.expect_err("no place is listed");
    assert!(refused.contains("no copy is listed"), "{refused}");
    assert_eq!(wrong(&stage).len(), 1, "that there is no copy: {:?}", wrong(&stage));
    assert_eq!(stage.run("portreeve keys rotate kek").await, Ok(Exit::Done), "it runs");
    let refused = stage.run("portreeve keys rotate kek --new-credential").await.expect_err("it runs");
    assert!(refused.contains("stop it first"), "{refused}");

    // A place that was listed after the keyring had started.
    let copy = stage.dir.path().join("elsewhere/keyring");
    fs::create_dir(copy.parent().expect("a folder")).expect("made");
    stage.context.config.keyring.copies = vec![copy.clone()];
    let (table, exit) = plain(kept::back_up(&stage.context).await);
    assert_eq!(exit, Exit::Findings);
    let states: Vec<_> = rows(&table).iter().map(|row| row["state"].to_string()).collect();
    assert!(states.len() == 2 && states[1].contains("start it again"), "{states:?}");
    assert!(!copy.exists(), "a keyring that does not know of it");
    stage.context.config.keyring.copies = vec![];

    stage.stop_keyring().await;
    let offline = shown(&plain(list::list(&stage.context).await));
    assert_eq!(offline, listed, "the same from its file");
    stage.context.config.keyring.copies = vec![copy.clone()];
    assert_eq!(wrong(&stage), ["copy: the copy is missing: run \\portreeve keys backup\\"]);
    assert_eq!(stage.run("portreeve keys backup").await, Ok(Exit::Done));
    assert_eq!(wrong(&stage), Vec::<String>::new());

    // A copy of the generation before, which a rotation could not reach.
    stage.context.config.keyring.copies = vec![];
    let before = fs::read(&stage.context.config.keyring.credential).expect("read");
    assert_eq!(stage.run("portreeve keys rotate kek --new-credential").await, Ok(Exit::Done));
    assert_ne!(fs::read(&stage.context.config.keyring.credential).expect("read"), before, "another credential");
    stage.context.config.keyring.copies = vec![copy.clone()];
    let stale = wrong(&stage);
    assert!(stale.len() == 1 && stale[0].contains("keys backup"), "{stale:?}");
    assert_eq!(stage.run("portreeve keys backup").await, Ok(Exit::Done));
    assert_eq!(wrong(&stage), Vec::<String>::new());

    // Modes, a lost half, a cut-off rotation.
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("set");
    };
    let config = stage.context.config.clone();
    mode(&config.proxy.log_key, 0o444);
    fs::remove_file(&config.portal.signing_public_key).expect("removed");
    fs::write(config.cli.log_key.with_added_extension("next"), "").expect("written");
    let found = wrong(&stage).join("\n");
    for expected in ["has mode 0444 and must not be open", "portal's key: ", "its rotation was cut off: run"] {
        assert!(found.contains(expected), "{expected}: {found}");
    }
}

/// January of 2020, when nobody destroyed anything yet.
struct LongAgo;

impl Clock for LongAgo {
    fn now(&self) -> Timestamp {
        Timestamp(1_578_000_000_000_000)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_records_of_no_customer_are_listed_with_the_day_they_go_and_found_if_they_do_not() {
    let mut stage = Stage::set().await;
    assert_eq!(wrong(&stage).len(), 1, "that there is no copy: {:?}", wrong(&stage));
    stage.stop_keyring().await;
    let config = stage.context.config.keyring.clone();
    let mut kept = Kept::open(Arc::new(RealDisk), &config.file, &config.credential).expect("opened");
    kept.own_recipients(&LongAgo, &OsEntropy).expect("made");
    drop(kept);
    let listed = rows(&plain(list::list(&stage.context).await));
    for (part, until) in [("values", "2020-05-01T00:00:00"), ("skeleton", "2021-01-31T00:00:00")] {
        let row = listed.iter().find(|row| row["period"] == 202_001 && row["part"] == part).expect(part);
        assert_eq!(row["state"], "past");
        assert!(row["until"].as_str().is_some_and(|at| at.starts_with(until)), "{row}");
    }
    assert!(listed.iter().filter(|row| row["of"] != "vendor").all(|row| row["until"].is_null()), "{listed:?}");
    let found = wrong(&stage).join("\n");
    assert!(
        found.contains("4 keys of records of no customer are past their age, that of the values of 202001"),
        "{found}"
    );
}

/// Who owns a log can put a link in place of what root is about to make: it leads nowhere that its owner could not go.
#[tokio::test(flavor = "multi_thread")]
async fn root_rotates_anothers_log_with_the_others_rights() {
    /// Nobody's, as the system calls it.
    const OTHER: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tested here: only root can work as another user");
        return;
    }
    let stage = Stage::set().await;
    write(&stage.context).await;
    let (audit, old) = (&stage.context.config.audit.directory, stage.log("proxy-gate-1"));
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("set");
    };
    // As the units have it: every role may make entries, and nobody removes another's.
    audit.ancestors().take_while(|above| *above != std::path::Path::new("/tmp")).for_each(|above| mode(above, 0o755));
    let given = |path: &std::path::Path| std::os::unix::fs::chown(path, Some(OTHER), Some(OTHER)).expect("given away");
    std::os::unix::fs::chown(audit, None, Some(OTHER)).expect("given away");
    mode(audit, 0o3770);
    given(&old);
    fs::read_dir(&old).expect("listed").for_each(|entry| given(&entry.expect("an entry").path()));
    let (roots, link) = (stage.dir.path().join("roots"), stage.log("proxy-gate-1.2"));
    fs::create_dir(&roots).expect("made");
    fs::write(roots.join("spare"), "root's own").expect("written");
    std::os::unix::fs::symlink(&roots, &link).expect("planted");
    let refused = stage.run(ROTATE).await.expect_err("it does not follow");
    assert!(refused.contains("proxy-gate-1.2"), "{refused}");
    let names: Vec<_> = fs::read_dir(&roots).expect("listed").map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(names, [roots.join("spare")], "nothing is made there, and nothing removed");
    let owner =
        |path: &std::path::Path| std::os::unix::fs::MetadataExt::uid(&fs::symlink_metadata(path).expect("there"));
    assert!(owner(&roots) == 0 && owner(&names[0]) == 0, "nor given away");
    // Without it, the rotation goes on, and all that it makes is the other's.
    fs::remove_file(&link).expect("removed");
    assert_eq!(stage.run(ROTATE).await, Ok(Exit::Done));
    for dir in [old, link] {
        let entries = fs::read_dir(&dir).expect("listed").map(|entry| entry.expect("an entry").path());
        let all: Vec<PathBuf> = entries.chain([dir]).collect();
        assert!(all.len() > 3 && all.iter().all(|path| owner(path) == OTHER), "{all:?}");
    }
    assert_eq!(stage.run(VERIFY).await, Ok(Exit::Done));
}
