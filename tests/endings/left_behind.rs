//! What a killed proxy left at servers that do not answer, or in more databases than a server takes connections.
//! Not here: at replicas (`tests/replicas`).

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::{self, STAFF, Stage};
use portreeve::fence::{family, grant_role};

use crate::cast::SOON;
use crate::client::sign_in;
use crate::ground::{Ground, sign_in_soon};

/// Customers of a server that does not answer.
const FAR: usize = 20;
/// However many customers such a server has, this is the longest that the others' staff wait for the next start.
const STARTED_WITHIN: Duration = Duration::from_secs(10);

/// Databases with a role left, and fewer connections.
const LEFT: u32 = 24;
const CONNECTIONS: &str = "20";
/// In so many of them it cannot be dropped for a while.
const HELD_BACK: u32 = 8;
/// Control connections that there may be all the same.
const KEPT: i64 = 4;
const OPEN: &str = "select count(*) from pg_roles where rolname like 'pr\\_g\\_%' and rolcanlogin";
const ROLES: &str = "select count(*) from pg_roles where rolname like 'pr\\_g\\_%'";
const FENCES: &str = "select count(*) from pg_stat_activity where application_name = 'portreeve fence'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_a_server_that_does_not_answer_locks_nobody_out_of_another() {
    let mut ground = Ground::new(&[]).await;
    ground.grant(STAFF, "acme", "read", "2h");
    let session = sign_in_soon(&ground.stage, STAFF, "acme", "before").await;
    ground.stage.proxy.as_mut().expect("a proxy").kill().expect("kill -9");
    drop(session);
    // The system takes connections for it, and nobody ever reads from them.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = silent.local_addr().expect("bound").port();
    let file = ground.stage.configuration();
    let text = std::fs::read_to_string(&file).expect("a configuration");
    let main = text.split("[clusters.main]\n").nth(1).and_then(|rest| rest.split("\n[").next()).expect("a cluster");
    let far = main.replace(&format!("port = {}", ground.stage.cluster.port()), &format!("port = {port}"));
    assert_ne!(far, main);
    // By name the first.
    std::fs::write(&file, format!("{text}\n[clusters.far]\n{far}\n")).expect("written");
    for number in 0..FAR {
        let name = format!("far{number}");
        ground.stage.run(&["customer", "create", &name, "--cluster", "far", "--database", &name]).expect("a customer");
    }

    let since = Instant::now();
    ground.stage.start_proxy().expect("it starts");
    assert_eq!(number(&ground.stage, OPEN).await, 0, "all are shut out before anybody gets in");
    let session = sign_in(&ground.stage, STAFF, "acme", "after").await.expect("that customer's server answers");
    let waited = since.elapsed();
    assert!(waited <= STARTED_WITHIN, "they waited for {waited:?}");

    // Nor does anything that is left here wait for it later.
    let role = ground.roles().await.concat();
    let stray = format!("{}deadbeef", role.get(..role.len() - 8).expect("a number at the end"));
    leave(&ground.stage, "acme", &stray).await;
    drop(session);
    wait_until(&ground.stage, ROLES, |left| left == 0).await;
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_left_in_more_databases_than_there_are_connections_are_all_shut_out() {
    let cache = Some(env!("CARGO_TARGET_TMPDIR").into());
    let parameters = vec![("max_connections".to_owned(), CONNECTIONS.to_owned())];
    let settings = stage::Settings { cache, parameters, ..stage::Settings::new(env!("CARGO_BIN_EXE_portreeve")) };
    let mut stage = Stage::set_up(settings).await.expect("a stage");
    stage.proxy.as_mut().expect("a proxy").kill().expect("kill -9");
    let family = family("gate-1");
    for at in 0..LEFT {
        let name = format!("many{at}");
        stage.cluster.create_database(&name).await.expect("a database");
        stage.fence(&name, &[]).expect("a fence");
        stage.run(&["customer", "create", &name, "--cluster", "main", "--database", &name]).expect("a customer");
        leave(&stage, &name, &grant_role(&family, 1, 1, at)).await;
    }
    rename(&stage, "close_grant", "held_back").await;
    assert_eq!(number(&stage, OPEN).await, i64::from(LEFT));

    stage.start_proxy().expect("it starts");
    assert_eq!(number(&stage, OPEN).await, 0, "all are shut out before anybody gets in");
    wait_until(&stage, FENCES, |held| held <= KEPT).await;
    rename(&stage, "held_back", "close_grant").await;
    wait_until(&stage, ROLES, |left| left == 0).await;
    // The sweep dropped those.
    wait_until(&stage, FENCES, |held| held <= KEPT).await;
}

/// Renames a function of the fence where roles are held back.
async fn rename(stage: &Stage, from: &str, to: &str) {
    for at in 0..HELD_BACK {
        let renamed = format!("alter function portreeve.{from}(text) rename to {to}");
        stage.cluster.run_sql(&format!("many{at}"), &renamed).await.expect("renamed");
    }
}

/// A role that nobody knows.
async fn leave(stage: &Stage, database: &str, role: &str) {
    let verifier = postgres_protocol::password::scram_sha_256(role.as_bytes());
    let made =
        format!("select portreeve.open_grant('{role}', 'read', '{verifier}', now() + interval '1 hour', 1, null)");
    stage.cluster.run_sql(database, &made).await.expect("a role that the gate does not know");
}

async fn number(stage: &Stage, sql: &str) -> i64 {
    let rows = stage.cluster.run_sql("postgres", sql).await.expect("an answer");
    rows.into_iter().flatten().flatten().find_map(|number| number.parse().ok()).expect("a number")
}

async fn wait_until(stage: &Stage, sql: &str, is_so: impl Fn(i64) -> bool) {
    let until = Instant::now() + 4 * SOON;
    loop {
        let found = number(stage, sql).await;
        if is_so(found) {
            return;
        }
        assert!(Instant::now() < until, "{found}: {sql}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
