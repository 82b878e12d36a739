//! A replica's name that leads to several servers: what is not seen where the proxy looks is not called gone.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use portreeve::audit::record::Kind;
use tokio::net::{TcpListener, TcpStream};

use crate::ground::{Ground, SOON, Version, one, words};
use crate::standby::Standby;

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
    let provisioners =
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'portreeve_provisioner'";
    assert_ne!(ground.standby.ask("postgres", provisioners).await, ["0"]);
    ground.switch("acme", r#"{"mode":"off"}"#);
    let told = tokio::time::timeout(SOON, session.connection).await.expect("it is ended").expect("no panic").1;
    assert!(told.as_ref().map(words).unwrap_or_default().starts_with("57P01"), "{told:?}");
    let until = Instant::now() + SOON;
    let end = loop {
        let ends = ground.records(Kind::SessionEnded).await;
        let found = ends.into_iter().find(|found| found.record.skeleton.backend == Some(session.pid));
        if let Some(found) = found {
            break found.record.skeleton;
        }
        assert!(Instant::now() < until, "its end is not recorded");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(end.result.as_deref(), Some("not confirmed"), "nobody looked where it was: {end:?}");
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
