//! What these tests stand on: a stage where jane may write in acme, a table to copy into, and the record to look at.

use std::io::Write;
use std::process::{Child, ChildStdin, Output, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use portreeve::cli::demo::cluster::APPLICATION;
use portreeve::cli::demo::stage::{Settings, Stage, said};
use serde_json::Value;

/// How long what should happen soon may take on a busy machine.
pub const WITHIN: Duration = Duration::from_secs(30);

pub struct Ground {
    pub stage: Stage,
}

impl Ground {
    /// acme with an empty table `imported`, and a grant to write in it.
    pub async fn new() -> Ground {
        let settings = Settings::new(env!("CARGO_BIN_EXE_portreeve"));
        let cache = Some(env!("CARGO_TARGET_TMPDIR").into());
        let stage = Stage::set_up(Settings { cache, ..settings }).await.expect("a stage");
        let table = "set role app; create table imported (id int primary key, name text)";
        stage.cluster.run_sql("acme", table).await.expect("a table");
        let ground = Ground { stage };
        ground.fence();
        let (status, answer) =
            ground.stage.set_consent("acme", r#"{"mode":"standing","scope":"write"}"#).expect("the portal answers");
        assert_eq!(status, 200, "{answer}");
        ground.stage.grant("acme", "write").expect("a grant");
        ground
    }

    /// The fence takes in tables that came since.
    fn fence(&self) {
        let dsn = self.stage.path("acme.dsn");
        let fence = ["fence", "apply", "--database", "acme", "--superuser-dsn-file"];
        let rest = ["--keep", APPLICATION, "--close", "postgres", "--close", "template1"];
        let arguments: Vec<&str> = fence.into_iter().chain([dsn.to_str().expect("UTF-8")]).chain(rest).collect();
        self.stage.run(&arguments).expect("a fence");
    }

    /// psql through the gate with these commands, run to its end.
    pub fn psql(&self, commands: &[&str]) -> Output {
        let mut psql = self.stage.psql("acme").expect("psql");
        psql.args(commands.iter().flat_map(|command| ["-c", command])).output().expect("psql runs")
    }

    /// psql with a COPY under way that waits for more on its standard input.
    pub async fn begin_copy(&self) -> (Child, ChildStdin) {
        let mut psql = self.stage.psql("acme").expect("psql");
        psql.args(["-c", "copy imported from stdin"]);
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = psql.spawn().expect("psql starts");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(&lines(0..50_000)).expect("psql reads");
        input.flush().expect("psql reads");
        let started = "select 1 from pg_stat_progress_copy where bytes_processed > 100000";
        self.until(started, "1").await;
        (child, input)
    }

    /// One value, asked as superuser.
    pub async fn value(&self, sql: &str) -> String {
        let rows = self.stage.cluster.run_sql("acme", sql).await.expect("an answer");
        rows.into_iter().flatten().flatten().next().unwrap_or_default()
    }

    /// Waits until the database answers so.
    pub async fn until(&self, sql: &str, answer: &str) {
        let until = Instant::now() + WITHIN;
        loop {
            let found = self.value(sql).await;
            if found == answer {
                return;
            }
            assert!(Instant::now() < until, "{sql}: {found}, not {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The records of that kind, oldest first, as `audit search` shows them.
    pub fn search(&self, kind: &str) -> Vec<Value> {
        let output = self
            .stage
            .run(&["--format", "json", "audit", "search", "--customer", "acme", "--kind", kind, "--limit", "1000"])
            .expect("audit search");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// The last record of that kind which `fits`, once it is there.
    pub fn record(&self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + WITHIN;
        loop {
            let records = self.search(kind);
            if let Some(found) = records.iter().rfind(|record| fits(record)) {
                return found.clone();
            }
            assert!(Instant::now() < until, "no such record: {records:#?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The CopyDone of these bytes: recorded first, with their digest, and this became of it.
    pub fn copied(&self, data: &[u8], result: &str) {
        let found = self.copy_done(data);
        assert!(found.contains(result), "{found}");
    }

    /// As [`Ground::copied`], of bytes the server failed at: before the CopyDone came or after.
    pub fn copied_in_vain(&self, data: &[u8], error: &str) {
        let found = self.copy_done(data);
        assert!(found.contains(error) || found == "skipped", "{found}");
    }

    /// What became of the CopyDone of these bytes.
    fn copy_done(&self, data: &[u8]) -> String {
        let digest = sha256(data);
        let record = self.record("statement", |record| {
            let is_it = cell(record, "verb") == "copy-done" && cell(record, "copied_sha256") == digest;
            is_it && cell(record, "result") != "unknown"
        });
        assert_eq!(cell(&record, "gate"), "strict", "{record:#}");
        assert_eq!(record.get("copied_bytes").and_then(Value::as_u64), Some(data.len() as u64), "{record:#}");
        cell(&record, "result").to_owned()
    }

    /// The logs are whole.
    pub fn verified(&self) {
        let output = self.stage.run(&["audit", "verify"]).expect("the logs verify");
        assert!(said(&output).contains("ok"), "{}", said(&output));
    }
}

/// A cell of a record's row.
pub fn cell<'a>(record: &'a Value, column: &str) -> &'a str {
    record.get(column).and_then(Value::as_str).unwrap_or_default()
}

pub fn sha256(data: &[u8]) -> String {
    digest(&SHA256, data).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Rows in COPY's text format.
pub fn lines(ids: std::ops::Range<u32>) -> Vec<u8> {
    ids.flat_map(|id| format!("{id}\tname {id}\n").into_bytes()).collect()
}
