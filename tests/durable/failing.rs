//! The kernel says EIO, or ENOSPC, to a write of the log while statements run: the process ends and its backends with
//! it, what ran is undone, and a restart finds everything that anybody saw.
//! Not here: each single call of the log that fails (`src/log/fault_tests.rs`), and disks that fill up (`disk.rs`).

use std::fs;
use std::time::Instant;

use portreeve::audit::record::Kind;
use portreeve::cli::demo::stage::{STAFF, Stage, said};

use crate::auditor::Auditor;
use crate::client::{sign_in, words};
use crate::disk::{gone, wait_for};
use crate::ground::{BINARY, OTHER, SOON, script, stage};

/// How many writes of the log's thread succeed after the start.
const WRITES: usize = 60;
const ROWS: &str = "select md5(string_agg(full_name, ',' order by id)) from contacts";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strace_makes_a_write_fail_and_everything_ends() {
    let directory = tempfile::tempdir_in("/tmp").expect("a directory");
    let folder = directory.path().join("s");
    let fault = directory.path().join("fault");
    let segment = |number| format!("-P {}/audit/proxy-gate-1/{number:012}.segment", folder.display());
    let segments: Vec<String> = (0..20).map(segment).collect();
    let text = format!(
        "case \" $* \" in *\" proxy \"*) if [ -s {fault} ]; then exec strace -D -f -q --seccomp-bpf -o /dev/null {} \
         -e trace=pwrite64 -e inject=pwrite64:error=$(cat {fault}):when={WRITES}+ {BINARY} \"$@\"; fi;; esac\n\
         exec {BINARY} \"$@\"",
        segments.join(" "),
        fault = fault.display(),
    );
    let mut stage = stage(&script(&directory.path().join("portreeve"), &text), Some(&folder)).await;
    let before = stage.cluster.run_sql("acme", ROWS).await.expect("acme");
    let mut auditor = Auditor::new(&stage, &stage.audit()).await;
    for (name, message) in [("EIO", "os error 5"), ("ENOSPC", "os error 28")] {
        fs::write(&fault, name).expect("a file");
        stage.start_proxy().expect("it starts");
        let seen = fails(&mut stage, name, message).await;
        assert_eq!(stage.cluster.run_sql("acme", ROWS).await.expect("acme"), before, "{name}: rows were changed");
        fs::remove_file(&fault).expect("the file");
        recovers(&mut stage, &mut auditor, &seen).await;
    }
}

/// A long UPDATE, somebody idle and somebody who asks until the log fails; gives what the last one saw.
async fn fails(stage: &mut Stage, name: &str, message: &str) -> Vec<String> {
    let update = sign_in(stage, STAFF, "acme", "update").await.expect("in");
    let idle = sign_in(stage, OTHER, "acme", "idle").await.expect("in");
    let asks = sign_in(stage, OTHER, "acme", "asks").await.expect("in");
    let pids = [update.pid, idle.pid, asks.pid];
    let running = tokio::spawn(async move {
        let sql = "update contacts set full_name = 'changed' || pg_sleep(0.05)::text";
        (update.client.batch_execute(sql).await.err().map(|error| words(&error)), update.connection.await.is_ok())
    });
    wait_for(stage, "select 1 from pg_stat_activity where backend_xid is not null and usename like 'pr\\_g\\_%'").await;
    let mut seen = Vec::new();
    let told = loop {
        let mark = format!("{name}-{}.", seen.len());
        match asks.client.simple_query(&format!("select '{mark}'")).await {
            Ok(_) => seen.push(mark),
            Err(error) => break words(&error),
        }
        assert!(seen.len() < 10 * WRITES, "{name}: no write fails");
    };
    gone(stage, &pids, Instant::now()).await;
    assert!(told.starts_with("58030 the audit log can no longer be written"), "{name}: {told}");
    let (told, _) = tokio::time::timeout(SOON, running).await.expect("ended").expect("no panic");
    assert!(told.as_ref().is_some_and(|told| told.starts_with("58030")), "{name}: {told:?}");
    tokio::time::timeout(SOON, idle.connection).await.expect("ended").expect("no panic");
    let proxy = stage.proxy.as_mut().expect("a proxy");
    assert_eq!(proxy.wait(SOON).expect("our child"), Some(false), "{name}: it ends, and not well");
    let log = fs::read_to_string(&proxy.log).expect("its log");
    assert!(log.contains(message) && log.contains("mend the disk and start again"), "{name}: {log}");
    assert!(!seen.is_empty());
    seen
}

/// Without the fault it starts, and whatever was seen is recorded.
async fn recovers(stage: &mut Stage, auditor: &mut Auditor, seen: &[String]) {
    stage.start_proxy().expect("it starts again");
    let again = sign_in(stage, STAFF, "acme", "again").await.expect("in");
    assert!(again.client.simple_query("select 1").await.is_ok());
    let found = auditor.news(&[Kind::Statement]).await;
    let texts = found.iter().filter_map(|found| found.record.values.text.as_deref());
    let texts: Vec<String> = texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    for mark in seen {
        assert!(texts.iter().any(|text| text.contains(mark.as_str())), "{mark} was seen and is not recorded");
    }
    let verified = stage.command(&["audit", "verify"]).output().expect("a command");
    assert!(verified.status.success(), "{}", said(&verified));
}
