//! Whoever gives a role another password, and finds a line in the replica's own pg_hba.conf, signs in there past the gate.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::said;
use portreeve::net::tls_connect::VerifiedTls;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use crate::ground::{Ground, SOON, Session, Version, one, sign_in, words};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_works_as_a_role_of_the_primary_at_a_replica_of_15_goes_with_it() {
    goes_with_it(Version::Fifteen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_works_as_a_role_of_the_primary_at_a_replica_of_18_goes_with_it() {
    goes_with_it(Version::Eighteen).await;
}

/// An end reaches every server within this.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// One after the other, the first would take all the time there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_a_replica_that_does_not_answer_shields_nobody_at_another() {
    let mut ground = Ground::new(Version::Fifteen, "10s").await;
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = silent.local_addr().expect("bound").port();
    ground.change(
        "\n[clusters.main.replicas.reader]\n",
        &format!(
            "\n[clusters.main.replicas.first]\nhost = \"localhost\"\nport = {port}\n\n[clusters.main.replicas.reader]\n"
        ),
    );
    assert!(ground.stage.proxy.as_mut().expect("a proxy").stop().expect("it stops"), "it did not end well");
    ground.stage.start_proxy().expect("it starts again");
    ground.standby.admit("hostssl acme all 127.0.0.1/32 scram-sha-256").await;
    ground.stage.grant("acme", "read").expect("a grant");
    let session = ground.sign_in_soon("acme").await;
    let role = one(&session.client, "select session_user").await;
    let changed = "begin read write; alter role current_user password 'known'; commit";
    session.client.batch_execute(changed).await.expect("nobody can be kept from that");
    let beside = beside(&ground, &role, "known").await;
    let since = ground.switch("acme", r#"{"mode":"off"}"#);
    let (ended, told) = tokio::time::timeout(SOON, beside.connection).await.expect("it is ended").expect("no panic");
    assert!(told.as_ref().map(words).unwrap_or_default().starts_with("57P01"), "{told:?}");
    let after = ended.duration_since(since);
    assert!(after <= GONE_WITHIN, "it was there for {after:?}");
    drop((session, silent));
}

async fn goes_with_it(version: Version) {
    let ground = Ground::new(version, "10s").await;
    let doctor = || said(&ground.stage.command(&["--format", "json", "doctor"]).output().expect("it runs"));
    let unprotected = |shown: &str| {
        let lines: Vec<&str> = shown.lines().filter(|line| line.contains("main@reader")).collect();
        assert!(!lines.is_empty(), "{shown}");
        lines.iter().any(|line| line.contains("unprotected"))
    };
    assert!(!unprotected(&doctor()), "nobody comes past the gate yet");
    ground.standby.admit("hostssl acme all 127.0.0.1/32 scram-sha-256").await;
    let shown = doctor();
    assert!(unprotected(&shown), "the primary's own pg_hba.conf tells nothing of it: {shown}");

    ground.stage.grant("acme", "read").expect("a grant");
    for ending in ["switch", "sign-off"] {
        let session = ground.sign_in_soon("acme").await;
        let role = one(&session.client, "select session_user").await;
        let changed = "begin read write; alter role current_user password 'known'; commit";
        session.client.batch_execute(changed).await.expect("nobody can be kept from that");
        let beside = beside(&ground, &role, "known").await;
        assert_eq!(ground.backends().await, [beside.pid.to_string()]);
        if ending == "switch" {
            ground.switch("acme", r#"{"mode":"off"}"#);
        } else {
            drop(session);
        }
        let told = tokio::time::timeout(SOON, beside.connection).await.expect("it is ended").expect("no panic").1;
        let told = told.as_ref().map(words).unwrap_or_default();
        assert!(told.starts_with("57P01"), "{ending}: {told}");
        ground.wait_for_roles(0).await;
        if ending == "switch" {
            ground.switch("acme", r#"{"mode":"standing","scope":"write"}"#);
            ground.stage.grant("acme", "read").expect("a grant");
        }
    }
}

/// Signs in at the replica itself, once it has replayed the role with that password.
pub(crate) async fn beside(ground: &Ground, role: &str, password: &str) -> Session {
    let tls = VerifiedTls::new(ground.stage.cluster.proxy_tls().expect("files"), "localhost").expect("a name");
    let mut config = Config::new();
    config.host("127.0.0.1").port(ground.standby.port).user(role).password(password).dbname("acme");
    config.ssl_mode(SslMode::Require);
    let until = Instant::now() + SOON;
    loop {
        match sign_in((config.clone(), tls.clone())).await {
            Ok(session) => return session,
            Err(error) => assert!(Instant::now() < until, "{}", words(&error)),
        }
    }
}
