//! The session's state machine against a real server: random pipelines, the same each time. Whatever a client sends,
//! each frame has its outcome, the text that is told is the one that ran, and nobody waits for what does not come.

use std::collections::HashMap;

use portreeve::cli::demo::cluster::{Cluster, Settings};
use portreeve::clock::Timestamp;
use portreeve::session::{Ending, Event, Outcome, Session, Step};
use portreeve::wire::frame::Frame;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::socket::{Frames, Socket};

const SESSIONS: usize = 300;
const NOW: Timestamp = Timestamp(0);

/// Names are few, so that they are often made twice, lost and missing.
const NAMES: [&str; 3] = ["", "a", "b"];
const QUERIES: [&str; 14] = [
    "select 'q' from generate_series(1, 3)",
    "begin",
    "commit",
    "rollback",
    "select 1; select 1/0",
    "select 1;select 2",
    "deallocate all",
    "deallocate a",
    "",
    "copy (select 1) to stdout",
    "bad bad",
    "close all",
    // Fails when its transaction ends, not before.
    "insert into once values (1)",
    "prepare b as select 'by sql'",
];

#[derive(Clone, Debug)]
enum Sent {
    Query(&'static str),
    /// `MINE` becomes a text of this frame's own.
    Parse(&'static str, &'static str),
    Bind(&'static str, &'static str),
    Describe(u8, &'static str),
    Execute(&'static str, i32),
    Close(u8, &'static str),
    CopyFail,
    Flush,
    Sync,
}

fn sent() -> impl Strategy<Value = Sent> {
    let name = || prop::sample::select(NAMES.to_vec());
    let target = || prop::sample::select(b"SP".to_vec());
    prop_oneof![
        2 => prop::sample::select(QUERIES.to_vec()).prop_map(Sent::Query),
        3 => name().prop_map(|name| Sent::Parse(name, "select 'MINE' from generate_series(1, 3)")),
        1 => name().prop_map(|name| Sent::Parse(name, "bad 'MINE'")),
        1 => name().prop_map(|name| Sent::Parse(name, "insert into once values (1)")),
        1 => name().prop_map(|name| Sent::Parse(name, "")),
        4 => (name(), name()).prop_map(|(portal, statement)| Sent::Bind(portal, statement)),
        2 => (target(), name()).prop_map(|(target, name)| Sent::Describe(target, name)),
        4 => (name(), 0..4).prop_map(|(portal, rows)| Sent::Execute(portal, rows)),
        2 => (target(), name()).prop_map(|(target, name)| Sent::Close(target, name)),
        6 => Just(Sent::Sync),
        1 => Just(Sent::CopyFail),
        1 => Just(Sent::Flush),
    ]
}

/// One frame, or what a driver would send to run one statement.
fn together() -> impl Strategy<Value = Vec<Sent>> {
    let name = || prop::sample::select(NAMES.to_vec());
    let whole = (name(), name(), 0..4, any::<bool>()).prop_map(|(portal, statement, rows, ends)| {
        let text = "select 'MINE' from generate_series(1, 3)";
        let mut all = vec![Sent::Close(b'S', statement), Sent::Close(b'P', portal), Sent::Parse(statement, text)];
        all.extend([Sent::Bind(portal, statement), Sent::Describe(b'P', portal), Sent::Execute(portal, rows)]);
        all.extend(ends.then_some(Sent::Sync));
        all
    });
    prop_oneof![4 => sent().prop_map(|one| vec![one]), 1 => whole]
}

impl Sent {
    fn frame(&self, number: usize) -> Frame {
        let frames = Frames::default();
        let Frames(bytes) = match self {
            Sent::Query(text) => frames.query(text),
            Sent::Parse(name, text) => frames.parse(name, &text.replace("MINE", &format!("t{number}"))),
            Sent::Bind(portal, statement) => frames.bind(portal, statement, &[]),
            Sent::Describe(target, name) => frames.describe(*target, name),
            Sent::Execute(portal, rows) => frames.execute(portal, *rows),
            Sent::Close(target, name) => frames.close(*target, name),
            Sent::CopyFail => frames.raw(&[b'f', 0, 0, 0, 6, b'x', 0]),
            Sent::Flush => frames.flush(),
            Sent::Sync => frames.sync(),
        };
        Frame::new(bytes.freeze()).expect("one frame")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_pipelines_are_told_as_the_server_ran_them() {
    let cache = Some(env!("CARGO_TARGET_TMPDIR").into());
    let cluster = Cluster::start(Settings { cache, ..Settings::default() }).await.expect("a cluster");
    let table = "create table once (x int unique deferrable initially deferred); insert into once values (1)";
    cluster.run_sql("postgres", table).await.expect("a table");
    // The same sequence of sessions in each run.
    let mut runner = TestRunner::deterministic();
    let scripts = vec((together(), any::<bool>()), 1..40);
    let mut words: HashMap<&str, usize> = HashMap::new();
    for number in 0..SESSIONS {
        let script = scripts.new_tree(&mut runner).expect("a script").current();
        let script: Vec<(Sent, bool)> =
            script.into_iter().flat_map(|(all, waits)| all.into_iter().map(move |one| (one, waits))).collect();
        let mut play = Play::begin(&cluster).await;
        if let Err(odd) = play.run(&script).await {
            panic!("session {number}: {odd}\n{script:?}\n{}", play.transcript.join("\n"));
        }
        for outcome in play.outcomes.values().flatten() {
            *words.entry(outcome.result.word()).or_default() += 1;
        }
        play.socket.leave().await;
    }
    // All of it happened, and not once only.
    for word in ["done", "error", "skipped", "suspended"] {
        assert!(words.get(word).is_some_and(|count| *count > 50), "{words:?}");
    }
}

struct Play {
    socket: Socket,
    session: Session,
    /// The text each Execute was told to run, if it was known.
    told: HashMap<u64, String>,
    gated: Vec<u64>,
    outcomes: HashMap<u64, Vec<Outcome>>,
    last_row: Vec<u8>,
    transcript: Vec<String>,
}

impl Play {
    async fn begin(cluster: &Cluster) -> Play {
        let socket = Socket::direct(cluster, "postgres").await;
        let mut session = Session::new(NOW);
        session.learn("client_encoding", "UTF8");
        Play {
            socket,
            session,
            told: HashMap::new(),
            gated: Vec::new(),
            outcomes: HashMap::new(),
            last_row: Vec::new(),
            transcript: Vec::new(),
        }
    }

    async fn run(&mut self, script: &[(Sent, bool)]) -> Result<(), String> {
        for (number, (sent, waits)) in script.iter().chain([&(Sent::Sync, true)]).enumerate() {
            self.send(sent, number).await?;
            if matches!(sent, Sent::Sync) && (*waits || number == script.len()) {
                while !self.session.is_idle() {
                    self.hear().await?;
                }
            }
        }
        if !self.session.unanswered().is_empty() {
            return Err(format!("without outcome: {:?}", self.session.unanswered()));
        }
        if !self.socket.is_silent().await {
            return Err("the server says more than was awaited".to_owned());
        }
        self.gated.iter().try_for_each(|frame| self.has_one_outcome(*frame))
    }

    async fn send(&mut self, sent: &Sent, number: usize) -> Result<(), String> {
        self.transcript.push(format!("> {sent:?}"));
        let frame = sent.frame(number);
        let step = self.session.client(&frame, NOW).map_err(|fault| fault.to_string())?;
        if let Step::Gate(statement) = step {
            self.gated.push(statement.frame);
            if let ("execute", Some(text)) = (statement.verb, statement.values.text) {
                self.told.insert(statement.frame, String::from_utf8(text).expect("UTF-8"));
            }
        }
        self.socket.send(Frames(frame.bytes().as_ref().into())).await;
        Ok(())
    }

    async fn hear(&mut self) -> Result<(), String> {
        let message = self.socket.message().await.ok_or("the server has gone")?;
        self.transcript.push(format!("< {}", message.escape_ascii()));
        if let (b'D', Some(value)) = (message[0], message.get(11..)) {
            self.last_row = value.to_vec();
        }
        let mut events = Vec::new();
        self.session.server(&message, NOW, &mut events).map_err(|fault| fault.to_string())?;
        for event in events {
            if let Event::Outcome(outcome) = event {
                self.is_of_its_text(&outcome)?;
                self.outcomes.entry(outcome.frame).or_default().push(outcome);
            }
        }
        Ok(())
    }

    /// Each text selects a word of its own: the last row must hold the word of the text that was told.
    fn is_of_its_text(&self, outcome: &Outcome) -> Result<(), String> {
        let row = String::from_utf8_lossy(&self.last_row);
        match self.told.get(&outcome.frame) {
            Some(text) if outcome.rows > 0 && !text.contains(&format!("'{row}'")) => {
                Err(format!("frame {} is told as {text}, but {row} ran", outcome.frame))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// One, or a second one that says that the transaction failed at its end.
    fn has_one_outcome(&self, frame: u64) -> Result<(), String> {
        match self.outcomes.get(&frame).map(Vec::as_slice) {
            Some([_]) => Ok(()),
            Some([_, failed]) if failed.result == Ending::Error => Ok(()),
            outcomes => Err(format!("frame {frame} has {outcomes:?}")),
        }
    }
}
