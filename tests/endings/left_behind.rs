//! What a killed proxy left at a server that answers while another does not.
//! Not here: at replicas (`tests/replicas`).

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::{STAFF, Stage};

use crate::cast::SOON;
use crate::client::sign_in;
use crate::ground::{Ground, sign_in_soon};

/// Customers of a server that does not answer.
const FAR: usize = 20;
/// However many customers such a server has, this is the longest that the others' staff wait for the next start.
const STARTED_WITHIN: Duration = Duration::from_secs(10);

const OPEN: &str = "select count(*) from pg_roles where rolname like 'pr\\_g\\_%' and rolcanlogin";
const ROLES: &str = "select count(*) from pg_roles where rolname like 'pr\\_g\\_%'";

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
