//! What must be true of the audit log whatever was done: each session whole, each statement with all that belongs to
//! it, the same texts in the same order as in the server's own log, and nothing in that log that is not in ours.

use std::collections::{BTreeMap, HashSet};

use portreeve::audit::keys::Recipients;
use portreeve::audit::record::{Bind, Kind, Record};
use portreeve::cli::demo::stage::{STAFF, Stage};
use portreeve::ids::SessionId;
use portreeve::keyring::{Client, init};
use portreeve::log::search::{Found, Query, logs, search};
use portreeve::statement::value;
use serde_json::Value;

use super::ground::{CUSTOMER, WAITS, server_log, until};

/// One session as the audit log tells it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) session: SessionId,
    pub(crate) backend: i32,
    pub(crate) application: String,
    /// The gated frames, each with its outcome.
    pub(crate) statements: Vec<Found>,
    /// Channels of notifications.
    pub(crate) notifications: Vec<Record>,
    pub(crate) cancels: Vec<Record>,
    /// What was not let through.
    pub(crate) refused: Vec<Record>,
    pub(crate) end: Record,
}

impl Told {
    /// The records with that text.
    pub(crate) fn with_text<'t>(&'t self, text: &'t str) -> impl Iterator<Item = &'t Found> {
        self.statements.iter().filter(move |found| text_of(&found.record) == text)
    }

    /// `verb result tag-or-sqlstate` of each frame.
    pub(crate) fn summary(&self) -> Vec<String> {
        let line = |found: &Found| {
            let outcome = &outcome(found).skeleton;
            let ended = outcome.sqlstate.as_deref().or(outcome.tag.as_deref()).unwrap_or("-");
            let word = |word: &Option<String>| word.clone().unwrap_or_default();
            format!("{} {} {ended}", word(&found.record.skeleton.verb), word(&outcome.result))
        };
        self.statements.iter().map(line).collect()
    }

    /// The one gate all frames went through.
    pub(crate) fn gate(&self) -> &str {
        let gate = |found: &'_ Found| found.record.skeleton.gate.clone();
        let first = self.statements.first().expect("statements");
        assert!(self.statements.iter().all(|found| gate(found) == gate(first)), "{:?}", self.application);
        first.record.skeleton.gate.as_deref().expect("a gate")
    }
}

/// What became of a statement.
pub(crate) fn outcome(found: &Found) -> &Record {
    found.outcome.as_ref().unwrap_or_else(|| panic!("an outcome of {found:?}"))
}

/// The text as UTF-8, from LATIN1 if it came so.
pub(crate) fn text_of(record: &Record) -> String {
    let raw = record.values.text.as_deref().unwrap_or_default();
    match record.values.encoding.as_deref() {
        Some("LATIN1") => raw.iter().map(|byte| char::from(*byte)).collect(),
        _ => String::from_utf8(raw.to_vec()).expect("UTF-8"),
    }
}

/// Bind values as an auditor sees them.
pub(crate) fn shown(binds: &[Bind]) -> Vec<String> {
    let words = |bind: &Bind| match &bind.value {
        Some(raw) => value::display(bind.type_oid, bind.format, raw),
        None => "NULL".to_owned(),
    };
    binds.iter().map(words).collect()
}

/// Reads the audit log of a stage, session by session.
pub(crate) struct Oracle<'a> {
    stage: &'a Stage,
    keyring: Client,
    seen: HashSet<SessionId>,
}

impl<'a> Oracle<'a> {
    pub(crate) async fn of(stage: &'a Stage) -> Oracle<'a> {
        let key = init::read_public_key(&stage.path("keyring.pub")).expect("a key");
        let keyring = Client::connect(&stage.path("keyring/keyring.sock"), key).await.expect("a keyring");
        Oracle { stage, keyring, seen: HashSet::new() }
    }

    async fn read(&self) -> Vec<Found> {
        let recipients = Recipients::new();
        self.keyring.known(&recipients).await.expect("tag keys");
        let dirs = logs(&self.stage.audit()).expect("logs");
        let open = |sealed| self.keyring.open(sealed, "tests", "oracle");
        search(&dirs, &Query::default(), &recipients, open).await.expect("a search")
    }

    /// Waits until `count` more sessions have ended, checks everything about each, and verifies all logs.
    pub(crate) async fn settle(&mut self, count: usize) -> Vec<Told> {
        let told = until("sessions end", async || {
            let told = sessions(self.read().await.into_iter().filter(|found| !self.is_old(found)));
            assert!(told.len() <= count, "more sessions than expected");
            let told: Vec<Told> = told.into_iter().filter_map(whole).collect();
            (told.len() == count).then_some(told)
        })
        .await;
        for told in &told {
            self.seen.insert(told.session);
            check(told);
            self.hold_against_the_server(told).await;
        }
        self.stage.run(&["audit", "verify", "--open"]).expect("every log verifies");
        told
    }

    /// As [`Oracle::settle`] for one session.
    pub(crate) async fn settle_one(&mut self) -> Told {
        self.settle(1).await.pop().expect("one")
    }

    fn is_old(&self, found: &Found) -> bool {
        found.record.skeleton.session.is_none_or(|session| self.seen.contains(&session))
    }

    /// Whatever the server says it parsed, bound or ran stands in our log, in that order; what stands there besides did
    /// not get that far.
    async fn hold_against_the_server(&self, told: &Told) {
        let ran = until("the server's log", async || ran(&server_log(self.stage), told.backend)).await;
        let (mut rest, mut last) = (told.statements.as_slice(), None);
        for step in ran {
            let is_it = |found: &Found| {
                let record = &found.record;
                // Named by SQL, or in another encoding than the frame: then it ran all the same.
                let is_nameless = record.values.text.is_none() && outcome(found).skeleton.sqlstate.is_none();
                let has_text = text_of(record) == step.text || step.verb != "query" && is_nameless;
                record.skeleton.verb.as_deref() == Some(step.verb) && has_text
            };
            let at = rest.iter().position(is_it).unwrap_or_else(|| panic!("not in our log: {step:?} after {last:?}"));
            rest[..at].iter().for_each(assert_did_not_run);
            if let (Some(parameters), Some(binds)) = (&step.parameters, &rest[at].record.values.binds) {
                assert_same_parameters(parameters, binds);
            }
            (rest, last) = (&rest[at + 1..], Some(step));
        }
        rest.iter().for_each(assert_did_not_run);
    }
}

/// A frame the server's log does not tell of: no text of its own, failed, skipped, or empty.
fn assert_did_not_run(found: &Found) {
    let verb = found.record.skeleton.verb.as_deref().unwrap_or_default();
    let result = outcome(found).skeleton.result.as_deref().unwrap_or_default();
    let has_no_line = ["describe", "close"].contains(&verb);
    let is_empty = text_of(&found.record).trim().is_empty();
    assert!(
        has_no_line || is_empty || ["error", "skipped", "unknown"].contains(&result),
        "in the audit log, but not in the server's: {found:?}"
    );
}

/// Every binary value of a known type reads as the server prints it. The types that a database makes for itself, from
/// 10,000 on, are not known.
fn assert_same_parameters(parameters: &str, binds: &[Bind]) {
    let is_known = |bind: &Bind| (1..10_000).contains(&bind.type_oid) && bind.format == 1;
    for (index, bind) in binds.iter().enumerate().filter(|(_, bind)| is_known(bind)) {
        let words = match &bind.value {
            // An auditor reads `true`, the server's log says `t`.
            Some(raw) if bind.type_oid == 16 => {
                format!("'{}'", &value::display(bind.type_oid, bind.format, raw)[..1])
            }
            Some(raw) => format!("'{}'", value::display(bind.type_oid, bind.format, raw).replace('\'', "''")),
            None => "NULL".to_owned(),
        };
        let expected = format!("${} = {words}", index + 1);
        assert!(parameters.contains(&expected), "{expected} is not in {parameters}");
    }
}

/// One line of the server's log about a statement.
#[derive(Debug)]
struct Step {
    verb: &'static str,
    text: String,
    parameters: Option<String>,
}

/// What a backend ran, once it has ended.
fn ran(log: &[Value], backend: i32) -> Option<Vec<Step>> {
    let of_backend = || log.iter().filter(|line| line["pid"] == backend);
    let message = |line: &Value| line["message"].as_str().unwrap_or_default().to_owned();
    of_backend().find(|line| message(line).starts_with("disconnection: "))?;
    assert!(of_backend().all(|line| line["user"].as_str().is_none_or(|user| user.starts_with("pr_g_"))));
    Some(
        of_backend()
            .filter(|line| line["error_severity"] == "LOG")
            .filter_map(|line| step(&message(line), line))
            .collect(),
    )
}

fn step(message: &str, line: &Value) -> Option<Step> {
    let message = match message.strip_prefix("duration: ") {
        Some(timed) => timed.split_once("  ")?.1,
        None => message,
    };
    let (head, text) = message.split_once(": ").or_else(|| message.strip_suffix(':').map(|head| (head, "")))?;
    let verb = match head.split(' ').next()? {
        "statement" => "query",
        "parse" => "parse",
        "bind" => "bind",
        "execute" => "execute",
        _ => return None,
    };
    let parameters = line["detail"].as_str().map(str::to_owned);
    Some(Step { verb, text: text.to_owned(), parameters })
}

/// The records of each session that signed in.
fn sessions(found: impl Iterator<Item = Found>) -> Vec<Vec<Found>> {
    let mut sessions: BTreeMap<SessionId, Vec<Found>> = BTreeMap::new();
    for found in found {
        assert_eq!((&found.fault, &found.still_sealed), (&None, &vec![]));
        sessions.entry(found.record.skeleton.session.expect("a session")).or_default().push(found);
    }
    let mut sessions: Vec<Vec<Found>> = sessions.into_values().collect();
    let is_waiting = |record: &Record| record.values.application.as_deref() == Some(WAITS);
    let is_told = |found: &Found| found.record.kind == Kind::SignedIn && !is_waiting(&found.record);
    sessions.retain(|found| found.iter().any(is_told));
    sessions.sort_by_key(|found| found.first().map(|found| found.position));
    sessions
}

/// A session that has ended.
fn whole(found: Vec<Found>) -> Option<Told> {
    let end = found.iter().find(|found| found.record.kind == Kind::SessionEnded)?.record.clone();
    let (mut statements, mut notifications, mut cancels, mut refused) = (vec![], vec![], vec![], vec![]);
    for found in found {
        match found.record.kind {
            Kind::Statement if found.record.skeleton.verb.as_deref() == Some("notification") => {
                assert_eq!(found.outcome, None, "a notification has no outcome");
                notifications.push(found.record);
            }
            Kind::Statement if found.record.skeleton.result.as_deref() == Some("refused") => refused.push(found.record),
            Kind::Statement => statements.push(found),
            Kind::Cancelled => cancels.push(found.record),
            Kind::SignedIn | Kind::SessionEnded => {}
            other => panic!("{other:?} in a session"),
        }
    }
    Some(Told {
        session: end.skeleton.session?,
        backend: end.skeleton.backend?,
        application: end.values.application.clone().unwrap_or_default(),
        statements,
        notifications,
        cancels,
        refused,
        end,
    })
}

/// What every statement's record and its outcome say.
fn check(told: &Told) {
    let frames: Vec<u64> = told.statements.iter().filter_map(|found| found.record.skeleton.frame).collect();
    assert_eq!(frames, (1..=told.statements.len() as u64).collect::<Vec<_>>(), "no gap");
    for found in &told.statements {
        let Record { kind, at, customer, skeleton, values } = &found.record;
        assert_eq!(*kind, Kind::Statement);
        assert!(customer.is_some() && skeleton.staff.is_some() && skeleton.grant.is_some(), "{found:?}");
        assert_eq!(skeleton.purpose.as_deref(), Some("fault"));
        assert!(["read", "write"].map(Some).contains(&skeleton.scope.as_deref()), "{found:?}");
        assert!(["overlap", "strict"].map(Some).contains(&skeleton.gate.as_deref()), "{found:?}");
        assert_eq!(values.staff.as_deref(), Some(STAFF));
        assert_eq!(values.reason.as_deref(), Some("invoices show wrong totals"));
        assert_eq!(values.ticket.as_deref(), Some("SUP-1"));
        assert_eq!(values.application.as_deref(), Some(told.application.as_str()));
        assert_eq!((values.customer.as_deref(), values.database.as_deref()), (Some(CUSTOMER), Some(CUSTOMER)));
        assert!(values.address.as_deref().is_some_and(|address| address.starts_with("127.0.0.1:")), "{found:?}");
        let came = outcome(found);
        assert!(came.at >= *at && came.customer == *customer && came.skeleton.staff == skeleton.staff);
        let result = came.skeleton.result.as_deref().expect("a result");
        assert_eq!(came.skeleton.sqlstate.is_some(), ["error", "given-up"].contains(&result), "{came:?}");
        if result != "unknown" {
            assert!(came.skeleton.rows.is_some() && came.skeleton.bytes.is_some(), "{came:?}");
            assert!(came.skeleton.duration_us.is_some(), "{came:?}");
        }
    }
}
