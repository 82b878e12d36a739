//! The binary as a user meets it: what it says, where, and the code it ends with.
//! Not here: verbs that need servers.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portreeve::retention::certificate::Certificate;

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
    let users = [("proxy", "7"), ("portal", "8"), ("retention", "9")];
    let text = users.iter().fold(text.replace("/etc/portreeve/", ""), |text, (user, number)| {
        text.replace(&format!("\"portreeve-{user}\""), number)
    });
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

#[test]
fn a_promise_that_cannot_be_kept_starts_nothing_and_says_what_could() {
    let (_folder, file) = installed();
    let name = file.to_str().expect("UTF-8");
    let output = run(&["--config", name, "retention", "solve"]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(shown.contains("68d 22h") && shown.contains("main"), "{shown}");
    let output = run(&["--config", name, "--format", "json", "retention", "solve"]);
    let first = output.stdout.split(|byte| *byte == b'\n').next().expect("a row").to_vec();
    let first: serde_json::Value = serde_json::from_slice(&first).expect("JSON");
    assert_eq!((&first["backend"], &first["slack"]), (&"main".into(), &3_276_000.into()));

    let text = fs::read_to_string(&file).expect("read");
    let text = text.replace("gone_everywhere_after = \"90d\"", "gone_everywhere_after = \"45d\"");
    fs::write(&file, text).expect("written");
    let nearest = "gone_everywhere_after = \"1250h\"";
    let output = run(&["--config", name, "retention", "solve"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stdout).contains(nearest));
    for role in ["proxy", "portal", "keyring"] {
        let output = run(&["--config", name, role]);
        assert_eq!(output.status.code(), Some(5), "{role}");
        let told = stderr(&output);
        assert!(told.contains("the promise cannot be kept") && told.contains(nearest), "{role}: {told}");
    }
    let output = check(&file, &[]);
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stdout).contains("the promise cannot be kept"));
}

/// A certificate of one part, signed with the key of that seed, and that key's public half in a file.
fn certificate(folder: &Path, seed: u8) -> (PathBuf, PathBuf) {
    let key = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed");
    let at = "2099-01-01T00:00:00.000000Z";
    let body = serde_json::json!({
        "certificate": "", "part": "live", "number": 1, "of": 4, "issued": at, "customer": "c7", "account": null,
        "controller": null, "processor": null, "sub_processors": [], "contract": null,
        "trigger": {"kind": "closure", "at": at, "by": "owner"},
        "scope": {"databases": ["crm"], "tables": 1, "layout": "database", "categories": [], "subjects": []},
        "method": {"what": "DROP DATABASE", "tool": "portreeve", "configuration": "", "plan": ""},
        "people": {"planned": "system", "approved": [], "ran": "keeper-1"},
        "times": {"started": at, "ended": at, "clocks": 3, "skew_ms": 0},
        "findings": {"live": {"tables": [], "commit_lsn": "0/0", "replicas": [], "orphans": 0,
                              "needles": {"probed": 0, "found": 0}}},
        "residue": {"levels": ["L0"], "report": []}, "exceptions": [], "not_covered": [],
        "ledger": {"sequence": 1, "hash": ""}, "previous": null,
        "next": {"part": "backups", "due": "2099-03-01T00:00:00.000000Z"}
    });
    let mut certificate = Certificate::new("00112233445566778899aabbccddeeff");
    certificate.sign(serde_json::from_value(body).expect("a body"), &key).expect("signed");
    let (file, public) = (folder.join("certificate.json"), folder.join(format!("{seed}.pub")));
    fs::write(&file, certificate.to_text()).expect("written");
    fs::write(&public, STANDARD.encode(key.public_key()) + "\n").expect("written");
    (file, public)
}

#[test]
fn a_certificate_is_checked_without_configuration_and_network() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (_, other) = certificate(folder.path(), 2);
    let (file, public) = certificate(folder.path(), 1);
    let page = folder.path().join("page.html");
    let verify = |key: &Path, page: &[&str]| {
        let of = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let (file, key) = (of(&file), of(key));
        let nowhere = ["--config", "/nonexistent/p.toml", "verify-proof", &file, "--key", &key];
        run(&[&nowhere[..], page].concat())
    };
    let output = verify(&public, &["--page", page.to_str().expect("UTF-8")]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{shown}{}", stderr(&output));
    assert!(shown.contains("1 live") && shown.contains("part 2 (backups) follows by 2099-03-01"), "{shown}");
    assert!(fs::read_to_string(&page).expect("a page").contains("<h1>Certificate of erasure</h1>"));

    let output = verify(&other, &[]);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stdout).contains("is signed with key"));
    let output = verify(&folder.path().join("absent"), &[]);
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));

    let text = fs::read_to_string(&file).expect("read");
    fs::write(&file, text.replace("DROP DATABASE", "DROP DATABASF")).expect("written");
    let output = verify(&public, &[]);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stdout).contains("entry 1 was changed after it was signed"));
    fs::remove_file(&file).expect("removed");
    let output = verify(&public, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot read"), "{}", stderr(&output));
}

/// Ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().expect("it is ours");
        self.0.wait().expect("it ends");
    }
}

/// To whom a file that tells of a process's memory belongs: to root if the kernel lets nobody else look, its own user too.
fn owner_of_memory(process: &Child) -> u32 {
    fs::metadata(format!("/proc/{}/maps", process.id())).expect("it runs").uid()
}

#[test]
fn nobody_but_root_looks_into_the_keyrings_memory() {
    let (folder, file) = installed();
    let text = fs::read_to_string(&file).expect("read");
    let text = text.replace("\"/run/", "\"").replace("\"/var/lib/", "\"").replace("MiB\"", "KiB\"");
    fs::write(&file, text.replace("segment_bytes = \"64KiB\"", "segment_bytes = \"1MiB\"")).expect("written");
    fs::remove_dir_all(folder.path().join("secrets")).expect("removed");
    for name in ["secrets", "portreeve-keyring", "portreeve/audit"] {
        fs::create_dir_all(folder.path().join(name)).expect("made");
    }
    // A copy, for the build's folder may be closed to the other user.
    let program = folder.path().join("program");
    fs::copy(PORTREEVE, &program).expect("copied");
    let own = fs::metadata("/proc/self").expect("there").uid();
    let user = if own == 0 { 65_534 } else { own };
    for entry in ["", "secrets", "portreeve-keyring", "portreeve", "portreeve/audit", "portreeve.toml"] {
        chown(folder.path().join(entry), Some(user), None).expect("given");
    }
    let command = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).env("RUST_LOG", "info").env_remove("CREDENTIALS_DIRECTORY").stdin(Stdio::null());
        if own == 0 {
            command.uid(user);
        }
        command
    };
    let file = file.to_str().expect("UTF-8");
    let made = command(&program, &["--config", file, "keys", "init"]).output().expect("it runs");
    assert_eq!(made.status.code(), Some(0), "{}", stderr(&made));
    let mut keyring = command(&program, &["--config", file, "keyring"]);
    let mut keyring = Running(keyring.stderr(Stdio::piped()).spawn().expect("it starts"));
    let mut said = String::new();
    let mut lines = BufReader::new(keyring.0.stderr.take().expect("piped"));
    while !said.contains("the keyring answers") {
        assert!(lines.read_line(&mut said).expect("read") > 0, "{said}");
    }
    let other = Running(command(Path::new("sleep"), &["60"]).spawn().expect("it starts"));
    assert_eq!((owner_of_memory(&keyring.0), owner_of_memory(&other.0)), (0, user));
    assert!(keyring.0.try_wait().expect("it is ours").is_none(), "it runs");
}
