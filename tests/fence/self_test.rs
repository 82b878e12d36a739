//! The self-test on a real PostgreSQL: each way out of the fence is found, by name.

use crate::ground::{Ground, ask, fence_of, upstream_of, wanted};
use portreeve::cli::demo::cluster::PROVISIONER;
use portreeve::fence::{Accepted, Fence, Finding, Report};
use portreeve::grant::Scope;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum In {
    Refusals,
    Strict,
    Remarks,
}

fn words(report: &Report, place: In) -> Vec<&str> {
    let findings: &[Finding] = match place {
        In::Refusals => &report.refusals,
        In::Strict => &report.strict,
        In::Remarks => &report.remarks,
    };
    findings.iter().map(|finding| finding.word.as_str()).collect()
}

/// What is done as superuser, undone again, and the one word that must stand where it says, and be new there.
const WAYS_OUT: &[(&str, &str, In, &str)] = &[
    ("alter role pr_g_t_1 superuser", "alter role pr_g_t_1 nosuperuser", In::Refusals, "superuser"),
    (
        "alter role portreeve_acme_read bypassrls",
        "alter role portreeve_acme_read nobypassrls",
        In::Refusals,
        "bypassrls",
    ),
    ("alter role portreeve_staff createdb", "alter role portreeve_staff nocreatedb", In::Refusals, "createdb"),
    ("alter role pr_g_t_1 createrole", "alter role pr_g_t_1 nocreaterole", In::Refusals, "createrole"),
    ("alter role pr_g_t_1 replication", "alter role pr_g_t_1 noreplication", In::Refusals, "replication"),
    ("grant app to pr_g_t_1", "revoke app from pr_g_t_1", In::Refusals, "membership:app"),
    (
        "grant portreeve_acme_write to portreeve_acme_read",
        "revoke portreeve_acme_write from portreeve_acme_read",
        In::Refusals,
        "membership:portreeve_acme_write",
    ),
    (
        "grant pg_read_server_files to portreeve_staff",
        "revoke pg_read_server_files from portreeve_staff",
        In::Refusals,
        "membership:pg_read_server_files",
    ),
    (
        "grant pg_execute_server_program to pr_g_t_1",
        "revoke pg_execute_server_program from pr_g_t_1",
        In::Refusals,
        "membership:pg_execute_server_program",
    ),
    (
        "grant portreeve_acme_read to pr_g_t_1 with admin option",
        "revoke admin option for portreeve_acme_read from pr_g_t_1",
        In::Refusals,
        "membership:admin",
    ),
    (
        "alter sequence counter owner to pr_g_t_1",
        "alter sequence counter owner to app; grant select on sequence counter to portreeve_acme_read",
        In::Refusals,
        "owner",
    ),
    (
        "grant connect on database globex to public",
        "revoke connect on database globex from public",
        In::Refusals,
        "connect:globex",
    ),
    (
        "grant connect on database postgres to portreeve_staff",
        "revoke connect on database postgres from portreeve_staff",
        In::Refusals,
        "connect:postgres",
    ),
    ("grant update on orders to public", "revoke update on orders from public", In::Refusals, "write:public.orders"),
    (
        "grant update (total) on orders to portreeve_staff",
        "revoke update (total) on orders from portreeve_staff",
        In::Refusals,
        "write:public.orders",
    ),
    (
        "grant truncate on orders to portreeve_acme_read",
        "revoke truncate on orders from portreeve_acme_read",
        In::Refusals,
        "write:public.orders",
    ),
    (
        "grant trigger on orders to portreeve_acme_read",
        "revoke trigger on orders from portreeve_acme_read",
        In::Refusals,
        "write:public.orders",
    ),
    ("grant insert on totals to public", "revoke insert on totals from public", In::Refusals, "write:public.totals"),
    (
        "grant usage on sequence counter to public",
        "revoke usage on sequence counter from public",
        In::Refusals,
        "write:public.counter",
    ),
    (
        "select lo_create(99); grant update on large object 99 to public",
        "select lo_unlink(99)",
        In::Refusals,
        "write:large-object",
    ),
    (
        "alter database acme set lo_compat_privileges = on",
        "alter database acme reset lo_compat_privileges",
        In::Refusals,
        "lo-compat",
    ),
    (
        "grant create on schema public to public",
        "revoke create on schema public from public",
        In::Refusals,
        "create:public",
    ),
    (
        "grant create on database acme to portreeve_staff",
        "revoke create on database acme from portreeve_staff",
        In::Refusals,
        "create",
    ),
    (
        "grant set on parameter session_replication_role to public",
        "revoke set on parameter session_replication_role from public",
        In::Refusals,
        "parameter:session_replication_role",
    ),
    (
        "create function total(at_least integer) returns bigint language sql security definer as 'select 1::bigint'",
        "drop function total",
        In::Refusals,
        "definer:public.total(integer)",
    ),
    ("create extension dblink", "drop extension dblink", In::Refusals, "extension:dblink"),
    ("create extension postgres_fdw", "drop extension postgres_fdw cascade", In::Refusals, "extension:postgres_fdw"),
    (
        "create extension file_fdw; create server files foreign data wrapper file_fdw; \
         grant usage on foreign server files to public",
        "drop extension file_fdw cascade",
        In::Refusals,
        "server:files",
    ),
    (
        "create extension file_fdw; grant usage on foreign data wrapper file_fdw to public",
        "drop extension file_fdw cascade",
        In::Refusals,
        "fdw:file_fdw",
    ),
    (
        "create extension postgres_fdw; create server far foreign data wrapper postgres_fdw; \
         create user mapping for public server far",
        "drop extension postgres_fdw cascade",
        In::Refusals,
        "user-mapping:far",
    ),
    (
        "create extension file_fdw; create server files foreign data wrapper file_fdw; \
         create foreign table passwords (line text) server files options (filename '/etc/passwd'); \
         grant select on passwords to public",
        "drop extension file_fdw cascade",
        In::Refusals,
        "foreign-table:public.passwords",
    ),
    (
        "alter role portreeve_provisioner createrole",
        "alter role portreeve_provisioner nocreaterole",
        In::Refusals,
        "provisioner:createrole",
    ),
    (
        "grant pg_signal_backend to portreeve_provisioner",
        "revoke pg_signal_backend from portreeve_provisioner",
        In::Refusals,
        "provisioner:pg_signal_backend",
    ),
    ("alter schema portreeve owner to app", "alter schema portreeve owner to postgres", In::Refusals, "install"),
    (
        "revoke portreeve_staff from portreeve_acme_read",
        "grant portreeve_staff to portreeve_acme_read",
        In::Refusals,
        "scope",
    ),
    ("grant temporary on database acme to public", "revoke temporary on database acme from public", In::Strict, "temp"),
    (
        "create function mine() returns int volatile language c as '$libdir/plpgsql', 'plpgsql_call_handler'",
        "drop function mine",
        In::Strict,
        "public-functions",
    ),
    ("create table fresh (id int)", "drop table fresh", In::Remarks, "ungranted"),
    ("create extension refint", "drop extension refint", In::Remarks, "extension:refint"),
];

#[tokio::test]
async fn each_way_out_is_found_and_found_gone() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Read).await;
    let test = async || {
        // lo_compat_privileges belongs to a session: each test by a new connection
        fence_of(&ground.cluster).self_test("acme", "pr_g_t_1", Scope::Read).await.expect("a report")
    };
    let before = test().await;
    assert!(before.is_sound(), "{before:#?}");
    let mut missed = Vec::new();
    for (open, close, place, word) in WAYS_OUT {
        ground.cluster.run_sql("acme", open).await.unwrap_or_else(|error| panic!("{open}: {error}"));
        let found = test().await;
        if words(&before, *place).contains(word) || !words(&found, *place).contains(word) {
            missed.push(format!("{open}: no {word} in {:?}", words(&found, *place)));
        }
        ground.cluster.run_sql("acme", close).await.unwrap_or_else(|error| panic!("{close}: {error}"));
        let after = test().await;
        if after != before {
            missed.push(format!("{close}: {after:#?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// The self-test is repeated while sessions are open: what they may do must not end them, nor each other's.
#[tokio::test]
async fn what_a_session_makes_for_itself_is_no_finding() {
    let ground = Ground::new().await;
    ground.cluster.run_sql("acme", "grant temporary on database acme to public").await.expect("granted");
    for (role, scope) in [("pr_g_t_1", Scope::Read), ("pr_g_t_2", Scope::Read), ("pr_g_t_3", Scope::Write)] {
        ground.open(role, scope).await;
    }
    for (maker, scope) in [("pr_g_t_1", Scope::Read), ("pr_g_t_3", Scope::Write)] {
        let session = ground.sign_in("acme", maker).await.expect("signed in");
        for sql in [
            "create temporary table mine (id serial primary key, name text); insert into mine values (1, 'a')",
            "create temporary view seen as select * from orders",
            "create type pg_temp.kind as enum ('a', 'b')",
            "create function pg_temp.all_of_them() returns bigint language sql security definer as 'select 1::bigint'",
            "grant all on mine to public",
            "alter default privileges grant select on tables to public",
            "select lo_create(0)",
            "alter role current_user set work_mem = '8MB'",
        ] {
            ask(&session, sql).await.unwrap_or_else(|error| panic!("{maker}: {sql}: {error}"));
        }
        for (role, of) in [(maker, scope), ("pr_g_t_2", Scope::Read)] {
            let report = ground.fence.self_test("acme", role, of).await.expect("a report");
            assert!(report.is_sound(), "{role}, after what {maker} made: {report:#?}");
        }
    }
}

#[tokio::test]
async fn a_writer_is_examined_for_what_goes_beyond_writing() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Write).await;
    ground
        .cluster
        .run_sql("acme", "grant truncate on orders to public; grant update on sequence counter to public")
        .await
        .expect("granted");
    let report = ground.fence.self_test("acme", "pr_g_t_1", Scope::Write).await.expect("a report");
    assert_eq!(words(&report, In::Refusals), ["beyond-write:public.counter", "beyond-write:public.orders"]);
    // a reader's role must not be taken for a writer's
    ground.open("pr_g_t_2", Scope::Read).await;
    let report = ground.fence.self_test("acme", "pr_g_t_2", Scope::Write).await.expect("a report");
    assert!(words(&report, In::Refusals).contains(&"scope"), "{report:#?}");
}

#[tokio::test]
async fn a_role_that_is_not_there_is_refused() {
    let ground = Ground::new().await;
    let report = ground.fence.self_test("acme", "pr_g_none", Scope::Read).await.expect("a report");
    assert!(words(&report, In::Refusals).contains(&"missing"), "{report:#?}");
}

#[tokio::test]
async fn prepared_transactions_are_refused() {
    let ground = Ground::with(&[("max_prepared_transactions", "5")]).await;
    ground.open("pr_g_t_1", Scope::Read).await;
    let report = ground.fence.self_test("acme", "pr_g_t_1", Scope::Read).await.expect("a report");
    assert_eq!(words(&report, In::Refusals), ["prepared-transactions"]);
}

#[tokio::test]
async fn what_is_accepted_in_writing_is_shown_with_its_reason() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Read).await;
    let accept = |word: &str| Accepted { word: word.to_owned(), reason: format!("{word} was looked at") };
    let usual = ["notify", "alter-self", "advisory-locks", "large-objects", "logical-messages"];
    let mut accepted: Vec<Accepted> = usual.into_iter().map(accept).collect();
    accepted.extend(["connect", "superuser", "membership:app"].map(accept));
    let fence = Fence::accepting(upstream_of(&ground.cluster), accepted).expect("a fence");
    let report = fence.self_test("acme", "pr_g_t_1", Scope::Read).await.expect("a report");
    assert!(report.may_overlap(), "{report:#?}");
    assert_eq!(report.accepted.len(), usual.len());
    assert!(report.accepted.iter().all(|(finding, reason)| *reason == format!("{} was looked at", finding.word)));

    ground
        .cluster
        .run_sql("acme", "grant connect on database globex to public; grant app to pr_g_t_1")
        .await
        .expect("granted");
    let report = fence.self_test("acme", "pr_g_t_1", Scope::Read).await.expect("a report");
    assert!(words(&report, In::Refusals).contains(&"membership:app"), "this cannot be accepted: {report:#?}");
    assert!(!words(&report, In::Refusals).contains(&"connect:globex"), "all of a kind were accepted: {report:#?}");
}

#[tokio::test]
async fn another_road_past_the_proxy_is_told() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Read).await;
    let hba = ground.cluster.directory().join("data/pg_hba.conf");
    let lines = std::fs::read_to_string(&hba).expect("a file");
    for (change, told) in [
        (lines.replace(" clientcert=verify-ca", ""), true),
        (
            lines.replace(
                "host    all       +portreeve_staff       all           reject\n",
                "hostssl all all all scram-sha-256\n",
            ),
            true,
        ),
        (format!("nonsense\n{lines}"), true),
        (lines.clone(), false),
    ] {
        std::fs::write(&hba, change).expect("written");
        let report = ground.fence.self_test("acme", "pr_g_t_1", Scope::Read).await.expect("a report");
        assert_eq!(words(&report, In::Remarks).contains(&"unprotected"), told, "{report:#?}");
        assert!(report.is_sound());
    }
}

#[tokio::test]
async fn a_provisioner_that_may_come_from_anywhere_is_told() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Read).await;
    let hba = ground.cluster.directory().join("data/pg_hba.conf");
    let lines = std::fs::read_to_string(&hba).expect("a file");
    let own = "portreeve_provisioner  127.0.0.1/32  scram-sha-256 clientcert=verify-ca";
    assert!(lines.contains(own), "{lines}");
    for (change, told) in [
        (lines.replace(own, "portreeve_provisioner  all  scram-sha-256"), true),
        (
            lines.replace("host    all       all                    all           reject", "hostssl all all all md5"),
            true,
        ),
        (lines.replace(" clientcert=verify-ca", ""), false),
        (lines.clone(), false),
    ] {
        std::fs::write(&hba, change).expect("written");
        let report = ground.fence.self_test("acme", "pr_g_t_1", Scope::Read).await.expect("a report");
        assert_eq!(words(&report, In::Remarks).contains(&"provisioner-anywhere"), told, "{report:#?}");
        assert!(report.is_sound());
    }
}

#[tokio::test]
async fn revoking_from_public_makes_reads_overlap_but_for_what_cannot_be_revoked() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Read).await;
    let mut wanted = wanted();
    wanted.revoke_public = ["advisory-locks", "large-objects", "logical-messages"]
        .iter()
        .map(|word| word.parse().expect("a word"))
        .collect();
    ground.superuser("acme").await.apply(&wanted).await.expect("applied");
    let report = ground.fence.self_test("acme", "pr_g_t_1", Scope::Read).await.expect("a report");
    assert_eq!(words(&report, In::Strict), ["alter-self", "notify"]);
    let reader = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    for statement in
        ["select pg_advisory_lock(1)", "select lo_create(0)", "select pg_logical_emit_message(true, 'a', 'b')"]
    {
        let refused = ask(&reader, statement).await.expect_err("revoked");
        assert!(refused.starts_with("42501"), "{statement}: {refused}");
    }
    ask(&reader, "select pg_advisory_unlock_all()").await.expect("what pools of connections do");
    let may = "select has_function_privilege('app', 'pg_advisory_lock(bigint)', 'execute')";
    assert_eq!(ground.value("acme", may).await, "t", "the application keeps it");
    ground.superuser("acme").await.remove(PROVISIONER).await.expect_err("a grant is open");
}
