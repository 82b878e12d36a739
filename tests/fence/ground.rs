//! What the fence's tests stand on: a cluster with customers' databases, a fence around one, and people at the gate.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portreeve::cli::demo::cluster::{APPLICATION, Cluster, PROVISIONER, Settings};
use portreeve::clock::{Clock, SystemClock, Timestamp};
use portreeve::fence::{Fence, Keep, Layout, Superuser, Upstream, Wanted};
use portreeve::grant::Scope;
use portreeve::net::tls_connect::VerifiedTls;
use portreeve::secret::Secret;
use rustls::ClientConfig;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

pub const HOUR: Duration = Duration::from_secs(3600);

pub struct Ground {
    pub cluster: Cluster,
    pub fence: Fence,
}

pub fn wanted() -> Wanted {
    Wanted {
        provisioner: PROVISIONER.to_owned(),
        provisioner_verifier: None,
        keep: vec![APPLICATION.to_owned()],
        others: Keep::Ask,
        revoke_public: Vec::new(),
        close: Vec::new(),
        layout: Layout::AsItIs,
        impersonal: None,
    }
}

pub fn in_an_hour() -> Timestamp {
    SystemClock.now().plus(HOUR)
}

impl Ground {
    /// Databases acme and globex, both fenced.
    pub async fn new() -> Ground {
        Ground::with(&[]).await
    }

    pub async fn with(parameters: &[(&str, &str)]) -> Ground {
        let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
        let parameters = parameters.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let cluster = Cluster::start(Settings { cache, parameters, ..Settings::default() }).await.expect("a cluster");
        for database in ["acme", "globex"] {
            cluster.create_database(database).await.expect("a database");
            let rows = "set role app; create table orders (id int primary key, total int not null); \
                        insert into orders select g, g from generate_series(1, 1000) g; \
                        create sequence counter; create view totals as select sum(total) from orders";
            cluster.run_sql(database, rows).await.expect("rows");
        }
        let fence = fence_of(&cluster);
        let ground = Ground { cluster, fence };
        for database in ["acme", "globex"] {
            ground.superuser(database).await.apply(&wanted()).await.expect("applied");
        }
        ground
    }

    pub async fn superuser(&self, database: &str) -> Superuser {
        let dsn = Secret::new(self.cluster.superuser_dsn(database));
        Superuser::connect(&dsn, database, None).await.expect("a superuser")
    }

    /// Opens a grant whose password is its role's name.
    pub async fn open(&self, role: &str, scope: Scope) {
        self.fence.open_grant("acme", role, scope, &verifier(role), in_an_hour(), 8).await.expect("a grant");
    }

    pub async fn sign_in(&self, database: &str, role: &str) -> Result<Client, String> {
        self.sign_in_with(database, role, "", self.cluster.proxy_tls().expect("files")).await
    }

    /// With the proxy's certificate and a password.
    pub async fn sign_in_as(&self, database: &str, role: &str, password: &str) -> Result<Client, String> {
        let mut config = self.config(database, role);
        config.password(password);
        connect(&config, self.cluster.proxy_tls().expect("files")).await
    }

    pub async fn sign_in_with(
        &self,
        database: &str,
        role: &str,
        options: &str,
        tls: Arc<ClientConfig>,
    ) -> Result<Client, String> {
        connect(self.config(database, role).options(options), tls).await
    }

    fn config(&self, database: &str, role: &str) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.cluster.port()).dbname(database).user(role).password(role);
        config.ssl_mode(SslMode::Require);
        config
    }

    /// One value, asked of `database` as superuser.
    pub async fn value(&self, database: &str, sql: &str) -> String {
        let rows = self.cluster.run_sql(database, sql).await.expect("an answer");
        rows.into_iter().flatten().flatten().next().unwrap_or_default()
    }
}

pub fn upstream_of(cluster: &Cluster) -> Upstream {
    Upstream {
        host: "127.0.0.1".to_owned(),
        port: cluster.port(),
        server_name: "localhost".to_owned(),
        tls: cluster.proxy_tls().expect("files"),
        provisioner: PROVISIONER.to_owned(),
        password: Secret::new(cluster.provisioner_password().to_owned()),
    }
}

pub fn fence_of(cluster: &Cluster) -> Fence {
    Fence::new(upstream_of(cluster)).expect("a fence")
}

async fn connect(config: &Config, tls: Arc<ClientConfig>) -> Result<Client, String> {
    let tls = VerifiedTls::new(tls, "localhost").expect("a name");
    let (client, connection) = config.connect(tls).await.map_err(|error| words(&error))?;
    tokio::spawn(connection);
    Ok(client)
}

pub fn verifier(password: &str) -> String {
    postgres_protocol::password::scram_sha_256(password.as_bytes())
}

pub fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(server) => format!("{} {}", server.code().code(), server.message()),
        None => format!("{error:?}"),
    }
}

/// The answer's texts, or the SQLSTATE and message.
pub async fn ask(client: &Client, sql: &str) -> Result<Vec<String>, String> {
    let messages = client.simple_query(sql).await.map_err(|error| words(&error))?;
    let text = |message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    Ok(messages.into_iter().filter_map(text).collect())
}
