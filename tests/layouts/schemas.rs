//! A schema per customer: what a grant reaches, what it does not, and that the application notices nothing.

use portreeve::cli::demo::cluster::PROVISIONER;
use portreeve::fence::{Layout, Schemas, schema_role};
use portreeve::grant::Scope;

use crate::ground::{Ground, Version, ask, found, one, schemas, wanted};

const DENIED: &str = "42501 permission denied";

#[tokio::test]
async fn a_grant_reaches_its_schema_and_no_other() {
    for version in Version::BOTH {
        let ground = Ground::fenced(version).await;
        let reader = ground.acme("pr_g_1", Scope::Read).await;
        for (sql, answer) in [
            ("select count(*), min(left(email, 4)) from acme.contacts", "300 acme"),
            ("select count(*) from contacts", "300"),
            ("select cents from totals", "505000"),
            ("select count from countries", "300"),
            ("show search_path", "acme, public"),
            ("select last_value from contacts_id_seq", "300"),
        ] {
            assert_eq!(one(&reader, sql).await, answer, "{version:?}: {sql}");
        }
        let writer = ground.acme("pr_g_2", Scope::Write).await;
        assert_eq!(one(&writer, "insert into contacts (email) values ('new') returning id").await, "301");
        assert_eq!(one(&writer, "delete from contacts where id = 301 returning id").await, "301");
        for client in [&reader, &writer] {
            for sql in [
                "select count(*) from globex.contacts",
                "select * from globex.totals",
                "select * from globex.countries",
                "select last_value from globex.contacts_id_seq",
                "insert into globex.contacts (email) values ('x')",
                "select * from public.plans",
                "truncate contacts",
                "create table acme.mine (id int)",
                "create table public.mine (id int)",
                "set search_path = globex; select * from globex.orders",
            ] {
                let refused = one(client, sql).await;
                assert!(refused.starts_with(DENIED), "{version:?}: {sql}: {refused}");
            }
        }
        for role in [schema_role("crm", "globex", Scope::Read), schema_role("crm", "acme", Scope::Write)] {
            let refused = one(&reader, &format!("set role \"{role}\"")).await;
            assert!(refused.starts_with("42501 permission denied to set role"), "{refused}");
        }
        let carrier = schema_role("crm", "acme", Scope::Read);
        let own = one(&reader, &format!("set role \"{carrier}\"; select count(*) from globex.contacts")).await;
        assert!(own.starts_with("42501"), "{own}");
        for (role, scope) in [("pr_g_1", Scope::Read), ("pr_g_2", Scope::Write)] {
            let report = ground.test(role, scope).await;
            assert!(report.is_sound(), "{version:?}: {report:#?}");
            assert!(found(&report.remarks).contains(&"catalogs"), "{report:#?}");
        }
    }
}

#[tokio::test]
async fn the_applications_plans_and_results_stay_the_same() {
    let queries = [
        "select * from acme.contacts where v = 5",
        "select count(*) from globex.contacts c join globex.orders o on o.contact = c.id where c.email like 'g%'",
        "select * from acme.totals",
        "update acme.contacts set v = v where id = -1",
    ];
    let ground = Ground::bare(Version::Fifteen).await;
    let mut seen = Vec::new();
    for fenced in [false, true] {
        if fenced {
            ground.apply(schemas(&["acme", "globex"]), None).await.expect("applied");
        }
        let mut answers = Vec::new();
        for query in queries {
            answers.push(ground.run(&format!("set session authorization app; explain {query}")).await);
            answers.push(ground.run(&format!("set session authorization app; begin; {query}; rollback")).await);
        }
        seen.push(answers);
    }
    assert_eq!(seen.first(), seen.last());
}

#[tokio::test]
async fn customers_come_and_go_one_at_a_time() {
    let ground = Ground::bare(Version::Eighteen).await;
    let nothing = ground.apply(schemas(&[]), None).await.expect_err("no schema");
    assert!(nothing.contains("--schema NAME for each, or --all-schemas"), "{nothing}");
    for (odd, says) in
        [("public", "open to everybody"), ("pg_toast", "the system's"), ("nowhere", "there is no schema")]
    {
        let refused = ground.apply(schemas(&[odd]), None).await.expect_err("no customer's");
        assert!(refused.contains(says), "{refused}");
    }
    ground.apply(schemas(&["acme"]), None).await.expect("applied");
    let missing = ground.open("pr_g_0", Scope::Read, "globex").await.expect_err("not fenced yet").to_string();
    assert!(
        missing.contains("schema globex of database crm is not fenced") && missing.contains("--schema globex"),
        "{missing}"
    );
    let nobody = ground.fence.open_grant("crm", "pr_g_0", Scope::Read, "x", crate::ground::in_an_hour(), 1).await;
    let nobody = nobody.expect_err("whose?").to_string();
    assert!(nobody.contains("no tenant key and no schema"), "{nobody}");
    let steps = ground.apply(Layout::Schema(Schemas { named: Vec::new(), all: true }), None).await.expect("applied");
    assert!(steps.iter().any(|step| step.contains("globex")), "{steps:#?}");
    assert!(!steps.iter().any(|step| step.contains("acme")), "acme stands already: {steps:#?}");
    assert_eq!(ground.apply(Layout::AsItIs, None).await, Ok(Vec::new()));
    ground.run("set role app; create table acme.news (id int); drop schema globex cascade").await;
    let steps = ground.apply(Layout::AsItIs, None).await.expect("applied");
    assert!(steps.iter().any(|step| step.contains("select on table acme.news")), "{steps:#?}");
    assert_eq!(steps.iter().filter(|step| step.contains("schema globex is gone")).count(), 2, "{steps:#?}");
    let otherwise = ground.apply(Layout::Database, None).await.expect_err("not while schemas are customers'");
    assert!(otherwise.contains("portreeve fence remove"), "{otherwise}");
    let reader = ground.acme("pr_g_1", Scope::Read).await;
    assert_eq!(one(&reader, "select count(*) from news").await, "0");
    ground.fence.end("crm", "pr_g_1", std::time::Duration::from_secs(5)).await.expect("gone");
    assert!(ground.fence.close_grant("crm", "pr_g_1").await.expect("closed"));
    assert_eq!(
        ground.value("select count(*) from pg_db_role_setting where setconfig::text ~ 'search_path'").await,
        "0"
    );
}

/// All that the fence could change.
/// Whatever a fence changes.
pub const EVERYTHING: &str = "
select 'schema ' || nspname, array(select a::text from unnest(coalesce(nspacl, acldefault('n', nspowner))) a order by 1)::text
from pg_namespace where nspname !~ '^pg_(toast|temp)' union all
select 'table ' || oid::regclass, array(select a::text from unnest(coalesce(relacl,
    acldefault(case relkind when 'S' then 's'::\"char\" else 'r'::\"char\" end, relowner))) a order by 1)::text
from pg_class where relnamespace in (select oid from pg_namespace where nspname !~ '^(pg_|information)') and relkind <> 'i'
union all
select 'column ' || attrelid::regclass || '.' || attname, attacl::text from pg_attribute where attacl is not null union all
select 'database ' || datname, array(select a::text from unnest(coalesce(datacl, acldefault('d', datdba))) a order by 1)::text
from pg_database union all
select 'role ' || rolname, null from pg_roles union all
select 'function ' || oid::regprocedure, proacl::text from pg_proc where proacl is not null union all
select 'policy ' || polrelid::regclass || ' ' || polname, pg_get_expr(polqual, polrelid) from pg_policy union all
select 'row security ' || oid::regclass, relrowsecurity::text from pg_class where relkind in ('r', 'p') and oid >= 16384 union all
select 'setting ' || setrole::text, setconfig::text from pg_db_role_setting
order by 1, 2";

#[tokio::test]
async fn removing_it_restores_the_catalog() {
    for version in Version::BOTH {
        let ground = Ground::bare(version).await;
        let before = ground.run(EVERYTHING).await;
        ground.apply(schemas(&["acme", "globex"]), Some(crate::ground::MAP)).await.expect("applied");
        assert_ne!(ground.run(EVERYTHING).await, before);
        let removed = ground.superuser().await.remove(PROVISIONER).await.expect("removed");
        assert!(removed.left.is_empty(), "{removed:#?}");
        let after = ground.run(EVERYTHING).await;
        for line in after.iter().filter(|line| !before.contains(line)) {
            println!("{version:?}: not before: {line:?}");
        }
        assert_eq!(after, before);
        ground.apply(schemas(&["acme"]), None).await.expect("and up again");
    }
}

#[tokio::test]
async fn two_grants_at_once_do_not_see_each_other() {
    let ground = Ground::fenced(Version::Eighteen).await;
    let acme = ground.acme("pr_g_1", Scope::Read).await;
    ground.open("pr_g_2", Scope::Write, "globex").await.expect("a grant");
    let globex = ground.sign_in("pr_g_2").await.expect("signed in");
    assert_eq!(one(&acme, "select min(left(email, 6)) from contacts").await, "acme1");
    assert_eq!(one(&globex, "select min(left(email, 6)) from contacts").await, "globex");
    assert!(one(&globex, "select * from acme.contacts").await.starts_with(DENIED));
    let pid = one(&globex, "select pg_backend_pid()").await;
    for sql in ["select pg_cancel_backend($)", "select pg_terminate_backend($)"] {
        let refused = one(&acme, &sql.replace('$', &pid)).await;
        assert!(refused.starts_with("42501"), "{refused}");
    }
    let seen = one(&acme, &format!("select query from pg_stat_activity where pid = {pid}")).await;
    assert_eq!(seen, "<insufficient privilege>");
    assert_eq!(ask(&globex, "select 1").await, Ok(vec!["1".to_owned()]));
}

#[tokio::test]
async fn a_copy_of_a_fenced_database_leaves_the_roles_of_the_first_alone() {
    let ground = Ground::fenced(Version::Fifteen).await;
    ground.cluster.run_sql("postgres", "create database copy template crm").await.expect("a copy");
    ground.cluster.run_sql("copy", "drop schema globex cascade").await.expect("one customer less");
    let dsn = portreeve::secret::Secret::new(ground.cluster.superuser_dsn("copy"));
    let mut superuser = portreeve::fence::Superuser::connect(&dsn, "copy", None).await.expect("a superuser");
    let nothing =
        superuser.apply(&wanted(Layout::AsItIs)).await.expect_err("whose it is was said of the first").to_string();
    assert!(nothing.contains("no schema is named"), "{nothing}");
    let applied = superuser.apply(&wanted(schemas(&["acme"]))).await.expect("applied");
    assert!(!applied.steps.iter().any(|step| step.contains("globex")), "{applied:#?}");
    let first =
        "select string_agg(rolname, ' ' order by rolname) from pg_roles where rolname ~ '^portreeve_crm.globex'";
    assert_eq!(ground.value(first).await.split(' ').count(), 3, "the first lost its roles");
    assert_eq!(
        ground.apply(Layout::AsItIs, Some(crate::ground::MAP)).await,
        Ok(Vec::new()),
        "the first stands as before"
    );
}

#[tokio::test]
async fn what_was_done_before_it_failed_is_told() {
    let ground = Ground::bare(Version::Eighteen).await;
    let many = "do $$ begin for n in 100..200 loop execute format('create schema c%s', n); end loop; end $$;
        create function public.no() returns event_trigger language plpgsql as
            'begin if current_query() ~ (''on schema c'' || ''(100|200)'') then raise exception ''not this one''; end if; end';
        create event trigger no on ddl_command_end execute function public.no()";
    ground.run(many).await;
    let all = || Layout::Schema(Schemas { named: Vec::new(), all: true });
    let carriers = "select count(*) from pg_roles where rolname ~ '^portreeve_crm.c1'";
    let refused = ground.apply(all(), None).await.expect_err("the first fails");
    assert!(refused.contains("nothing was changed: cannot grant usage on schema c100"), "{refused}");
    assert_eq!(ground.value(carriers).await, "0");
    ground
        .run(
            "create or replace function public.no() returns event_trigger language plpgsql as
        'begin if current_query() ~ (''on schema c'' || ''200'') then raise exception ''not this one''; end if; end'",
        )
        .await;
    let refused = ground.apply(all(), None).await.expect_err("the last fails");
    assert!(refused.contains("steps were taken and stay; apply again goes on from there"), "{refused}");
    assert!(!refused.contains("nothing was changed"), "{refused}");
    assert_ne!(ground.value(carriers).await, "0");
    ground.run("drop event trigger no").await;
    let steps = ground.apply(all(), None).await.expect("it goes on");
    assert!(!steps.is_empty() && !steps.iter().any(|step| step.contains("on schema c150")), "{steps:#?}");
}
