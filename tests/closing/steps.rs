//! kill -9 at each step that the daemon tells of, from closure to a certificate: each is told when it is done, so that the
//! process dies between it and the next; and what stands then is true.
//! Not here: kills at any moment (`killed.rs`).

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use portreeve::clock::Clock;
use portreeve::grant::{AccountStep, SnapshotStep, Stage};
use portreeve::retention::certificate::Findings;
use portreeve::retentiond::closing::turn;
use rustix::process::{Signal, getpid, kill_process};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::ground::{Ground, Moved, maintenance, world};

const CONFIGURATION: &str = "PORTREEVE_TEST_CONFIGURATION";
const DSN: &str = "PORTREEVE_TEST_DSN";
const STEP: &str = "PORTREEVE_TEST_STEP";

/// Hears what the daemon tells, and kills the process at the telling of that number.
struct Killer {
    told: AtomicUsize,
    last: usize,
}

impl Subscriber for Killer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("portreeve::") && *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if self.told.fetch_add(1, Ordering::Relaxed) == self.last {
            let mut words = Words::default();
            event.record(&mut words);
            println!("\nat {}{}", words.message, words.rest);
            std::io::stdout().flush().expect("a pipe");
            kill_process(getpid(), Signal::KILL).expect("ours");
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// An event's message, and which table it is about.
#[derive(Default)]
struct Words {
    message: String,
    rest: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => write!(self.message, "{value:?}").expect("memory"),
            "table" => write!(self.rest, " of {value:?}").expect("memory"),
            // One event of the register is not another of the same kind.
            "sequence" => write!(self.rest, " #{value:?}").expect("memory"),
            _ => {}
        }
    }
}

/// Not a test of its own: the process that dies at a step.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by an_end_killed_at_each_step_is_true_and_goes_on_exactly"]
async fn a_turn_that_dies_at_its_step() {
    let said = |name: &str| std::env::var(name).expect(name);
    let clock = Arc::new(Moved(AtomicI64::new(0)));
    let world = world(&PathBuf::from(said(CONFIGURATION)), Arc::clone(&clock), &said(DSN)).await;
    let killer = Killer { told: AtomicUsize::new(0), last: said(STEP).parse().expect("a number") };
    tracing::subscriber::set_global_default(killer).expect("the first");
    let turned = turn(&world, clock.now()).await.expect("a turn");
    assert_eq!(turned.troubles, []);
}

/// A turn in a process of its own that dies at that telling; what was told, or none if it came to its end before.
fn dies_at(ground: &Ground, step: usize) -> Option<String> {
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--ignored", "--exact", "--nocapture", "steps::a_turn_that_dies_at_its_step"])
        .env(CONFIGURATION, ground.stage.configuration())
        .env(DSN, maintenance(&ground.stage))
        .env(STEP, step.to_string())
        .stdin(Stdio::null())
        .output()
        .expect("this binary runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = said.lines().find_map(|line| line.strip_prefix("at ")).map(str::to_owned);
    if output.status.signal() == Some(9) {
        return Some(told.expect("it says where it dies"));
    }
    assert!(output.status.success() && told.is_none(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_killed_at_each_step_is_true_and_goes_on_exactly() {
    let ground = Ground::new().await;
    let others = ground.others(7).await;
    for name in ["initech", "acme"] {
        ground.close(name).await;
        ground.account(name, AccountStep::Immediate).await.expect("asked for");
    }
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    let (mut seen, mut step, mut kills) = (BTreeSet::new(), 0, 0);
    while let Some(told) = tokio::task::block_in_place(|| dies_at(&ground, step)) {
        kills += 1;
        assert!(kills < 300, "it does not come to an end: {seen:?}");
        assert_eq!(ground.others(7).await, others, "after {told}");
        let closure = ground.closure("initech");
        let rows = ground.rows(7).await;
        if closure.purge.verified.is_some() || closure.stage() >= Stage::LiveClean {
            assert_eq!(rows, "0", "after {told}: it is said to be clean");
        }
        if closure.purge.begun.is_none() {
            assert_eq!(rows, "1200", "after {told}: nothing goes before it is on record");
        }
        // What is told again is no progress: the next one dies a step later.
        step = if seen.insert(told) { 0 } else { step + 1 };
    }
    println!("{kills} kills: {seen:#?}");
    for told in [
        "archived of public.orders",
        "an archive was read back",
        "export.exported",
        "closure.stage",
        "purge.planned",
        "purge.begun",
        "the purge goes through all tables",
        "a batch is committed of public.orders",
        "no row is left of public.orders",
        "a batch is committed of public.contacts",
        "no row is left of public.contacts",
        "purge.verified",
        "export.destroyed",
    ] {
        assert!(seen.iter().any(|name| name.starts_with(told)), "{told} is no step of {seen:?}");
    }
    ground.well().await;
    assert_eq!(ground.others(7).await, others);
    assert_eq!(ground.rows(7).await, "0");
    for name in ["initech", "acme"] {
        assert_eq!(ground.stage_of(name), Stage::LiveClean, "{name}");
        let verdict = ground.verified(name);
        assert_eq!(verdict.findings, [], "{name}");
        let part = verdict.parts.first().expect("part 1");
        let Findings::Live(live) = &part.body.findings else { unreachable!("part 1 is about live rows") };
        assert!(live.tables.iter().all(|table| table.planned == table.deleted && table.left == 0), "{live:?}");
    }
    assert_eq!(ground.closure("initech").purge.verified.map(|(_, rows, _)| rows), Some(1200));
}
