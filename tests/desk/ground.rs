//! The stage: acme wants to be asked each time, jane looks after it.
//! Not here: what is tried on it.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::{self, STAFF, Stage, said};
use portreeve::net::tls_connect::VerifiedTls;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Error};

/// Whatever should happen soon happens within this.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Ground {
    pub(crate) stage: Stage,
}

impl Ground {
    /// Lines go into sections of the configuration.
    pub(crate) async fn new(lines: &[(&str, &str)]) -> Ground {
        let lines = lines.iter().map(|(section, line)| ((*section).to_owned(), (*line).to_owned())).collect();
        let cache = Some(env!("CARGO_TARGET_TMPDIR").into());
        let settings = stage::Settings { cache, lines, ..stage::Settings::new(env!("CARGO_BIN_EXE_portreeve")) };
        let ground = Ground { stage: Stage::set_up(settings).await.expect("a stage") };
        ground.owner("PUT", "consent", r#"{"mode":"per-request","scope":"write"}"#);
        ground
    }

    /// Acme's owner asks the API; the answer of one that was done.
    pub(crate) fn owner(&self, verb: &str, path: &str, body: &str) -> Value {
        let body = Some(body).filter(|body| !body.is_empty());
        let path = format!("/v1/customers/acme/{path}");
        let (status, answer) = self.stage.api("acme", verb, &path, body).expect("the portal answers");
        assert_eq!(status, 200, "{verb} {path}: {answer}");
        serde_json::from_str(&answer).expect("JSON")
    }

    /// psql at the desk with these lines, each on its own, run to its end.
    pub(crate) fn desk(&self, lines: &[&str]) -> Output {
        let mut psql = self.stage.psql("portreeve").expect("psql");
        psql.args(["-A", "-F", "|"]).args(lines.iter().flat_map(|line| ["-c", line])).output().expect("psql runs")
    }

    /// psql at a customer.
    pub(crate) fn psql(&self, customer: &str, statement: &str) -> Output {
        self.stage.psql(customer).expect("psql").args(["-c", statement]).output().expect("psql runs")
    }

    /// A client with jane's password; its arguments come as given.
    pub(crate) fn run(&self, program: PathBuf, arguments: &[&str]) -> String {
        assert!(
            program.components().count() == 1 || program.exists(),
            "{} is missing: run make setup",
            program.display()
        );
        let mut command = Command::new(program);
        command.args(arguments).env("PGPASSFILE", self.stage.passfile().expect("a file"));
        let output = command.output().expect("it runs; if it is missing, make setup installs it");
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    /// A Rust driver at the desk; its connection ends with what the gate says last.
    pub(crate) async fn driver(&self) -> (Client, JoinHandle<Result<(), Error>>) {
        let mut roots = rustls::RootCertStore::empty();
        let path = &self.stage.cluster.certificates().gate_ca;
        roots.add(CertificateDer::from_pem_file(path).expect("a certificate")).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut config = Config::new();
        config.host("localhost").port(self.stage.gate_port()).dbname("portreeve").user(STAFF);
        config.ssl_mode(SslMode::Require).application_name("driver");
        config.password(self.stage.secret(&format!("{STAFF}.password")).expect("a password"));
        let tls = VerifiedTls::new(Arc::new(tls), "localhost").expect("a name");
        let (client, connection) = config.connect(tls).await.expect("signed in");
        (client, tokio::spawn(connection))
    }

    /// What a command of ours says; it must succeed.
    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        said(&self.stage.run(arguments).expect("the command succeeds"))
    }

    /// The records of one kind, oldest first.
    pub(crate) fn records(&self, kind: &str) -> Vec<Value> {
        let output = self.must(&["--format", "json", "audit", "search", "--kind", kind, "--limit", "1000"]);
        output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The last record of that kind which `fits`, once it is there.
    pub(crate) fn record(&self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + SOON;
        loop {
            let records = self.records(kind);
            if let Some(found) = records.iter().rfind(|record| fits(record)) {
                return found.clone();
            }
            assert!(Instant::now() < until, "no such record: {records:#?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A cell of a record's row.
pub(crate) fn cell<'a>(record: &'a Value, column: &str) -> &'a str {
    record.get(column).and_then(Value::as_str).unwrap_or_default()
}

/// A file of the project.
pub(crate) fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}
