//! The scope `metadata`: the columns that the data map calls not personal, and nothing else, in every layout.

use portreeve::fence::{Layout, Place, Shared, Wanted};
use portreeve::grant::Scope;

use crate::ground::{Ground, MAP, Version, in_an_hour, map, one, schemas, wanted};

const DENIED: &str = "42501 permission denied";

#[tokio::test]
async fn columns_without_personal_data_can_be_read_and_no_others() {
    for version in Version::BOTH {
        let ground = Ground::fenced(version).await;
        let support = ground.acme("pr_g_1", Scope::Metadata).await;
        for (sql, answer) in [
            ("select count(*), sum(v) from contacts", "300 45150"),
            ("select sum(cents) from orders where id <= 2", "300"),
            ("select v from contacts order by v limit 1", "1"),
        ] {
            assert_eq!(one(&support, sql).await, answer, "{version:?}: {sql}");
        }
        for sql in [
            "select * from contacts",
            "select email from contacts",
            "select c from contacts c",
            "select to_jsonb(c) from contacts c",
            "select v from contacts where email like 'a%'",
            "select v from contacts order by email",
            "select count(*) from contacts c join orders o on o.contact = c.id",
            "copy contacts to stdout",
            "copy contacts (email) to stdout",
            "select ctid, email from contacts",
            "select * from totals",
            "select * from countries",
            "select last_value from contacts_id_seq",
            "update contacts set v = 0",
            "select v from contacts for update",
            "select v from globex.contacts",
            "create statistics acme.s on v, email from contacts",
        ] {
            let refused = one(&support, sql).await;
            assert!(refused.starts_with("42501"), "{version:?}: {sql}: {refused}");
        }
        let hidden = "select count(*) from pg_stats where schemaname = 'acme' and attname = 'email'";
        assert_eq!(one(&support, hidden).await, "0", "{version:?}: statistics show values");
        let report = ground.test("pr_g_1", Scope::Metadata).await;
        assert!(report.is_sound(), "{version:?}: {report:#?}");
    }
}

#[tokio::test]
async fn a_map_that_changes_changes_the_columns() {
    let ground = Ground::fenced(Version::Fifteen).await;
    let support = ground.acme("pr_g_1", Scope::Metadata).await;
    assert_eq!(ground.apply(Layout::AsItIs, Some(MAP)).await, Ok(Vec::new()), "it stands");
    assert_eq!(ground.apply(Layout::AsItIs, None).await, Ok(Vec::new()), "without a map it stays");
    let stricter = MAP.replace("v = \"none\"", "v = \"behaviour\"");
    let steps = ground.apply(Layout::AsItIs, Some(&stricter)).await.expect("applied");
    assert!(steps.iter().any(|step| step.starts_with("revoke select (v) on table acme.contacts")), "{steps:#?}");
    assert!(one(&support, "select v from contacts").await.starts_with(DENIED));
    ground
        .run(&format!(
            "grant select on acme.orders to \"{}\"",
            portreeve::fence::schema_role("crm", "acme", Scope::Metadata)
        ))
        .await;
    let steps = ground.apply(Layout::AsItIs, Some(&stricter)).await.expect("applied");
    assert!(steps.iter().any(|step| step.starts_with("revoke all on table acme.orders")), "{steps:#?}");
    // What was taken with the whole table is given back column by column, by the same run.
    assert_eq!(one(&support, "select sum(cents) from orders where id <= 2").await, "300");
    assert!(one(&support, "select contact from orders").await.starts_with(DENIED));
}

#[tokio::test]
async fn a_granted_column_that_was_dropped_is_in_nobodys_way() {
    for version in Version::BOTH {
        let ground = Ground::fenced(version).await;
        let support = ground.acme("pr_g_1", Scope::Metadata).await;
        ground.run("alter table acme.orders add column w int; grant select (w) on acme.orders to public").await;
        ground.run("alter table acme.orders drop column cents cascade, drop column w").await;
        let steps = ground.apply(Layout::AsItIs, Some(MAP)).await;
        assert_eq!(steps, Ok(Vec::new()), "{version:?}");
        let report = ground.test("pr_g_1", Scope::Metadata).await;
        assert!(report.is_sound(), "{version:?}: {report:#?}");
        assert_eq!(one(&support, "select count(*) from orders").await, "100", "{version:?}");
    }
}

#[tokio::test]
async fn without_a_data_map_it_is_refused_and_says_why() {
    let ground = Ground::bare(Version::Fifteen).await;
    let plan = ground.superuser().await.plan(&wanted(schemas(&["acme"]))).await.expect("a plan");
    assert!(plan.notes.iter().any(|note| note.contains("portreeve datamap scan")), "{plan:#?}");
    ground.apply(schemas(&["acme"]), None).await.expect("applied");
    let refused = ground.open("pr_g_1", Scope::Metadata, "acme").await.expect_err("no map").to_string();
    assert!(refused.contains("scope 'metadata' is not set up") && refused.contains("--datamap"), "{refused}");
    let other = MAP.replace("layout = \"database\"", "layout = \"shared\"\ntenant = \"v\"");
    let refused = ground.apply(schemas(&["acme"]), Some(&other)).await.expect_err("another layout");
    assert!(refused.contains("data map is of another layout"), "{refused}");
}

const SHARED: &str = "
set role app;
create table contacts (id serial primary key, tenant_id int not null, email text, v int);
insert into contacts (tenant_id, email, v) select g % 10, 'e' || g, g from generate_series(1, 1000) g;
create table secrets (id int primary key, what text);
reset role; analyze";

const SHARED_MAP: &str = r#"
version = 1
layout = "shared"
tenant = "tenant_id"
tables."public.contacts".columns = { id = "none", tenant_id = "pseudonym", email = "contact", v = "none" }
tables."public.secrets" = { erase = "keep", reason = "keys of ours", columns = { id = "none", what = "none" } }
"#;

#[tokio::test]
async fn in_shared_tables_the_policy_holds_without_the_tenant_column() {
    let ground = Ground::bare(Version::Eighteen).await;
    ground.cluster.create_database("shared").await.expect("a database");
    ground.cluster.run_sql("shared", SHARED).await.expect("tables");
    ground.run("revoke connect on database crm from public").await;
    let dsn = portreeve::secret::Secret::new(ground.cluster.superuser_dsn("shared"));
    let mut superuser = portreeve::fence::Superuser::connect(&dsn, "shared", None).await.expect("a superuser");
    let shared =
        Shared { tenant_column: Some("tenant_id".to_owned()), nobody: vec!["secrets".to_owned()], ..Shared::default() };
    let explain = "set session authorization app; explain select * from contacts where v = 5";
    let before = ground.cluster.run_sql("shared", explain).await.expect("a plan");
    let wanted = Wanted { impersonal: Some(map(SHARED_MAP)), ..wanted(Layout::Shared(shared)) };
    superuser.apply(&wanted).await.expect("applied");
    assert_eq!(ground.cluster.run_sql("shared", explain).await.expect("a plan"), before, "the application's plan");
    assert!(superuser.apply(&wanted).await.expect("again").steps.is_empty());
    let place = Place { database: "shared", tenant: Some("7") };
    let verifier = postgres_protocol::password::scram_sha_256(b"pr_g_7");
    ground.fence.open_grant(place, "pr_g_7", Scope::Metadata, &verifier, in_an_hour(), 8).await.expect("a grant");
    let support = ground.sign_in_to("shared", "pr_g_7").await.expect("signed in");
    assert_eq!(one(&support, "select count(*), min(v % 10), max(v % 10) from contacts").await, "100 7 7");
    for sql in [
        "select tenant_id from contacts",
        "select email from contacts",
        "select * from secrets",
        "select id from secrets",
    ] {
        let refused = one(&support, sql).await;
        assert!(refused.starts_with(DENIED), "{sql}: {refused}");
    }
    let report = ground.fence.self_test(place, "pr_g_7", Scope::Metadata).await.expect("a report");
    assert!(report.is_sound(), "{report:#?}");
}
