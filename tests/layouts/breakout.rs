//! Every known way out, from `breakout.toml`, tried from real sessions through the gate: each layout and scope, on
//! PostgreSQL 15 and 18. What nothing stops is tried too, so that the list of it stays true.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::{STAFF, Settings, Stage};
use portreeve::fence::{schema_role, scope_role};
use portreeve::grant::Scope;
use portreeve::net::tls_connect::{VerifiedTls, client_config};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config};

use crate::ground::{MAP, TABLES, Version, ask, words};

const WITHIN: Duration = Duration::from_secs(20);
const ALL: [&str; 3] = ["database", "shared", "schema"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Corpus {
    case: Vec<Case>,
    open: Vec<Open>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    layouts: Option<Vec<String>>,
    scopes: Option<Vec<Scoped>>,
    options: Option<String>,
    setup: Option<String>,
    undo: Option<String>,
    sql: Vec<String>,
    second: Option<Vec<String>>,
    refused: Option<String>,
    nothing: Option<bool>,
    owner: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    name: String,
    layouts: Option<Vec<String>>,
    scopes: Option<Vec<Scoped>>,
    setup: Option<String>,
    undo: Option<String>,
    sql: String,
    shows: String,
    reason: String,
}

/// A scope as the file writes it.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Scoped {
    Metadata,
    Read,
    Write,
}

impl Scoped {
    const ALL: [Scoped; 3] = [Scoped::Metadata, Scoped::Read, Scoped::Write];

    fn scope(self) -> Scope {
        match self {
            Scoped::Metadata => Scope::Metadata,
            Scoped::Read => Scope::Read,
            Scoped::Write => Scope::Write,
        }
    }
}

/// One customer and its neighbour, in one layout.
struct Home {
    layout: &'static str,
    database: &'static str,
    customer: &'static str,
    /// In every text of the neighbour's rows, and in none of the customer's.
    stranger: &'static str,
    other: &'static str,
}

/// The neighbours' numbers are this large, and no number of the customers' is.
const STRANGE: i64 = 1_000_000;

impl Home {
    /// Whether there is something of the neighbour in what was answered.
    fn is_seen_in(&self, rows: &[String]) -> bool {
        let is_strange = |word: &str| word.parse::<i64>().is_ok_and(|number| number >= STRANGE);
        rows.iter().any(|row| row.contains(self.stranger) || row.split(' ').any(is_strange))
    }
}

const HOMES: [Home; 3] = [
    Home { layout: "database", database: "acme", customer: "acme", stranger: "globex", other: "globex.contacts" },
    Home { layout: "shared", database: "shared", customer: "initech", stranger: "umbrella", other: "contacts" },
    Home { layout: "schema", database: "crm", customer: "one", stranger: "two", other: "two.contacts" },
];

/// The customers' tables in databases of their own, with the same columns.
const OWN: &str = "
set role app;
create table contacts (id serial primary key, email text not null, country text, v int);
insert into contacts (email, country, v) select current_database() || g, 'NL',
    g + case current_database() when 'globex' then 1000000 else 0 end from generate_series(1, 300) g;
create table orders (id int primary key, total_cents int);
reset role; analyze";

const SHARED_MAP: &str = r#"
version = 1
layout = "shared"
tenant = "tenant_id"
tables."public.contacts".columns.tenant_id = "pseudonym"
tables."public.contacts".columns.id = "pseudonym"
tables."public.contacts".columns.full_name = "identity"
tables."public.contacts".columns.email = "contact"
tables."public.contacts".columns.country = "location"
tables."public.contacts".columns.v = "none"
tables."public.orders".columns.tenant_id = "pseudonym"
tables."public.orders".columns.id = "pseudonym"
tables."public.orders".columns.contact_id = "pseudonym"
tables."public.orders".columns.total_cents = "none"
tables."public.orders".columns.placed_at = "behaviour"
tables."public.countries" = { erase = "keep", reason = "the same for all", columns = { code = "none", name = "none" } }
"#;

async fn stage(version: Version) -> Stage {
    let mut settings = Settings::new(env!("CARGO_BIN_EXE_portreeve"));
    settings.cache = Some(Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned());
    settings.bin = Some(version.bin());
    settings.seed = false;
    settings.lines.push(("limits".to_owned(), "connections_per_address = 1000".to_owned()));
    let stage = Stage::set_up(settings).await.expect("a stage");
    for database in ["acme", "globex"] {
        stage.cluster.run_sql(database, OWN).await.expect("tables");
    }
    stage.cluster.create_database("crm").await.expect("a database");
    stage.cluster.run_sql("crm", &TABLES.replace("'acme', 'globex'", "'one', 'two'")).await.expect("tables");
    let marked = "set role app; update two.contacts set v = v + 1000000; reset role; analyze";
    stage.cluster.run_sql("crm", marked).await.expect("the neighbour's mark");
    let v = "set role app; alter table contacts add v int;
        update contacts set v = id + case tenant_id when 8 then 1000000 else 0 end; reset role; analyze";
    stage.cluster.run_sql("shared", v).await.expect("a column");
    let file = |name: &str, text: &str| {
        std::fs::write(stage.path(name), text).expect("a file");
        stage.path(name).display().to_string()
    };
    let own = file("own.toml", &MAP.replace("*.", "public."));
    let shared = file("shared.toml", SHARED_MAP);
    let schemas = file("schemas.toml", MAP);
    stage.fence("acme", &["--datamap", &own]).expect("a fence");
    stage.fence("globex", &["--datamap", &own]).expect("a fence");
    stage.fence("shared", &["--datamap", &shared]).expect("a fence");
    stage.fence("crm", &["--layout", "schema", "--all-schemas", "--datamap", &schemas]).expect("a fence");
    for customer in ["one", "two"] {
        stage.register(customer, &["--database", "crm", "--schema", customer]).expect("a customer");
    }
    stage
}

async fn sign_in(stage: &Stage, customer: &str, options: &str) -> Result<Client, String> {
    let ca = &stage.cluster.certificates().gate_ca;
    let tls = client_config(ca, None).and_then(|config| VerifiedTls::new(config, "localhost")).expect("the gate's CA");
    let mut config = Config::new();
    config.user(STAFF).password(stage.secret(&format!("{STAFF}.password")).expect("a password")).dbname(customer);
    config.options(options).ssl_mode(SslMode::Require);
    let tcp = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], stage.gate_port()))).await.expect("the gate");
    let (client, connection) = config.connect_raw(tcp, tls).await.map_err(|error| words(&error))?;
    tokio::spawn(connection);
    Ok(client)
}

/// Until no role of a grant is left: neither what the self-test said before counts any more, nor what somebody has kept
/// with their role.
async fn all_closed(stage: &Stage) {
    let until = Instant::now() + WITHIN;
    let roles = "select count(*) from pg_roles where rolname ~ '^pr_g_'";
    while stage.cluster.run_sql("postgres", roles).await.expect("an answer") != [[Some("0".to_owned())]] {
        assert!(Instant::now() < until, "roles outlive their sessions");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A session in which these were asked one after the other, and what the last one answered; else what stopped it.
async fn asked(session: Result<Client, String>, sql: &[String]) -> Result<(Client, Vec<String>), String> {
    let (client, mut answer) = (session?, Vec::new());
    for sql in sql {
        answer = ask(&client, sql).await?;
    }
    Ok((client, answer))
}

/// What is wrong with how it was stopped, if anything.
async fn fault(stage: &Stage, home: &Home, scope: Scope, case: &Case) -> Option<String> {
    let carrier = match home.layout {
        "schema" => schema_role(home.database, home.customer, scope),
        _ => scope_role(home.database, scope),
    };
    all_closed(stage).await;
    if let Some(setup) = &case.setup {
        stage.cluster.run_sql(home.database, setup).await.expect("the vendor's side");
    }
    let (customer, options) = match case.options.as_deref() {
        Some("customer=nobody-else") => (home.stranger, ""),
        Some(options) => (home.customer, options),
        None => (home.customer, ""),
    };
    let filled = |sql: &String| sql.replace("$other", home.other).replace("$carrier", &carrier);
    let in_turn = |sql: &[String]| sql.iter().map(filled).collect::<Vec<_>>();
    let owners = format!("begin; set local role app; {}; rollback", in_turn(&case.sql).join("; "));
    let allowed =
        if case.owner == Some(true) { stage.cluster.run_sql(home.database, &owners).await.err() } else { None };
    let mut last = asked(sign_in(stage, customer, options).await, &in_turn(&case.sql)).await;
    // The first is still there meanwhile: both are the same role's.
    let mut first = None;
    if let (Some(second), true) = (&case.second, last.is_ok()) {
        first = last.ok();
        last = asked(sign_in(stage, customer, options).await, &in_turn(second)).await;
    }
    drop(first);
    if let Some(undo) = &case.undo {
        stage.cluster.run_sql(home.database, undo).await.expect("taken back");
    }
    if let Some(error) = allowed {
        return Some(format!("it is not the gate that stops it: its owner is refused, too: {error}"));
    }
    match (last, &case.refused, case.nothing) {
        (Err(error), Some(code), None) if error.starts_with(code.trim_start_matches("start-up: ")) => None,
        (Ok((_, rows)), None, Some(true)) => {
            home.is_seen_in(&rows).then(|| format!("it shows {:.200}", rows.join(" ")))
        }
        (Ok((_, rows)), Some(code), _) => Some(format!("{code} was expected, and it answered {:.200}", rows.concat())),
        (Err(error), _, _) => Some(format!("it was refused with {error}")),
        (Ok(_), None, _) => Some("the case says neither refused nor nothing".to_owned()),
    }
}

async fn still_open(stage: &Stage, home: &Home, open: &Open) -> Option<String> {
    assert!(open.reason.len() > 10, "{}: a reason", open.name);
    all_closed(stage).await;
    if let Some(setup) = &open.setup {
        stage.cluster.run_sql(home.database, setup).await.expect("the vendor's side");
    }
    let answer = match sign_in(stage, home.customer, "").await {
        Ok(client) => ask(&client, &open.sql).await,
        Err(error) => Err(error),
    };
    if let Some(undo) = &open.undo {
        stage.cluster.run_sql(home.database, undo).await.expect("taken back");
    }
    match answer {
        Ok(rows) if rows.join(" ").contains(&open.shows) => None,
        Ok(rows) => Some(format!("it shows {:.200}, and not {}: strike it off the list", rows.join(" "), open.shows)),
        Err(error) => Some(format!("it is refused ({error}): move it to the cases")),
    }
}

/// That what is looked for can be found: it is in each of the neighbour's rows.
async fn marked(stage: &Stage) {
    for home in &HOMES {
        let (database, table) =
            if home.layout == "database" { ("globex", "contacts") } else { (home.database, home.other) };
        let strange = if home.layout == "shared" { " where tenant_id = 8" } else { "" };
        for column in ["v", "email"] {
            let sql = format!("select {column} from {table}{strange}");
            let rows = stage.cluster.run_sql(database, &sql).await.expect("rows").into_iter();
            let rows: Vec<_> = rows.map(|row| row.into_iter().flatten().collect::<String>()).collect();
            let found = rows.iter().filter(|row| home.is_seen_in(std::slice::from_ref(row))).count();
            assert!(found == rows.len() && found > 0, "{} {column}: {found} of {}", home.layout, rows.len());
        }
    }
}

/// That there are statistics for those who may see them.
async fn has_statistics(stage: &Stage) {
    let sql =
        "select 1 from pg_stats where tablename = 'contacts' and attname = 'email' and histogram_bounds is not null";
    for database in ["acme", "shared", "crm"] {
        assert!(!stage.cluster.run_sql(database, sql).await.expect("rows").is_empty(), "{database}");
    }
}

/// What must stay as it is: everything of the neighbours.
async fn neighbours(stage: &Stage) -> Vec<Vec<Vec<Option<String>>>> {
    let mut rows = Vec::new();
    for (database, sql) in [
        ("globex", "select md5(string_agg(c::text, ',' order by id)) from contacts c"),
        ("shared", "select md5(string_agg(c::text, ',' order by id)) from contacts c where tenant_id = 8"),
        ("shared", "select md5(string_agg(o::text, ',' order by id)) from orders o where tenant_id = 8"),
        ("crm", "select md5(string_agg(c::text, ',' order by id)) from two.contacts c"),
    ] {
        rows.push(stage.cluster.run_sql(database, sql).await.expect("rows"));
    }
    rows
}

async fn on(version: Version) {
    let corpus: Corpus = toml::from_str(include_str!("breakout.toml")).expect("a corpus");
    let stage = stage(version).await;
    marked(&stage).await;
    has_statistics(&stage).await;
    let before = neighbours(&stage).await;
    let (mut tried, mut faults) = (BTreeMap::new(), Vec::new());
    for home in &HOMES {
        let body = r#"{"mode":"standing","scope":"write"}"#;
        // The neighbour's owner allows it too: it is the grant that is missing there.
        for customer in [home.customer, home.stranger] {
            let (status, answer) = stage.set_consent(customer, body).expect("an answer");
            assert_eq!(status, 200, "{answer}");
        }
        for scoped in Scoped::ALL {
            let scope = scoped.scope();
            stage.grant(home.customer, scope.word()).expect("a grant");
            let is_here = |layouts: &Option<Vec<String>>, scopes: &Option<Vec<Scoped>>| {
                layouts.as_ref().is_none_or(|layouts| layouts.iter().any(|layout| layout == home.layout))
                    && scopes.as_ref().is_none_or(|scopes| scopes.contains(&scoped))
            };
            for case in corpus.case.iter().filter(|case| is_here(&case.layouts, &case.scopes)) {
                *tried.entry(case.name.clone()).or_insert(0) += 1;
                if let Some(fault) = fault(&stage, home, scope, case).await {
                    faults.push(format!("{} {scope}: {}: {fault}", home.layout, case.name));
                }
            }
            for open in corpus.open.iter().filter(|open| is_here(&open.layouts, &open.scopes)) {
                *tried.entry(open.name.clone()).or_insert(0) += 1;
                if let Some(fault) = still_open(&stage, home, open).await {
                    faults.push(format!("{} {scope}: open: {}: {fault}", home.layout, open.name));
                }
            }
        }
    }
    let log = || std::fs::read_to_string(stage.path("proxy.log")).expect("the proxy's log");
    assert!(faults.is_empty(), "{version:?}: {} of {tried:?}:\n{}\n{}", faults.len(), faults.join("\n"), log());
    assert_eq!(neighbours(&stage).await, before, "a neighbour's rows");
    let of = |layouts: &Option<Vec<String>>| layouts.iter().flatten().all(|layout| ALL.contains(&layout.as_str()));
    assert!(corpus.case.iter().all(|case| of(&case.layouts)) && corpus.open.iter().all(|open| of(&open.layouts)));
    println!("{version:?}: {} tries of {} ways", tried.values().sum::<i32>(), tried.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_every_known_way_out_is_stopped_on_15() {
    on(Version::Fifteen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_every_known_way_out_is_stopped_on_18() {
    on(Version::Eighteen).await;
}
