use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;

use super::super::standing::standing;
use super::*;
use crate::audit::checkpoint::SigningKey;
use crate::audit::record::{Kind, Record};
use crate::cli::audit::tests::config;
use crate::cli::keyring::serve;
use crate::cli::{Arguments, Command as AnyCommand, Format, dispatch};
use crate::config::Config;
use crate::disk::RealDisk;
use crate::entropy::OsEntropy;
use crate::grant::{AccountStep, By, Draft, Layout, Personal, Trust, What};
use crate::ids::SessionId;
use crate::log::{Claim, Log, Settings};
use crate::register::{Acts, Register};
use crate::retention::clock_guard::{Guard, Reading};
use crate::retention::closure::Why;

const DAY: Duration = Duration::from_secs(86_400);

/// The machine's time, so many days ago.
struct Ago(u32);

impl Clock for Ago {
    fn now(&self) -> Timestamp {
        let micros = i64::try_from((DAY * self.0).as_micros()).expect("short");
        Timestamp(SystemClock.now().0 - micros)
    }
}

/// A register with customers that were closed so many days ago, a statement of each, a keyring that really answers.
struct Stage {
    dir: tempfile::TempDir,
    context: Context,
    keyring: Client,
    register: Register,
    log: Log,
    recipients: Recipients,
    _served: tokio::task::JoinHandle<Result<(), String>>,
}

fn open(context: &Context, writer: &str, key: &Path, recipients: &Recipients) -> Log {
    let signing = SigningKey::from_seed(&init::read_seed(key).expect("a key"));
    let settings = Settings { segment_bytes: 1 << 20, reserve_bytes: 0, ..Settings::new(writer, signing) };
    let (disk, clock, entropy) = (Arc::new(RealDisk), Arc::new(SystemClock), Arc::new(OsEntropy));
    Log::open(disk, &context.config.audit.directory.join(writer), settings, recipients.clone(), clock, entropy)
        .expect("a log")
}

/// Its socket is there before it listens.
async fn answering(context: &Context, served: &tokio::task::JoinHandle<Result<(), String>>) -> Client {
    let config = &context.config.keyring;
    let began = Instant::now();
    loop {
        let public = init::read_public_key(&config.public_key).expect("a key");
        match Client::connect(&config.socket, public).await {
            Ok(client) => return client,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(10), "{error}: {served:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Stage {
    /// With a copy of the keyring at each of these places.
    async fn set(copies: &[&str]) -> Stage {
        let dir = tempfile::tempdir().expect("a directory");
        let mut context = Context { config: config(dir.path()), format: Format::Json };
        fs::create_dir_all(dir.path().join("retention")).expect("made");
        context.config.keyring.copies = copies.iter().map(|copy| dir.path().join(copy)).collect();
        let made = super::super::run(super::super::Command::Init, &context).await;
        made.map_err(|failure| failure.message().to_owned()).expect("keys");
        let config = context.config.clone();
        let served = tokio::spawn(async { serve(config).await.map_err(|failure| failure.message().to_owned()) });
        let keyring = answering(&context, &served).await;
        let config = &context.config;
        let trust = Trust { portal_key: init::read_public_key(&config.portal.signing_public_key).expect("a key") };
        let register = Register::open(&config.register.path, trust).expect("a register");
        let recipients = Recipients::new();
        keyring.ensure(&recipients, &[Recipient::Vendor]).await.expect("keys");
        let log = open(&context, "portal", &config.portal.log_key, &recipients);
        Stage { dir, context, keyring, register, log, recipients, _served: served }
    }

    async fn act(&self, days: u32, by: By, what: What, personal: Option<Personal>) -> u64 {
        let config = &self.context.config;
        let trust = Trust { portal_key: init::read_public_key(&config.portal.signing_public_key).expect("a key") };
        let (register, log) = (self.register.clone(), self.log.clone());
        let acts =
            Acts { register, log, trust, sockets: vec![], clock: Arc::new(Ago(days)), entropy: Arc::new(OsEntropy) };
        let done = acts.act(None, |_| Ok(Draft { by, what, personal: personal.clone() })).await.expect("done");
        done.sequence.0
    }

    /// A customer with two statements, closed so many days ago.
    async fn customer(&self, name: &str, closed: Option<u32>) -> CustomerId {
        let some = |text: &str| Some(text.to_owned());
        let personal =
            Personal { name: some(name), cluster: some("main"), database: some(name), ..Personal::default() };
        let what = What::CustomerCreated { layout: Layout::Database };
        let customer = CustomerId(self.act(closed.unwrap_or(0), By::Operator, what, Some(personal)).await);
        self.keyring.ensure(&self.recipients, &[Recipient::Customer(customer)]).await.expect("keys");
        let config = &self.context.config;
        let log = open(&self.context, "proxy-gate-1", &config.proxy.log_key, &self.recipients);
        for frame in [1, 2] {
            let mut record = Record::new(SystemClock.now(), Kind::Statement, Some(customer));
            record.values.text = Some(format!("select {name}").into_bytes());
            let claim = Claim::of(SessionId([1; 8]), frame);
            log.append(record, claim).expect("queued").await.expect("durable");
        }
        log.close().expect("closed");
        if let Some(days) = closed {
            let what = What::Account { customer, step: AccountStep::Closed };
            self.act(days, By::Operator, what, None).await;
        }
        customer
    }

    async fn run(&self, typed: &str) -> Result<Exit, String> {
        let arguments = Arguments::try_parse_from(typed.split_whitespace()).map_err(|error| error.to_string())?;
        let AnyCommand::Verb(verb) = arguments.command else { panic!("{typed} is a service") };
        let path = self.dir.path().join("portreeve.toml");
        Box::pin(dispatch(verb, &self.context, &path)).await.map_err(|failure| failure.message().to_owned())
    }

    /// The rows that the command shows.
    async fn destroy(&self, customer: &str, yes: &str, part: Option<RecordPart>) -> Result<(String, Exit), String> {
        let people = Arguments::try_parse_from(["portreeve", "keys", "destroy", customer, "--yes", yes]);
        let people = people.map_err(|error| error.to_string())?;
        let AnyCommand::Verb(crate::cli::Verb::Keys(super::super::Command::Destroy(wanted))) = people.command else {
            panic!("another command")
        };
        let done = destroy(&self.context, Destroy { part, ..wanted }).await;
        let (table, ended) = done.map_err(|failure| failure.message().to_owned())?;
        let exit = ended.map_err(|failure| failure.message().to_owned())?;
        Ok((written(&table), exit))
    }

    /// The keyring's files as they are now, generation secrets included, in another folder.
    fn copied_keyring(&self) -> PathBuf {
        let old = self.dir.path().join("old");
        fs::create_dir(&old).expect("made");
        let folder = self.context.config.keyring.file.parent().expect("a folder");
        for file in fs::read_dir(folder).expect("listed").map(|file| file.expect("an entry")) {
            fs::copy(file.path(), old.join(file.file_name())).expect("copied");
        }
        old
    }

    /// Another keyring that answers, from the file in that folder; its log is its own.
    async fn served_from(&self, old: &Path) -> (Context, tokio::task::JoinHandle<Result<(), String>>) {
        let mut context = Context { config: self.context.config.clone(), format: Format::Json };
        let keyring = &mut context.config.keyring;
        let file = keyring.file.file_name().expect("a name");
        (keyring.file, keyring.socket) = (old.join(file), old.join("socket"));
        let mut config = context.config.clone();
        config.audit.directory = old.join("audit");
        let served = tokio::spawn(async { serve(config).await.map_err(|failure| failure.message().to_owned()) });
        answering(&context, &served).await;
        (context, served)
    }

    /// The erasure of the values is begun, and the keyring does not answer.
    async fn begin(&self, customer: CustomerId) {
        let config = &self.context.config;
        let trust = Trust { portal_key: init::read_public_key(&config.portal.signing_public_key).expect("a key") };
        let (register, log) = (self.register.clone(), self.log.clone());
        let acts =
            Acts { register, log, trust, sockets: vec![], clock: Arc::new(SystemClock), entropy: Arc::new(OsEntropy) };
        let away = |_| async { Err::<Gone, _>("nobody answers") };
        let begun = acts.erase((customer, RecordPart::Values), &terms(&config.promise), away).await;
        let begun = begun.expect_err("nobody answers");
        assert!(begun.to_string().contains("nobody answers"), "{begun}");
        assert!(matches!(self.erasure(customer, RecordPart::Values), Erasure::Begun { .. }));
    }

    async fn hold(&self, customer: CustomerId) {
        let personal = Personal {
            authority: Some("court".to_owned()),
            reason: Some("a suit is pending".to_owned()),
            ..Personal::default()
        };
        let what = What::HoldPlaced { customer, review: SystemClock.now().plus(DAY * 30) };
        self.act(0, By::Operator, what, Some(personal)).await;
    }

    fn erasure(&self, customer: CustomerId, part: RecordPart) -> Erasure {
        let state = self.register.state().expect("a state");
        state.customer(customer).and_then(|customer| customer.closure.as_ref()).expect("closed").erasure(part)
    }

    async fn opens(&self, customer: CustomerId, part: Part) -> bool {
        let (_, held) = self.keyring.held().await.expect("listed");
        held.iter().any(|slot| slot.recipient == Recipient::Customer(customer) && slot.part == part)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_promise_allows_is_destroyed_and_every_log_verifies() {
    let stage = Stage::set(&[]).await;
    let (acme, beta) = (stage.customer("acme", Some(400)).await, stage.customer("beta", None).await);
    let (rows, exit) = stage.destroy("acme", "acme", None).await.expect("destroyed");
    assert_eq!((exit, rows.matches("\"destroyed\"").count()), (Exit::Done, 2), "{rows}");
    for part in RecordPart::ALL {
        assert!(stage.erasure(acme, *part).is_done(), "{part}");
    }
    for part in Part::ALL {
        assert!(!stage.opens(acme, part).await && stage.opens(beta, part).await, "{part}");
    }
    // Who it was and what, before it was done; a notice for each part; no alarm.
    let event = |part| match stage.erasure(acme, part) {
        Erasure::Done { event, .. } => event,
        other => panic!("{other:?}"),
    };
    let Config { audit, keyring, .. } = &stage.context.config;
    for (part, sealed) in [(RecordPart::Values, Part::Values), (RecordPart::Skeleton, Part::Skeleton)] {
        let logs = pinned::logs(&audit.directory, &keyring.public_key).expect("listed");
        let notice = noticed(logs.dirs(), logs.keys(), event(part), sealed).expect("readable");
        assert_eq!(notice.expect("a notice").records_of("portreeve/proxy-gate-1"), 2, "{part}");
    }
    assert_eq!(stage.run("portreeve audit verify --open").await, Ok(Exit::Done));
    assert_eq!(stage.run("portreeve audit verify").await, Ok(Exit::Done));
    // Once more is no harm, and says when it was.
    let (rows, exit) = stage.destroy("acme", "acme", None).await.expect("told");
    assert_eq!((exit, rows.matches("\"before\"").count()), (Exit::Done, 2), "{rows}");
}

/// Certificates name the number, and nobody can count again.
#[tokio::test(flavor = "multi_thread")]
async fn no_notice_tells_of_fewer_records_or_of_more_than_the_logs_hold() {
    let stage = Stage::set(&[]).await;
    let acme = stage.customer("acme", Some(400)).await;
    let Config { audit, keyring, .. } = &stage.context.config;
    let gate = audit.directory.join("proxy-gate-1");
    let planted = audit.directory.join("zzz");
    fs::create_dir_all(&planted).expect("made");
    for file in fs::read_dir(&gate).expect("listed").map(|file| file.expect("an entry")) {
        fs::copy(file.path(), planted.join(file.file_name())).expect("copied");
    }
    fs::create_dir(audit.directory.join("x")).expect("made");
    fs::write(audit.directory.join("x/checkpoint"), "").expect("written");

    let checkpoint = gate.join("checkpoint");
    let note = fs::read(&checkpoint).expect("read");
    fs::write(&checkpoint, "").expect("written");
    let refused = stage.destroy("acme", "acme", None).await.expect_err("a pinned log cannot be read");
    assert!(refused.contains("proxy-gate-1") && refused.contains("audit verify"), "{refused}");
    fs::remove_file(&checkpoint).expect("removed");
    let refused = stage.destroy("acme", "acme", None).await.expect_err("a pinned log has no checkpoint");
    assert!(refused.contains("there are segments and no checkpoint"), "{refused}");
    fs::write(&checkpoint, note).expect("written");
    let root = log::growth::first_leaves(&gate, 3).expect("read").root();
    stage.register.note_checkpoint("portreeve/proxy-gate-1", 3, root).expect("noted");
    let aside = stage.dir.path().join("aside");
    fs::rename(&gate, &aside).expect("moved");
    let refused = stage.destroy("acme", "acme", None).await.expect_err("a log is gone");
    assert!(refused.contains("the register remembers 3 records of it"), "{refused}");
    for part in Part::ALL {
        assert!(stage.opens(acme, part).await, "{part}");
    }
    fs::rename(&aside, &gate).expect("moved");
    let (rows, exit) = stage.destroy("acme", "acme", None).await.expect("destroyed");
    assert_eq!((exit, rows.matches("\"destroyed\"").count()), (Exit::Done, 2), "{rows}");
    let Erasure::Done { event, .. } = stage.erasure(acme, RecordPart::Values) else { panic!("it is done") };
    let logs = pinned::logs(&audit.directory, &keyring.public_key).expect("listed");
    let notice = noticed(logs.dirs(), logs.keys(), event, Part::Values).expect("readable").expect("a notice");
    let told: Vec<_> = notice.logs.iter().map(|lost| (lost.log.as_str(), lost.records)).collect();
    assert_eq!(told.iter().find(|(log, _)| *log == "portreeve/proxy-gate-1"), Some(&("portreeve/proxy-gate-1", 2)));
    assert_eq!(told.iter().filter(|(log, _)| *log == "portreeve/proxy-gate-1").count(), 1, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_promise_or_a_hold_keeps_is_refused_with_the_reason() {
    let stage = Stage::set(&[]).await;
    stage.customer("open", None).await;
    let early = stage.customer("early", Some(40)).await;
    let half = stage.customer("half", Some(100)).await;
    let held = stage.customer("held", Some(400)).await;
    stage.hold(held).await;
    for (name, why) in [
        ("open", "the account is open"),
        ("early", "its day has not come; it comes at"),
        ("held", "it is held; the hold is reviewed at"),
    ] {
        let refused = stage.destroy(name, name, None).await.expect_err("refused");
        assert!(refused.contains(why) && refused.contains(name), "{refused}");
        assert_eq!(stage.run(&format!("portreeve keys destroy {name} --yes {name}")).await, Err(refused));
    }
    assert_eq!(stage.erasure(early, RecordPart::Values), Erasure::Kept);
    assert_eq!(stage.erasure(held, RecordPart::Values), Erasure::Kept);
    assert!(stage.opens(held, Part::Values).await && stage.opens(early, Part::Values).await);
    // Of a closure that is between its two days one part goes and the other is told to stay.
    let refused = stage.destroy("half", "half", Some(RecordPart::Skeleton)).await.expect_err("a year is not over");
    assert!(refused.contains("the keys of the skeleton of \"half\" are kept"), "{refused}");
    let (rows, exit) = stage.destroy("half", "half", None).await.expect("half of it");
    assert!(exit == Exit::Done && rows.contains("\"destroyed\"") && rows.contains("\"kept\""), "{rows}");
    assert!(!stage.opens(half, Part::Values).await && stage.opens(half, Part::Skeleton).await);
    assert_eq!(stage.run("portreeve audit verify --open").await, Ok(Exit::Done));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_destroyed_unless_the_name_is_said() {
    let stage = Stage::set(&[]).await;
    let acme = stage.customer("acme", Some(400)).await;
    let refused = stage.destroy("acme", "Acme", None).await.expect_err("another name");
    assert!(refused.contains("is not the customer's name"), "{refused}");
    let refused = stage.run("portreeve keys destroy acme").await.expect_err("not a terminal");
    assert!(refused.contains("say --yes acme"), "{refused}");
    let refused = stage.run("portreeve keys destroy nobody --yes nobody").await.expect_err("nobody");
    assert!(refused.contains("there is no customer \"nobody\""), "{refused}");
    let people = "portreeve keys destroy acme --yes acme --by jane --password-file";
    let file = stage.dir.path().join("password");
    fs::write(&file, "wrong password\n").expect("written");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("private");
    let refused = stage.run(&format!("{people} {}", file.display())).await.expect_err("no such person");
    assert!(refused.contains("wrong name or password"), "{refused}");
    assert_eq!(stage.erasure(acme, RecordPart::Values), Erasure::Kept);
    assert!(stage.opens(acme, Part::Values).await);
}

/// A copy on a disk that is away: its keys are gone here and pending there, and the same command finishes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_away_is_pending_until_it_is_asked_again() {
    let stage = Stage::set(&["away/keyring"]).await;
    let away = stage.dir.path().join("away");
    fs::create_dir(&away).expect("made");
    assert_eq!(stage.run("portreeve keys backup").await, Ok(Exit::Done));
    let acme = stage.customer("acme", Some(400)).await;
    fs::rename(&away, stage.dir.path().join("gone")).expect("moved");
    let (rows, exit) = stage.destroy("acme", "acme", None).await.expect("begun");
    assert!(exit == Exit::Findings && rows.contains("\"pending\"") && rows.contains("away/keyring"), "{rows}");
    assert!(rows.contains("\"skeleton\",\"state\":\"waiting\""), "the skeleton waits for the values: {rows}");
    assert_eq!(stage.erasure(acme, RecordPart::Skeleton), Erasure::Kept);
    let begun = stage.erasure(acme, RecordPart::Values);
    assert!(matches!(begun, Erasure::Begun { .. }) && !stage.opens(acme, Part::Values).await, "{begun:?}");
    fs::rename(stage.dir.path().join("gone"), &away).expect("moved back");
    let (rows, exit) = stage.destroy("acme", "acme", None).await.expect("finished");
    assert_eq!((exit, rows.matches("\"destroyed\"").count()), (Exit::Done, 2), "{rows}");
    assert!(stage.erasure(acme, RecordPart::Skeleton).is_done());
    assert_eq!(stage.run("portreeve audit verify --open").await, Ok(Exit::Done), "one notice, told once");
}

/// What was begun is ended whatever the promise says by now, but neither by a clock that went back nor under a hold that
/// was placed while a password was typed.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_waits_for_the_clocks_and_for_a_hold() {
    let stage = Stage::set(&[]).await;
    let acme = stage.customer("acme", Some(400)).await;
    stage.begin(acme).await;
    let state = stage.register.state().expect("a state");
    let customer = state.customer(acme).expect("there").clone();
    let stock = failed(crate::cli::retention::stock::stock(&stage.context, stage.register.clone()));
    let before = Ago(399).now();
    for (is_frozen, expected) in [(false, Standing::Due), (true, Standing::Kept(Why::Frozen.to_string()))] {
        let inventory = stock.inventory(is_frozen, before).await.expect("listed");
        assert_eq!(standing(&inventory, &customer, RecordPart::Values, before), expected, "frozen: {is_frozen}");
    }
    // The daemon was last sure of a time that is to come: since then the clock was set back.
    let (last, since_boot) = (SystemClock.now().plus(DAY), Duration::ZERO);
    stock
        .notes
        .keep_guard(&Guard::first(Reading { wall: last, since_boot, boot: [1; 16], database: None }))
        .expect("kept");
    let refused = stage.destroy("acme", "acme", None).await.expect_err("refused");
    assert!(refused.contains("the clocks disagree"), "{refused}");
    let now = Reading { wall: SystemClock.now(), since_boot, boot: [1; 16], database: None };
    stock.notes.keep_guard(&Guard::first(now)).expect("kept");
    assert_eq!(failed(standings(&stage.context, &stage.register, &customer, None).await)[0].1, Standing::Due);
    stage.hold(acme).await;
    let desk = failed(stage.context.desk(stage.register.clone(), &[acme]).await);
    let destroyed = destroy_part(&stage.context, &desk, &stage.keyring, (acme, RecordPart::Values)).await;
    let refused = destroyed.expect_err("held").message().to_owned();
    assert!(refused.contains("are kept: it is held; the hold is reviewed at"), "{refused}");
    assert!(matches!(stage.erasure(acme, RecordPart::Values), Erasure::Begun { .. }));
    assert!(stage.opens(acme, Part::Values).await);
    failed(desk.close());
}

fn failed<T>(result: Result<T, Failure>) -> T {
    result.map_err(|failure| failure.message().to_owned()).expect("it works")
}

/// A copy of the keyring from before the customer came: it would say that nothing is left of keys that it never had.
#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_that_never_had_the_keys_is_no_proof_that_they_are_gone() {
    let mut stage = Stage::set(&[]).await;
    let (old, keyring) = (stage.copied_keyring(), stage.context.config.keyring.clone());
    let acme = stage.customer("acme", Some(400)).await;
    let (context, served) = stage.served_from(&old).await;
    stage.context = context;
    let refused = stage.destroy("acme", "acme", None).await.expect_err("refused");
    assert!(refused.contains("this keyring does not know the keys of the values of c"), "{refused}");
    assert_eq!(stage.erasure(acme, RecordPart::Values), Erasure::Kept);
    // Where it was begun before the old copy came, it is not done by it either.
    stage.begin(acme).await;
    stage.destroy("acme", "acme", None).await.expect_err("refused");
    assert!(matches!(stage.erasure(acme, RecordPart::Values), Erasure::Begun { .. }));
    assert!(stage.opens(acme, Part::Values).await, "the keyring that has them was not asked");
    served.abort();
    stage.context.config.keyring = keyring;
    let (rows, exit) = stage.destroy("acme", "acme", None).await.expect("destroyed");
    assert_eq!((exit, rows.matches("\"destroyed\"").count()), (Exit::Done, 2), "{rows}");
    assert_eq!(stage.run("portreeve audit verify --open").await, Ok(Exit::Done));
}

/// The notices are younger than a day, and totals can be those that they tell for another reason: what the register says is
/// held against what the keyring says.
#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_from_before_the_destroying_is_found_at_once() {
    let mut stage = Stage::set(&[]).await;
    stage.customer("acme", Some(400)).await;
    let old = stage.copied_keyring();
    stage.destroy("acme", "acme", None).await.expect("destroyed");
    assert_eq!(stage.run("portreeve audit verify --open").await, Ok(Exit::Done));
    let (context, served) = stage.served_from(&old).await;
    stage.context = context;
    assert_eq!(stage.run("portreeve audit verify --open").await, Ok(Exit::Findings));
    assert_eq!(stage.run("portreeve audit verify").await, Ok(Exit::Done), "without the keyring nobody sees it");
    served.abort();
}

fn written(table: &Table) -> String {
    let mut out = Vec::new();
    table.write(Format::Json, &mut out).expect("written");
    String::from_utf8(out).expect("text")
}

/// Each row: what comes of the values and of the skeleton, how each part is shown, and how it ends.
#[tokio::test]
async fn what_was_done_before_it_broke_is_told_with_what_broke() {
    let done = |keys| Ok(Erased::Done(keys));
    let pending = || Ok(Erased::Pending(vec!["/usb/keyring".to_owned()]));
    let broken = || Err("the keyring is away");
    for (values, skeleton, states, ended) in [
        (done(2), done(3), ["destroyed", "destroyed"], Ok(Exit::Done)),
        (done(2), broken(), ["destroyed", "failed"], Err("the keyring is away")),
        (done(2), pending(), ["destroyed", "pending"], Ok(Exit::Findings)),
        (pending(), done(3), ["pending", "waiting"], Ok(Exit::Findings)),
        (broken(), done(3), ["failed", "waiting"], Err("the keyring is away")),
    ] {
        let mut became = vec![skeleton, values];
        let destroy = async |_| became.pop().expect("asked twice at the most").map_err(Failure::failed);
        let through = Through::parts(RecordPart::ALL, destroy).await;
        let mut table = Table::new(&["customer", "part", "state", "keys", "at", "detail"]);
        let told = through.show("acme", &mut table).map_err(|failure| failure.message().to_owned());
        assert_eq!(told, ended.map_err(str::to_owned), "{states:?}");
        let rows = written(&table);
        let rows: Vec<Value> = rows.lines().map(|row| serde_json::from_str(row).expect("json")).collect();
        assert_eq!(rows.iter().map(|row| &row["state"]).collect::<Vec<_>>(), states, "{rows:?}");
        for (row, part) in rows.iter().zip(RecordPart::ALL) {
            assert_eq!((row["part"].as_str(), row["customer"].as_str()), (Some(part.word()), Some("acme")));
        }
    }
}
