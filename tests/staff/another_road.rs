//! Somebody who reaches the database by another road than the gate, with a real psql, is found and recorded.
//! Not here: what a connection is taken for (`src/fence/road_tests.rs`).

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::said;

use crate::ground::{Ground, SOON};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rogue_psql_is_unexplained_and_a_session_of_the_gate_is_not() {
    let ground = Ground::new(&[("road", "application = [\"app\"]")]).await;
    ground.grant();
    let mut session = ground.busy_session().await;
    let clean = ground.portreeve(&["road", "list"]);
    assert_eq!(clean.status.code(), Some(0), "{}", said(&clean));
    assert!(said(&clean).contains("gate"), "{}", said(&clean));

    let dsn = ground.stage.cluster.superuser_dsn("acme");
    let mut rogue = Command::new("psql");
    rogue.arg(format!("{dsn} application_name=innocent")).args(["-X", "-w", "-c", "select pg_sleep(120)"]);
    let mut rogue =
        rogue.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("psql starts");
    let until = Instant::now() + SOON;
    let sql = "select 1 from pg_stat_activity where application_name = 'innocent'";
    while ground.stage.cluster.run_sql("postgres", sql).await.expect("activity").is_empty() {
        assert!(rogue.try_wait().expect("it is asked").is_none(), "the rogue psql did not get in");
        assert!(Instant::now() < until, "the rogue psql does not connect");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let watched = ground.portreeve(&["road", "watch", "--once"]);
    assert_eq!(watched.status.code(), Some(4), "{}", said(&watched));
    let found = said(&watched);
    assert!(found.contains("unexplained") && found.contains("postgres") && found.contains("innocent"), "{found}");
    assert!(!found.contains("pr_g_"), "a session of the gate was not known: {found}");
    let recorded = ground.must(&["--format", "json", "audit", "search", "--kind", "road"]);
    assert!(recorded.contains("innocent") && recorded.contains("unexplained"), "{recorded}");

    rogue.kill().expect("it is ours");
    rogue.wait().expect("it ends");
    session.kill().expect("it is ours");
    session.wait().expect("it ends");
}
