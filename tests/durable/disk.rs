//! The audit log's disk: nearly full, full, failing, read-only. Nothing is let through that cannot be recorded.
//! Not here: what a log makes of a torn tail (`src/log`).

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use portreeve::audit::record::Kind;
use portreeve::cli::demo::stage::{STAFF, Stage};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::auditor::Auditor;
use crate::client::{Session, sign_in, words};
use crate::ground::{BINARY, OTHER, SOON, run_role, script, stage};

/// Every backend is gone this soon after the log failed.
const GONE_WITHIN: Duration = Duration::from_secs(1);
/// As in the stage's configuration.
const RESERVE_BYTES: u64 = 16 << 20;

/// A file system of 64 MiB for the audit logs, in a mount namespace of its own that goes with its holder.
struct Small {
    holder: Child,
    _stdin: ChildStdin,
    /// The audit directory, seen from outside.
    audit: PathBuf,
}

impl Small {
    /// None where nobody may mount.
    fn mount(audit: &Path) -> Option<Small> {
        fs::create_dir_all(audit).expect("a directory");
        let mut unshare = Command::new("unshare");
        let mount = "mount -t tmpfs -o size=64m tmpfs \"$0\" && echo mounted && exec cat";
        unshare.args(["-m", "sh", "-c", mount]).arg(audit).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = unshare.stderr(Stdio::null()).spawn().ok()?;
        let (stdin, stdout) = (holder.stdin.take()?, holder.stdout.take()?);
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).ok()?;
        if line.trim() != "mounted" {
            holder.wait().expect("our child");
            return None;
        }
        let audit = PathBuf::from(format!("/proc/{}/root{}", holder.id(), audit.display()));
        Some(Small { holder, _stdin: stdin, audit })
    }

    fn free(&self) -> u64 {
        let about = rustix::fs::statvfs(&self.audit).expect("the file system");
        about.f_bavail * about.f_frsize
    }

    /// Leaves only so many bytes free.
    fn leave(&self, bytes: u64) {
        let mut file = File::create(self.audit.join("filler")).expect("a file");
        let mut left = self.free().saturating_sub(bytes);
        let zeros = vec![0; 1 << 16];
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
            if file.write_all(zeros.get(..now).unwrap_or_default()).is_err() {
                return;
            }
            left -= now as u64;
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.audit.join("filler")).expect("the filler");
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.holder.id());
        let status = Command::new("nsenter").args([&namespace, "--", program]).args(arguments).status();
        assert!(status.expect("nsenter").success(), "{program} {arguments:?}");
    }
}

/// Whether this process has CAP_SYS_ADMIN.
fn may_mount() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("every Linux has it");
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("capabilities");
    let bits = u64::from_str_radix(bits.trim(), 16).expect("hexadecimal digits");
    bits & 1 << 21 != 0
}

impl Drop for Small {
    fn drop(&mut self) {
        // It holds nothing but the namespace.
        if self.holder.kill().and_then(|()| self.holder.wait()).is_err() {
            eprintln!("the holder of a mount namespace could not be ended");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_a_disk_that_is_full_fails_or_is_read_only() {
    let directory = tempfile::tempdir_in("/tmp").expect("a directory");
    let folder = directory.path().join("s");
    let small = Small::mount(&folder.join("audit"));
    let enter =
        small.as_ref().map_or(String::new(), |small| format!("nsenter --mount=/proc/{}/ns/mnt -- ", small.holder.id()));
    // What goes over a limit for files is then an error like any other of the disk, and no signal.
    let text = format!("trap '' XFSZ\nexec {enter}{BINARY} \"$@\"");
    let mut stage = stage(&script(&directory.path().join("portreeve"), &text), Some(&folder)).await;
    match &small {
        Some(small) => {
            nearly_full(&stage, small).await;
            full(&mut stage, small).await;
        }
        None => {
            assert!(!may_mount(), "whoever has CAP_SYS_ADMIN can mount a disk that gets full");
            eprintln!("skipped: without CAP_SYS_ADMIN the reserve is tried alone, and no disk is really full");
            reserve(&mut stage).await;
        }
    }
    failing(&mut stage).await;
    read_only(&mut stage, small.as_ref());
}

/// Below the reserve nobody new is let in; who is in works on; with room again everything is as before.
async fn nearly_full(stage: &Stage, small: &Small) {
    let session = sign_in(stage, STAFF, "acme", "before").await.expect("room");
    small.leave(RESERVE_BYTES - (1 << 20));
    refused_soon(stage).await;
    assert!(session.client.simple_query("select 1").await.is_ok(), "who is in works on");
    small.make_room();
    let until = Instant::now() + SOON;
    while let Err(error) = sign_in(stage, OTHER, "acme", "after").await {
        assert!(Instant::now() < until, "there is room again: {}", words(&error));
    }
}

/// The same with a reserve that no disk has.
async fn reserve(stage: &mut Stage) {
    let (path, usual) = (stage.configuration(), "reserve_bytes = \"16MiB\"");
    let toml = fs::read_to_string(&path).expect("the configuration");
    assert!(toml.contains(usual));
    fs::write(&path, toml.replace(usual, "reserve_bytes = \"1000000GiB\"")).expect("the configuration");
    stage.start_proxy().expect("it starts");
    refused_soon(stage).await;
    fs::write(&path, toml).expect("the configuration");
    stage.start_proxy().expect("it starts");
}

async fn refused_soon(stage: &Stage) {
    let until = Instant::now() + SOON;
    let refused = loop {
        match sign_in(stage, OTHER, "acme", "no-room").await {
            Ok(_) => assert!(Instant::now() < until, "people are let in below the reserve"),
            Err(error) => break words(&error),
        }
    };
    assert!(refused.starts_with("53100 no new sessions: the disk of the audit log is nearly full"), "{refused}");
}

/// Not even the next record fits: its statement is not forwarded, its session ends, the proxy stays for better times.
async fn full(stage: &mut Stage, small: &Small) {
    let mut auditor = Auditor::new(stage, &small.audit).await;
    let Session { client, pid, connection, .. } = sign_in(stage, STAFF, "acme", "full").await.expect("room");
    let little = sign_in(stage, OTHER, "acme", "little").await.expect("room");
    small.leave(0);
    let ballast = "x".repeat(200_000);
    let mut last = 0;
    let told = loop {
        let update = format!("update contacts set note = '{}' where id = 1 /* {ballast} */", last + 1);
        match client.batch_execute(&update).await {
            Ok(()) => last += 1,
            Err(error) => break words(&error),
        }
        assert!(last < 1000, "the disk is never full");
    };
    assert!(told.starts_with("58030 the audit log can no longer be written"), "{told}");
    tokio::time::timeout(SOON, connection).await.expect("closed").expect("no panic");
    let note = stage.cluster.run_sql("acme", "select note from contacts where id = 1").await.expect("acme");
    let expected = last.to_string();
    assert_eq!(note.concat(), vec![Some(expected)], "a statement without a record took effect");
    gone(stage, &[pid], Instant::now()).await;
    // What is left takes small records, until there is not a single block: not even for the end of the session.
    let told = loop {
        if let Err(error) = little.client.batch_execute("select 1").await {
            break words(&error);
        }
    };
    assert!(told.starts_with("58030 the audit log can no longer be written"), "{told}");
    gone(stage, &[little.pid], Instant::now()).await;
    assert!(stage.proxy.as_mut().expect("a proxy").wait(Duration::ZERO).expect("our child").is_none(), "it stays");
    small.make_room();
    let until = Instant::now() + SOON;
    loop {
        match sign_in(stage, STAFF, "acme", "room-again").await {
            Ok(_) => break,
            Err(error) => assert!(Instant::now() < until, "there is room again: {}", words(&error)),
        }
    }
    // What could not be written then is written now.
    let mut ends: Vec<(i32, String)> = Vec::new();
    let is_recorded = |pid| move |end: &(i32, String)| *end == (pid, "log-failed".to_owned());
    while ![pid, little.pid].into_iter().all(|pid| ends.iter().any(is_recorded(pid))) {
        let news = auditor.news(&[Kind::SessionEnded]).await;
        let skeletons = news.into_iter().map(|found| found.record.skeleton);
        ends.extend(skeletons.filter_map(|skeleton| Some((skeleton.backend?, skeleton.verb?))));
        assert!(Instant::now() < until, "the end of the session is not recorded: {ends:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The disk refuses a write while statements run: all of them are stopped, everybody is told, the process ends.
async fn failing(stage: &mut Stage) {
    let rows = "select md5(string_agg(full_name, ',' order by id)) from contacts";
    let before = stage.cluster.run_sql("acme", rows).await.expect("acme");
    let update = sign_in(stage, STAFF, "acme", "update").await.expect("in");
    let idle = sign_in(stage, OTHER, "acme", "idle").await.expect("in");
    let asks = sign_in(stage, OTHER, "acme", "asks").await.expect("in");
    let pids = [update.pid, idle.pid, asks.pid];
    let running = tokio::spawn(async move {
        let sql = "update contacts set full_name = 'changed' || pg_sleep(0.03)::text";
        (update.client.batch_execute(sql).await.err().map(|error| words(&error)), update.connection.await.is_ok())
    });
    wait_for(stage, "select 1 from pg_stat_activity where backend_xid is not null and usename like 'pr\\_g\\_%'").await;

    let proxy = stage.proxy.as_mut().expect("a proxy");
    let pid = i32::try_from(proxy.pid()).ok().and_then(Pid::from_raw).expect("a process id");
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: Some(0), maximum: None }).expect("our child");
    let since = Instant::now();
    let told = asks.client.simple_query("select 'never seen'").await.expect_err("nothing can be recorded");
    assert!(words(&told).starts_with("58030 the audit log can no longer be written"), "{}", words(&told));
    gone(stage, &pids, since).await;
    let (told, _) = tokio::time::timeout(SOON, running).await.expect("ended").expect("no panic");
    assert!(told.as_ref().is_some_and(|told| told.starts_with("58030")), "{told:?}");
    let (_, told) = tokio::time::timeout(SOON, idle.connection).await.expect("ended").expect("no panic");
    let told = told.as_ref().map(words).unwrap_or_default();
    assert!(told.starts_with("58030"), "{told}");
    let proxy = stage.proxy.as_mut().expect("a proxy");
    let ended_well = proxy.wait(SOON).expect("our child");
    assert_eq!(ended_well, Some(false), "a proxy whose log failed ends, and not well");
    let said = fs::read_to_string(&proxy.log).expect("its log");
    let log = stage.audit().join("proxy-gate-1");
    assert!(said.contains(&format!("cannot write {}", log.display())), "it does not name the file: {said}");
    assert!(said.contains("mend the disk and start again"), "it does not say what to do: {said}");
    assert_eq!(stage.cluster.run_sql("acme", rows).await.expect("acme"), before, "rows were changed");

    stage.start_proxy().expect("it starts again");
    let again = sign_in(stage, STAFF, "acme", "again").await.expect("in");
    assert!(again.client.simple_query("select 1").await.is_ok());
    let verified = stage.command(&["audit", "verify"]).output().expect("a command");
    assert!(verified.status.success(), "{}", portreeve::cli::demo::stage::said(&verified));
}

/// A log that cannot be opened for writing is said by name, and nothing is served.
fn read_only(stage: &mut Stage, small: Option<&Small>) {
    stage.proxy = None;
    let log = stage.audit().join("proxy-gate-1");
    match small {
        Some(small) => small.run("mount", &["-t", "tmpfs", "-o", "ro", "tmpfs", &log.to_string_lossy()]),
        None => {
            fs::rename(&log, log.with_extension("away")).expect("the log is moved");
            fs::write(&log, "not a directory").expect("a file");
        }
    }
    let (code, said) = run_role(stage, "proxy");
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {said}");
    assert!(said.contains(&log.display().to_string()), "{said}");
    assert!(!said.contains("the gate is open"), "{said}");
}

/// Waits until those backends are gone, which must be soon after `since`.
pub(crate) async fn gone(stage: &Stage, pids: &[i32], since: Instant) {
    let list = pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let sql = format!("select count(*) from pg_stat_activity where pid in ({list}) and usename like 'pr\\_g\\_%'");
    loop {
        let rows = stage.cluster.run_sql("postgres", &sql).await.expect("activity");
        if rows.concat() == vec![Some("0".to_owned())] {
            println!("{} backends were gone {:.1?} after the log failed", pids.len(), since.elapsed());
            assert!(since.elapsed() <= GONE_WITHIN, "backends were there for {:?}", since.elapsed());
            return;
        }
        assert!(since.elapsed() < SOON, "backends are still there");
    }
}

/// Waits until the query has a row.
pub(crate) async fn wait_for(stage: &Stage, sql: &str) {
    let until = Instant::now() + SOON;
    while stage.cluster.run_sql("postgres", sql).await.expect("a query").is_empty() {
        assert!(Instant::now() < until, "never: {sql}");
    }
}
