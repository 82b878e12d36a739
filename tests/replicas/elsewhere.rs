//! A name that leads to several servers, a replica's or the primary's: what is not seen where the proxy looks is not called
//! gone.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use portreeve::audit::record::{Kind, Skeleton};
use tokio::net::{TcpListener, TcpStream};

use crate::ground::{Ground, SOON, Version, one, words};
use crate::standby::Standby;

/// Whose connections the proxy's own are.
const PROVISIONERS: &str =
    "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'portreeve_provisioner'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_at_another_server_than_the_one_that_is_asked_is_not_called_gone() {
    let mut ground = Ground::new(Version::Fifteen, "10s").await;
    let other = Standby::of(&ground.stage.cluster, Version::Fifteen.bin(), "other").await;
    let towards = Arc::new(AtomicU16::new(ground.standby.port));
    let port = forward(Arc::clone(&towards)).await;
    ground.change(&format!("port = {}", ground.standby.port), &format!("port = {port}"));
    // No self-test ends the session before it is asked for.
    ground.change("examine_every = \"1s\"", "examine_every = \"1m\"");
    assert!(ground.stage.proxy.as_mut().expect("a proxy").stop().expect("it stops"), "it did not end well");
    ground.stage.start_proxy().expect("it starts again");
    ground.stage.grant("acme", "read").expect("a grant");
    let session = ground.sign_in_soon("acme@reader").await;
    assert_eq!(ground.backends().await, [session.pid.to_string()]);

    // The proxy's own connection is at the one, and the session's would be at the other.
    towards.store(other.port, Ordering::SeqCst);
    let told = ground.refused("acme@reader", "replica \"reader\" is not one server").await;
    assert!(told.starts_with("57P03") && told.contains("give each a name of its own"), "{told}");
    assert_eq!(one(&session.client, "select 1").await, "1", "who was there before is left alone");

    // Now the other way round.
    assert_ne!(ground.standby.ask("postgres", PROVISIONERS).await, ["0"]);
    ground.switch("acme", r#"{"mode":"off"}"#);
    let told = tokio::time::timeout(SOON, session.connection).await.expect("it is ended").expect("no panic").1;
    assert!(told.as_ref().map(words).unwrap_or_default().starts_with("57P01"), "{told:?}");
    let ended = ends(&ground, &[session.pid], 1).await;
    let end = ended.first().expect("one");
    assert_eq!(end.result.as_deref(), Some("not confirmed"), "nobody looked where it was: {end:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_at_the_old_primary_is_not_called_gone_by_the_new_one() {
    let mut ground = Ground::new(Version::Fifteen, "10s").await;
    let next = Standby::of(&ground.stage.cluster, Version::Fifteen.bin(), "next").await;
    let primary = ground.stage.cluster.port();
    let towards = Arc::new(AtomicU16::new(primary));
    let port = forward(Arc::clone(&towards)).await;
    ground.change(&format!("port = {primary}\n"), &format!("port = {port}\n"));
    // No self-test ends the sessions before they are told to.
    ground.change("examine_every = \"1s\"", "examine_every = \"1m\"");
    assert!(ground.stage.proxy.as_mut().expect("a proxy").stop().expect("it stops"), "it did not end well");
    ground.stage.start_proxy().expect("it starts again");
    ground.stage.grant("acme", "read").expect("a grant");
    let one_of_two = ground.sign_in_soon("acme").await;
    let other = ground.sign_in("acme").await.expect("the same role");
    let role = ground.wait_for_roles(1).await.concat();
    let replayed = format!("select count(*) from pg_roles where rolname = '{role}'");
    let until = Instant::now() + SOON;
    while next.ask("postgres", &replayed).await != ["1"] {
        assert!(Instant::now() < until, "the role does not arrive");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    // A failover that leaves the old primary alone.
    next.promote().await;
    towards.store(next.port, Ordering::SeqCst);
    ground.stage.cluster.run_sql("postgres", PROVISIONERS).await.expect("they are told");
    let (status, answer) = ground.stage.api("acme", "GET", "/v1/customers/acme/sessions", None).expect("the portal");
    assert_eq!(status, 200, "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let first = answer.pointer("/sessions/0/session").and_then(serde_json::Value::as_str).expect("a session");
    let path = format!("/v1/customers/acme/sessions/{first}/end");
    let (status, answer) = ground.stage.api("acme", "POST", &path, None).expect("the portal");
    assert_eq!(status, 200, "{answer}");
    let alone = ends(&ground, &[one_of_two.pid, other.pid], 1).await;
    ground.switch("acme", r#"{"mode":"off"}"#);
    let both = ends(&ground, &[one_of_two.pid, other.pid], 2).await;
    for end in alone.iter().chain(&both) {
        assert_eq!(end.result.as_deref(), Some("not confirmed"), "nobody looked where it was: {end:?}");
    }
    drop((one_of_two, other));
}

/// The ends of so many of these backends' sessions, once they are recorded.
async fn ends(ground: &Ground, pids: &[i32], number: usize) -> Vec<Skeleton> {
    let until = Instant::now() + SOON;
    loop {
        let found = ground.records(Kind::SessionEnded).await.into_iter().map(|found| found.record.skeleton);
        let ends: Vec<_> = found.filter(|end| end.backend.is_some_and(|pid| pids.contains(&pid))).collect();
        if ends.len() == number {
            return ends;
        }
        assert!(Instant::now() < until, "ends are not recorded: {ends:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Leads connections to whichever port it says then.
async fn forward(towards: Arc<AtomicU16>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let towards = towards.load(Ordering::SeqCst);
            tokio::spawn(async move {
                let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, towards)).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    port
}
