//! `audit export` of a real session: both formats read back by an independent reader, one customer, an exact period,
//! whole or not at all, in bounded memory.
//! Not here: what is recorded of a session (`tests/clients`).

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::{STAFF, Stage, said};
use rustix::process::{Pid, Signal, getuid, kill_process};
use serde_json::Value;

use crate::client::{Session, sign_in, words};
use crate::ground::{BINARY, SOON, psql, stage};

/// What is exported while memory is watched: statements of that size, so many.
const LARGE_BYTES: usize = 4 << 20;
const LARGE: usize = 40;
/// Memory for all of it together.
const MEMORY_KIB_MAX: u64 = 96 << 10;

/// Compares both exports cell by cell, with Python's own readers, and says how many records there are.
const COMPARE: &str = r#"
import base64, csv, json, sys
csv.field_size_limit(1 << 30)
lines = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8", newline="\n")]
rows = list(csv.DictReader(open(sys.argv[2], encoding="utf-8", newline=""), strict=True))
assert len(lines) == len(rows), (len(lines), len(rows))
for line, row in zip(lines, rows):
    assert None not in row and None not in row.values(), row
    for column, cell in row.items():
        record, name = line, column
        if column.startswith("outcome_"):
            record, name = line["outcome"] or {}, column[len("outcome_"):]
        if name.endswith("_base64"):
            exact = record.get(name.replace("_base64", "_hex"))
            assert base64.b64decode(cell, validate=True) == bytes.fromhex(exact or ""), (column, cell, exact)
            continue
        value = record.get(name)
        same = cell == "" if value is None else cell == value if isinstance(value, str) else json.loads(cell) == value
        assert same, (column, cell, value)
print(len(rows))
"#;

/// Says how many rows the second has, if the first has them, too, below the same head.
const WITHIN: &str = r#"
import csv, sys
csv.field_size_limit(1 << 30)
whole, part = (list(csv.reader(open(path, encoding="utf-8", newline=""), strict=True)) for path in sys.argv[1:])
assert whole[0] == part[0], (whole[0], part[0])
for row in part[1:]:
    assert row in whole, row
print(len(part) - 1)
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customers_records_leave_whole_exact_and_alone() {
    let mut stage = stage(Path::new(BINARY), None).await;
    let (status, answer) = stage.set_consent("globex", r#"{"mode":"standing","scope":"read"}"#).expect("the portal");
    assert_eq!(status, 200, "{answer}");
    stage.grant("globex", "read").expect("a grant");
    work(&stage).await;

    let (lines, csv) = both(&stage);
    searched(&stage, &lines, &csv);
    exact_period(&stage, &lines);
    alone(&stage, &lines, &csv);
    refuses_to_overwrite(&stage);
    a_reader_that_dies_is_an_error(&stage);
    interrupted(&stage);
    bounded(&stage).await;
    damaged(&mut stage);
}

/// Statements with everything that is hard to write down; then the same of another customer.
async fn work(stage: &Stage) {
    let Session { client, .. } =
        sign_in(stage, STAFF, "acme", "exported").await.unwrap_or_else(|e| unreachable!("{}", words(&e)));
    for text in ["select 'a,b', '\"q\"', '=1+1'", "select 'two\r\nlines',\n 2", "", "select nonsense", "select '😀\t'"]
    {
        let _told = client.simple_query(text).await.is_ok();
    }
    let note: Option<&str> = None;
    let update = "update contacts set note = $1 where full_name = $2 and id = $3";
    client.execute(update, &[&note, &"o'neil, \"x\"", &1_i64]).await.expect("updated");
    client.query("select $1::bytea, $2::text", &[&&[0_u8, 255, 10][..], &""]).await.expect("rows");
    let mut latin = psql(stage, STAFF).spawn().expect("psql");
    let mut stdin = latin.stdin.take().expect("piped");
    stdin.write_all(b"set client_encoding to latin1;\nselect 'm\xfcller' as \"n\xe4me\";\n").expect("it reads");
    drop(stdin);
    let output = latin.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", said(&output));
    let other = sign_in(stage, STAFF, "globex", "other").await.unwrap_or_else(|e| unreachable!("{}", words(&e)));
    other.client.simple_query("select 'umbrella and globex keep this'").await.expect("rows");
    drop((client, other));
}

fn export(stage: &Stage, more: &[&str]) -> Output {
    let all = [&["audit", "export", "--customer", "acme", "--reason", "for the auditor"], more].concat();
    stage.command(&all).output().expect("it runs")
}

fn exported(stage: &Stage, name: &str, more: &[&str]) -> PathBuf {
    let path = stage.path(name);
    let output = export(stage, &[&["--output", path.to_str().expect("UTF-8")], more].concat());
    assert!(output.status.success(), "{}", said(&output));
    path
}

fn objects(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Both formats, once every outcome is recorded; Python finds the same in both.
fn both(stage: &Stage) -> (PathBuf, PathBuf) {
    let until = Instant::now() + SOON;
    loop {
        // The end of the session is the last thing.
        let search = ["--format", "json", "audit", "search", "--customer", "acme", "--kind", "session-ended"];
        if said(&stage.run(&search).expect("a search")).lines().count() >= 2 {
            break;
        }
        assert!(Instant::now() < until, "the sessions do not end");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (lines, csv) = (exported(stage, "acme.jsonl", &[]), exported(stage, "acme.csv", &["--format", "csv"]));
    let compared = Command::new("python3").args(["-c", COMPARE]).args([&lines, &csv]).output().expect("python3");
    assert!(compared.status.success(), "{}", said(&compared));
    let count: usize = said(&compared).trim().parse().expect("a number");
    let objects = objects(&lines);
    assert_eq!(count, objects.len());
    // What a search shows stands in it, word for word.
    let search = ["--format", "json", "audit", "search", "--customer", "acme", "--limit", "0"];
    let searched = stage.run(&search).expect("a search");
    let searched: Vec<Value> = String::from_utf8(searched.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(searched.len() > 15, "{searched:#?}");
    for record in &searched {
        assert!(objects.contains(record), "not exported: {record:#}");
    }
    let latin = objects.iter().find(|object| !text(object, "text_hex").is_empty()).expect("bytes that are no UTF-8");
    assert!(text(latin, "text_hex").contains("6dfc6c6c6572"), "{latin:#}");
    assert!(objects.iter().any(|object| text(object, "text").contains("two\r\nlines")), "{objects:#?}");
    (lines, csv)
}

/// One session's records in all three formats; and who looked for them, what for and why, is recorded.
fn searched(stage: &Stage, lines: &Path, csv: &Path) {
    let all = objects(lines);
    let sessions: BTreeSet<&str> =
        all.iter().map(|object| text(object, "session")).filter(|id| !id.is_empty()).collect();
    assert!(sessions.len() >= 2, "{sessions:?}");
    let (reason, session) = ("ticket 4711", *sessions.first().expect("some"));
    let looked = ["audit", "search", "--customer", "acme", "--session", session, "--limit", "0", "--reason", reason];
    let run = |format| stage.run(&[&["--format", format][..], &looked].concat()).expect("a search").stdout;
    let found = String::from_utf8(run("json")).expect("UTF-8");
    let found: Vec<Value> = found.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of_session = all.iter().filter(|object| text(object, "session") == session).count();
    assert!(found.iter().all(|object| text(object, "session") == session), "{found:#?}");
    assert!(found.len() == of_session && of_session < all.len(), "{} of {of_session}", found.len());
    let path = stage.path("searched.csv");
    fs::write(&path, run("csv")).expect("written");
    let compared = Command::new("python3").args(["-c", WITHIN]).args([csv, &path]).output().expect("python3");
    assert!(compared.status.success(), "{}", said(&compared));
    assert_eq!(said(&compared).trim(), of_session.to_string());
    let table = String::from_utf8(run("table")).expect("UTF-8");
    assert_eq!(table.lines().count(), 1 + of_session, "a line of its own for each: {table}");
    assert!(table.starts_with("time ") && table.lines().skip(1).all(|line| line.contains("acme")), "{table}");

    let what = format!("audit search --customer \"acme\" --session \"{session}\": {reason}");
    let search = ["--format", "json", "audit", "search", "--kind", "keys-opened", "--text", &what];
    let read = said(&stage.run(&search).expect("a search"));
    let read: Vec<Value> = read.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(read.len(), 3, "each of the three: {read:#?}");
    let (uid, who) = (getuid().as_raw(), format!("(uid {}, ", getuid().as_raw()));
    for record in &read {
        assert_eq!(record.get("uid").and_then(Value::as_u64), Some(uid.into()), "{record:#}");
        assert!(record.to_string().contains(&who), "who says to have asked: {record:#}");
    }
}

/// The first moment belongs to the period and the last does not.
fn exact_period(stage: &Stage, lines: &Path) {
    let all = objects(lines);
    let times: Vec<&str> = all.iter().map(|object| text(object, "time")).collect();
    let (from, to) = (times.get(3).expect("enough"), times.get(times.len() - 3).expect("enough"));
    let some = objects(&exported(stage, "some.jsonl", &["--from", from, "--to", to]));
    let expected: Vec<&str> = times.iter().filter(|time| *time >= from && *time < to).copied().collect();
    assert!(!expected.is_empty() && expected.first() == Some(from));
    // An outcome whose statement came before the period stands for itself.
    let of_some: Vec<&str> =
        some.iter().filter(|it| text(it, "kind") != "outcome").map(|it| text(it, "time")).collect();
    assert_eq!(of_some, expected.iter().filter(|time| of_some.contains(time)).copied().collect::<Vec<_>>());
    assert!(some.iter().all(|object| text(object, "time") >= *from && text(object, "time") < *to));
    for record in all.iter().filter(|record| expected.contains(&text(record, "time"))) {
        assert!(some.iter().any(|it| it.get("place") == record.get("place")), "not in the period: {record:#}");
    }
    for (from, to, says) in [(to, from, "before it begins"), (&"yesterday", to, "is not a moment")] {
        let refused = export(stage, &["--from", from, "--to", to]);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains(says), "{}", said(&refused));
    }
}

/// Nothing of another customer; closed to others; and the reading is recorded.
fn alone(stage: &Stage, lines: &Path, csv: &Path) {
    for path in [lines, csv] {
        let text = fs::read_to_string(path).expect("UTF-8");
        assert!(!text.contains("globex") && text.contains("o'neil"), "{}", path.display());
        assert_eq!(fs::metadata(path).expect("there").permissions().mode() & 0o7777, 0o600);
    }
    assert!(objects(lines).iter().all(|object| text(object, "customer") == "acme"));
    let other =
        stage.run(&["audit", "export", "--customer", "globex", "--format", "jsonl"]).expect("to standard output");
    let other = String::from_utf8(other.stdout).expect("UTF-8");
    assert!(other.contains("globex keep this") && !other.contains("acme"), "{other}");
    let asked = "audit export --customer \"acme\": for the auditor";
    let search = ["--format", "json", "audit", "search", "--kind", "keys-opened", "--text", asked];
    let read = said(&stage.run(&search).expect("a search"));
    assert!(read.lines().count() >= 2 && read.contains("uid"), "the reading is not recorded: {read}");
}

fn refuses_to_overwrite(stage: &Stage) {
    let path = stage.path("acme.jsonl");
    let before = fs::read(&path).expect("there");
    let refused = export(stage, &["--output", path.to_str().expect("UTF-8")]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("nothing is overwritten"), "{}", said(&refused));
    assert_eq!(fs::read(&path).expect("there"), before);
    assert_eq!(parts(stage), [""; 0]);
}

/// Half of it at a program that died is not an export.
fn a_reader_that_dies_is_an_error(stage: &Stage) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = stage.command(&["audit", "export", "--customer", "acme"]);
    let ended = command.stdout(writer).stderr(Stdio::piped()).output().expect("it runs");
    assert_eq!(ended.status.code(), Some(1), "{}", said(&ended));
    assert!(said(&ended).contains("the export cannot be written"), "{}", said(&ended));
}

/// Files that were begun and not finished.
fn parts(stage: &Stage) -> Vec<String> {
    let folder = stage.path("acme.jsonl").parent().expect("a folder").to_owned();
    let names = fs::read_dir(folder).expect("listed").map(|entry| entry.expect("one").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.ends_with(".part")).collect()
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("our child");
}

/// While the keyring does not answer, it says now and then where it is; then it is interrupted, and leaves nothing.
fn interrupted(stage: &Stage) {
    let keyring = stage.keyring.as_ref().expect("a keyring").pid();
    signal(keyring, Signal::STOP);
    let path = stage.path("interrupted.jsonl");
    let mut command = stage.command(&["audit", "export", "--customer", "acme", "--output"]);
    let mut child = command.arg(&path).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("UTF-8");
    assert!(line.contains("reading the logs"), "{line}");
    assert_eq!(parts(stage).len(), 1);
    signal(child.id(), Signal::INT);
    let status = wait(&mut child);
    signal(keyring, Signal::CONT);
    assert_eq!(status, Some(1));
    assert_eq!(parts(stage), [""; 0]);
    assert!(!path.exists());
}

fn wait(child: &mut Child) -> Option<i32> {
    let until = Instant::now() + SOON;
    loop {
        match child.try_wait().expect("our child") {
            Some(status) => return status.code(),
            None if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            None => {
                child.kill().expect("our child");
                return None;
            }
        }
    }
}

/// Much more is exported than is ever held.
async fn bounded(stage: &Stage) {
    let Session { client, .. } =
        sign_in(stage, STAFF, "acme", "large").await.unwrap_or_else(|e| unreachable!("{}", words(&e)));
    let ballast = "x".repeat(LARGE_BYTES);
    for number in 0..LARGE {
        client.simple_query(&format!("select {number} /* {ballast} */")).await.expect("a row");
    }
    drop(client);
    let path = stage.path("large.csv");
    let mut command = stage.command(&["--format", "csv", "audit", "export", "--customer", "acme", "--output"]);
    let mut child = command.arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    let mut peak = 0;
    let until = Instant::now() + 4 * SOON;
    let status = loop {
        if let Some(status) = child.try_wait().expect("our child") {
            break status;
        }
        assert!(Instant::now() < until, "the export does not end");
        if let Ok(about) = fs::read_to_string(format!("/proc/{}/status", child.id())) {
            let line = about.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            peak = kib.unwrap_or(0).max(peak);
        }
        std::thread::sleep(Duration::from_millis(3));
    };
    let size = fs::metadata(&path).expect("there").len();
    println!("{} MiB were exported in {} MiB", size >> 20, peak >> 10);
    assert!(status.success() && size > (LARGE * LARGE_BYTES) as u64, "{size} bytes");
    assert!(peak > 0 && peak < MEMORY_KIB_MAX, "{peak} KiB for {size} bytes");
}

/// A segment of which bytes were changed is named, the export fails, and there is no file.
fn damaged(stage: &mut Stage) {
    stage.proxy = None;
    let log = stage.audit().join("proxy-gate-1");
    let segment = log.join("000000000000.segment");
    let mut bytes = fs::read(&segment).expect("a segment");
    // One in each block, since an export looks at this customer's batches alone.
    bytes.iter_mut().skip(4096 + 700).step_by(4096).for_each(|byte| *byte ^= 1);
    fs::write(&segment, &bytes).expect("written");
    let path = stage.path("damaged.jsonl");
    let refused = export(stage, &["--output", path.to_str().expect("UTF-8")]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(
        said(&refused).contains("000000000000.segment") && said(&refused).contains("audit verify"),
        "{}",
        said(&refused)
    );
    assert!(!path.exists());
    assert_eq!(parts(stage), [""; 0]);
}
