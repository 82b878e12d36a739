//! `fence = "external"`: login roles that somebody else manages. They are examined, their limits are accepted in writing or
//! nobody gets in, and each session ends by itself.
//! Not here: what only the proxy's own roles hold (`fenced.rs`, `tests/fence`).

use std::fs;
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::{STAFF, said};
use portreeve::net::tls_connect::{VerifiedTls, client_config};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config};

use crate::cast::{Doing, SOON, cast, watch_backends};
use crate::client::{sign_in, words};
use crate::ground::{Ground, sign_in_soon};
use crate::measured::{GONE_WITHIN, LAST_ROW_WITHIN, wait_for_records};

const ROLES: &str = "
create role support_read login password 'support'; create role ender login password 'ender';
grant pg_signal_backend, pg_read_all_stats to ender; grant connect on database acme to support_read, ender;
grant select on all tables in schema public to support_read";

const HBA: &str =
    "hostssl acme support_read 127.0.0.1/32 scram-sha-256\nhostssl all ender 127.0.0.1/32 scram-sha-256\n";

const CLUSTER: &str = "provisioner = \"ender\"\npassword_file = \"ender.password\"\nfence = \"external\"\n\
                       external_read = \"support_read\"\nexternal_read_password_file = \"support.password\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_roles_of_somebody_elses_are_examined_and_their_sessions_end_one_by_one() {
    let mut ground = Ground::new(&[("fence", "examine_every = \"1s\"")]).await;
    ground.grant(STAFF, "acme", "read", "2h");
    prepare(&ground).await;
    let own = "provisioner = \"portreeve_provisioner\"\npassword_file = \"provisioner.password\"";
    configure(&mut ground, own, CLUSTER);
    let until = Instant::now() + SOON;
    loop {
        let refused =
            words(&sign_in(&ground.stage, STAFF, "acme", "unaccepted").await.err().expect("it was not accepted"));
        if refused.contains("the fence around this customer is not sound") {
            break;
        }
        assert!(Instant::now() < until, "{refused}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let accepted = "accept = [\"shared-role we have read what it cannot do\", \"connect the gate pins the database\", ";
    configure(&mut ground, "accept = [", accepted);
    let check = ["fence", "check", "--database", "acme", "--superuser-dsn-file", "nowhere"];
    let said = said(&ground.stage.command(&check).output().expect("it runs"));
    assert!(said.contains("managed by somebody else (fence = \"external\")"), "{said}");

    ended_one_by_one(&mut ground).await;
    ground.open("acme", "write");
    ground.grant(STAFF, "acme", "read", "2h");
    let session = sign_in_soon(&ground.stage, STAFF, "acme", "examined").await;
    ground.stage.cluster.run_sql("acme", "grant update on contacts to support_read").await.expect("a hole");
    let told = tokio::time::timeout(SOON, session.connection).await.expect("soon").expect("no panic").1;
    let told = told.as_ref().map(words).unwrap_or_default();
    assert!(told.starts_with("57P01 the fence around customer \"acme\" is not sound any more"), "{told}");
    ground.stage.cluster.run_sql("acme", "revoke update on contacts from support_read").await.expect("mended");
    let left = sign_in_soon(&ground.stage, STAFF, "acme", "left").await;

    ground.grant(STAFF, "acme", "write", "2h");
    let until = Instant::now() + SOON;
    loop {
        match sign_in(&ground.stage, STAFF, "acme", "writer").await {
            Ok(_) => assert!(Instant::now() < until, "there is no role for writing"),
            Err(error) => break assert!(words(&error).contains("is not set up for this access"), "{}", words(&error)),
        }
    }

    let direct = direct(&ground).await;
    ground.stage.proxy.as_mut().expect("a proxy").kill().expect("kill -9");
    ground.stage.start_proxy().expect("it starts again");
    direct
        .simple_query("select 1")
        .await
        .expect_err("the roles are the proxy's alone: whoever is there was left by a dead one");
    drop(left);
    kept_out(&mut ground).await;
}

/// Nobody gets in while a session that a dead proxy left cannot be ended.
async fn kept_out(ground: &mut Ground) {
    ground.grant(STAFF, "acme", "read", "2h");
    let direct = direct(ground).await;
    ground.stage.proxy.as_mut().expect("a proxy").kill().expect("kill -9");
    let cluster = &ground.stage.cluster;
    cluster.run_sql("acme", "revoke pg_signal_backend from ender").await.expect("it may end nobody now");
    ground.stage.start_proxy().expect("it starts all the same");
    direct.simple_query("select 1").await.expect("nobody may end it");
    let told = words(&sign_in(&ground.stage, STAFF, "acme", "kept out").await.err().expect("nobody gets in"));
    assert!(told.contains("the customer's database is not set up for this access"), "{told}");
    direct.simple_query("select 1").await.expect("nobody may end it");
    let cluster = &ground.stage.cluster;
    cluster.run_sql("acme", "grant pg_signal_backend to ender").await.expect("it may again");
    let session = sign_in_soon(&ground.stage, STAFF, "acme", "after").await;
    direct.simple_query("select 1").await.expect_err("it was ended before anybody got in");
    drop(session);
}

async fn ended_one_by_one(ground: &mut Ground) {
    let session = sign_in_soon(&ground.stage, STAFF, "acme", "reader").await;
    let refused = session.client.batch_execute("update contacts set full_name = ''").await.expect_err("a reader");
    assert!(words(&refused).starts_with("42501"), "{}", words(&refused));
    let as_whom = session.client.query_typed("select current_user::text", &[]).await.expect("a row");
    assert_eq!(as_whom.first().map(|row| row.get(0)), Some("support_read"));
    drop(session);
    let beside = direct(ground).await;
    let members = cast(&ground.stage, STAFF, &[Doing::Select, Doing::Copy, Doing::Hold, Doing::Idle]).await;
    let pids: Vec<i32> = members.iter().map(|member| member.pid).collect();
    let gone = watch_backends(&ground.stage, pids.clone()).await;
    let closed = ground.close("acme");
    for (pid, at) in gone.await.expect("no panic") {
        let gone = closed.until(at, "a backend was gone");
        println!("external: backend {pid} gone {gone:.1?}");
        assert!(gone <= GONE_WITHIN, "backend {pid} was there for {gone:?}");
    }
    for member in members {
        let seen = member.seen().await;
        let last_row = seen.last_row.map(|at| at.saturating_duration_since(closed.done));
        assert!(last_row <= Some(LAST_ROW_WITHIN), "{:?} was given rows for {last_row:?}", seen.doing);
        let is_told = seen.told.starts_with("57P01") && seen.told.contains("switched support access off");
        assert!(is_told || seen.doing.is_receiving(), "{:?} was told: {}", seen.doing, seen.told);
    }
    wait_for_records(ground, &pids).await;
    for pid in pids {
        let end = ground.ends.iter().find(|end| end.backend == Some(pid)).expect("it was waited for");
        assert_eq!(end.result.as_deref(), Some("gone"), "{end:?}");
        assert!(matches!(end.fate.as_deref(), Some("none" | "aborted")), "{end:?}");
        assert_eq!(end.role.as_deref(), Some("support_read"));
    }
    beside.simple_query("select 1").await.expect("who is no session of the gate's is left alone");
}

/// Roles as somebody else would make them, and the lines that let them in.
async fn prepare(ground: &Ground) {
    let cluster = &ground.stage.cluster;
    cluster.run_sql("acme", ROLES).await.expect("roles");
    for (file, password) in [("support.password", "support"), ("ender.password", "ender")] {
        ground.stage.write_secret(file, password).expect("a file");
    }
    let hba = cluster.directory().join("data/pg_hba.conf");
    let lines = fs::read_to_string(&hba).expect("a file");
    fs::write(&hba, format!("{HBA}{lines}")).expect("written");
    cluster.run_sql("acme", "select pg_reload_conf()").await.expect("read again");
}

/// Changes the configuration, and starts the proxy anew.
fn configure(ground: &mut Ground, from: &str, to: &str) {
    let file = ground.stage.configuration();
    let text = fs::read_to_string(&file).expect("a configuration");
    assert!(text.contains(from), "{text}");
    fs::write(&file, text.replace(from, to)).expect("written");
    assert!(ground.stage.proxy.as_mut().expect("a proxy").stop().expect("it stops"), "it did not end well");
    ground.stage.start_proxy().expect("it starts again");
}

/// A connection of that role which is no session of the gate's.
async fn direct(ground: &Ground) -> Client {
    let cluster = &ground.stage.cluster;
    let tls = client_config(&cluster.certificates().cluster_ca, None);
    let tls = tls.and_then(|config| VerifiedTls::new(config, "localhost")).expect("the server's CA");
    let mut config = Config::new();
    config.host("127.0.0.1").port(cluster.port()).dbname("acme").user("support_read").password("support");
    config.ssl_mode(SslMode::Require);
    let (client, connection) = config.connect(tls).await.expect("the role has its own password");
    tokio::spawn(connection);
    client
}
