//! What a reader of one tenant sees, whatever they try.

use futures_util::TryStreamExt as _;
use portreeve::fence::{Error, Place};
use portreeve::grant::Scope;

use crate::ground::{Ground, ask, in_an_hour, one};

const DENIED: &str = "42501";

#[tokio::test]
async fn a_reader_sees_one_customers_rows_and_no_others() {
    let ground = Ground::fenced().await;
    let seven = ground.seven("pr_g_1", Scope::Read).await;
    for (sql, answer) in [
        ("select count(*), min(tenant_id), max(tenant_id) from contacts", "300 7 7"),
        ("select count(*) from contacts where tenant_id = 8", "0"),
        ("select count(*) from contacts where tenant_id <> 7 or v < 1000000", "300"),
        ("select count(*), min(account) from notes", "100 7"),
        ("select count(*) from notes where account is null", "0"),
        ("select string_agg(code, ' ' order by code) from countries", "NL SE"),
        ("select count(*), min(tenant_id), max(tenant_id) from events", "30 7 7"),
        ("select count(*), min(tenant_id), max(tenant_id) from emails", "300 7 7"),
        ("select count(*), max(tenant_id) from contacts c join notes n on n.account = c.tenant_id", "30000 7"),
        ("table countries limit 1", "NL"),
        ("select count(*) from (values (1)) v union all select count(*) from contacts", "1; 300"),
        ("with c as materialized (select * from contacts) select count(*) from c", "300"),
        ("select count(*) from contacts tablesample system (100)", "300"),
        ("select count(*) from only events", "0"),
    ] {
        assert_eq!(one(&seven, sql).await, answer, "{sql}");
    }
    for (sql, code) in [
        ("select * from passwords", DENIED),
        ("select * from events_old", DENIED),
        ("select * from totals", DENIED),
        ("select * from summary", DENIED),
        ("select last_value from contacts_id_seq", DENIED),
        ("select * from portreeve.grants", DENIED),
        ("select * from portreeve.shared_tables", DENIED),
        ("select * from pg_statistic", DENIED),
        ("update contacts set v = 1", DENIED),
        ("select * from contacts for update", DENIED),
        ("create temporary table t (x int)", DENIED),
        ("alter table contacts disable row level security", DENIED),
        ("drop policy portreeve_fence on contacts", DENIED),
        ("set role app", DENIED),
        ("set session authorization app", DENIED),
        ("set role app_owner", DENIED),
        ("select portreeve.open_grant('pr_g_2', 'read', '', now(), 1, '8')", DENIED),
    ] {
        let refused = one(&seven, sql).await;
        assert!(refused.starts_with(code), "{sql}: {refused}");
    }
    assert_eq!(one(&seven, "select count(*) from pg_stats where tablename = 'contacts'").await, "0");
    ground.open("pr_g_8", Scope::Read, "8").await.expect("a grant");
    let eight = ground.sign_in("pr_g_8", "").await.expect("signed in");
    assert_eq!(one(&eight, "select count(*), min(tenant_id), max(tenant_id) from contacts").await, "300 8 8");
    assert_eq!(one(&seven, "select count(*), min(tenant_id), max(tenant_id) from contacts").await, "300 7 7");
}

#[tokio::test]
async fn roles_settings_and_start_up_options_are_of_no_use() {
    let ground = Ground::fenced().await;
    let seven = ground.seven("pr_g_1", Scope::Read).await;
    const COUNT: &str = "select count(*), min(tenant_id), max(tenant_id) from contacts";
    for before in [
        "set role portreeve_shared_read",
        "reset role",
        "set role none",
        "set app.tenant = '8'",
        "select set_config('app.tenant', '8', false)",
        "begin",
        "set local role portreeve_shared_read",
        "commit",
        "set enable_indexscan = off",
        "set plan_cache_mode = force_generic_plan",
        "discard all",
    ] {
        ask(&seven, before).await.expect(before);
        assert_eq!(one(&seven, COUNT).await, "300 7 7", "after {before}");
    }
    let refused = one(&seven, "set session_replication_role = origin").await;
    assert!(refused.starts_with("42501"), "{refused}");
    ask(&seven, "set role portreeve_staff").await.expect("it is a member");
    assert!(one(&seven, COUNT).await.starts_with(DENIED), "portreeve_staff itself may nothing");
    ask(&seven, "reset role").await.expect("reset");
    ask(&seven, "set row_security = off").await.expect("anybody may");
    let refused = one(&seven, COUNT).await;
    assert!(refused.starts_with("42501 query would be affected by row-level security"), "{refused}");
    ask(&seven, "set row_security = on").await.expect("anybody may");
    for (options, answer) in [
        ("-c row_security=off", "42501"),
        ("-c app.tenant=8", "300 7 7"),
        ("-c role=portreeve_shared_read", "300 7 7"),
        ("-c search_path=portreeve", "300 7 7"),
    ] {
        let client = ground.sign_in("pr_g_1", options).await.expect(options);
        let answered = one(&client, &COUNT.replace("contacts", "public.contacts")).await;
        assert!(answered.starts_with(answer), "{options}: {answered}");
    }
    let refused = ground.sign_in("pr_g_1", "-c session_authorization=app").await.expect_err("not a superuser");
    assert!(refused.starts_with(DENIED), "{refused}");
    for by_itself in
        ["alter role pr_g_1 set row_security = off", "alter role pr_g_1 set role = 'portreeve_shared_read'"]
    {
        ask(&seven, by_itself).await.expect("its own settings");
    }
    let again = ground.sign_in("pr_g_1", "").await.expect("signed in");
    let answered = one(&again, COUNT).await;
    assert!(answered.starts_with(DENIED), "row_security = off makes an error, not a hole: {answered}");
    ask(&again, "set row_security = on").await.expect("anybody may");
    assert_eq!(one(&again, COUNT).await, "300 7 7");
}

#[tokio::test]
async fn copy_cursors_and_prepared_statements_honour_it() {
    let ground = Ground::fenced().await;
    let seven = ground.seven("pr_g_1", Scope::Read).await;
    for sql in ["copy contacts to stdout", "copy (select * from contacts) to stdout", "copy (table emails) to stdout"] {
        let stream = seven.copy_out(sql).await.expect(sql);
        let lines: Vec<bytes::Bytes> = stream.try_collect().await.expect("rows");
        let text = String::from_utf8(lines.concat()).expect("text");
        assert_eq!(text.lines().count(), 300, "{sql}");
    }
    // a partitioned table cannot be copied by name, only by a query
    let events: Vec<bytes::Bytes> = seven
        .copy_out("copy (select * from events) to stdout")
        .await
        .expect("a query")
        .try_collect()
        .await
        .expect("rows");
    assert_eq!(String::from_utf8(events.concat()).expect("text").lines().count(), 30);
    let prepared = seven.prepare("select count(*) from contacts where tenant_id = any ($1)").await.expect("prepared");
    for _ in 0..8 {
        let row = seven.query_one(&prepared, &[&vec![6, 7, 8]]).await.expect("a row");
        assert_eq!(row.get::<_, i64>(0), 300, "generic and custom plans alike");
    }
    ask(&seven, "prepare p as select count(*) from contacts; set role portreeve_shared_read").await.expect("prepared");
    assert_eq!(one(&seven, "execute p").await, "300");
    ask(&seven, "reset role; begin; declare c cursor with hold for select * from contacts; commit")
        .await
        .expect("held");
    assert_eq!(ask(&seven, "fetch all from c").await.expect("rows").len(), 300);
    ask(&seven, "do $$ begin if (select count(*) from contacts) <> 300 then raise 'leak'; end if; end $$")
        .await
        .expect("no leak");
    // a function that is cheap and tells what it sees does not see the others' rows
    let told = one(&seven, "select count(*) from contacts where 1 / (tenant_id - 8) < 99").await;
    assert_eq!(told, "300", "the user's condition ran before the policy: {told}");
}

#[tokio::test]
async fn the_fence_uses_the_tenants_index_and_asks_once() {
    let ground = Ground::fenced().await;
    let seven = ground.seven("pr_g_1", Scope::Read).await;
    let plan = ask(&seven, "explain (costs off) select * from contacts where v = 5").await.expect("a plan").join("\n");
    assert!(plan.contains("InitPlan") && plan.contains("Index Cond: (tenant_id = $0)"), "{plan}");
}

#[tokio::test]
async fn the_applications_own_policies_stay_and_apply_to_staff_where_they_restrict() {
    let ground = Ground::fenced().await;
    let seven = ground.seven("pr_g_1", Scope::Read).await;
    assert_eq!(one(&seven, "select count(*), min(tenant_id), bool_or(is_secret) from documents").await, "20 7 f");
    let app = ground.application().await;
    ask(&app, "set app.tenant = '8'").await.expect("set");
    assert_eq!(one(&app, "select count(*), min(tenant_id), max(tenant_id) from documents").await, "20 8 8");
}

#[tokio::test]
async fn a_grant_needs_the_tenant_as_its_column_writes_it() {
    let ground = Ground::fenced().await;
    for (tenant, says) in [
        ("07", "--tenant '7'"),
        (" 7", "--tenant '7'"),
        ("seven", "stands in the tenant columns"),
        ("99999999999", "stands in"),
    ] {
        let refused = ground.open("pr_g_1", Scope::Read, tenant).await.expect_err(tenant);
        assert!(matches!(&refused, Error::Refused { message, .. } if message.contains(says)), "{tenant}: {refused}");
    }
    let verifier = postgres_protocol::password::scram_sha_256(b"x");
    let whole = ground.fence.open_grant("shared", "pr_g_1", Scope::Read, &verifier, in_an_hour(), 1).await;
    let whole = whole.expect_err("no tenant").to_string();
    assert!(whole.contains("has no tenant key") && whole.contains("--tenant"), "{whole}");
    assert_eq!(ground.run("select count(*) from pg_roles where rolname ~ '^pr_g_'").await, [[Some("0".to_owned())]]);
    let layout = portreeve::fence::Layout::Database;
    ground.cluster.create_database("acme").await.expect("a database");
    let dsn = portreeve::secret::Secret::new(ground.cluster.superuser_dsn("acme"));
    let mut acme = portreeve::fence::Superuser::connect(&dsn, "acme", None).await.expect("a superuser");
    acme.apply(&crate::ground::wanted(layout)).await.expect("applied");
    let place = Place { database: "acme", tenant: Some("7") };
    let tenant = ground.fence.open_grant(place, "pr_g_1", Scope::Read, &verifier, in_an_hour(), 1).await;
    let tenant = tenant.expect_err("not shared").to_string();
    assert!(tenant.contains("not fenced for several customers") && tenant.contains("--layout shared"), "{tenant}");
}

#[tokio::test]
async fn tenant_columns_may_be_numbers_uuids_and_texts() {
    let ground = Ground::fenced().await;
    const UUID: &str = "5f0c9a52-7f3e-4c63-8d0b-3c8b7a0a2f11";
    for (kind, key, odd) in [
        ("smallint", "7", Some("+7")),
        ("bigint", "9000000000", Some("9e9")),
        ("uuid", UUID, Some("5F0C9A52-7F3E-4C63-8D0B-3C8B7A0A2F11")),
        ("text", "Initech, 'Ltd'", None),
        ("varchar(40)", "initech", None),
    ] {
        let kind_name = kind.split('(').next().unwrap_or(kind);
        let database = format!("by_{kind_name}");
        ground.cluster.create_database(&database).await.expect("a database");
        let literal = key.replace('\'', "''");
        let rows = format!(
            "create table t (id int, \"the tenant\" {kind}); insert into t values (1, '{literal}'), (2, null); \
             insert into t select 3, case '{kind_name}' when 'uuid' then gen_random_uuid()::text else '8' end::{kind}"
        );
        ground.cluster.run_sql(&database, &rows).await.expect("rows");
        let dsn = portreeve::secret::Secret::new(ground.cluster.superuser_dsn(&database));
        let mut superuser = portreeve::fence::Superuser::connect(&dsn, &database, None).await.expect("a superuser");
        let shared = portreeve::fence::Shared { tenant_column: Some("the tenant".to_owned()), ..Default::default() };
        let layout = portreeve::fence::Layout::Shared(shared);
        superuser.apply(&crate::ground::wanted(layout)).await.expect("applied");
        let role = format!("pr_g_{kind_name}");
        let verifier = postgres_protocol::password::scram_sha_256(role.as_bytes());
        let open = async |tenant| {
            let place = Place { database: &database, tenant: Some(tenant) };
            ground.fence.open_grant(place, &role, Scope::Read, &verifier, in_an_hour(), 1).await
        };
        if let Some(odd) = odd {
            open(odd).await.expect_err("another way to write it");
        }
        open(key).await.expect("a grant");
        let seen = format!("set session authorization {role}; select id from t");
        let seen = ground.cluster.run_sql(&database, &seen).await.expect("rows");
        assert_eq!(seen, [[Some("1".to_owned())]], "{kind}");
        let report = ground.fence.self_test(database.as_str(), &role, Scope::Read).await.expect("a report");
        assert!(report.is_sound(), "{kind}: {report:#?}");
    }
}

/// What the application's next release brings: a partition more, row security forced on the owner too, and a table
/// whose tenant column is gone.
#[tokio::test]
async fn what_changes_under_the_fence_stays_fenced_or_is_found() {
    let ground = Ground::fenced().await;
    let seven = ground.seven("pr_g_1", Scope::Read).await;
    ground
        .run(
            "alter table events detach partition events_new;
             create table events_2025 partition of events for values from ('2025-01-01') to ('2026-01-01');
             insert into events select tenant_id, at, what from events_new where at < '2026-01-01';
             alter table contacts force row level security",
        )
        .await;
    assert_eq!(one(&seven, "select count(*), min(tenant_id), max(tenant_id) from events").await, "30 7 7");
    assert!(one(&seven, "select * from events_2025").await.starts_with(DENIED), "a new partition is granted to nobody");
    assert_eq!(one(&seven, "select count(*), min(tenant_id), max(tenant_id) from contacts").await, "300 7 7");
    let app = ground.application().await;
    assert_eq!(one(&app, "select count(*) from contacts").await, "30000", "forced on everybody, and still open to it");
    let report = ground.test("pr_g_1", Scope::Read).await;
    assert!(report.is_sound(), "{report:#?}");
    ground.run("alter table notes drop column account cascade").await;
    let report = ground.test("pr_g_1", Scope::Read).await;
    assert!(crate::ground::found(&report.refusals).contains(&"unfenced:public.notes"), "{report:#?}");
}
