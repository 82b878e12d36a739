//! Somebody who reaches the database by another road than the gate, with a real psql, is found and recorded.
//! Not here: what a connection is taken for (`src/fence/road_tests.rs`).

use std::io::{BufRead, BufReader};
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

    beside_a_server_that_is_gone(&ground).await;

    rogue.kill().expect("it is ours");
    rogue.wait().expect("it ends");
    session.kill().expect("it is ours");
    session.wait().expect("it ends");
}

/// A watch goes on, and tells of everybody it can see.
async fn beside_a_server_that_is_gone(ground: &Ground) {
    let file = ground.stage.configuration();
    let text = std::fs::read_to_string(&file).expect("a configuration");
    let main = text.split("[clusters.main]\n").nth(1).and_then(|rest| rest.split("\n[").next()).expect("a cluster");
    let (host, port) = ("host = \"localhost\"", format!("port = {}", ground.stage.cluster.port()));
    assert!(main.contains(host) && main.contains(&port), "{main}");
    // By name the first, and nobody listens there.
    let gone = main.replace(&port, "port = 1");
    std::fs::write(&file, format!("{text}\n[clusters.gone]\n{gone}\n")).expect("written");
    ground.must(&["customer", "create", "far", "--cluster", "gone", "--database", "far"]);

    let listed = ground.portreeve(&["road", "list"]);
    assert!(said(&listed).contains("innocent") && said(&listed).contains("cannot reach"), "{}", said(&listed));
    assert_eq!(listed.status.code(), Some(1), "{}", said(&listed));
    let mut watch = ground.stage.command(&["road", "watch"]);
    let mut watch = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines();
    let found = lines.by_ref().map(|line| line.expect("text")).find(|line| line.contains("innocent"));
    assert!(found.is_some_and(|line| line.contains("unexplained")), "it tells of whom it sees");
    assert_eq!(watch.try_wait().expect("it is asked"), None, "it goes on");
    watch.kill().expect("it is ours");
    let said = watch.wait_with_output().expect("it ends").stderr;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("cluster \"gone\" cannot be asked, and is not watched: cannot reach"), "{said}");
}
