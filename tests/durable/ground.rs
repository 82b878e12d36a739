//! What the tests here stand on: a stage whose proxy may run inside something, and waiting that is bounded.
//! Not here: what is tried on it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::{self, STAFF, Stage};

/// Whatever should happen soon happens within this.
pub(crate) const SOON: Duration = Duration::from_secs(15);
/// The second member of staff.
pub(crate) const OTHER: &str = "kim";

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_portreeve");

/// A stage on which both customers are open for writing: jane may write to acme, kim may read there.
pub(crate) async fn stage(binary: &Path, directory: Option<&Path>) -> Stage {
    let cache = Some(env!("CARGO_TARGET_TMPDIR").into());
    let directory = directory.map(Path::to_owned);
    let settings = stage::Settings { cache, directory, ..stage::Settings::new(binary) };
    let stage = Stage::set_up(settings).await.expect("a stage");
    let file = stage.write_secret(&format!("{OTHER}.password"), "correct horse battery").expect("a file");
    stage.run(&["staff", "create", OTHER, "--password-file", &file.to_string_lossy()]).expect("a staff member");
    let (status, answer) = stage.set_consent("acme", r#"{"mode":"standing","scope":"write"}"#).expect("the portal");
    assert_eq!(status, 200, "{answer}");
    stage.grant("acme", "write").expect("a grant");
    #[rustfmt::skip]
    let arguments = [
        "grant", "create", "--staff", OTHER, "--customer", "acme", "--for", "2h", "--purpose", "fault",
        "--reason", "invoices show wrong totals", "--ticket", "SUP-1", "--password-file", &file.to_string_lossy(),
    ];
    stage.run(&arguments).expect("a grant");
    let all = format!("*:*:*:{STAFF}:{}\n*:*:*:{OTHER}:correct horse battery", secret(&stage, STAFF));
    stage.write_secret("both.pgpass", &all).expect("a file");
    stage
}

fn secret(stage: &Stage, staff: &str) -> String {
    stage.secret(&format!("{staff}.password")).expect("the stage wrote it")
}

/// psql as that member of staff on acme, without anything to do yet.
pub(crate) fn psql(stage: &Stage, staff: &str) -> Command {
    let mut psql = Command::new("psql");
    let conninfo = stage.conninfo("acme").replace(&format!("user={STAFF}"), &format!("user={staff}"));
    psql.arg(conninfo).args(["-X", "-w", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
    psql.env("PGPASSFILE", stage.path("both.pgpass")).env("PGCONNECT_TIMEOUT", "20");
    psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    psql
}

/// A program of one shell line, which is given our arguments.
pub(crate) fn script(path: &Path, text: &str) -> PathBuf {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("a script");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
    path.to_owned()
}

/// Runs a role that is expected not to stay: whether it ended well, and what it said.
pub(crate) fn run_role(stage: &Stage, role: &str) -> (Option<i32>, String) {
    let mut command = stage.command(&[role]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the role runs");
    let mut stderr = child.stderr.take().expect("it is piped");
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        stderr.read_to_string(&mut said).expect("UTF-8");
        said
    });
    let until = Instant::now() + SOON;
    let status = loop {
        match child.try_wait().expect("our child") {
            Some(status) => break status,
            None if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            None => {
                child.kill().expect("our child");
                break child.wait().expect("our child");
            }
        }
    };
    (status.code(), reader.join().expect("no panic"))
}
