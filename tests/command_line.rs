//! The binary as a user meets it: what it says, where, and the code it ends with.
//! Not here: verbs that need servers.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PORTREEVE: &str = env!("CARGO_BIN_EXE_portreeve");

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(PORTREEVE);
    command.args(arguments).env_remove("RUST_LOG").env_remove("CREDENTIALS_DIRECTORY").stdin(Stdio::null());
    command.output().expect("the binary runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A configuration in a folder of its own, all of whose secrets are there, mode 0400.
fn installed() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/portreeve.toml");
    let text = fs::read_to_string(shipped).expect("the shipped configuration");
    let text =
        text.replace("/etc/portreeve/", "").replace("\"portreeve-proxy\"", "7").replace("\"portreeve-portal\"", "8");
    let file = folder.path().join("portreeve.toml");
    fs::write(&file, &text).expect("written");
    fs::create_dir(folder.path().join("secrets")).expect("made");
    for name in text.split('"').filter(|value| value.starts_with("secrets/")) {
        let secret = folder.path().join(name);
        fs::write(&secret, "s3cret\n").expect("written");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o400)).expect("mode set");
    }
    (folder, file)
}

fn check(file: &Path, arguments: &[&str]) -> Output {
    let file = file.to_str().expect("UTF-8");
    run(&[&["--config", file, "config", "check"], arguments].concat())
}

#[test]
fn codes_and_messages() {
    for (arguments, code, says) in [
        (&["--version"][..], 0, ""),
        (&["--help"], 0, ""),
        (&[], 2, "Usage: portreeve"),
        (&["custmer"], 2, "similar subcommand exists: 'customer'"),
        (&["--format", "xml", "config", "check"], 2, "[possible values: table, json, csv]"),
        (
            &["--config", "/nonexistent/p.toml", "config", "check"],
            5,
            "portreeve: cannot read /nonexistent/p.toml: No such",
        ),
        (&["--config", "/nonexistent/p.toml", "proxy"], 5, "portreeve: cannot read /nonexistent/p.toml: No such"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_right_installation_is_ok_in_both_formats() {
    let (_folder, file) = installed();
    let output = check(&file, &["--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let rows: Vec<serde_json::Value> = output
        .stdout
        .split(|b| *b == b'\n')
        .filter(|row| !row.is_empty())
        .map(|row| serde_json::from_slice(row).expect("JSON"))
        .collect();
    assert!(rows.len() > 10 && rows.iter().all(|row| row["state"] == "ok"), "{rows:?}");
    let output = check(&file, &[]);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("role "), "a header");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("s3cret"));
}

#[test]
fn a_secret_that_others_can_read_stops_the_role_and_the_check() {
    let (folder, file) = installed();
    let secret = folder.path().join("secrets/proxy.key");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).expect("mode set");
    let output = check(&file, &[]);
    assert_eq!(output.status.code(), Some(5));
    let output = run(&["--config", file.to_str().expect("UTF-8"), "proxy"]);
    assert_eq!(output.status.code(), Some(5));
    let told = stderr(&output);
    assert!(told.contains("has mode 0644") && told.contains("chmod 0400"), "{told}");
}

#[test]
fn an_unknown_key_stops_every_role_with_its_line() {
    let (_folder, file) = installed();
    let text = fs::read_to_string(&file).expect("read").replace("strict = false", "stric = false");
    fs::write(&file, &text).expect("written");
    let line = text.lines().position(|line| line.starts_with("stric")).expect("there") + 1;
    for role in ["proxy", "portal", "keyring"] {
        let output = run(&["--config", file.to_str().expect("UTF-8"), role]);
        let expected =
            format!("{}:{line}: unknown key \"proxy.stric\"; did you mean \"proxy.strict\"?", file.display());
        assert_eq!(output.status.code(), Some(5), "{role}");
        assert!(stderr(&output).contains(&expected), "{role}: {}", stderr(&output));
    }
}

#[test]
fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is_one() {
    let (_folder, file) = installed();
    let mut command = Command::new(PORTREEVE);
    command.args(["--config", file.to_str().expect("UTF-8"), "config", "check"]);
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    let output = command.stdout(full).stderr(Stdio::piped()).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("No space left"), "{}", stderr(&output));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command.stdout(writer).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
