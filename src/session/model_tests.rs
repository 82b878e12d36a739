//! The session against a model of the server: any client, any failures, any pace, any chunks. Each gated frame gets the
//! outcome that the model gave it, exactly once, and a text behind a name is never another's.

use std::collections::{HashMap, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;

use super::transcript::{client, server};
use super::*;

/// What a client may send, over few names so that they meet.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Query,
    Parse(usize),
    Bind {
        portal: usize,
        statement: usize,
    },
    DescribeStatement(usize),
    DescribePortal(usize),
    Execute(usize),
    CloseStatement(usize),
    ClosePortal(usize),
    Sync,
    FunctionCall,
    /// A Query that copies in. Until the client ends it, it sends nothing but Sync and the three below.
    Copy,
    CopyData,
    CopyDone,
    CopyFail,
}

impl Ask {
    /// Whether it has a record, and so an outcome.
    fn is_gated(self) -> bool {
        !matches!(self, Ask::Sync | Ask::CopyData | Ask::CopyFail)
    }

    /// What a client sends instead while it copies.
    fn while_copying(self) -> Ask {
        match self {
            Ask::Sync => Ask::Sync,
            Ask::Query | Ask::Parse(_) | Ask::CopyDone => Ask::CopyDone,
            Ask::Execute(0) | Ask::CopyFail => Ask::CopyFail,
            Ask::Bind { .. }
            | Ask::DescribeStatement(_)
            | Ask::DescribePortal(_)
            | Ask::Execute(_)
            | Ask::CloseStatement(_)
            | Ask::ClosePortal(_)
            | Ask::FunctionCall
            | Ask::Copy
            | Ask::CopyData => Ask::CopyData,
        }
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The client sends.
    Client(Ask, Fate),
    /// The server answers so many of what was sent.
    Server { count: usize },
    /// The server says something by itself.
    Noise(usize),
}

/// What the server, when it comes to it, will make of a frame.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// It does it, if names and transaction allow.
    works: bool,
    /// It sends so many rows.
    rows: u64,
    /// It stays in a transaction block; for Execute: the portal is suspended; for Describe: there are no rows.
    block: bool,
}

const NAMES: [&str; 3] = ["-", "a", "b"];
const NOISE: [&str; 3] = ["Notice 00000 hm", "Notify jobs", "Status TimeZone UTC"];

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        1 => Just(Ask::Query),
        2 => (0..3usize).prop_map(Ask::Parse),
        3 => (0..3usize, 0..3usize).prop_map(|(portal, statement)| Ask::Bind { portal, statement }),
        1 => (0..3usize).prop_map(Ask::DescribeStatement),
        1 => (0..3usize).prop_map(Ask::DescribePortal),
        3 => (0..3usize).prop_map(Ask::Execute),
        1 => (0..3usize).prop_map(Ask::CloseStatement),
        1 => (0..3usize).prop_map(Ask::ClosePortal),
        2 => Just(Ask::Sync),
        1 => Just(Ask::FunctionCall),
        2 => Just(Ask::Copy),
        1 => prop::sample::select(vec![Ask::CopyData, Ask::CopyDone, Ask::CopyFail]),
    ]
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let client = (ask(), prop::bool::weighted(0.85), 0..3u64, any::<bool>())
        .prop_map(|(ask, works, rows, block)| Move::Client(ask, Fate { works, rows, block }));
    let server = (0..6usize).prop_map(|count| Move::Server { count });
    vec(prop_oneof![4 => client, 2 => server, 1 => (0..3usize).prop_map(Move::Noise)], 0..60)
}

/// A client's frame on its way, with what the session said of it.
struct Sent {
    frame: u64,
    ask: Ask,
    fate: Fate,
    /// The text that stands behind it, as the session told.
    told: Option<String>,
    /// Whether a Sync was unanswered when it came.
    behind: bool,
}

/// PostgreSQL, as far as the protocol shows it.
#[derive(Default)]
struct Model {
    statements: HashMap<usize, String>,
    /// The text, and whether the session told it at Bind.
    portals: HashMap<usize, (String, bool)>,
    skipping: bool,
    /// The frame of the COPY that awaits data.
    copying: Option<(u64, bool)>,
    /// A CopyDone that was on its way when its COPY failed.
    vain: Option<u64>,
    outcomes: HashMap<u64, (Ending, u64)>,
    wrong: Vec<String>,
}

impl Model {
    /// Answers one frame, in words. `end` is the CopyDone or CopyFail that is on its way, if there is one.
    fn answer(&mut self, sent: &Sent, end: Option<u64>) -> Vec<&'static str> {
        if let Some((copy, block)) = self.copying {
            return self.copy(sent, (copy, block), end);
        }
        if self.skipping && !matches!(sent.ask, Ask::Sync) {
            if sent.ask.is_gated() {
                self.outcomes.insert(sent.frame, (Ending::Skipped, 0));
            }
            return vec![];
        }
        let ready = if sent.fate.block { "Ready T" } else { "Ready I" };
        match sent.ask {
            Ask::Sync => {
                self.skipping = false;
                self.transaction_end(sent.fate.block);
                vec![ready]
            }
            Ask::Query => {
                self.statements.remove(&0);
                self.portals.remove(&0);
                let mut answer = vec!["Row"; sent.fate.rows as usize];
                answer.extend([if sent.fate.works { "Complete SELECT 1" } else { "Error 22012 no" }, ready]);
                let ending = if sent.fate.works { Ending::Done } else { Ending::Error };
                self.outcomes.insert(sent.frame, (ending, sent.fate.rows));
                self.transaction_end(sent.fate.block);
                answer
            }
            Ask::FunctionCall => {
                let ending = if sent.fate.works { Ending::Done } else { Ending::Error };
                self.outcomes.insert(sent.frame, (ending, 0));
                self.transaction_end(sent.fate.block);
                vec![if sent.fate.works { "Function" } else { "Error 42501 no" }, ready]
            }
            Ask::Copy => {
                self.statements.remove(&0);
                self.portals.remove(&0);
                if sent.fate.works {
                    self.copying = Some((sent.frame, sent.fate.block));
                    return vec!["CopyIn"];
                }
                self.outcomes.insert(sent.frame, (Ending::Error, 0));
                self.transaction_end(sent.fate.block);
                vec!["Error 42501 no", ready]
            }
            Ask::CopyDone => {
                let is_vain = self.vain.take_if(|vain| *vain == sent.frame).is_some();
                self.outcomes.insert(sent.frame, (if is_vain { Ending::Error } else { Ending::Skipped }, 0));
                vec![]
            }
            Ask::CopyData | Ask::CopyFail => vec![],
            extended => match self.extended(extended, sent) {
                Some(answer) => answer,
                None => {
                    self.skipping = true;
                    self.outcomes.insert(sent.frame, (Ending::Error, 0));
                    vec!["Error 42P05 no"]
                }
            },
        }
    }

    /// In copy mode.
    fn copy(&mut self, sent: &Sent, (copy, block): (u64, bool), end: Option<u64>) -> Vec<&'static str> {
        let (answer, ending) = match sent.ask {
            Ask::CopyDone if sent.fate.works => ("Complete COPY 1", Ending::Done),
            Ask::CopyData if sent.fate.works => return vec![],
            Ask::CopyDone | Ask::CopyData => ("Error 22P02 no", Ending::Error),
            Ask::CopyFail => ("Error 57014 no", Ending::GivenUp),
            _ignored => return vec![],
        };
        self.copying = None;
        self.outcomes.insert(copy, (ending, 0));
        if matches!(sent.ask, Ask::CopyDone) {
            self.outcomes.insert(sent.frame, (ending, 0));
        } else if matches!(sent.ask, Ask::CopyData) {
            self.vain = end;
        }
        self.transaction_end(block);
        vec![answer, if block { "Ready T" } else { "Ready I" }]
    }

    /// None: it fails.
    fn extended(&mut self, ask: Ask, sent: &Sent) -> Option<Vec<&'static str>> {
        let unnamed = |name: usize| name == 0;
        let (mut ending, mut rows) = (Ending::Done, 0);
        let answer = match ask {
            Ask::Parse(name) => {
                if unnamed(name) {
                    self.statements.remove(&name);
                }
                if !sent.fate.works || self.statements.contains_key(&name) {
                    return None;
                }
                self.statements.insert(name, sent.told.clone()?);
                vec!["ParseComplete"]
            }
            Ask::Bind { portal, statement } => {
                let taken = !unnamed(portal) && self.portals.contains_key(&portal);
                let text = self.statements.get(&statement).filter(|_| sent.fate.works && !taken)?.clone();
                self.same(sent, &text, true);
                self.portals.insert(portal, (text, sent.told.is_some()));
                vec!["BindComplete"]
            }
            Ask::DescribeStatement(name) => {
                let text = self.statements.get(&name).filter(|_| sent.fate.works)?.clone();
                self.same(sent, &text, true);
                vec!["Types 23", if sent.fate.block { "NoData" } else { "RowDescription" }]
            }
            Ask::DescribePortal(name) => {
                let (text, known) = self.portals.get(&name).filter(|_| sent.fate.works)?.clone();
                self.same(sent, &text, known);
                vec![if sent.fate.block { "NoData" } else { "RowDescription" }]
            }
            Ask::Execute(name) => {
                let (text, known) = self.portals.get(&name).filter(|_| sent.fate.works)?.clone();
                self.same(sent, &text, known);
                rows = sent.fate.rows;
                ending = if sent.fate.block { Ending::Suspended } else { Ending::Done };
                let end = if sent.fate.block { "PortalSuspended" } else { "Complete SELECT 1" };
                [vec!["Row"; sent.fate.rows as usize], vec![end]].concat()
            }
            Ask::CloseStatement(name) => {
                self.statements.remove(&name);
                vec!["CloseComplete"]
            }
            Ask::ClosePortal(name) => {
                self.portals.remove(&name);
                vec!["CloseComplete"]
            }
            Ask::Query | Ask::Sync | Ask::FunctionCall | Ask::Copy | Ask::CopyData | Ask::CopyDone | Ask::CopyFail => {
                return None;
            }
        };
        self.outcomes.insert(sent.frame, (ending, rows));
        Some(answer)
    }

    /// What the server runs must be what the session said stands behind the name. It may say nothing only if
    /// a Sync was unanswered, now or when the portal was made.
    fn same(&mut self, sent: &Sent, text: &str, known: bool) {
        match &sent.told {
            Some(told) if told == text => {}
            None if sent.behind || !known => {}
            told => self.wrong.push(format!("frame {}: told {told:?}, is {text:?}", sent.frame)),
        }
    }

    fn transaction_end(&mut self, block: bool) {
        if !block {
            self.portals.clear();
        }
    }
}

fn words(ask: Ask, number: usize) -> String {
    let name = |index: usize| NAMES.get(index).copied().unwrap_or("-");
    match ask {
        Ask::Query => "Query select 1".to_owned(),
        Ask::Parse(statement) => format!("Parse {} select {number}", name(statement)),
        Ask::Bind { portal, statement } => format!("Bind {} {}", name(portal), name(statement)),
        Ask::DescribeStatement(statement) => format!("Describe S {}", name(statement)),
        Ask::DescribePortal(portal) => format!("Describe P {}", name(portal)),
        Ask::Execute(portal) => format!("Execute {}", name(portal)),
        Ask::CloseStatement(statement) => format!("Close S {}", name(statement)),
        Ask::ClosePortal(portal) => format!("Close P {}", name(portal)),
        Ask::Sync => "Sync".to_owned(),
        Ask::FunctionCall => "FunctionCall 952 x".to_owned(),
        Ask::Copy => "Query copy t from stdin".to_owned(),
        Ask::CopyData => "CopyData x".to_owned(),
        Ask::CopyDone => "CopyDone".to_owned(),
        Ask::CopyFail => "CopyFail no".to_owned(),
    }
}

/// Both sides and what lies between them.
#[derive(Default)]
struct Play {
    model: Model,
    on_the_way: VecDeque<Sent>,
    gated: Vec<u64>,
    outcomes: HashMap<u64, (Ending, u64)>,
    twice: Vec<u64>,
    /// The client is copying, for all it knows.
    is_copying: bool,
}

impl Play {
    fn client(&mut self, session: &mut Session, number: usize, ask: Ask, fate: Fate) {
        let ask = if self.is_copying { ask.while_copying() } else { ask };
        self.is_copying = matches!(ask, Ask::Copy) || self.is_copying && !matches!(ask, Ask::CopyDone | Ask::CopyFail);
        let step = session.client(&client(&words(ask, number)), Timestamp(0)).expect("a valid frame");
        let (frame, told) = match step {
            Step::Gate(statement) => {
                self.gated.push(statement.frame);
                let text = statement.values.text.map(|text| String::from_utf8(text).expect("ASCII"));
                (statement.frame, text)
            }
            Step::Pass | Step::Copy(_) => (0, None),
            other => panic!("{other:?}"),
        };
        let behind = self.on_the_way.iter().any(|sent| matches!(sent.ask, Ask::Sync));
        self.on_the_way.push_back(Sent { frame, ask, fate, told, behind });
        let mut events = Vec::new();
        session.told(&mut events);
        self.hear(events);
    }

    fn server(&mut self, session: &mut Session, stream: &[u8], chunk_bytes: usize) {
        let mut events = Vec::new();
        for chunk in stream.chunks(chunk_bytes) {
            session.server(chunk, Timestamp(0), &mut events).expect("the model keeps the protocol");
        }
        self.hear(events);
    }

    fn hear(&mut self, events: Vec<Event>) {
        for event in events {
            if let Event::Outcome(outcome) = event {
                let known = self.outcomes.insert(outcome.frame, (outcome.result, outcome.rows));
                self.twice.extend(known.map(|_| outcome.frame));
            }
        }
    }

    fn answers(&mut self, count: usize) -> Vec<u8> {
        let mut answers = Vec::new();
        for _ in 0..count.min(self.on_the_way.len()) {
            let Some(sent) = self.on_the_way.pop_front() else { break };
            let mut ends = self.on_the_way.iter().filter(|sent| matches!(sent.ask, Ask::CopyDone | Ask::CopyFail));
            let end = ends.next().filter(|end| matches!(end.ask, Ask::CopyDone)).map(|end| end.frame);
            answers.extend(self.model.answer(&sent, end).into_iter().flat_map(server));
        }
        answers
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn each_frame_gets_the_outcome_it_had(moves in moves(), chunk_bytes in 1usize..30) {
        let mut session = Session::new(Timestamp(0));
        session.client(&client("Sync"), Timestamp(0)).expect("valid");
        let mut play = Play::default();
        play.server(&mut session, &server("Ready I"), chunk_bytes);
        let last = Move::Client(Ask::Sync, Fate { works: true, rows: 0, block: false });
        let fail = Move::Client(Ask::CopyFail, Fate { works: true, rows: 0, block: false });
        let end = [fail, last, Move::Server { count: usize::MAX }];
        for (number, next) in moves.into_iter().chain(end).enumerate() {
            match next {
                Move::Client(ask, fate) => play.client(&mut session, number, ask, fate),
                Move::Server { count } => {
                    let stream = play.answers(count);
                    play.server(&mut session, &stream, chunk_bytes);
                }
                Move::Noise(which) => {
                    let stream = server(NOISE.get(which).copied().unwrap_or("Notify x"));
                    play.server(&mut session, &stream, chunk_bytes);
                }
            }
            let open: Vec<u64> = play.gated.iter().copied().filter(|f| !play.outcomes.contains_key(f)).collect();
            prop_assert_eq!(session.unanswered(), open);
            prop_assert!(session.at_boundary());
        }
        prop_assert_eq!(play.outcomes, play.model.outcomes);
        prop_assert!(play.twice.is_empty(), "told twice: {:?}", play.twice);
        prop_assert!(play.model.wrong.is_empty(), "{:?}", play.model.wrong);
        prop_assert!(session.is_idle());
        prop_assert_eq!(session.state.queued_bytes, 0);
    }

    #[test]
    fn no_server_makes_the_session_panic(
        asks in vec(ask(), 0..8),
        stream in vec(prop_oneof![
            prop::sample::select(vec![
                "ParseComplete", "BindComplete", "CloseComplete", "NoData", "PortalSuspended", "EmptyQuery", "Row",
                "RowDescription", "Types 23", "CopyIn", "CopyOut", "CopyData", "CopyDone", "Complete COMMIT",
                "Complete DEALLOCATE", "Function", "CopyInBinary", "Error 57014 no",
                "Error 22012 no", "Fatal 57P01 bye", "Ready I", "Ready E", "Key",
            ]).prop_map(server),
            vec(any::<u8>(), 0..9),
        ], 0..20),
        chunk_bytes in 1usize..30,
    ) {
        let mut session = Session::new(Timestamp(0));
        for (number, ask) in asks.into_iter().enumerate() {
            session.client(&client(&words(ask, number)), Timestamp(0)).expect("a valid frame");
        }
        let mut events = Vec::new();
        let read = |chunk: &[u8]| session.server(chunk, Timestamp(0), &mut events).is_ok();
        let _ended = stream.concat().chunks(chunk_bytes).all(read);
        prop_assert!(session.unanswered().len() <= session.frame() as usize);
    }
}
