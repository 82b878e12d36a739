//! What the tests of shared tables stand on: one database with customers 1 to 100 in its tables, and a fence around it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portreeve::cli::demo::cluster::{Cluster, PROVISIONER, Settings};
use portreeve::clock::{Clock, SystemClock, Timestamp};
use portreeve::fence::{Error, Fence, Finding, Keep, Layout, Place, Report, Shared, Superuser, Upstream, Wanted};
use portreeve::grant::Scope;
use portreeve::net::tls_connect::VerifiedTls;
use portreeve::secret::Secret;
use rustls::ClientConfig;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// Own tables of several kinds, one with policies of the application's own; `app` is not their owner.
const TABLES: &str = "
create role app_owner nologin;
create table contacts (id bigserial primary key, tenant_id int not null, email text, v int);
insert into contacts (tenant_id, email, v) select 1 + g % 100, 'e' || g, g from generate_series(1, 30000) g;
create index on contacts (tenant_id);
create index on contacts (email text_pattern_ops);
create table notes (id int primary key, account bigint, body text);
insert into notes select g, nullif(g % 10, 0), 'note ' || g from generate_series(1, 1000) g;
create table countries (code text primary key);
insert into countries values ('NL'), ('SE');
create table passwords (id int primary key, hash text);
insert into passwords values (1, 'x');
create table events (tenant_id int not null, at date not null, what text) partition by range (at);
create table events_old partition of events for values from (minvalue) to ('2025-01-01');
create table events_new partition of events for values from ('2025-01-01') to (maxvalue);
insert into events select 1 + g % 100, date '2024-12-01' + g % 60, 'seen' from generate_series(1, 3000) g;
create table documents (id int primary key, tenant_id int not null, is_secret bool not null, title text);
insert into documents select g, 1 + g % 100, g % 3 = 0, 'document ' || g from generate_series(1, 3000) g;
alter table documents enable row level security;
create policy by_setting on documents to app using (tenant_id = current_setting('app.tenant')::int);
create policy no_secrets on documents as restrictive using (not is_secret);
create view emails with (security_invoker = true) as select tenant_id, email from contacts;
create view totals as select tenant_id, sum(v) from contacts group by 1;
create materialized view summary as select tenant_id, count(*) from contacts group by 1;
do $$ declare r record; begin
    for r in select relname, relkind from pg_class
            where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm') loop
        execute format('alter table %I owner to app_owner', r.relname);
        execute format('grant select, insert, update, delete on %I to app', r.relname);
    end loop;
end $$;
grant usage on all sequences in schema public to app;
analyze;
";

pub struct Ground {
    pub cluster: Cluster,
    pub fence: Fence,
}

pub fn shared() -> Shared {
    Shared {
        tenant_column: Some("tenant_id".to_owned()),
        own: vec![("public.notes".to_owned(), "account".to_owned())],
        everybody: vec!["countries".to_owned()],
        nobody: vec!["public.passwords".to_owned()],
        without_copy: vec!["app".to_owned()],
    }
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

pub fn in_an_hour() -> Timestamp {
    SystemClock.now().plus(Duration::from_secs(3600))
}

impl Ground {
    /// The tables, not fenced yet.
    pub async fn bare() -> Ground {
        let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
        let cluster = Cluster::start(Settings { cache, ..Settings::default() }).await.expect("a cluster");
        cluster.create_database("shared").await.expect("a database");
        cluster.run_sql("shared", TABLES).await.expect("tables");
        let upstream = Upstream {
            host: "127.0.0.1".to_owned(),
            port: cluster.port(),
            server_name: "localhost".to_owned(),
            tls: cluster.proxy_tls().expect("files"),
            provisioner: PROVISIONER.to_owned(),
            password: Secret::new(cluster.provisioner_password().to_owned()),
        };
        let fence = Fence::new(upstream).expect("a fence");
        Ground { cluster, fence }
    }

    pub async fn fenced() -> Ground {
        let ground = Ground::bare().await;
        ground.apply(Layout::Shared(shared())).await.expect("applied");
        ground
    }

    pub async fn apply(&self, layout: Layout) -> Result<Vec<String>, String> {
        let applied = self.superuser().await.apply(&wanted(layout)).await.map_err(|error| error.to_string())?;
        Ok(applied.steps)
    }

    pub async fn superuser(&self) -> Superuser {
        let dsn = Secret::new(self.cluster.superuser_dsn("shared"));
        Superuser::connect(&dsn, "shared", None).await.expect("a superuser")
    }

    /// A grant whose password is its role's name, for one tenant.
    pub async fn open(&self, role: &str, scope: Scope, tenant: &str) -> Result<(), Error> {
        let place = Place { database: "shared", tenant: Some(tenant) };
        let verifier = postgres_protocol::password::scram_sha_256(role.as_bytes());
        self.fence.open_grant(place, role, scope, &verifier, in_an_hour(), 8).await
    }

    /// Somebody signed in under a new grant of tenant 7.
    pub async fn seven(&self, role: &str, scope: Scope) -> Client {
        self.open(role, scope, "7").await.expect("a grant");
        self.sign_in(role, "").await.expect("signed in")
    }

    pub async fn sign_in(&self, role: &str, options: &str) -> Result<Client, String> {
        let tls: Arc<ClientConfig> = self.cluster.proxy_tls().expect("files");
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.cluster.port()).dbname("shared").user(role).password(role);
        config.ssl_mode(SslMode::Require).options(options);
        let tls = VerifiedTls::new(tls, "localhost").expect("a name");
        let (client, connection) = config.connect(tls).await.map_err(|error| words(&error))?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// A connection as superuser that then is the application, as far as privileges go.
    pub async fn application(&self) -> Client {
        let dsn = self.cluster.superuser_dsn("shared");
        let (client, connection) = tokio_postgres::connect(&dsn, NoTls).await.expect("connected");
        tokio::spawn(connection);
        ask(&client, "set session authorization app").await.expect("as the application");
        client
    }

    pub async fn test(&self, role: &str, scope: Scope) -> Report {
        self.fence.self_test("shared", role, scope).await.expect("a report")
    }

    /// As superuser.
    pub async fn run(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.cluster.run_sql("shared", sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
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
