//! Each layout's fence goes up, is examined under each scope, and comes down, on both versions; and beside an application that
//! holds what it needs it gives up soon, says so, and has changed nothing.

use std::time::{Duration, Instant};

use portreeve::cli::demo::cluster::PROVISIONER;
use portreeve::fence::{Error, Layout, Place, Shared, Wanted};
use portreeve::grant::Scope;
use tokio_postgres::{Client, NoTls};

use crate::ground::{Ground, MAP, TABLES, Version, cluster, in_an_hour, map, one, schemas, upstream_of, wanted};
use crate::schemas::EVERYTHING;

/// One wait for a lock is two seconds; a removal may wait for several.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(30);

/// One customer's tables, who has the whole database.
const OWN: &str = "
set role app;
create table contacts (id serial primary key, email text not null, country text, v int);
insert into contacts (email, country, v) select 'acme' || g, 'NL', g from generate_series(1, 300) g;
create table orders (id int primary key, contact int references contacts, cents bigint);
reset role; analyze";

/// Tables that customers 7 and 8 share.
const SHARED: &str = "
set role app;
create table contacts (id serial primary key, tenant int not null, email text not null, country text, v int);
insert into contacts (tenant, email, country, v)
    select 7 + g % 2, case g % 2 when 0 then 'acme' else 'globex' end || g, 'NL', g from generate_series(1, 600) g;
reset role; analyze";

const SHARED_MAP: &str = r#"
version = 1
layout = "shared"
tenant = "tenant"
tables."public.contacts".columns.id = "pseudonym"
tables."public.contacts".columns.tenant = "pseudonym"
tables."public.contacts".columns.email = "contact"
tables."public.contacts".columns.country = "location"
tables."public.contacts".columns.v = "none"
"#;

struct Case {
    name: &'static str,
    tables: &'static str,
    layout: Layout,
    map: String,
    tenant: Option<&'static str>,
    contacts: &'static str,
    /// What the application does in a transaction that it leaves open.
    held: &'static str,
}

fn cases() -> [Case; 3] {
    let tenant_column = Some("tenant".to_owned());
    let shared = Shared { tenant_column, own: vec![], everybody: vec![], nobody: vec![], without_copy: vec![] };
    [
        Case {
            name: "database",
            tables: OWN,
            layout: Layout::Database,
            map: MAP.replace("*.", "public."),
            tenant: None,
            contacts: "contacts",
            held: "grant references on contacts to app",
        },
        Case {
            name: "shared",
            tables: SHARED,
            layout: Layout::Shared(shared),
            map: SHARED_MAP.to_owned(),
            tenant: Some("7"),
            contacts: "contacts",
            held: "select count(*) from contacts",
        },
        Case {
            name: "schema",
            tables: TABLES,
            layout: schemas(&["acme", "globex"]),
            map: MAP.to_owned(),
            tenant: Some("acme"),
            contacts: "acme.contacts",
            held: "grant references on acme.contacts to app",
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_a_fence_goes_up_and_down_or_changes_nothing_on_15() {
    for case in cases() {
        goes_up_and_down(Version::Fifteen, &case).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_a_fence_goes_up_and_down_or_changes_nothing_on_18() {
    for case in cases() {
        goes_up_and_down(Version::Eighteen, &case).await;
    }
}

async fn goes_up_and_down(version: Version, case: &Case) {
    let name = format!("{version:?}, {}", case.name);
    let cluster = cluster(version, &[]).await;
    cluster.create_database("crm").await.expect("a database");
    cluster.run_sql("crm", case.tables).await.expect("tables");
    let fence = portreeve::fence::Fence::new(upstream_of(&cluster)).expect("a fence");
    let ground = Ground { cluster, fence };
    let wanted = Wanted { impersonal: Some(map(&case.map)), ..wanted(case.layout.clone()) };
    let before = ground.run(EVERYTHING).await;
    let plan = ground.superuser().await.plan(&wanted).await.expect("a plan");
    assert!(!plan.steps.is_empty() && plan.blockers.is_empty(), "{name}: {plan:#?}");
    assert_eq!(ground.run(EVERYTHING).await, before, "{name}: a plan changes nothing");

    let holder = holder(&ground, case.held).await;
    let refused = given_up(async { ground.superuser().await.apply(&wanted).await.map(drop) }, &name).await;
    holder.batch_execute("rollback").await.expect("let go");
    assert_eq!(ground.run(EVERYTHING).await, before, "{name}: {refused}");

    ground.superuser().await.apply(&wanted).await.unwrap_or_else(|error| unreachable!("{name}: {error}"));
    let again = ground.superuser().await.apply(&wanted).await.expect("once more");
    assert_eq!(again.steps, Vec::<String>::new(), "{name}: what stands is not done again");
    holds(&ground, case, &name).await;

    let applied = ground.run(EVERYTHING).await;
    holder.batch_execute(&format!("begin; {}", case.held)).await.expect("held");
    let refused = given_up(async { ground.superuser().await.remove(PROVISIONER).await.map(drop) }, &name).await;
    holder.batch_execute("rollback").await.expect("let go");
    assert_eq!(ground.run(EVERYTHING).await, applied, "{name}: {refused}");
    holds(&ground, case, &name).await;

    let removed = ground.superuser().await.remove(PROVISIONER).await.expect("removed");
    assert!(removed.left.is_empty(), "{name}: {removed:#?}");
    assert_eq!(ground.run(EVERYTHING).await, before, "{name}: as before");
}

/// Somebody in the midst of a transaction.
async fn holder(ground: &Ground, held: &str) -> Client {
    let dsn = ground.cluster.superuser_dsn("crm");
    let (client, connection) = tokio_postgres::connect(&dsn, NoTls).await.expect("connected");
    tokio::spawn(connection);
    client.batch_execute(&format!("begin; {held}")).await.expect("held");
    client
}

/// What is said when it is not waited for longer.
async fn given_up(work: impl Future<Output = Result<(), Error>>, name: &str) -> String {
    let began = Instant::now();
    let refused = work.await.expect_err("somebody holds what it needs").to_string();
    assert!(began.elapsed() < GIVEN_UP_WITHIN, "{name}: it waited for {:?}", began.elapsed());
    assert!(refused.contains("nothing was changed") && refused.contains("lock timeout"), "{name}: {refused}");
    refused
}

/// A grant of each scope is sound, reaches what it should and nothing of the other customer's.
async fn holds(ground: &Ground, case: &Case, name: &str) {
    let place = Place { database: "crm", tenant: case.tenant };
    for (scope, role) in [(Scope::Metadata, "pr_g_m"), (Scope::Read, "pr_g_r"), (Scope::Write, "pr_g_w")] {
        let verifier = postgres_protocol::password::scram_sha_256(role.as_bytes());
        let opened = ground.fence.open_grant(place, role, scope, &verifier, in_an_hour(), 8).await;
        opened.unwrap_or_else(|error| unreachable!("{name} {scope}: {error}"));
        let report = ground.fence.self_test(place, role, scope).await.expect("a report");
        assert!(report.is_sound(), "{name} {scope}: {report:#?}");
        let client = ground.sign_in(role).await.expect("signed in");
        let sql = format!("select count(v) from {}", case.contacts);
        assert_eq!(one(&client, &sql).await, "300", "{name} {scope}: its own rows and no others");
        let personal = one(&client, &format!("select count(email) from {}", case.contacts)).await;
        assert_eq!(personal.starts_with("42501"), scope == Scope::Metadata, "{name} {scope}: {personal}");
        let changed = one(&client, &format!("update {} set v = v", case.contacts)).await;
        assert_eq!(changed.starts_with("42501"), scope != Scope::Write, "{name} {scope}: {changed}");
        drop(client);
        ground.fence.end("crm", role, Duration::from_secs(5)).await.expect("ended");
        assert!(ground.fence.close_grant("crm", role).await.expect("closed"), "{name} {scope}");
    }
}
