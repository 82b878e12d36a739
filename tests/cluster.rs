//! The throw-away PostgreSQL: it comes up with TLS, lets in whom it should, and goes when its parent goes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve::cli::demo::cluster::{APPLICATION, Cluster, PROVISIONER, Settings};
use portreeve::net::tls_connect::VerifiedTls;
use rustls::ClientConfig;
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, SslMode};

async fn cluster() -> Cluster {
    let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
    Cluster::start(Settings { cache, ..Settings::default() }).await.expect("a cluster")
}

async fn sign_in(config: &Config, tls: Arc<ClientConfig>) -> Result<String, String> {
    let tls = VerifiedTls::new(tls, "localhost").expect("a name");
    let (client, connection) = config.connect(tls).await.map_err(|error| format!("{error:?}"))?;
    let driver = tokio::spawn(connection);
    let row = client
        .query_one("select current_user::text || ' ' || ssl::text from pg_stat_ssl where pid = pg_backend_pid()", &[])
        .await
        .map_err(|error| format!("{error:?}"))?;
    drop(client);
    driver.await.expect("no panic").expect("a clean end");
    Ok(row.get(0))
}

#[tokio::test]
async fn it_lets_in_whom_it_should() {
    let cluster = cluster().await;
    cluster.create_database("acme").await.expect("a database");
    let mut config = Config::new();
    config.host("127.0.0.1").port(cluster.port()).dbname("acme").ssl_mode(SslMode::Require);
    config.channel_binding(ChannelBinding::Require);

    let (with, without) = (cluster.proxy_tls().expect("files"), cluster.plain_tls().expect("files"));
    config.user(PROVISIONER).password(cluster.provisioner_password());
    assert_eq!(sign_in(&config, with.clone()).await, Ok("portreeve_provisioner true".to_owned()));
    let refused = sign_in(&config, without.clone()).await.expect_err("no certificate");
    assert!(refused.contains("client certificate"), "{refused}");

    config.user(APPLICATION).password(cluster.application_password());
    assert_eq!(sign_in(&config, without.clone()).await, Ok("app true".to_owned()));
    config.password("wrong");
    assert!(sign_in(&config, without.clone()).await.expect_err("wrong password").contains("28P01"));
    config.user("postgres");
    assert!(sign_in(&config, with).await.expect_err("no such road").contains("pg_hba.conf rejects"));
}

#[tokio::test]
async fn seeded_rows_are_many_and_different_for_each_customer() {
    let cluster = cluster().await;
    let counts = "select (select count(*) from contacts), (select count(*) from orders), (select count(*) > 2000 from \
                  invoices), (select count(*) from tickets), (select tableowner from pg_tables where tablename = 'orders')";
    let mut names = Vec::new();
    for database in ["acme", "globex"] {
        cluster.create_database(database).await.expect("a database");
        cluster.seed(database).await.expect("rows");
        let rows = cluster.run_sql(database, counts).await.expect("counts");
        let expected = ["1200", "3000", "t", "640", "app"].map(|text| Some(text.to_owned()));
        assert_eq!(rows, [expected.to_vec()]);
        names.push(cluster.run_sql(database, "select full_name from contacts order by id").await.expect("names"));
    }
    assert_ne!(names.first(), names.last());
}

#[tokio::test]
async fn it_stops_and_starts_again_with_its_data() {
    let mut cluster = cluster().await;
    cluster.run_sql("postgres", "create table kept as select 1 as one").await.expect("a table");
    let directory = cluster.directory().to_owned();
    cluster.stop();
    assert!(directory.join("data").exists());
    cluster.run_sql("postgres", "select 1").await.expect_err("it is down");
    cluster.start_again().await.expect("up again");
    let rows = cluster.run_sql("postgres", "select one from kept").await.expect("the table");
    assert_eq!(rows, [vec![Some("1".to_owned())]]);
    drop(cluster);
    assert!(!directory.exists(), "an own directory goes with the cluster");
}

/// Not a test of its own: the process that `nothing_outlives_a_killed_parent` kills.
#[tokio::test]
#[ignore = "started by nothing_outlives_a_killed_parent"]
async fn a_parent_to_be_killed() {
    let cluster = cluster().await;
    println!("\nat {} {}", cluster.port(), cluster.directory().display());
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[test]
fn nothing_outlives_a_killed_parent() {
    let mut parent = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--ignored", "--exact", "--nocapture", "a_parent_to_be_killed"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary runs");
    let output = BufReader::new(parent.stdout.take().expect("a pipe"));
    let line = output.lines().map_while(Result::ok).find(|line| line.starts_with("at ")).expect("it came up");
    let mut words = line.split(' ').skip(1);
    let port: u16 = words.next().and_then(|port| port.parse().ok()).expect("a port");
    let directory = Path::new(words.next().expect("a directory"));
    assert!(directory.exists());
    parent.kill().expect("still ours");
    parent.wait().expect("it was killed");
    let killed = Instant::now();
    while directory.exists() {
        assert!(killed.elapsed() < Duration::from_secs(10), "{} is still there", directory.display());
        std::thread::sleep(Duration::from_millis(10));
    }
    std::net::TcpStream::connect(("127.0.0.1", port)).expect_err("the server is gone");
}
