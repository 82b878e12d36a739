//! The proxy under strace, and psql: no byte of a result leaves before its record is durable.
//! Not here: how a trace is judged (`trace.rs`).

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout};
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::{STAFF, Stage};
use portreeve::clock::{Clock, SystemClock};

use crate::ground::{BINARY, OTHER, psql, script, stage};
use crate::trace::{Call, Order, Ports, calls, durable, order};

const CALLS: &str = "openat,pwrite64,pwritev,pwritev2,fdatasync,fsync,io_uring_enter,write,writev,sendto,sendmsg,\
                     read,readv,recvfrom,recvmsg";

/// An outcome is written within a second, and the proxy is slow under strace.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);

/// Single statements: some rows, none, many, an error, a notice, a change.
const STATEMENTS: [&str; 7] = [
    "select 1",
    "select full_name, email from contacts order by id limit 20",
    "select id from contacts where false",
    "select a.full_name, b.email from contacts a, contacts b limit 20000",
    "select pg_sleep(0.2)",
    "do 'begin raise notice ''hello''; end'",
    "update contacts set note = 'x' where id = 1",
];

/// A real psql whose statements are sent one at a time.
struct Psql {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    marks: usize,
}

impl Psql {
    fn new(stage: &Stage, staff: &str) -> Psql {
        let mut child = psql(stage, staff).args(["-v", "ON_ERROR_STOP=0"]).spawn().expect("psql");
        let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut psql = Psql { child, stdin, stdout: BufReader::new(stdout), marks: 0 };
        psql.mark();
        psql
    }

    /// Waits until psql has done everything it was told before: a child of its own says so.
    fn mark(&mut self) -> Vec<String> {
        self.marks += 1;
        let mark = format!("done-{}", self.marks);
        writeln!(self.stdin, "\\! echo {mark}").expect("psql reads");
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.stdout.read_line(&mut line).expect("psql writes"), 0, "psql ended: {lines:?}");
            if line.trim_end() == mark {
                return lines;
            }
            lines.push(line);
        }
    }

    fn run(&mut self, statement: &str) -> Vec<String> {
        writeln!(self.stdin, "{statement};").expect("psql reads");
        self.mark()
    }

    fn end(mut self) {
        drop(self.stdin);
        self.child.wait().expect("our child");
    }
}

/// The trace of the proxy that runs now, which grows.
struct Traced {
    path: PathBuf,
    log: String,
    ports: Ports,
}

impl Traced {
    fn calls(&self) -> Vec<Call> {
        calls(&fs::read_to_string(&self.path).expect("a trace"))
    }

    /// Waits until the outcomes of everything before are written too, so that no write of theirs passes for the next
    /// statement's record: until something has become durable that began after `since`, or nothing is left to write,
    /// as an outcome is written within a second and may have gone with the record itself.
    fn settle(&self, since: f64) {
        let until = Instant::now() + WRITTEN_WITHIN;
        while !durable(&self.calls(), &self.log).iter().any(|write| write.at > since) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn judge(&self, since: f64, until: f64) -> Order {
        let calls = self.calls();
        assert!(!calls.iter().any(|call| call.name == "io_uring_enter"), "writes this test cannot see");
        order(&calls, &durable(&calls, &self.log), self.ports, since, until)
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of this century fit")]
fn now() -> f64 {
    SystemClock.now().0 as f64 / 1e6
}

/// Runs the statements, each after the one before has settled; what was seen of each.
fn run(stage: &Stage, staff: &str, trace: &Path) -> Vec<(&'static str, Order)> {
    let mut psql = Psql::new(stage, staff);
    let port = client_port(stage.gate_port(), psql.child.id());
    let log = format!("{}/", stage.audit().join("proxy-gate-1").display());
    let ports = Ports { gate: stage.gate_port(), client: port, server: stage.cluster.port() };
    let traced = Traced { path: trace.to_owned(), log, ports };
    let mut seen = Vec::new();
    for statement in STATEMENTS {
        let since = now();
        psql.run(statement);
        let until = now();
        traced.settle(until);
        seen.push((statement, traced.judge(since, until)));
    }
    every_outcome_was_written(stage);
    psql.end();
    seen
}

/// The outcomes of all statements so far are in the log, while the session that ran them is still open.
fn every_outcome_was_written(stage: &Stage) {
    let arguments = ["--format", "json", "audit", "search", "--kind", "statement", "--limit", "0"];
    let output = stage.run(&arguments).expect("audit search");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(rows.len() >= STATEMENTS.len(), "{} statements are in the log", rows.len());
    let unknown: Vec<_> = rows.iter().filter(|row| row["result"] == "unknown" || row["outcome"].is_null()).collect();
    assert!(unknown.is_empty(), "an outcome was not written: {unknown:?}");
}

/// The port of that process's connection to the gate, as `ss` would say it.
fn client_port(gate: u16, process: u32) -> u16 {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{process}/fd"))
        .expect("our child's descriptors")
        .filter_map(|entry| Some(fs::read_link(entry.ok()?.path()).ok()?.display().to_string()))
        .collect();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let peer = format!(":{gate:04X}");
    let port = tables.iter().flat_map(|table| table.lines()).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (local, remote, inode) = (words.get(1)?, words.get(2)?, words.get(9)?);
        let is_ours = remote.ends_with(&peer) && sockets.contains(&format!("socket:[{inode}]"));
        u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok().filter(|_| is_ours)
    });
    port.expect("psql is connected to the gate")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strace_first_the_record_then_the_result() {
    let directory = tempfile::tempdir().expect("a directory");
    let trace = directory.path().join("trace");
    let text = format!(
        "case \" $* \" in *\" proxy \"*) exec strace -D -f -q -ttt -yy -s 0 -e trace={CALLS} -o {} {BINARY} \"$@\";; \
         *) exec {BINARY} \"$@\";; esac",
        trace.display()
    );
    let mut stage = stage(&script(&directory.path().join("portreeve"), &text), None).await;
    let overlap = run(&stage, OTHER, &trace);
    judge("a reader, overlapped", &overlap);
    let ahead: usize = overlap.iter().map(|(_, order)| order.ahead).sum();
    assert!(ahead > 0, "nothing was forwarded ahead of its record: is it overlap at all? {overlap:?}");

    let strict = run(&stage, STAFF, &trace);
    judge("a writer, strict", &strict);
    let ahead: Vec<_> = strict.iter().filter(|(_, order)| order.ahead > 0).collect();
    assert!(ahead.is_empty(), "forwarded before the record was durable: {ahead:?}");

    assert!(stage.proxy.as_mut().expect("a proxy").stop().expect("it stops"), "the proxy did not end well");
    fs::remove_file(&trace).expect("the first proxy's trace");
    let path = stage.configuration();
    let toml = fs::read_to_string(&path).expect("the configuration");
    fs::write(&path, toml.replace("[proxy]\n", "[proxy]\nstrict = true\n")).expect("the configuration");
    stage.start_proxy().expect("it starts again");
    let strict = run(&stage, OTHER, &trace);
    judge("a reader, strict", &strict);
    let ahead: Vec<_> = strict.iter().filter(|(_, order)| order.ahead > 0).collect();
    assert!(ahead.is_empty(), "forwarded before the record was durable: {ahead:?}");
}

/// Each statement arrived, was forwarded and answered, and nothing of the answer left before its record was durable.
fn judge(who: &str, seen: &[(&str, Order)]) {
    for (statement, order) in seen {
        assert!(order.statements > 0 && order.answers > 0 && order.forwarded > 0, "{who}: {statement}: {order:?}");
        assert_eq!(order.violations, Vec::<String>::new(), "{who}: {statement}");
    }
    let (mut answers, mut forwarded, mut ahead) = (0, 0, 0);
    for (_, order) in seen {
        (answers, forwarded, ahead) = (answers + order.answers, forwarded + order.forwarded, ahead + order.ahead);
    }
    println!(
        "{who}: {} statements, {answers} writes to the client after their records, {ahead} of {forwarded} \
              writes to the server before",
        seen.len()
    );
}
