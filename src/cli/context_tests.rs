use std::sync::Mutex;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;

use super::*;
use crate::cli::audit::tests::started;
use crate::cli::{customer, grant, owner, staff};

/// A proxy that does what it is told, and what it was told.
fn proxy(context: &Context) -> Arc<Mutex<Vec<String>>> {
    let listener = UnixListener::bind(&context.config.proxy.socket).expect("a socket");
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let notes = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.expect("a line");
            notes.lock().expect("no panic").push(line.trim().to_owned());
            stream.write_all(b"{\"ended\":1}\n").await.expect("they listen");
        }
    });
    asked
}

async fn created(context: &Context) {
    let create = customer::Command::Create {
        name: "acme".to_owned(),
        cluster: "main".to_owned(),
        database: "acme".to_owned(),
        tenant: None,
        schema: None,
        display: None,
    };
    customer::run(create, context).await.map_err(|failure| failure.message().to_owned()).expect("created");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_by_its_id_is_shut_though_the_register_cannot_be_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let (context, served) = started(dir.path()).await;
    let asked = proxy(&context);
    created(&context).await;
    let revoke = |name: &str| customer::Command::Revoke { customer: name.to_owned() };
    customer::run(revoke("acme"), &context).await.map_err(|failure| failure.message().to_owned()).expect("revoked");
    assert_eq!(*asked.lock().expect("no panic"), ["{\"lock\":{\"customer\":1,\"since\":1}}"], "told once");

    std::fs::write(&context.config.register.path, "no register").expect("spoilt");
    for wal in ["register.sqlite-wal", "register.sqlite-shm"] {
        let _gone = std::fs::remove_file(dir.path().join(wal));
    }
    asked.lock().expect("no panic").clear();
    let told = [
        customer::run(revoke("c1"), &context).await,
        staff::run(staff::Command::Remove { staff: "s3".to_owned() }, &context).await,
        grant::run(grant::Command::Revoke { grant: "g12".to_owned() }, &context).await,
    ];
    for (failed, id) in told.into_iter().zip(["c1", "s3", "g12"]) {
        let text = failed.expect_err("the register cannot be read").message().to_owned();
        let socket = context.config.proxy.socket.display().to_string();
        assert!(text.contains(&format!("access is shut by a lock ({id}) in the proxy at {socket}")), "{text}");
        assert!(text.contains("mend the register"), "{text}");
    }
    let read = |line: &String| serde_json::from_str::<Value>(line).expect("JSON");
    let asked_for: Vec<_> = asked.lock().expect("no panic").iter().map(read).collect();
    let lock = |what: &str, id| serde_json::json!({"lock": {what: id, "since": null}});
    assert_eq!(asked_for, [lock("customer", 1), lock("staff", 3), lock("grant", 12)]);
    for failed in [
        customer::run(revoke("acme"), &context).await,
        owner::run(owner::Command::Revoke { owner: "o2".to_owned() }, &context).await,
    ] {
        let text = failed.expect_err("the register cannot be read").message().to_owned();
        assert!(text.contains("nothing was shut: \"portreeve customer revoke\""), "{text}");
    }
    assert_eq!(asked.lock().expect("no panic").len(), 3);
    served.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_records_what_became_of_what_a_dead_one_was_about_to_change() {
    let dir = tempfile::tempdir().expect("a directory");
    let (context, served) = started(dir.path()).await;
    created(&context).await;
    let note = context.config.cli.state.join("resolved");
    let before = register::resolved_up_to(&note);
    assert!(before > 0, "after a command in order nothing need be opened");
    // Dies after its intent about acme, for which the next command need not have keys.
    let plain = |failure: Failure| failure.message().to_owned();
    let desk = context.desk(context.register().map_err(plain).expect("it opens"), &[CustomerId(1)]).await;
    let desk = desk.map_err(plain).expect("open");
    let mut intent = crate::audit::record::Record::new(
        crate::clock::Clock::now(&SystemClock),
        crate::audit::record::Kind::Intent,
        Some(CustomerId(1)),
    );
    intent.skeleton.event = Some("ab".repeat(16));
    intent.skeleton.sequence = Some(1);
    desk.log().record(intent).await.expect("durable");
    drop(desk);
    let desk = context.desk(context.register().map_err(plain).expect("it opens"), &[]).await;
    let desk = desk.map_err(plain).expect("open");
    assert!(desk.is_resolved && register::resolved_up_to(&note) > before);
    let directory = context.config.audit.directory.join(context.writer().map_err(plain).expect("a name"));
    let reader = log::reader::Reader::open(&directory).expect("readable");
    let kinds: Vec<_> = reader.entries().map(|entry| entry.expect("whole").kind()).collect();
    let count = |kind| kinds.iter().filter(|one| **one == kind).count();
    assert_eq!((count(crate::audit::record::Kind::Intent), count(crate::audit::record::Kind::Decided)), (2, 2));
    served.abort();
}

#[test]
fn of_two_errors_the_first_is_the_one_that_is_told() {
    let failed = |what: &str| Err::<(), _>(Failure::failed(what));
    for (done, end, expected) in [
        (Ok(()), Ok(()), Ok(())),
        (Ok(()), failed("not closed"), Err("not closed")),
        (failed("not done"), Ok(()), Err("not done")),
        (failed("not done"), failed("not closed"), Err("not done")),
    ] {
        let told = and_then(done, end).map_err(|failure| failure.message().to_owned());
        assert_eq!(told, expected.map_err(str::to_owned));
    }
}
