use std::path::Path;
use std::time::Duration;

use clap::Parser;

use super::search::{Looked, found, kind};
use super::show::record;
use super::verify::{Depth, verified, verified_to};
use super::*;
use crate::audit::checkpoint::{Checkpoint, SigningKey};
use crate::audit::keys::Recipient;
use crate::audit::record::{Bind, Kind, Record};
use crate::cli::{Arguments, Command as AnyCommand, Format, Table, dispatch, keyring, keys};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::{Config, load};
use crate::disk::RealDisk;
use crate::entropy::OsEntropy;
use crate::ids::SessionId;
use crate::keyring::pinned;
use crate::log::growth::first_leaves;
use crate::log::{self, Claim, Log};

pub(in crate::cli) fn config(dir: &Path) -> Config {
    let me = rustix::process::getuid().as_raw();
    let text = format!(
        "[clusters.main]\nhost = \"db\"\nca = \"x\"\ncertificate = \"x\"\nkey = \"x\"\npassword_file = \"x\"\n\
         [proxy]\nlog_key = \"secrets/proxy\"\nsocket = \"control.sock\"\n\
         [register]\npath = \"register.sqlite\"\n\
         [audit]\ndirectory = \"audit\"\nsegment_bytes = \"1MiB\"\nreserve_bytes = \"0B\"\n\
         [keyring]\nsocket = \"keyring.sock\"\nfile = \"var/keyring\"\ncredential = \"secrets/credential\"\n\
         public_key = \"keyring.pub\"\nwriters = [{me}]\nopeners = [{me}]\n\
         destroyers = [{me}]\nlog_key = \"secrets/keyring-log\"\n\
         [portal]\npublic_url = \"https://x\"\nsigning_key = \"secrets/portal\"\nsigning_public_key = \"portal.pub\"\n\
         log_key = \"secrets/portal-log\"\n\
         [retention]\nlog_key = \"secrets/retention-log\"\nstate = \"retention\"\n\
         [cli]\nlog_key = \"secrets/cli-log\"\nstate = \"cli\"\n"
    );
    std::fs::write(dir.join("portreeve.toml"), text).expect("written");
    std::fs::create_dir_all(dir.join("cli")).expect("made");
    load(&dir.join("portreeve.toml")).expect("a configuration")
}

/// A keyring that answers, in this process.
pub(in crate::cli) async fn started(dir: &Path) -> (Context, tokio::task::JoinHandle<Result<(), String>>) {
    let context = Context { config: config(dir), format: Format::Json };
    keys::run(keys::Command::Init, &context).await.map_err(|failure| failure.message().to_owned()).expect("keys");
    let config = context.config.clone();
    let served = tokio::spawn(async { keyring::serve(config).await.map_err(|failure| failure.message().to_owned()) });
    for _ in 0..200 {
        if context.config.keyring.socket.exists() {
            return (context, served);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the keyring does not answer: {served:?}");
}

/// The proxy's log, with segments of so many bytes and the keys of customer 7.
pub(in crate::cli) async fn proxys_log(context: &Context, segment_bytes: u64) -> Log {
    let config = &context.config;
    let public = init::read_public_key(&config.keyring.public_key).expect("a key");
    let client = Client::connect(&config.keyring.socket, public).await.expect("connected");
    let recipients = Recipients::new();
    client.ensure(&recipients, &[Recipient::Vendor, Recipient::Customer(CustomerId(7))]).await.expect("keys");
    let signing = SigningKey::from_seed(&init::read_seed(&config.proxy.log_key).expect("a key"));
    let name = pinned::log_name(&config.keyring.public_key, "proxy-gate-1", &signing.public()).expect("a name");
    let settings = log::Settings { segment_bytes, reserve_bytes: 0, ..log::Settings::new(&name, signing) };
    let (disk, clock, entropy) = (Arc::new(RealDisk), Arc::new(SystemClock), Arc::new(OsEntropy));
    Log::open(disk, &config.audit.directory.join(&name), settings, recipients, clock, entropy).expect("a log")
}

/// What a proxy writes of one session: a statement that is answered, one that fails, one whose outcome never came.
pub(in crate::cli) async fn write(context: &Context) {
    let log = proxys_log(context, 1 << 20).await;
    let session = SessionId([1; 8]);
    for (frame, text) in [(1, "select * from contacts where id = $1"), (2, "select\u{1b}[2J"), (3, "update contacts")] {
        let mut record = Record::new(SystemClock.now(), Kind::Statement, Some(CustomerId(7)));
        record.skeleton.staff = Some(3);
        record.skeleton.verb = Some("query".to_owned());
        record.skeleton.relations = (frame != 2).then(|| vec!["contacts".to_owned()]);
        record.values.staff = Some("jane".to_owned());
        record.values.text = Some(text.as_bytes().to_vec());
        record.values.binds = Some(vec![Bind { type_oid: 23, format: 1, value: Some(vec![0, 0, 0, 42]) }]);
        let _receipt = log.append(record, Claim::of(session, frame)).expect("queued").await.expect("durable");
        let mut outcome = Record::new(SystemClock.now(), Kind::Outcome, Some(CustomerId(7)));
        outcome.skeleton.session = Some(session);
        outcome.skeleton.frame = Some(frame);
        outcome.skeleton.duration_us = Some(1500);
        match frame {
            1 => (outcome.skeleton.tag, outcome.skeleton.rows) = (Some("SELECT 3".to_owned()), Some(3)),
            2 => {
                outcome.skeleton.sqlstate = Some("42601".to_owned());
                outcome.values.message = Some("syntax error".to_owned());
            }
            _ => continue,
        }
        log.note(outcome).expect("queued");
    }
    log.close().expect("closed");
}

fn json(table: &Table) -> Vec<serde_json::Value> {
    let mut out = Vec::new();
    table.write(Format::Json, &mut out).expect("written");
    let lines = String::from_utf8(out).expect("text");
    lines.lines().map(|line| serde_json::from_str(line).expect("json")).collect()
}

/// What a search prints for programs.
async fn objects(context: &Context, looked: Looked) -> Vec<serde_json::Value> {
    let auditor = plain(Auditor::begin(context, &looked.asked("search"), looked.reason.as_deref()).await);
    let found = plain(found(&auditor, &looked).await);
    found.iter().map(|found| object::object(found, &auditor.names())).collect()
}

fn plain<T>(done: Result<T, Failure>) -> T {
    done.map_err(|failure| failure.message().to_owned()).expect("done")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_finds_shows_and_verifies_what_a_proxy_wrote() {
    let dir = tempfile::tempdir().expect("a directory");
    let (context, served) = started(dir.path()).await;
    write(&context).await;

    let rows = objects(&context, Looked { customer: Some("c7".to_owned()), ..Looked::default() }).await;
    let column =
        |name: &str| -> Vec<serde_json::Value> { rows.iter().map(|row| row.get(name).expect(name).clone()).collect() };
    assert_eq!(column("result"), ["SELECT 3", "42601 syntax error", "unknown"]);
    assert_eq!(column("staff"), ["jane"; 3]);
    assert_eq!(column("customer"), ["c7"; 3]);
    assert_eq!(column("kind"), ["statement"; 3]);
    let first = rows.first().expect("a row");
    let bind = serde_json::json!([{"oid": 23, "format": 1, "raw": "0000002a", "display": "42"}]);
    assert_eq!(first.get("binds"), Some(&bind));
    assert_eq!(first.get("session"), Some(&"0101010101010101".into()));
    assert_eq!(first.pointer("/outcome/tag"), Some(&"SELECT 3".into()));
    assert_eq!(first.pointer("/outcome/duration_us"), Some(&1500.into()));
    assert_eq!(first.get("rows"), Some(&serde_json::json!(3)));
    assert_eq!(first.get("duration_ms"), Some(&serde_json::json!(1.5)));

    let looked = Looked { text: Some("CONTACTS".to_owned()), limit: 1, ..Looked::default() };
    let newest = objects(&context, looked).await;
    assert_eq!(newest.len(), 1);
    assert_eq!(newest.first().and_then(|row| row.get("text")), Some(&"update contacts".into()));
    let of = |looked: &Looked| looked.asked("search");
    let by_table = Looked { table: Some("contacts".to_owned()), ..Looked::default() };
    assert_eq!((of(&by_table).as_str(), objects(&context, by_table).await.len()), ("search --table \"contacts\"", 2));
    let failed = Looked { sqlstate: Some("42601".to_owned()), kind: vec![Kind::Statement], ..Looked::default() };
    let asked = of(&failed);
    let rows = objects(&context, failed).await;
    assert_eq!(rows.iter().map(|row| row.get("result")).collect::<Vec<_>>(), [Some(&"42601 syntax error".into())]);
    assert!(
        search::sqlstate("4260").is_err() && search::sqlstate("4260a").is_err() && search::sqlstate("42P01").is_ok()
    );
    // What was looked for is recorded with who and why.
    let reads = Looked { kind: vec![Kind::KeysOpened], text: Some(format!("audit {asked}")), ..Looked::default() };
    assert!(!objects(&context, reads).await.is_empty());
    // The keyring's own log is searched like any other: it says who read.
    let reads = Looked { kind: vec![Kind::KeysOpened], text: Some("audit search".to_owned()), ..Looked::default() };
    assert!(!objects(&context, reads).await.is_empty());

    let place = first.get("place").and_then(|place| place.as_str()).expect("a place").to_owned();
    let (table, exit) = plain(record(&context, &place, Some("a test")).await);
    assert_eq!(exit, Exit::Done);
    let fields = json(&table);
    let value = |field: &str| {
        fields.iter().find(|row| row.get("field") == Some(&field.into())).and_then(|row| row.get("value")).cloned()
    };
    assert_eq!(value("outcome tag"), Some("SELECT 3".into()));
    assert_eq!(value("bind $1 (type 23)"), Some("42".into()));
    assert_eq!(value("text"), Some("select * from contacts where id = $1".into()));

    for open in [false, true] {
        let (table, exit) = plain(verified(&context, open, None, &[]).await);
        assert_eq!(exit, Exit::Done, "{:?}", json(&table));
        assert!(json(&table).len() >= 2, "{:?}", json(&table));
    }
    what_the_register_remembers_is_compared(&context).await;
    served.abort();
    damaged_part_is_nothing_to_the_tree(&context).await;
    flipped_byte_is_found(&context).await;
}

/// The register remembers how long the log is: even so, the tree alone says nothing of the records.
async fn damaged_part_is_nothing_to_the_tree(context: &Context) {
    let segment = context.config.audit.directory.join("proxy-gate-1/000000000000.segment");
    let whole = std::fs::read(&segment).expect("read");
    let mut damaged = whole.clone();
    let last = damaged.iter().rposition(|byte| *byte != 0).expect("not empty");
    *damaged.get_mut(last).expect("within") ^= 1;
    let verdicts = async |depth| -> Vec<String> {
        let rows = json(&plain(verified_to(context, depth, None, &[], None).await).0);
        let of_proxy = rows.iter().filter(|row| row.get("log") == Some(&"proxy-gate-1".into()));
        of_proxy.filter_map(|row| Some(row.get("verdict")?.as_str()?.to_owned())).collect()
    };
    let before = verdicts(Depth::Tree).await;
    std::fs::write(&segment, &damaged).expect("written");
    assert_eq!(verdicts(Depth::Tree).await, before);
    assert!(verdicts(Depth::Sealed).await.contains(&"forked".to_owned()));
    std::fs::write(&segment, whole).expect("written");
}

#[test]
fn what_was_looked_for_is_recorded_so_that_no_value_reads_as_a_field() {
    let of = |looked: Looked| looked.asked("search");
    let given = Some("x\" --staff \"jane\": a fine reason\n\\\u{202e}".to_owned());
    let says = r#"search --text "x\" --staff \"jane\": a fine reason\n\\\u{202e}" --kind "statement,refused""#;
    let kind = vec![Kind::Statement, Kind::Refused];
    assert_eq!(of(Looked { text: given, kind, ..Looked::default() }), says);
    let long = |count: usize| Some("ö".repeat(count));
    let whole = of(Looked { text: long(200), ..Looked::default() });
    assert_eq!(whole, format!("search --text \"{}\"", "ö".repeat(200)));
    // Nothing is left of the last one, and yet it is seen that it was given.
    let cut = of(Looked { table: long(201), text: Some("jane".to_owned()), ..Looked::default() });
    let of_table = format!("search --table \"{}\" (cut after 200 of 201 characters)", "ö".repeat(200));
    assert_eq!(cut, format!("{of_table} --text \"\" (cut after 0 of 4 characters)"));
    // What stands there for a character counts.
    let controls = of(Looked { text: Some("\u{1}".repeat(50)), ..Looked::default() });
    let shown = r"\u{1}".repeat(40);
    assert_eq!(controls, format!("search --text \"{shown}\" (cut after 40 of 50 characters)"));
}

async fn what_the_register_remembers_is_compared(context: &Context) {
    let register = context.register().map_err(|failure| failure.message().to_owned()).expect("a register");
    let dir = context.config.audit.directory.join("proxy-gate-1");
    let tree = first_leaves(&dir, 3).expect("readable");
    let remember = |size, root| register.note_checkpoint("portreeve/proxy-gate-1", size, root).expect("noted");
    let verdicts = async || -> Vec<String> {
        let rows = json(&plain(verified(context, false, None, &[]).await).0);
        let of_proxy = rows.iter().filter(|row| row.get("log") == Some(&"proxy-gate-1".into()));
        of_proxy.filter_map(|row| Some(row.get("verdict")?.as_str()?.to_owned())).filter(|word| word != "ok").collect()
    };
    remember(tree.size(), tree.root());
    assert_eq!(verdicts().await, [""; 0]);
    remember(4, [9; 32]);
    assert_eq!(verdicts().await, ["forked"]);
    remember(4000, [9; 32]);
    assert_eq!(verdicts().await, ["rolled-back"]);
}

async fn flipped_byte_is_found(context: &Context) {
    let dir = context.config.audit.directory.join("proxy-gate-1");
    let segment = std::fs::read_dir(&dir).expect("listed").filter_map(|entry| Some(entry.ok()?.path()));
    let segment = segment.filter(|path| path.extension().is_some_and(|it| it == "segment")).min().expect("a segment");
    let mut bytes = std::fs::read(&segment).expect("read");
    // The second block begins with the first batch.
    *bytes.get_mut(4096 + 200).expect("within") ^= 1;
    std::fs::write(&segment, bytes).expect("written");
    let (table, exit) = plain(verified(context, false, None, &[]).await);
    assert_eq!(exit, Exit::Findings);
    let rows = json(&table);
    let is_alarm = |row: &serde_json::Value| {
        row.get("log") == Some(&"proxy-gate-1".into()) && row.get("verdict") != Some(&"ok".into())
    };
    assert!(rows.iter().any(is_alarm), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_key_is_not_pinned_is_not_vouched_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let (context, served) = started(dir.path()).await;
    write(&context).await;
    std::fs::remove_file(pinned::log_key(&context.config.keyring.public_key, "proxy-gate-1")).expect("removed");
    let (table, exit) = plain(verified(&context, false, None, &[]).await);
    assert_eq!(exit, Exit::Findings);
    let rows = json(&table);
    let wrong = rows.iter().find(|row| row.get("verdict") == Some(&"wrong-key".into())).expect("a finding");
    assert!(wrong.get("detail").is_some_and(|detail| detail.to_string().contains("not pinned")), "{rows:?}");
    served.abort();
}

/// Waits until nobody writes the log any more.
async fn left(dir: &Path) {
    for _ in 0..500 {
        if !crate::disk::Disk::is_locked(&RealDisk, &dir.join("lock")).expect("looked at") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} is still written", dir.display());
}

/// Log, verdict and detail of each row that is not `ok`, without what is not compared with anybody elsewhere; and the exit.
async fn told(context: &Context) -> (Vec<[String; 3]>, Exit) {
    let (table, exit) = plain(verified(context, false, None, &[]).await);
    let text = |row: &serde_json::Value, name: &str| row.get(name).and_then(|it| it.as_str()).unwrap_or("").to_owned();
    let rows =
        json(&table).iter().map(|row| ["log", "verdict", "detail"].map(|name| text(row, name))).collect::<Vec<_>>();
    (rows.into_iter().filter(|[_, verdict, _]| verdict != "ok").collect(), exit)
}

/// Nobody remembers how long the keyring's log is, and without a witness nobody elsewhere remembers any.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_gone_or_has_no_checkpoint_is_an_alarm() {
    let dir = tempfile::tempdir().expect("a directory");
    let (context, served) = started(dir.path()).await;
    write(&context).await;
    served.abort();
    let audit = &context.config.audit.directory;
    let (keyring, gate, aside) = (audit.join("keyring"), audit.join("proxy-gate-1"), dir.path().join("aside"));
    left(&keyring).await;
    assert_eq!(told(&context).await, (vec![], Exit::Done));

    std::fs::rename(&keyring, &aside).expect("moved");
    let (rows, exit) = told(&context).await;
    let [[log, verdict, detail]] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((log.as_str(), verdict.as_str(), exit), ("keyring", "missing", Exit::Findings));
    assert!(detail.contains("it is not there"), "{detail}");
    // Before anybody wrote anything a keyring may never have been started.
    std::fs::rename(&gate, dir.path().join("gate")).expect("moved");
    let (rows, exit) = told(&context).await;
    assert_eq!((rows.len(), rows[0][1].as_str(), exit), (1, "unwitnessed", Exit::Done), "{rows:?}");
    std::fs::rename(dir.path().join("gate"), &gate).expect("moved");
    std::fs::rename(&aside, &keyring).expect("moved");

    for of in [&keyring, &gate] {
        let note = std::fs::read(of.join("checkpoint")).expect("read");
        std::fs::remove_file(of.join("checkpoint")).expect("removed");
        let (rows, exit) = told(&context).await;
        let [[log, verdict, detail]] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((of.ends_with(log), verdict.as_str(), exit), (true, "missing", Exit::Findings));
        assert!(detail.contains("no checkpoint"), "{detail}");
        std::fs::write(of.join("checkpoint"), note).expect("written");
    }
    // A log of another machine: its key is pinned, it was begun, it is gone.
    let public_key = pinned::log_key(&context.config.keyring.public_key, "proxy-gate-2");
    let line = format!("{}\n", crate::audit::checkpoint::verifier_key("portreeve/proxy-gate-2", &[7; 32]));
    std::fs::write(public_key, line).expect("written");
    assert_eq!(told(&context).await, (vec![], Exit::Done), "it was never begun");
    let register = context.register().map_err(|failure| failure.message().to_owned()).expect("a register");
    register.note_checkpoint("portreeve/proxy-gate-2", 5, [9; 32]).expect("noted");
    let (rows, exit) = told(&context).await;
    let [[log, verdict, detail]] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((log.as_str(), verdict.as_str(), exit), ("proxy-gate-2", "missing", Exit::Findings));
    assert!(detail.contains("the register remembers 5 leaves"), "{detail}");
}

/// A directory that is a whole log, and another's.
#[tokio::test(flavor = "multi_thread")]
async fn another_logs_directory_is_told_by_its_key_and_no_writer_opens_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let (context, served) = started(dir.path()).await;
    write(&context).await;
    let audit = &context.config.audit.directory;
    let gate = audit.join("proxy-gate-1");
    std::fs::rename(&gate, dir.path().join("aside")).expect("moved");
    std::fs::create_dir(&gate).expect("made");
    for file in std::fs::read_dir(audit.join("keyring")).expect("listed").map(|file| file.expect("an entry").path()) {
        std::fs::copy(&file, gate.join(file.file_name().expect("a name"))).expect("copied");
    }
    let (table, exit) = plain(verified(&context, false, None, &[]).await);
    assert_eq!(exit, Exit::Findings);
    let rows = json(&table);
    let of_gate: Vec<_> = rows.iter().filter(|row| row.get("log") == Some(&"proxy-gate-1".into())).collect();
    let is_told = |row: &&serde_json::Value| {
        let detail = row.get("detail").and_then(|detail| detail.as_str()).unwrap_or_default();
        row.get("verdict") == Some(&"wrong-key".into()) && detail.contains("the checkpoint of portreeve/keyring")
    };
    assert!(of_gate.iter().copied().any(|row| is_told(&row)), "{rows:?}");
    let signing = SigningKey::from_seed(&init::read_seed(&context.config.proxy.log_key).expect("a key"));
    let settings = log::Settings { reserve_bytes: 0, ..log::Settings::new("proxy-gate-1", signing) };
    let (disk, clock, entropy) = (Arc::new(RealDisk), Arc::new(SystemClock), Arc::new(OsEntropy));
    let public = init::read_public_key(&context.config.keyring.public_key).expect("a key");
    let client = Client::connect(&context.config.keyring.socket, public).await.expect("connected");
    let recipients = Recipients::new();
    client.ensure(&recipients, &[Recipient::Vendor]).await.expect("keys");
    let refused = Log::open(disk, &gate, settings, recipients, clock, entropy).expect_err("another log");
    let refused = refused.to_string();
    assert!(refused.contains(&gate.display().to_string()) && refused.contains("is wrong-key"), "{refused}");
    assert!(refused.contains("portreeve audit verify"), "it says what to do: {refused}");
    served.abort();
}

/// How the command line ends, with what it says if it failed.
async fn typed(context: &Context, typed: &str) -> Result<Exit, String> {
    let arguments = Arguments::try_parse_from(typed.split_whitespace()).map_err(|error| error.to_string())?;
    let AnyCommand::Verb(verb) = arguments.command else { panic!("{typed} is a service") };
    let done = Box::pin(dispatch(verb, context, Path::new("portreeve.toml"))).await;
    done.map_err(|failure| failure.message().to_owned())
}

fn copied(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("made");
    for file in std::fs::read_dir(from).expect("listed").map(|file| file.expect("an entry").path()) {
        std::fs::copy(&file, to.join(file.file_name().expect("a name"))).expect("copied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_directory_adds_nothing_and_a_log_that_cannot_be_read_is_missed() {
    let dir = tempfile::tempdir().expect("a directory");
    let (context, served) = started(dir.path()).await;
    write(&context).await;
    let of_customer = || Looked { customer: Some("c7".to_owned()), ..Looked::default() };
    let whole = objects(&context, of_customer()).await;
    let audit = &context.config.audit.directory;
    let gate = audit.join("proxy-gate-1");
    // Under a name of its own, as what it is not.
    copied(&gate, &audit.join("zzz"));
    std::fs::create_dir(audit.join("x")).expect("made");
    std::fs::write(audit.join("x/checkpoint"), "").expect("written");
    assert_eq!(objects(&context, of_customer()).await, whole);
    let export = |file: &str| {
        let path = dir.path().join(file);
        (format!("portreeve audit export --customer c7 --output {}", path.display()), path)
    };
    let prove =
        |file: &str| format!("portreeve audit prove --customer c7 --output {}", dir.path().join(file).display());
    let (command, path) = export("whole.jsonl");
    assert_eq!(typed(&context, &command).await, Ok(Exit::Done));
    assert_eq!(std::fs::read_to_string(path).expect("read").lines().count(), whole.len());
    assert_eq!(typed(&context, "portreeve audit search --customer c7").await, Ok(Exit::Done));
    assert_eq!(typed(&context, &prove("whole.json")).await, Ok(Exit::Done));
    let refused = typed(&context, "portreeve audit show zzz/1").await.expect_err("it is no log");
    assert!(refused.contains("there is no log \"zzz\""), "{refused}");

    let note = std::fs::read(gate.join("checkpoint")).expect("read");
    std::fs::write(gate.join("checkpoint"), "").expect("written");
    assert_eq!(objects(&context, of_customer()).await, [] as [serde_json::Value; 0]);
    let reads = Looked { kind: vec![Kind::KeysOpened], ..Looked::default() };
    assert!(!objects(&context, reads).await.is_empty(), "the others are read");
    assert_eq!(typed(&context, "portreeve audit search --customer c7").await, Ok(Exit::Findings));
    assert_eq!(typed(&context, &export("part.jsonl").0).await, Ok(Exit::Findings));
    for command in [prove("part.json").as_str(), "portreeve audit show proxy-gate-1/1"] {
        let refused = typed(&context, command).await.expect_err(command);
        assert!(refused.contains("proxy-gate-1") && refused.contains("audit verify"), "{refused}");
    }
    std::fs::write(gate.join("checkpoint"), note).expect("written");
    assert_eq!(typed(&context, "portreeve audit search --customer c7").await, Ok(Exit::Done));
    served.abort();
}

/// A writer's key signs for its own log, and not for what its directory says it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_signs_as_another_is_told_and_nothing_is_opened_as_the_others() {
    let dir = tempfile::tempdir().expect("a directory");
    let (context, served) = started(dir.path()).await;
    write(&context).await;
    let checkpoint = context.config.audit.directory.join("proxy-gate-1/checkpoint");
    let signing = SigningKey::from_seed(&init::read_seed(&context.config.proxy.log_key).expect("a key"));
    let note = std::fs::read_to_string(&checkpoint).expect("read");
    let own = Checkpoint::open(&note, "portreeve/proxy-gate-1", &signing.public()).expect("its own");
    let other = Checkpoint { origin: "portreeve/keyring".to_owned(), ..own };
    std::fs::write(&checkpoint, other.sign(&signing)).expect("written");
    for depth in [Depth::Tree, Depth::Sealed, Depth::Opened] {
        let (table, exit) = plain(verified_to(&context, depth, None, &[], None).await);
        let rows = json(&table);
        assert_eq!(exit, Exit::Findings, "{rows:?}");
        let of = |log: &str| rows.iter().filter(|row| row.get("log") == Some(&log.into())).collect::<Vec<_>>();
        let is_told = |row: &&serde_json::Value| {
            let detail = row.get("detail").and_then(|detail| detail.as_str()).unwrap_or_default();
            row.get("verdict") == Some(&"wrong-key".into()) && detail.contains("the checkpoint of portreeve/keyring")
        };
        assert!(of("proxy-gate-1").iter().any(is_told), "{depth:?}: {rows:?}");
        assert!(of("keyring").iter().any(|row| row.get("verdict") == Some(&"ok".into())), "{depth:?}: {rows:?}");
    }
    served.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_none_is_refused_with_the_places_there_are() {
    let dir = tempfile::tempdir().expect("a directory");
    let (context, served) = started(dir.path()).await;
    for (place, expected) in [
        ("nonsense", "is not a place"),
        ("proxy-gate-9/1", "there are: keyring"),
        ("keyring/99999", "no record that can be shown at position 99999"),
    ] {
        let failure = record(&context, place, None).await.expect_err(place);
        assert!(failure.message().contains(expected), "{}", failure.message());
    }
    served.abort();
}

#[test]
fn moments_are_read_as_people_type_them() {
    let now = Timestamp(1_795_305_600_000_000);
    let day = Timestamp(1_795_219_200_000_000);
    for (text, at) in [
        ("2026-11-21", day),
        ("2026-11-21T00:00:00Z", day),
        ("2026-11-21T01:00:00+01:00", day),
        ("2026-11-21 00:00", day),
        ("24h", Timestamp(now.0 - 86_400_000_000)),
    ] {
        assert_eq!(when::read(text, now), Ok(at), "{text}");
    }
    for wrong in ["", "yesterday", "2026-13-01", "2026-11-21T25:00:00Z"] {
        assert!(when::read(wrong, now).is_err(), "{wrong}");
    }
}

#[test]
fn a_kind_is_known_by_its_word() {
    assert_eq!(kind("signed-in"), Ok(Kind::SignedIn));
    assert!(kind("signedin").is_err_and(|known| known.contains("signed-in")));
}

fn one(kind: Kind, fill: impl FnOnce(&mut Record)) -> Found {
    let mut record = Record::new(Timestamp(1_795_305_600_000_000), kind, Some(CustomerId(7)));
    fill(&mut record);
    let (still_sealed, outcome, fault) = (Vec::new(), None, None);
    Found {
        log: "portreeve/proxy-gate-1".to_owned(),
        position: 17,
        record,
        still_sealed,
        erased: vec![],
        outcome,
        fault,
    }
}

#[test]
fn a_search_that_finds_what_does_not_open_ends_with_findings() {
    let mut found = vec![one(Kind::Statement, |_| {}), one(Kind::Read, |_| {})];
    assert_eq!(search::exit_of(&found), Exit::Done);
    found[1].fault = Some("its seal is broken".to_owned());
    assert_eq!(search::exit_of(&found), Exit::Findings);
}

fn nameless() -> shown::Names {
    shown::Names { customer: Box::new(|_| None), staff: Box::new(|_| None) }
}

#[test]
fn every_name_of_an_object_stands_in_the_help() {
    let mut found = one(Kind::Statement, |record| {
        record.values.binds = Some(vec![Bind::default()]);
    });
    found.outcome = Some(Record::new(Timestamp(0), Kind::Outcome, None));
    let object = object::object(&found, &nameless());
    let outcome = object.get("outcome").and_then(|outcome| outcome.as_object()).expect("nested");
    let bind = object.pointer("/binds/0").and_then(|bind| bind.as_object()).expect("one");
    let names: Vec<&String> =
        object.as_object().expect("one").keys().chain(outcome.keys()).chain(bind.keys()).collect();
    assert!(names.len() > 90, "{names:?}");
    let words: Vec<&str> = object::FIELDS.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    for name in names {
        assert!(words.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn bytes_that_are_no_text_are_given_exactly() {
    let found = one(Kind::Statement, |record| {
        record.values.text = Some(b"select '\xe4'".to_vec());
        record.values.encoding = Some("LATIN1".to_owned());
        record.values.binds = Some(vec![Bind { type_oid: 25, format: 0, value: None }]);
    });
    let object = object::object(&found, &nameless());
    assert_eq!(object.get("text_hex"), Some(&"73656c6563742027e427".into()));
    assert_eq!(object.get("text"), Some(&"select '\u{fffd}'".into()));
    assert_eq!(object.pointer("/binds/0/raw"), Some(&serde_json::Value::Null));
    assert_eq!(object.get("place"), Some(&"proxy-gate-1/17".into()));
    let found = one(Kind::Statement, |record| record.values.text = Some("select 'ä'".as_bytes().to_vec()));
    assert_eq!(object::object(&found, &nameless()).get("text_hex"), Some(&serde_json::Value::Null));
}

#[test]
fn people_see_how_a_session_ended_and_why_somebody_was_refused() {
    let ended = one(Kind::SessionEnded, |record| {
        record.skeleton.sqlstate = Some("57P01".to_owned());
        record.skeleton.fate = Some("aborted".to_owned());
        record.skeleton.result = Some("gone".to_owned());
    });
    assert_eq!(shown::result(&ended).as_deref(), Some("57P01 aborted, gone"));
    let refused = one(Kind::Refused, |record| {
        record.skeleton.sqlstate = Some("28000".to_owned());
        record.skeleton.result = Some("refused".to_owned());
        record.values.message = Some("the switch is off".to_owned());
    });
    assert_eq!(shown::result(&refused).as_deref(), Some("28000 the switch is off"));
    let closed = one(Kind::SessionEnded, |record| record.skeleton.fate = Some("none".to_owned()));
    assert_eq!(shown::result(&closed).as_deref(), Some("none"));
}
