//! Something is missing or unreadable when a role starts, or the database is not what it should be: whoever can mend it
//! is told what and where; nobody is let in.
//! Not here: the disk of the log (`disk.rs`).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use portreeve::audit::record::Kind;
use portreeve::cli::demo::stage::{STAFF, Stage};

use crate::auditor::Auditor;
use crate::client::{sign_in, words};
use crate::ground::{BINARY, OTHER, SOON, run_role, stage};

/// What is done to a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Missing,
    Exposed,
    Truncated,
}

/// A file, the role that needs it, the harm, and what of the message says what to do.
const HARMS: [(&str, &str, Harm, &str); 13] = [
    ("proxy/log.key", "proxy", Harm::Missing, "keys init"),
    ("proxy/log.key", "proxy", Harm::Exposed, "chmod"),
    ("proxy/log.key", "proxy", Harm::Truncated, "restore it from its copy"),
    ("keyring.pub", "proxy", Harm::Missing, "keys init"),
    ("keyring.pub", "proxy", Harm::Truncated, "Ed25519 public key"),
    ("portal-signing.pub", "proxy", Harm::Missing, "keys init"),
    ("provisioner.password", "proxy", Harm::Missing, "it must be there, mode 0400"),
    ("provisioner.password", "proxy", Harm::Exposed, "chmod"),
    ("keyring/credential", "keyring", Harm::Missing, "keys init"),
    ("keyring/credential", "keyring", Harm::Exposed, "chmod"),
    ("keyring/keyring", "keyring", Harm::Truncated, "restore the pair from its copy"),
    ("portal/signing.key", "portal", Harm::Truncated, "restore it from its copy"),
    ("portal/log.key", "portal", Harm::Missing, "keys init"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_said() {
    let mut stage = stage(Path::new(BINARY), None).await;
    upstream_down(&mut stage).await;
    no_fence(&stage).await;

    stage.proxy = None;
    stage.portal = None;
    stage.keyring = None;
    let (code, said) = run_role(&stage, "proxy");
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {said}");
    let socket = stage.path("keyring/keyring.sock").display().to_string();
    assert!(said.contains(&socket) && said.contains("portreeve keyring"), "without a keyring: {said}");

    for (file, role, harm, advice) in HARMS {
        if role != "keyring" && stage.keyring.is_none() {
            stage.keyring = Some(stage.start("keyring").expect("the keyring"));
        } else if role == "keyring" {
            stage.keyring = None;
        }
        let path = stage.path(file);
        let whole = fs::read(&path).expect("the stage made it");
        let mode = fs::metadata(&path).expect("it is there").permissions();
        do_harm(&path, harm, &whole);
        let (code, said) = run_role(&stage, role);
        println!("{file} {harm:?}: {}", said.trim());
        assert!(code.is_some_and(|code| code != 0), "{role} started with {file} {harm:?}: {said}");
        assert!(said.contains(file), "{role} with {file} {harm:?} does not name it: {said}");
        assert!(said.contains(advice), "{role} with {file} {harm:?} does not say what to do: {said}");
        if path.exists() {
            fs::remove_file(&path).expect("the harmed file");
        }
        fs::write(&path, whole).expect("the file as it was");
        fs::set_permissions(&path, mode).expect("its mode");
    }
    stage.keyring = None;
    stage.keyring = Some(stage.start("keyring").expect("the keyring"));
    stage.start_proxy().expect("with everything in place again it starts");
    let session = sign_in(&stage, STAFF, "acme", "again").await;
    assert!(session.is_ok(), "{}", session.err().as_ref().map(words).unwrap_or_default());
}

fn do_harm(path: &Path, harm: Harm, whole: &[u8]) {
    match harm {
        Harm::Missing => fs::remove_file(path).expect("removed"),
        Harm::Exposed => fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("exposed"),
        Harm::Truncated => {
            let mode = fs::metadata(path).expect("it is there").permissions();
            fs::remove_file(path).expect("removed");
            fs::write(path, whole.get(..whole.len() / 2).unwrap_or_default()).expect("truncated");
            fs::set_permissions(path, mode).expect("its mode");
        }
    }
}

/// The database is down: the client is told so, it is recorded; when it is up again everything works.
async fn upstream_down(stage: &mut Stage) {
    let mut auditor = Auditor::new(stage, &stage.audit()).await;
    let mut session = sign_in(stage, STAFF, "acme", "cut-off").await.expect("in");
    stage.cluster.stop();
    let cut_off = tokio::time::timeout(SOON, &mut session.connection).await;
    cut_off.expect("a session without a server ends").expect("no panic");
    let since = Instant::now();
    let told = words(&sign_in(stage, STAFF, "acme", "down").await.err().expect("nobody is let in"));
    assert!(told.starts_with("08006 the customer's database cannot be reached"), "{told}");
    assert!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
    let ends = auditor.news(&[Kind::Refused, Kind::SessionEnded]).await;
    let application = |name: &str| ends.iter().any(|found| found.record.values.application.as_deref() == Some(name));
    assert!(application("down"), "the refusal is not recorded: {ends:?}");
    stage.start_proxy().expect("a proxy starts without its databases");
    let told = words(&sign_in(stage, STAFF, "acme", "down").await.err().expect("nobody is let in"));
    assert!(told.starts_with("08006"), "{told}");
    stage.cluster.start_again().await.expect("it is up again");
    let session = sign_in(stage, STAFF, "acme", "up").await;
    let session = session.unwrap_or_else(|error| unreachable!("{}", words(&error)));
    assert!(session.client.simple_query("select 1").await.is_ok());
}

/// A database without a fence: nobody is let in, the operator is told what to type.
async fn no_fence(stage: &Stage) {
    stage.cluster.create_database("hooli").await.expect("a database");
    stage.run(&["customer", "create", "hooli", "--cluster", "main", "--database", "hooli"]).expect("a customer");
    let file = stage.write_secret("owner-hooli.password", "correct horse battery").expect("a file");
    let token = stage.path("owner-hooli.token");
    #[rustfmt::skip]
    let arguments = [
        "owner", "create", "owner@hooli.example", "--customer", "hooli",
        "--password-file", &file.to_string_lossy(), "--token-file", &token.to_string_lossy(),
    ];
    stage.run(&arguments).expect("an owner");
    let (status, answer) = stage.set_consent("hooli", r#"{"mode":"standing","scope":"read"}"#).expect("the portal");
    assert_eq!(status, 200, "{answer}");
    stage.grant("hooli", "read").expect("a grant");
    let until = Instant::now() + Duration::from_secs(1);
    let told = loop {
        let told = words(&sign_in(stage, STAFF, "hooli", "unfenced").await.err().expect("nobody is let in"));
        // The grant reaches the gate within 100 ms.
        if !told.starts_with("28000") || Instant::now() > until {
            break told;
        }
    };
    assert!(told.starts_with("57P03") || told.starts_with("08006"), "{told}");
    let said = fs::read_to_string(&stage.proxy.as_ref().expect("a proxy").log).expect("its log");
    assert!(said.contains("fence apply"), "the operator is not told what to type: {told}\n{said}");
    // A database that lets everybody in is a way around the fences of all others: it shuts those too.
    let told = words(&sign_in(stage, OTHER, "acme", "beside").await.err().expect("nobody is let in"));
    assert!(told.starts_with("57P03 the fence around this customer is not sound"), "{told}");
    let said = fs::read_to_string(&stage.proxy.as_ref().expect("a proxy").log).expect("its log");
    assert!(said.contains("hooli"), "the operator is not told which database: {said}");
    stage.cluster.run_sql("postgres", "drop database hooli with (force)").await.expect("hooli goes");
}
