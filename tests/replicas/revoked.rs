//! Access taken away from who reads at a replica: the end reaches the replica itself, however far behind that is.

use std::time::{Duration, Instant};

use portreeve::audit::record::Kind;

use crate::ground::{Ground, SOON, Session, Version, one, words};

/// As the design has it.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// What readers are in the midst of; nothing is asked of the last.
const DOING: [&str; 3] =
    ["select pg_sleep(600)", "copy (select a.* from contacts a, contacts b, contacts c) to stdout", ""];
/// Whoever works does not look whether anybody is there.
const UNATTENDED: &str = "set client_connection_check_interval = 0; select pg_sleep(600)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_an_end_reaches_a_replica_of_15() {
    is_reached(Version::Fifteen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_an_end_reaches_a_replica_of_18() {
    is_reached(Version::Eighteen).await;
}

async fn is_reached(version: Version) {
    let mut ground = Ground::new(version, "300ms").await;
    ground.stage.grant("acme", "read").expect("a grant");
    let mut readers = Vec::new();
    for doing in DOING {
        readers.push(reader(&ground, doing).await);
    }
    let pids: Vec<i32> = readers.iter().map(|(pid, _)| *pid).collect();
    let role = ground.wait_for_roles(1).await.concat();
    ground.standby.pause().await;
    let since = ground.switch("acme", r#"{"mode":"off"}"#);
    let gone = ground.wait_until_gone().await.duration_since(since);
    println!("{version:?}: backends at a replica that does not replay were gone {gone:.1?} after the switch");
    assert!(gone <= GONE_WITHIN, "they were there for {gone:?}");
    for ((_, ended), doing) in readers.into_iter().zip(DOING) {
        let told = tokio::time::timeout(SOON, ended).await.expect("soon").expect("no panic");
        let is_told = told.starts_with("57P01") && told.contains("switched support access off");
        // A stream may have been cut within a message, and then there is no place for a word.
        assert!(is_told || doing.starts_with("copy"), "{doing} was told: {told}");
    }
    ground.wait_for_roles(0).await;
    let left = format!("select rolcanlogin from pg_roles where rolname = '{role}'");
    assert_eq!(
        ground.standby.ask("postgres", &left).await,
        ["t"],
        "nobody can be shut out of a replica that does not replay"
    );
    recorded(&ground, &pids).await;

    // Too far behind: nobody gets in, and nothing stays.
    ground.switch("acme", r#"{"mode":"standing","scope":"write"}"#);
    ground.stage.grant("acme", "read").expect("a grant");
    let told = ground.refused("acme@reader", "replica \"reader\" is too far behind").await;
    assert!(
        told.starts_with("57P03") && told.contains("bytes of what the primary had written were not replayed"),
        "{told}"
    );
    ground.wait_for_roles(0).await;
    ground.standby.resume().await;
    let session = ground.sign_in_soon("acme@reader").await;
    assert_eq!(ground.standby.ask("postgres", &left).await, Vec::<String>::new(), "it went with the replay");
    drop(session);
    ground.wait_for_roles(0).await;

    killed(&mut ground).await;
}

/// What is revoked at the primary is known some time at a replica, or nobody reads there any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_replays_no_more_is_left() {
    let ground = Ground::new(Version::Fifteen, "1s").await;
    ground.stage.grant("acme", "read").expect("a grant");
    let session = ground.sign_in_soon("acme@reader").await;
    ground.standby.pause().await;
    let revoked = "revoke select on contacts from portreeve_acme_read";
    ground.stage.cluster.run_sql("acme", revoked).await.expect(revoked);
    let told = tokio::time::timeout(SOON, session.connection).await.expect("it is ended").expect("no panic").1;
    let told = told.as_ref().map(words).unwrap_or_default();
    assert!(told.starts_with("57P01 the fence around customer \"acme\" is not sound any more"), "{told}");
    ground.wait_for_roles(0).await;
    ground.standby.resume().await;
    let session = ground.sign_in_soon("acme@reader").await;
    assert!(one(&session.client, "select * from contacts").await.starts_with("42501"), "it was revoked");
}

/// Somebody who is in the midst of that; ends with what they are told.
async fn reader(ground: &Ground, doing: &'static str) -> (i32, tokio::task::JoinHandle<String>) {
    let Session { client, pid, connection } = ground.sign_in_soon("acme@reader").await;
    let ended = tokio::spawn(async move {
        let asked = if doing.is_empty() { Ok(()) } else { client.batch_execute(doing).await };
        let ended = connection.await.expect("no panic").1;
        asked.err().or(ended).as_ref().map(words).unwrap_or_default()
    });
    let busy = format!(
        "select count(*) from pg_stat_activity where pid = {pid} and (state = 'active') = {}",
        !doing.is_empty()
    );
    let until = Instant::now() + SOON;
    while ground.standby.ask("postgres", &busy).await != ["1"] {
        assert!(Instant::now() < until, "{doing} does not begin");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (pid, ended)
}

/// Each end is in the log: gone, and without a transaction that could have changed anything.
async fn recorded(ground: &Ground, pids: &[i32]) {
    let until = Instant::now() + SOON;
    loop {
        let ends = ground.records(Kind::SessionEnded).await;
        let ends: Vec<_> = ends.iter().map(|found| &found.record.skeleton).collect();
        let of = |pid: &i32| ends.iter().find(|end| end.backend == Some(*pid));
        if pids.iter().all(|pid| of(pid).is_some()) {
            for pid in pids {
                let end = of(pid).expect("it is there");
                assert_eq!(end.result.as_deref(), Some("gone"), "{end:?}");
                assert!(matches!(end.fate.as_deref(), Some("none" | "aborted")), "{end:?}");
            }
            return;
        }
        assert!(Instant::now() < until, "not all ends are recorded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a proxy that was killed left at a replica ends soon after it, or when it starts again, and its role goes only then.
async fn killed(ground: &mut Ground) {
    let (_, ended) = reader(ground, "select pg_sleep(600)").await;
    ground.stage.proxy.as_mut().expect("a proxy").kill().expect("kill -9");
    ended.await.expect("no panic");
    ground.wait_until_gone().await;
    ground.stage.start_proxy().expect("it starts again");

    let (_, ended) = reader(ground, UNATTENDED).await;
    ground.stage.proxy.as_mut().expect("a proxy").kill().expect("kill -9");
    ended.await.expect("no panic");
    assert_eq!(ground.backends().await.len(), 1, "it works on");
    ground.stage.start_proxy().expect("it starts again");
    assert_eq!(ground.backends().await, Vec::<String>::new(), "ended before the gate opened");
    assert_eq!(ground.roles().await, Vec::<String>::new());

    let (_, ended) = reader(ground, UNATTENDED).await;
    ground.stage.proxy.as_mut().expect("a proxy").kill().expect("kill -9");
    ended.await.expect("no panic");
    let role = ground.roles().await.concat();
    ground.standby.stop();
    ground.stage.start_proxy().expect("it starts all the same");
    let open = format!("select rolcanlogin from pg_roles where rolname = '{role}'");
    let shut = ground.stage.cluster.run_sql("postgres", &open).await.expect("an answer");
    assert_eq!(shut, [[Some("f".to_owned())]], "shut out, and kept until the replica can be asked");
    ground.standby.start().await;
    ground.wait_for_roles(0).await;
    let session = ground.sign_in_soon("acme@reader").await;
    assert_eq!(one(&session.client, "select 1").await, "1");
}
