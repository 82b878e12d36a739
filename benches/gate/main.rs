//! `make bench`: what the gate costs, beside PgBouncer, a bare TLS relay and no proxy at all, in one interleaved run.
//! Not a test: a figure that is missed is shown, not a failure. Figures and their limits: the design's section on speed.
//! `cargo bench --bench gate -- --quick` for a short look, `--binary PATH` for another build of `portreeve`.

mod audit;
mod bouncer;
mod bulk;
mod decisions;
mod erasing;
mod ground;
mod long_log;
mod pgbench;
mod process;
mod relay;
mod report;
mod retention;
mod revocation;
mod samples;
mod snapshots;

use std::path::PathBuf;
use std::time::Instant;

use ground::Ground;
use pgbench::{Load, Mode};
use report::Report;
use samples::Samples;

/// Anything that keeps a bench from being run.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// How much is measured.
#[derive(Clone, Debug)]
struct Plan {
    binary: PathBuf,
    rounds: usize,
    /// Seconds of each pgbench run, the first of which is not counted.
    seconds: u32,
    /// Rows of a kilobyte in the table that is copied out.
    copied_rows: u32,
    /// Bytes of the single large value.
    value_bytes: u32,
    /// Rows of each of ten customers in the tables that are purged.
    purged_rows: u64,
    /// Events of the register that is opened.
    events: u64,
    /// Records of the long log.
    log_records: u64,
    /// Of these names only, if there are any: `select`, `write`, `bulk`, `audit`, `long_log`, `revocation`,
    /// `snapshots`, `retention`, `decisions`, or one load's.
    only: Vec<String>,
}

impl Plan {
    fn from_arguments(arguments: impl Iterator<Item = String>) -> Plan {
        let mut plan = Plan {
            binary: PathBuf::from(env!("CARGO_BIN_EXE_portreeve")),
            rounds: 5,
            seconds: 4,
            copied_rows: 500_000,
            value_bytes: 100_000_000,
            purged_rows: 1_000_000,
            events: 1_000_000,
            log_records: 10_000_000,
            only: Vec::new(),
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => {
                    (plan.rounds, plan.seconds) = (1, 3);
                    (plan.copied_rows, plan.value_bytes) = (50_000, 10_000_000);
                    (plan.purged_rows, plan.events, plan.log_records) = (200_000, 200_000, 500_000);
                }
                "--binary" => plan.binary = arguments.next().map(PathBuf::from).unwrap_or(plan.binary),
                "--rounds" => plan.rounds = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(plan.rounds),
                // What cargo itself says to a bench.
                "--bench" => {}
                name => plan.only.push(name.to_owned()),
            }
        }
        plan
    }

    fn has(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let runtime = tokio::runtime::Runtime::new()?;
    if std::env::args().nth(1).as_deref() == Some(relay::ARGUMENT) {
        return runtime.block_on(relay::run(arguments.by_ref().skip(1)));
    }
    if let Some(argument @ (long_log::ARGUMENT | long_log::OPEN_ARGUMENT)) = std::env::args().nth(1).as_deref() {
        let dir = PathBuf::from(arguments.by_ref().nth(1).ok_or("which directory?")?);
        return match arguments.next() {
            Some(records) if argument == long_log::ARGUMENT => {
                runtime.block_on(long_log::write(&dir, records.parse()?))
            }
            _ => long_log::open_it(&dir),
        };
    }
    let plan = Plan::from_arguments(arguments);
    runtime.block_on(measure(&plan))
}

async fn measure(plan: &Plan) -> Result<(), Failed> {
    let begun = Instant::now();
    let say = |what: &str| eprintln!("[{:>4.0} s] {what}", begun.elapsed().as_secs_f64());
    say("setting the stage: PostgreSQL, Portreeve, PgBouncer, a bare relay");
    let ground = Ground::prepare(plan).await?;
    let mut report = Report::new(ground::machine(&ground).await?);
    let mut samples = Samples::default();
    for round in 1..=plan.rounds {
        for load in loads(plan) {
            say(&format!("round {round} of {}: {}", plan.rounds, load.id()));
            for contender in ground.contenders() {
                let measured = pgbench::run(&ground, &contender, load, plan.seconds)?;
                samples.add(&load.id(), &contender.name, measured);
            }
        }
        if plan.has("bulk") {
            for bulk in bulk::ALL {
                say(&format!("round {round} of {}: {}", plan.rounds, bulk.id()));
                for contender in ground.contenders() {
                    let measured = bulk::run(&ground, &contender, bulk).await?;
                    samples.add(bulk.id(), &contender.name, measured);
                }
            }
        }
        if plan.has("audit") {
            say(&format!("round {round} of {}: the audit log", plan.rounds));
            for (what, measured) in audit::run(&ground.stage.path("bench-log"), plan.rounds == 1).await? {
                samples.add("audit", what, measured);
            }
        }
        // Ten million records take a while to write: once.
        if plan.has("long_log") && round == 1 {
            say(&format!("a log of {} records; erasing a customer", plan.log_records));
            let measured = long_log::run(&ground.stage.path("bench-long-log"), plan.log_records).await?;
            samples.add(&long_log::cell(plan.log_records), "portreeve", measured);
            let erased = erasing::erase_s(&ground.stage.path("bench-erasing")).await?;
            samples.add("erasing", "portreeve", vec![("one_of_10k_s", erased)]);
        }
        // Ten million rows take a while to make: once.
        if plan.has("retention") && round == 1 {
            say("retention: plan, coverage, purge");
            for (what, measured) in retention::run(plan.purged_rows).await? {
                samples.add("retention", what, measured);
            }
        }
        if plan.has("decisions") && round == 1 {
            say("decisions, and a long register that is opened");
            let (what, measured) = decisions::run(&ground.stage.path("bench-register"), plan.events)?;
            samples.add("decisions", what, measured);
        }
        if plan.has("snapshots") {
            say(&format!("round {round} of {}: snapshots", plan.rounds));
            let dir = ground.stage.path("bench-snapshots");
            for (what, measured) in snapshots::run(&ground.stage.cluster, &dir).await? {
                samples.add("snapshots", what, measured);
            }
        }
        // A thousand ends by itself: once.
        if plan.has("revocation") && round == 1 {
            say(&format!("switching off with {} live sessions", revocation::SESSIONS));
            for (what, measured) in revocation::run(&ground).await? {
                samples.add("revocation", what, measured);
            }
        }
    }
    report.fill(&samples, &long_log::cell(plan.log_records));
    report.show(&samples);
    let path = report.write()?;
    say(&format!("done; {}", path.display()));
    Ok(())
}

/// What pgbench plays.
fn loads(plan: &Plan) -> impl Iterator<Item = Load> + '_ {
    let selects = [Mode::Simple, Mode::Prepared]
        .into_iter()
        .flat_map(|mode| [1, 8, 32].map(|clients| Load { mode, clients, writes: false }));
    let writes = [Load { mode: Mode::Simple, clients: 8, writes: true }];
    selects
        .filter(|load| plan.has("select") || plan.has(&load.id()))
        .chain(writes.into_iter().filter(|load| plan.has("write") || plan.has(&load.id())))
}
