//! The stage, with its register on a second PostgreSQL, and a session through the gate.
//! Not here: what is tried on it (`main.rs`).

use std::time::{Duration, Instant};

use portreeve::cli::demo::cluster::{self, Cluster};
use portreeve::cli::demo::stage::{self, STAFF, Stage};
use portreeve::config::{self, Config, RegisterServer};
use portreeve::grant::Trust;
use portreeve::keyring::init;
use portreeve::net::tls_connect::{VerifiedTls, client_config};
use portreeve::register::prepare;
use portreeve::secret::Secret;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Error};

/// Whatever should happen soon happens within this.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Ground {
    pub(crate) stage: Stage,
    /// The server of the register; only that is on it.
    pub(crate) register: Cluster,
    folder: tempfile::TempDir,
}

/// A session through the gate.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// Ends when the connection does: with what.
    pub(crate) connection: JoinHandle<Option<Error>>,
}

impl Ground {
    /// Nobody has allowed anything yet.
    pub(crate) async fn new() -> Ground {
        let cache = Some(env!("CARGO_TARGET_TMPDIR").into());
        let settings = cluster::Settings { cache: cache.clone(), ..cluster::Settings::default() };
        let register = Cluster::start(settings).await.expect("the register's server");
        let folder = tempfile::tempdir().expect("a folder");
        let (dsn, password) = (register.superuser_dsn("postgres"), folder.path().join("register.password"));
        write_secret(&folder.path().join("superuser.dsn"), &dsn);
        write_secret(&password, "correct horse battery");
        register.run_sql("postgres", "create database decisions").await.expect("a database");
        let server = RegisterServer {
            host: "localhost".to_owned(),
            port: register.port(),
            database: "decisions".to_owned(),
            role: "portreeve_register".to_owned(),
            password_file: password.clone(),
            ca: register.certificates().cluster_ca.clone(),
            certificate: None,
        };
        prepare(&Secret::new(dsn), &server).await.expect("prepared");
        let verifier = postgres_protocol::password::scram_sha_256(b"correct horse battery");
        let sql = format!("alter role portreeve_register password '{verifier}'");
        register.run_sql("postgres", &sql).await.expect("a password");
        let lines = format!(
            "engine = \"postgresql\"\nhost = \"localhost\"\nport = {}\ndatabase = \"decisions\"\npassword_file = {password:?}\n\
             ca = {:?}",
            server.port, server.ca
        );
        let lines = vec![("register".to_owned(), lines)];
        let binary = env!("CARGO_BIN_EXE_portreeve");
        let settings = stage::Settings { cache, lines, ..stage::Settings::new(binary) };
        let stage = Stage::set_up(settings).await.expect("a stage");
        Ground { stage, register, folder }
    }

    pub(crate) fn dsn_file(&self) -> String {
        self.folder.path().join("superuser.dsn").display().to_string()
    }

    pub(crate) fn config(&self) -> Config {
        config::load(&self.stage.configuration()).expect("the stage's configuration")
    }

    pub(crate) fn trust(&self) -> Trust {
        let key = init::read_public_key(&self.config().portal.signing_public_key);
        Trust { portal_key: key.expect("the portal's public key") }
    }

    /// The owner of acme moves the switch.
    pub(crate) fn switch(&self, body: &str) {
        let (status, answer) = self.stage.set_consent("acme", body).expect("the portal");
        assert_eq!(status, 200, "{answer}");
    }

    pub(crate) fn grant(&self) {
        self.stage.grant("acme", "read").expect("a grant");
    }

    /// Signs in as soon as the gate lets it.
    pub(crate) async fn sign_in_soon(&self) -> Session {
        let until = Instant::now() + SOON;
        loop {
            match sign_in(&self.stage).await {
                Ok(session) => return session,
                Err(error) => assert!(Instant::now() < until, "cannot sign in: {}", words(&error)),
            }
        }
    }

    /// Waits until the statement of a session runs on the customers' server.
    pub(crate) async fn wait_until_sleeping(&self) {
        let sql = "select 1 from pg_stat_activity where query like '%pg_sleep(120)%' and state = 'active' \
                   and pid <> pg_backend_pid()";
        let until = Instant::now() + SOON;
        while self.stage.cluster.run_sql("postgres", sql).await.expect("its sessions").is_empty() {
            assert!(Instant::now() < until, "it never ran");
        }
    }
}

fn write_secret(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, format!("{text}\n")).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("closed");
}

/// Signs in at the gate as the member of staff.
pub(crate) async fn sign_in(stage: &Stage) -> Result<Session, Error> {
    let ca = &stage.cluster.certificates().gate_ca;
    let tls = client_config(ca, None).and_then(|config| VerifiedTls::new(config, "localhost")).expect("the gate's CA");
    let mut config = tokio_postgres::Config::new();
    config
        .host("localhost")
        .port(stage.gate_port())
        .user(STAFF)
        .password(stage.secret(&format!("{STAFF}.password")).expect("the stage wrote it"))
        .dbname("acme")
        .ssl_mode(SslMode::Require);
    let (client, connection) = config.connect(tls).await?;
    let connection = tokio::spawn(async move { connection.await.err() });
    client.simple_query("select 1").await?;
    Ok(Session { client, connection })
}

/// The server's words in an error: SQLSTATE and message, or what else went wrong.
pub(crate) fn words(error: &Error) -> String {
    match error.as_db_error() {
        Some(told) => {
            let (detail, hint) = (told.detail().unwrap_or_default(), told.hint().unwrap_or_default());
            format!("{} {}; {detail}; {hint}", told.code().code(), told.message())
        }
        None => format!("{error:?}"),
    }
}

/// Waits for that to be so.
pub(crate) fn wait_for(what: impl Fn() -> bool) {
    let until = Instant::now() + SOON;
    while !what() {
        assert!(Instant::now() < until, "it never happened");
        std::thread::sleep(Duration::from_millis(5));
    }
}
