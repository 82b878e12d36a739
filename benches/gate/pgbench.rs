//! One run of pgbench: transactions per second, latency, and what the process in between used for each.
//! The first second, with its sign-ins, is not counted: from pgbench's first progress line to its last.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::Failed;
use super::ground::{Contender, Ground, READ, WRITTEN};
use super::process::cpu;
use super::samples::{Measured, percentile};

/// How much longer than it should a run may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How statements are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Query.
    Simple,
    /// Parse once, then Bind, Describe, Execute, Sync.
    Prepared,
}

/// What is played.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How.
    pub mode: Mode,
    /// By how many at once.
    pub clients: u32,
    /// pgbench's TPC-B-like transaction; else a point select.
    pub writes: bool,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Mode::Simple => "simple",
            Mode::Prepared => "prepared",
        }
    }
}

impl Load {
    /// Its name in the report.
    pub fn id(self) -> String {
        format!("{}_{}_c{}", if self.writes { "tpcb" } else { "select" }, self.mode.word(), self.clients)
    }
}

/// Plays a load for so many seconds.
pub fn run(ground: &Ground, contender: &Contender, load: Load, seconds: u32) -> Result<Measured, Failed> {
    let logs = ground.stage.path("pgbench-log");
    fs::create_dir_all(&logs)?;
    let mut command = contender.command("pgbench", if load.writes { WRITTEN } else { READ });
    command.args(["-n", "-P", "1", "-M", load.mode.word(), "-T", &seconds.to_string()]);
    command.args(["-c", &load.clients.to_string(), "-j", &load.clients.min(2).to_string()]);
    command.arg("-l").arg(format!("--log-prefix={}/log", logs.display()));
    if !load.writes {
        command.arg("-S");
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let watched = stop_late(child.id(), Duration::from_secs(u64::from(seconds)) + PATIENCE);
    let stderr = child.stderr.take().ok_or("pgbench has no standard error")?;
    let (mut said, mut begun, mut ended) = (String::new(), None, None);
    let mut transactions = Vec::new();
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        if let Some(per_second) = line.strip_prefix("progress: ").and_then(per_second) {
            let used = contender.pid.and_then(cpu);
            if begun.is_none() {
                begun = Some(used);
            } else {
                transactions.push(per_second);
                ended = Some(used);
            }
        } else {
            said += &line;
            said.push('\n');
        }
    }
    let status = child.wait()?;
    drop(watched);
    let latencies = latencies(&logs)?;
    fs::remove_dir_all(&logs)?;
    let seconds = transactions.len() as f64;
    let done: f64 = transactions.iter().sum();
    if !status.success() || seconds == 0.0 || done == 0.0 {
        return Err(format!("pgbench {} by {}: {said}", load.id(), contender.name).into());
    }
    let mut measured = vec![("tps", done / seconds)];
    measured.extend(percentile(&latencies, 0.5).map(|median| ("median_us", median)));
    measured.extend(percentile(&latencies, 0.99).map(|high| ("p99_us", high)));
    if let (Some(begun), Some(ended)) = (begun.flatten(), ended.flatten()) {
        measured.push(("cpu_us", (ended - begun).as_secs_f64() * 1e6 / done));
    }
    if contender.pid.is_some_and(|pid| cpu(pid).is_none()) {
        return Err(format!("{} ended: {said}", contender.name).into());
    }
    Ok(measured)
}

/// Ends a pgbench that hangs, which is then an error with a name; not once what is returned is dropped.
fn stop_late(pid: u32, within: Duration) -> mpsc::Sender<()> {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        if is_done.recv_timeout(within) == Err(RecvTimeoutError::Timeout)
            && let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            eprintln!("pgbench hangs and cannot be stopped: {error}");
        }
    });
    done
}

/// The rate in "1.0 s, 5234.1 tps, lat …".
fn per_second(progress: &str) -> Option<f64> {
    progress.split(", ").find_map(|part| part.strip_suffix(" tps"))?.parse().ok()
}

/// What pgbench logged of each transaction, in microseconds, sorted.
fn latencies(logs: &Path) -> Result<Vec<f64>, Failed> {
    let mut latencies = Vec::new();
    for entry in fs::read_dir(logs)? {
        for line in fs::read_to_string(entry?.path())?.lines() {
            latencies.extend(line.split(' ').nth(2).and_then(|field| field.parse::<f64>().ok()));
        }
    }
    latencies.sort_unstable_by(f64::total_cmp);
    Ok(latencies)
}
