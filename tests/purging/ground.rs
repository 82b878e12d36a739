//! What these tests stand on: a PostgreSQL of their own, three customers in the same tables, and the maintenance role.

use std::path::Path;
use std::time::{Duration, Instant};

use portreeve::cli::demo::cluster::{Cluster, Settings};
use portreeve::datamap::plan::{Plan, plan};
use portreeve::datamap::{Catalog, DataMap};
use portreeve::purge::{Connection, Control, Error, Event, Outcome, Pace, Purge, Road, catalog, prepare};
use portreeve::secret::Secret;
use tokio::sync::watch;

/// Customers 1 to 3 with 400 contacts each, and everything that hangs on them.
pub const TABLES: &str = "
set role app;
create table countries (code text primary key);
insert into countries values ('NL'), ('SE');
create table contacts (id int primary key, tenant_id int not null, email text not null, chief int references contacts,
    photo oid, country text references countries);
create index on contacts (tenant_id);
create index on contacts (chief);
create table orders (id int primary key, tenant_id int not null, contact_id int not null references contacts);
create index on orders (tenant_id);
create index on orders (contact_id);
create table lines (id int primary key, order_id int not null references orders on delete cascade, note text);
create index on lines (order_id);
create table events (tenant_id int not null, at date not null, what jsonb) partition by range (at);
create table events_old partition of events for values from (minvalue) to ('2025-01-01');
create table events_new partition of events for values from ('2025-01-01') to (maxvalue);
create table history (id serial primary key, tenant_id int not null, what text);
insert into contacts
    select g, 1 + g % 3, 'person-' || md5(g::text) || '@example.com', case when g > 3 then g - 3 end, null, 'NL'
    from generate_series(1, 1200) g;
insert into orders select g, 1 + g % 3, 1 + (g - 1) % 1200 from generate_series(1, 2400) g;
insert into lines select g, 1 + (g - 1) % 2400, 'note ' || md5('l' || g) from generate_series(1, 4800) g;
insert into events select 1 + g % 3, date '2024-12-01' + g % 60, jsonb_build_object('who', md5(g::text))
    from generate_series(1, 900) g;
insert into history (tenant_id, what) select 1 + g % 3, 'made' from generate_series(1, 90) g;
create materialized view summary as select tenant_id, count(*) as n, min(email) as first from contacts group by 1;
reset role;
analyze";

pub const MAP: &str = r#"
version = 1
layout = "shared"
tenant = "tenant_id"
tables."public.countries" = { erase = "keep", reason = "the same for everybody", columns = { code = "none" } }
tables."public.orders".columns = { id = "pseudonym", tenant_id = "pseudonym", contact_id = "pseudonym" }
tables."public.events".columns = { tenant_id = "pseudonym", at = "behaviour", what = "free-text" }
tables."public.history".columns = { id = "none", tenant_id = "pseudonym", what = "behaviour" }
tables."public.summary" = { erase = "refresh", columns = { tenant_id = "pseudonym", n = "none", first = "contact" } }
[tables."public.contacts"]
large_objects = ["photo"]
[tables."public.contacts".columns]
id = "pseudonym"
tenant_id = "pseudonym"
email = "contact"
chief = "pseudonym"
photo = "identity"
country = "location"
[tables."public.lines"]
via = { columns = ["order_id"], parent = "public.orders", key = ["id"] }
columns = { id = "pseudonym", order_id = "pseudonym", note = "free-text" }
"#;

/// What customer 2 has in [`TABLES`], by table.
pub const ROWS: [(&str, u64); 5] =
    [("contacts", 400), ("events", 300), ("history", 30), ("lines", 1600), ("orders", 800)];

pub struct Ground {
    pub cluster: Cluster,
    pub map: DataMap,
}

/// A server with an empty database `shared`.
pub async fn cluster() -> Cluster {
    let cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
    let parameters = [
        ("max_locks_per_transaction", "512"),
        ("autovacuum", "off"),
        ("wal_level", "logical"),
        ("shared_preload_libraries", "pg_stat_statements"),
    ];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let cluster = Cluster::start(Settings { cache, parameters, ..Settings::default() }).await.expect("a cluster");
    cluster.create_database("shared").await.expect("a database");
    cluster
}

/// The superuser's road.
pub fn road(cluster: &Cluster) -> Road {
    Road::new(&Secret::new(cluster.superuser_dsn("postgres")), None).expect("a road")
}

pub async fn connect(cluster: &Cluster, database: &str) -> Connection {
    road(cluster).connect(database).await.expect("a connection")
}

pub fn map(text: &str) -> DataMap {
    DataMap::parse("datamap.toml", text).expect("a data map")
}

/// Prepares `database` and lets the maintenance role in by the socket.
pub async fn prepared(cluster: &Cluster, database: &str) {
    let notes = prepare(&connect(cluster, database).await).await.expect("prepared").notes;
    assert!(notes.is_empty() || database == "postgres", "{notes:?}");
    let hba = cluster.directory().join("data/pg_hba.conf");
    let lines = std::fs::read_to_string(&hba).expect("pg_hba.conf");
    std::fs::write(&hba, format!("local all portreeve_maintenance trust\n{lines}")).expect("written");
    cluster.run_sql("postgres", "select pg_reload_conf()").await.expect("reloaded");
    let began = Instant::now();
    while let Err(error) = maintenance(cluster).connect(database).await {
        assert!(began.elapsed() < Duration::from_secs(10), "{error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn maintenance_dsn(cluster: &Cluster) -> String {
    cluster.superuser_dsn("postgres").replace("user=postgres", "user=portreeve_maintenance")
}

/// The maintenance role's road: no superuser.
pub fn maintenance(cluster: &Cluster) -> Road {
    Road::new(&Secret::new(maintenance_dsn(cluster)), None).expect("a road")
}

/// Small batches, no rest.
pub fn pace() -> Pace {
    Pace { rows_first: 100, rows_max: 100, rest_percent: 0, ..Pace::default() }
}

pub async fn purge(
    road: &Road,
    id: &str,
    map: &DataMap,
    digest: &str,
    events: &mut Vec<Event>,
) -> Result<Outcome, Error> {
    let (_keep, stop) = watch::channel(false);
    let mut tell = |event: &Event| events.push(event.clone());
    let mut control = Control { may_run: &|| true, stop, tell: &mut tell };
    let purge = Purge { road, database: "shared", id, before: &[], map, customer: "2", digest, pace: pace() };
    purge.run(&mut control).await
}

impl Ground {
    /// The tables, prepared.
    pub async fn new() -> Ground {
        Ground::with("").await
    }

    /// The tables and what `sql` makes of them, prepared.
    pub async fn with(sql: &str) -> Ground {
        let cluster = cluster().await;
        cluster.run_sql("shared", TABLES).await.expect("tables");
        cluster.run_sql("shared", sql).await.expect("more");
        prepared(&cluster, "shared").await;
        Ground { cluster, map: map(MAP) }
    }

    pub async fn connection(&self) -> Connection {
        maintenance(&self.cluster).connect("shared").await.expect("a connection")
    }

    pub async fn catalog(&self) -> Catalog {
        catalog(&self.connection().await).await.expect("a catalog")
    }

    pub async fn plan(&self) -> Plan {
        plan(&self.map, &self.catalog().await, "2").expect("a plan")
    }

    pub async fn purge(&self, id: &str) -> Result<Outcome, Error> {
        self.purge_telling(id, &mut Vec::new()).await
    }

    pub async fn purge_telling(&self, id: &str, events: &mut Vec<Event>) -> Result<Outcome, Error> {
        let digest = self.plan().await.digest();
        purge(&maintenance(&self.cluster), id, &self.map, &digest, events).await
    }

    /// The first column of all rows.
    pub async fn column(&self, sql: &str) -> Vec<String> {
        let rows = self.cluster.run_sql("shared", sql).await.expect(sql);
        rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect()
    }

    /// A digest of everything that is not customer 2's.
    pub async fn others(&self) -> Vec<String> {
        self.column(
            "select md5(coalesce(string_agg(c::text, ',' order by id), '')) from contacts c where tenant_id <> 2
             union all select md5(coalesce(string_agg(o::text, ',' order by id), '')) from orders o where tenant_id <> 2
             union all select md5(string_agg(l::text, ',' order by l.id)) from lines l join orders o on o.id = order_id
                 where tenant_id <> 2
             union all select md5(string_agg(e::text, ',' order by e::text)) from events e where tenant_id <> 2
             union all select md5(string_agg(h::text, ',' order by id)) from history h where tenant_id <> 2
             union all select count(*)::text from countries",
        )
        .await
    }
}

/// Rows gone by table, in the order of the names.
pub fn counts(outcome: &Outcome) -> Vec<(String, u64)> {
    let (Outcome::Done(gone) | Outcome::Stopped(gone)) = outcome;
    gone.iter().map(|gone| (gone.table.name.clone(), gone.rows)).collect()
}

pub fn all_rows() -> Vec<(String, u64)> {
    ROWS.map(|(table, rows)| (table.to_owned(), rows)).to_vec()
}
