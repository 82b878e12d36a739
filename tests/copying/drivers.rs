//! Drivers that copy in the extended protocol, finish and give up: tokio-postgres and psycopg.

use std::path::Path;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::SinkExt as _;
use portreeve::cli::demo::stage::{STAFF, said};
use portreeve::net::tls_connect::VerifiedTls;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config};

use super::ground::{Ground, cell, lines, sha256};

async fn connect(ground: &Ground) -> Client {
    let mut roots = rustls::RootCertStore::empty();
    let path = &ground.stage.cluster.certificates().gate_ca;
    roots.add(CertificateDer::from_pem_file(path).expect("a certificate")).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut config = Config::new();
    config.host("localhost").port(ground.stage.gate_port()).dbname("acme").user(STAFF).ssl_mode(SslMode::Require);
    config.password(ground.stage.secret(&format!("{STAFF}.password")).expect("a password"));
    let tls = VerifiedTls::new(Arc::new(tls), "localhost").expect("a name");
    let (client, connection) = config.connect(tls).await.expect("signed in");
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn tokio_postgres() {
    let ground = Ground::new().await;
    let client = connect(&ground).await;
    let data = Bytes::from(lines(0..5000));
    let mut sink = pin!(client.copy_in::<_, Bytes>("copy imported from stdin").await.expect("begun"));
    sink.send(data.clone()).await.expect("sent");
    assert_eq!(sink.as_mut().finish().await.expect("copied"), 5000);
    ground.copied(&data, "COPY 5000");

    let given_up = Bytes::from(lines(5000..5010));
    {
        let mut sink = Box::pin(client.copy_in::<_, Bytes>("copy imported from stdin").await.expect("begun"));
        sink.send(given_up.clone()).await.expect("sent");
        sink.flush().await.expect("sent");
    }
    assert_eq!(client.query_one("select count(*) from imported", &[]).await.expect("a row").get::<_, i64>(0), 5000);
    let failed = ground.record("statement", |record| {
        cell(record, "verb") == "execute" && cell(record, "result").starts_with("57014 COPY from stdin failed")
    });
    let outcome = failed.get("outcome").expect("it has one");
    assert_eq!(cell(outcome, "copied_sha256"), sha256(&given_up), "all of it was there: {failed:#}");

    let mut sink = pin!(client.copy_in::<_, Bytes>("copy imported from stdin").await.expect("begun"));
    sink.send(Bytes::from_static(b"no number\tx\n")).await.expect("sent");
    let error = sink.as_mut().finish().await.expect_err("refused");
    assert_eq!(error.code().map(|code| code.code()), Some("22P02"), "{error:?}");
    let large = Bytes::from([b"5000\t".to_vec(), vec![b'x'; 30 << 20], b"\n".to_vec()].concat());
    let mut sink = pin!(client.copy_in::<_, Bytes>("copy imported from stdin").await.expect("begun"));
    sink.send(large.clone()).await.expect("sent");
    assert_eq!(sink.as_mut().finish().await.expect("copied"), 1);
    ground.copied(&large, "COPY 1");
    assert_eq!(ground.value("select length(name) from imported where id = 5000").await, (30 << 20).to_string());
    ground.verified();
}

const PSYCOPG: &str = r#"
import sys, psycopg
with psycopg.connect(sys.argv[1]) as connection:
    with connection.cursor() as cursor:
        with cursor.copy("copy imported from stdin") as copy:
            for number in range(3):
                copy.write_row((number, "name %d" % number))
    connection.commit()
    try:
        with connection.cursor() as cursor, cursor.copy("copy imported from stdin") as copy:
            copy.write_row((10, "x"))
            raise ValueError("changed my mind")
    except ValueError:
        connection.rollback()
    with connection.pipeline(), connection.cursor() as cursor:
        cursor.execute("select count(*) from imported")
        print("rows", cursor.fetchone()[0])
"#;

#[tokio::test]
async fn psycopg() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    assert!(python.exists(), "{} is not there: run make setup", python.display());
    let ground = Ground::new().await;
    let mut command = Command::new(python);
    command.args(["-c", PSYCOPG, &ground.stage.conninfo("acme")]);
    command.env("PGPASSFILE", ground.stage.passfile().expect("a file"));
    let output = command.output().expect("python runs");
    assert!(output.status.success() && said(&output).contains("rows 3"), "{}", said(&output));
    ground.copied(&lines(0..3), "COPY 3");
    ground.record("statement", |record| cell(record, "result").starts_with("57014 COPY from stdin failed"));
    ground.verified();
}
