//! The fence on a real PostgreSQL: what a grant opens, what it does not, how it ends, and what the self-test sees.

use std::time::{Duration, Instant};

use crate::ground::{Ground, HOUR, ask, fence_of, in_an_hour, upstream_of, verifier, wanted};
use portreeve::cli::demo::cluster::PROVISIONER;
use portreeve::clock::{Clock, SystemClock, Timestamp};
use portreeve::fence::{Error, Expected, Fate, Fence, Report, Road, family, grant_role};
use portreeve::grant::Scope;

const SECOND: Duration = Duration::from_secs(1);

fn sqlstate<T: std::fmt::Debug>(answer: Result<T, Error>) -> String {
    match answer.expect_err("must be refused") {
        Error::Refused { sqlstate, .. } => sqlstate,
        Error::NotInstalled { .. } => "not installed".to_owned(),
        other => panic!("refused by the server, not {other}"),
    }
}

#[tokio::test]
async fn a_grant_opens_one_database_for_reading_and_nothing_more() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Read).await;
    let reader = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    assert_eq!(ask(&reader, "select count(*) from orders").await, Ok(vec!["1000".to_owned()]));
    assert_eq!(ask(&reader, "select * from totals").await, Ok(vec!["500500".to_owned()]));

    const DENIED: &str = "42501";
    let mut surprises = Vec::new();
    for (statement, code) in [
        ("insert into orders values (0, 0)", DENIED),
        ("update orders set total = 0", DENIED),
        ("delete from orders", DENIED),
        ("truncate orders", DENIED),
        ("with gone as (delete from orders returning 1) select count(*) from gone", DENIED),
        ("merge into orders o using orders s on s.id = o.id when matched then delete", DENIED),
        ("copy (delete from orders returning id) to stdout", DENIED),
        ("explain analyze update orders set total = 0", DENIED),
        ("do $$ begin execute 'upd' || 'ate orders set total = 0'; end $$", DENIED),
        ("set transaction read write; update orders set total = 0", DENIED),
        ("set default_transaction_read_only = off; update orders set total = 0", DENIED),
        ("select 1; commit; update orders set total = 0", DENIED),
        ("select * from orders for update", DENIED),
        ("begin; lock table orders in access exclusive mode", DENIED),
        ("select nextval('counter')", DENIED),
        ("select setval('counter', 7)", DENIED),
        ("create table mine (id int)", DENIED),
        ("create temporary table mine (id int)", DENIED),
        ("create schema mine", DENIED),
        ("create function mine() returns int language sql as 'select 1'", DENIED),
        ("create role evil", DENIED),
        ("alter role pr_g_t_1 superuser", DENIED),
        ("alter role pr_g_t_1 createrole", DENIED),
        ("alter role pr_g_t_1 valid until 'infinity'", DENIED),
        ("alter role app password 'mine'", DENIED),
        ("grant portreeve_acme_write to pr_g_t_1", DENIED),
        ("set role app", DENIED),
        ("set role portreeve_acme_write", DENIED),
        ("set session authorization app", DENIED),
        ("copy orders to program 'cat >/tmp/stolen'", DENIED),
        ("copy orders from program 'echo 1'", DENIED),
        ("copy orders to '/tmp/stolen'", DENIED),
        ("select pg_read_file('postgresql.conf')", DENIED),
        ("select pg_ls_dir('.')", DENIED),
        ("select lo_import('/etc/passwd')", DENIED),
        ("select * from pg_authid", DENIED),
        ("select * from pg_hba_file_rules", DENIED),
        ("select * from portreeve.grants", DENIED),
        ("select portreeve.open_grant('pr_g_t_2', 'write', '', now(), 1)", DENIED),
        ("select portreeve.close_grant('pr_g_t_1')", DENIED),
        ("set session_replication_role = replica", DENIED),
        ("begin; prepare transaction 'kept'", "55000"),
        ("create extension dblink", DENIED),
        ("create publication p for all tables", DENIED),
    ] {
        let refused = ask(&reader, statement).await.err();
        if !refused.as_ref().is_some_and(|refused| refused.starts_with(code)) {
            surprises.push(format!("{statement}: {refused:?}"));
        }
        ask(&reader, "rollback").await.expect("out of any transaction");
    }
    assert!(surprises.is_empty(), "not refused as they should be:\n{}", surprises.join("\n"));

    // SET ROLE to what it is a member of takes it nowhere
    for (role, expected) in [("portreeve_acme_read", "1000"), ("portreeve_staff", "")] {
        if ask(&reader, &format!("set role {role}")).await.is_ok() {
            let read = ask(&reader, "select count(*) from orders").await.unwrap_or_default().concat();
            assert_eq!(read, expected, "as {role}");
            ask(&reader, "update orders set total = 0").await.expect_err("still a reader");
            ask(&reader, "reset role").await.expect("back");
        }
    }
    assert_eq!(ground.value("acme", "select sum(total) from orders").await, "500500", "nothing changed");
}

#[tokio::test]
async fn a_grant_is_of_no_use_elsewhere() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Write).await;
    for database in ["globex", "postgres", "template1"] {
        let refused = ground.sign_in(database, "pr_g_t_1").await.expect_err("another database");
        assert!(refused.starts_with("42501") && refused.contains("permission denied for database"), "{refused}");
    }
    let without = ground.cluster.plain_tls().expect("files");
    let refused = ground.sign_in_with("acme", "pr_g_t_1", "", without).await.expect_err("no certificate");
    assert!(refused.starts_with("28000"), "{refused}");
    // a role changed its own password: the certificate is still asked for
    let writer = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    ask(&writer, "alter role pr_g_t_1 password 'mine'").await.expect("PostgreSQL lets it");
    let refused = ground.sign_in("acme", "pr_g_t_1").await.expect_err("the old password");
    assert!(refused.starts_with("28P01"), "{refused}");
    for options in ["-c role=app", "-c session_authorization=app", "-c role=portreeve_globex_read"] {
        ask(&writer, "alter role pr_g_t_1 password 'pr_g_t_1'").await.expect("PostgreSQL lets it");
        let tls = ground.cluster.proxy_tls().expect("files");
        let refused = ground.sign_in_with("acme", "pr_g_t_1", options, tls).await.expect_err("another role");
        assert!(refused.contains("permission denied"), "{options}: {refused}");
    }
}

#[tokio::test]
async fn a_writer_changes_rows_and_no_more() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Write).await;
    let writer = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    for statement in [
        "insert into orders values (1001, 7)",
        "update orders set total = 8 where id = 1001",
        "delete from orders where id = 1001",
        "select nextval('counter')",
    ] {
        ask(&writer, statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    for statement in [
        "truncate orders",
        "select setval('counter', 7)",
        "create table mine (id int)",
        "create temporary table mine (id int)",
        "alter table orders add column mine int",
        "drop table orders",
        "create trigger mine before update on orders for each row execute function suppress_redundant_updates_trigger()",
        "alter table orders disable trigger all",
    ] {
        let refused = ask(&writer, statement).await.expect_err("more than rows");
        assert!(refused.starts_with("42501"), "{statement}: {refused}");
    }
    ground
        .cluster
        .run_sql("acme", "create table fresh (id int); alter table fresh owner to app")
        .await
        .expect("a table");
    let refused = ask(&writer, "select * from fresh").await.expect_err("new tables are granted to nobody");
    assert!(refused.starts_with("42501"), "{refused}");
    let report = ground.fence.self_test("acme", "pr_g_t_1", Scope::Write).await.expect("a report");
    assert!(report.remarks.iter().any(|remark| remark.word == "ungranted" && remark.found.contains("public.fresh")));
    ground.superuser("acme").await.apply(&wanted()).await.expect("applied again");
    ask(&writer, "select * from fresh").await.expect("granted by apply");
}

#[tokio::test]
async fn what_open_grant_is_given_is_checked() {
    let ground = Ground::new().await;
    let (fence, good) = (&ground.fence, verifier("x"));
    let now = SystemClock.now();
    let long = format!("pr_g_{}", "a".repeat(59));
    for role in
        ["postgres", "app", "pr_g_", "pr_g_A", "pr_g_a b", "pr_g_a\";drop role app;--", "pr_g_a\n", "xpr_g_a", &long]
    {
        let opened = fence.open_grant("acme", role, Scope::Read, &good, in_an_hour(), 1).await;
        assert_eq!(sqlstate(opened), "22023", "{role:?}");
        assert_eq!(sqlstate(fence.close_grant("acme", role).await), "22023", "{role:?}");
        assert_eq!(sqlstate(fence.end_backends("acme", role).await), "22023", "{role:?}");
        assert_eq!(sqlstate(fence.backends("acme", role).await), "22023", "{role:?}");
    }
    for (verifier, until, connections) in [
        ("plain password", in_an_hour(), 1),
        ("md5d41d8cd98f00b204e9800998ecf8427e", in_an_hour(), 1),
        (good.as_str(), now, 1),
        (good.as_str(), now.plus(HOUR * 24 * 9), 1),
        (good.as_str(), in_an_hour(), 0),
        (good.as_str(), in_an_hour(), u32::MAX),
    ] {
        let opened = fence.open_grant("acme", "pr_g_a", Scope::Read, verifier, until, connections).await;
        assert_eq!(sqlstate(opened), "22023", "{verifier} {until} {connections}");
    }
    fence.open_grant("acme", "pr_g_a", Scope::Read, &good, Timestamp::NEVER, 1).await.expect_err("no end");
    assert_eq!(sqlstate(fence.open_grant("acme", "pr_g_a", Scope::Metadata, &good, in_an_hour(), 1).await), "55000");
    assert_eq!(ground.value("postgres", "select count(*) from pg_roles where rolname ~ '^pr_g_'").await, "0");

    ground.open("pr_g_a", Scope::Read).await;
    let again = fence.open_grant("acme", "pr_g_a", Scope::Read, &good, in_an_hour(), 1).await;
    assert_eq!(sqlstate(again), "42710");
    // another database's role is not ours to end
    assert_eq!(sqlstate(fence.close_grant("globex", "pr_g_a").await), "55000");
    assert_eq!(sqlstate(fence.end_backends("globex", "pr_g_a").await), "55000");
    assert_eq!(
        sqlstate(fence.open_grant("postgres", "pr_g_b", Scope::Read, &good, in_an_hour(), 1).await),
        "not installed"
    );
    assert!(fence.close_grant("acme", "pr_g_a").await.expect("closed"));
    assert!(!fence.close_grant("acme", "pr_g_a").await.expect("nothing left to close"));
    assert_eq!(fence.end_backends("acme", "pr_g_a").await.expect("nothing to end").1, []);
}

#[tokio::test]
async fn the_provisioner_can_do_nothing_else() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Read).await;
    let password = ground.cluster.provisioner_password();
    let provisioner = ground.sign_in_as("acme", PROVISIONER, password).await.expect("signed in");
    for statement in [
        "create role evil",
        "alter role pr_g_t_1 superuser",
        "alter role pr_g_t_1 password 'x'",
        "drop role pr_g_t_1",
        "grant portreeve_acme_write to pr_g_t_1",
        "grant portreeve_acme_read to portreeve_provisioner",
        "set role portreeve_acme_read",
        "select * from orders",
        "select * from portreeve.scope",
        "insert into portreeve.scope values ('read', 'postgres', 'acme')",
        "update portreeve.scope set role = 'pg_execute_server_program'",
        "select * from pg_hba_file_rules",
        "create function portreeve.mine() returns int language sql as 'select 1'",
        "select portreeve.locked('pr_g_t_1')",
        "create temporary table mine (id int)",
    ] {
        let refused = ask(&provisioner, statement).await.expect_err("more than its functions");
        assert!(refused.starts_with("42501"), "{statement}: {refused}");
    }
    for verb in ["end_backends", "terminate"] {
        let refused = ask(&provisioner, &format!("select portreeve.{verb}('app')")).await.expect_err("no grant's role");
        assert!(refused.starts_with("22023"), "{verb}: {refused}");
    }
    // its own pg_temp cannot stand in front of what the functions use
    ask(&provisioner, "set search_path = pg_temp, public").await.expect("its own affair");
    assert_eq!(ask(&provisioner, "select portreeve.backends('pr_g_t_1')").await, Ok(vec!["0".to_owned()]));
}

#[tokio::test]
async fn ending_stops_a_running_statement_and_tells_its_fate() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Write).await;
    ground.open("pr_g_t_2", Scope::Write).await;
    let busy = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    let idle = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    let other = ground.sign_in("acme", "pr_g_t_2").await.expect("signed in");
    ask(&idle, "select 1").await.expect("an answer");
    let pid: i32 = ask(&busy, "select pg_backend_pid()").await.expect("a pid").concat().parse().expect("a number");
    let running =
        tokio::spawn(async move { ask(&busy, "update orders set total = 1 where pg_sleep(0.1) is not null").await });
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(ground.fence.backends("acme", "pr_g_t_1").await.expect("a count"), 2);
    assert_eq!(sqlstate(ground.fence.close_grant("acme", "pr_g_t_1").await), "55006", "not while it runs");

    let began = Instant::now();
    let ended = ground.fence.end("acme", "pr_g_t_1", SECOND).await.expect("gone");
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    assert_eq!(ended.backends.len(), 2);
    let (backend, fate) = ended.backends.iter().find(|(backend, _)| backend.pid == pid).expect("the busy one");
    assert!(backend.xid.is_some(), "it had changed rows");
    assert_eq!(*fate, Some(Fate::Aborted));
    let (_, fate) = ended.backends.iter().find(|(backend, _)| backend.pid != pid).expect("the idle one");
    assert_eq!(*fate, None);

    let refused = running.await.expect("no panic").expect_err("cut off");
    assert!(refused.starts_with("57P01"), "{refused}");
    assert_eq!(ground.value("acme", "select sum(total) from orders").await, "500500", "rolled back");
    let refused = ground.sign_in("acme", "pr_g_t_1").await.expect_err("shut out");
    assert!(refused.contains("not permitted to log in"), "{refused}");
    assert!(ground.fence.close_grant("acme", "pr_g_t_1").await.expect("closed"));
    assert_eq!(ask(&other, "select 1").await, Ok(vec!["1".to_owned()]), "others are not touched");
}

#[tokio::test]
async fn a_committed_transaction_is_called_committed() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Write).await;
    let writer = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    let xid = ask(&writer, "begin; update orders set total = 0 where id = 1; select pg_current_xact_id()")
        .await
        .expect("an id")
        .concat();
    assert_eq!(ground.fence.fate("acme", &xid).await.expect("a fate"), Fate::InDoubt);
    ask(&writer, "commit").await.expect("committed");
    assert_eq!(ground.fence.fate("acme", &xid).await.expect("a fate"), Fate::Committed);
    // one of several sessions is ended; the role stays open
    let second = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    let open = ask(&second, "begin; update orders set total = 0 where id = 2; select pg_current_xact_id()")
        .await
        .expect("an id")
        .concat();
    let pid: i32 = ask(&second, "select pg_backend_pid()").await.expect("a pid").concat().parse().expect("a number");
    let ended = ground.fence.end_backend("acme", "pr_g_t_1", pid).await.expect("told").1.expect("it was there");
    assert_eq!(ended.xid.as_deref(), Some(open.as_str()), "the id carries its epoch");
    let began = Instant::now();
    while ground.fence.backends("acme", "pr_g_t_1").await.expect("a count") > 1 {
        assert!(began.elapsed() < SECOND);
    }
    assert_eq!(ground.fence.fate("acme", &open).await.expect("a fate"), Fate::Aborted);
    ask(&writer, "select 1").await.expect("the other session lives");
    assert_eq!(
        ground.fence.end_backend("acme", "pr_g_t_1", 1).await.expect("told").1,
        None,
        "not a backend of that role"
    );
    ground.sign_in("acme", "pr_g_t_1").await.expect("the role is open");
}

/// More large objects than the fence deals with in one transaction, where each needs a lock.
const MANY: &str = "select count(lo_from_bytea(0, 'data')) from generate_series(1, 15000)";

#[tokio::test]
async fn what_a_writer_put_into_large_objects_stays_with_the_application() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Write).await;
    let writer = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    ask(&writer, "select lo_from_bytea(4711, 'a picture')").await.expect("created");
    ask(&writer, MANY).await.expect("created");
    ask(&writer, "create temporary table mine (x int)").await.expect_err("nothing else is theirs");
    ground.fence.end("acme", "pr_g_t_1", SECOND).await.expect("gone");
    assert!(ground.fence.close_grant("acme", "pr_g_t_1").await.expect("closed"));
    let owners = "select lomowner::regrole, count(*) from pg_largeobject_metadata group by 1";
    let owners = ground.cluster.run_sql("acme", owners).await.expect("an answer");
    assert_eq!(owners, [[Some("app".to_owned()), Some("15001".to_owned())]]);
    assert_eq!(ground.value("acme", "select count(*) from pg_roles where rolname = 'pr_g_t_1'").await, "0");
    assert_eq!(ground.value("acme", "set role app; select convert_from(lo_get(4711), 'UTF8')").await, "a picture");
    // Nor can the next grant's role read it.
    ground.open("pr_g_t_2", Scope::Write).await;
    let next = ground.sign_in("acme", "pr_g_t_2").await.expect("signed in");
    assert!(ask(&next, "select lo_get(4711)").await.expect_err("not theirs").starts_with("42501"));
    assert_eq!(ground.value("acme", "set role app; select lo_unlink(4711)").await, "1");
}

#[tokio::test]
async fn a_writer_leaves_no_large_object_open_to_other_grants() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Write).await;
    let writer = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    ask(&writer, "select lo_from_bytea(4711, 'a picture')").await.expect("created");
    for grantee in ["public", "portreeve_staff", "app with grant option"] {
        let sql = format!("grant select, update on large object 4711 to {grantee}");
        ask(&writer, &sql).await.expect("PostgreSQL lets it");
    }
    ground.value("acme", "set role app; grant select on large object 4711 to portreeve_staff; select 1").await;
    ground.fence.end("acme", "pr_g_t_1", SECOND).await.expect("gone");
    assert!(ground.fence.close_grant("acme", "pr_g_t_1").await.expect("closed"));
    ground.open("pr_g_t_2", Scope::Read).await;
    let next = ground.sign_in("acme", "pr_g_t_2").await.expect("signed in");
    assert!(ask(&next, "select lo_get(4711)").await.expect_err("not theirs").starts_with("42501"));
    let report = ground.fence.self_test("acme", "pr_g_t_2", Scope::Read).await.expect("a report");
    let about_it: Vec<_> = report.refusals.iter().filter(|finding| finding.word == "write:large-object").collect();
    assert!(about_it.is_empty(), "one writer keeps no reader out: {about_it:?}");
    assert_eq!(ground.value("acme", "set role app; select convert_from(lo_get(4711), 'UTF8')").await, "a picture");
}

#[tokio::test]
async fn closing_removes_what_a_reader_left_behind() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Read).await;
    let reader = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    ask(&reader, "select lo_create(4711)").await.expect("PostgreSQL lets it");
    ask(&reader, MANY).await.expect("PostgreSQL lets it");
    ask(&reader, "alter role pr_g_t_1 set work_mem = '1MB'").await.expect("PostgreSQL lets it");
    ground.fence.end("acme", "pr_g_t_1", SECOND).await.expect("gone");
    assert!(ground.fence.close_grant("acme", "pr_g_t_1").await.expect("closed"));
    assert_eq!(ground.value("acme", "select count(*) from pg_largeobject_metadata").await, "0");
    assert_eq!(ground.value("acme", "select count(*) from pg_db_role_setting").await, "0");
}

#[tokio::test]
async fn many_at_once_do_not_collide() {
    let ground = Ground::new().await;
    let fences: Vec<_> = (0..4).map(|_| fence_of(&ground.cluster)).collect();
    let verifier = verifier("x");
    let round = |number: usize| {
        let (fence, verifier) = (fences[number % 4].clone(), verifier.clone());
        let database = if number.is_multiple_of(3) { "globex" } else { "acme" };
        let scope = if number.is_multiple_of(2) { Scope::Read } else { Scope::Write };
        tokio::spawn(async move {
            let role = grant_role(&family("Gate-1"), 1, u64::try_from(number).expect("few"), 1);
            for _ in 0..5 {
                fence.open_grant(database, &role, scope, &verifier, in_an_hour(), 8).await?;
                fence.end(database, &role, SECOND).await?;
                assert!(fence.close_grant(database, &role).await?);
            }
            Ok::<(), Error>(())
        })
    };
    for task in (0..24).map(round).collect::<Vec<_>>() {
        task.await.expect("no panic").expect("no collision");
    }
    assert_eq!(ground.value("postgres", "select count(*) from pg_roles where rolname ~ '^pr_g_'").await, "0");
}

#[tokio::test]
async fn roles_of_a_dead_process_are_swept() {
    let ground = Ground::new().await;
    let of = |proxy: &str, grant| grant_role(&family(proxy), 0x00c0_ffee, grant, 7);
    // What an earlier build named after its proxy, and what looks like a longer id of this one.
    let (older, longer) = ("pr_g_gate_00c0ffee_1_00000007", format!("{}1_00c0ffee_1_00000007", family("gate")));
    let others = [of("gate-1", 1), of("gate_1", 1), longer, older.to_owned()];
    let ours = [of("gate", 1), of("gate", 2)];
    for role in ours.iter().chain(&others) {
        ground.open(role, Scope::Read).await;
    }
    let _ours = ground.sign_in("acme", &ours[0]).await.expect("signed in");
    let theirs = ground.sign_in("acme", &others[0]).await.expect("signed in");
    let swept = ground.fence.sweep("acme", &family("gate"), |_| false, SECOND).await.expect("swept");
    assert_eq!(swept, ours);
    let mut others = others.to_vec();
    others.sort();
    assert_eq!(
        ground
            .value(
                "postgres",
                "select string_agg(rolname, ' ' order by rolname collate \"C\") from pg_roles where rolname ~ '^pr_g_'"
            )
            .await,
        others.join(" ")
    );
    theirs.simple_query("select 1").await.expect("the session of another proxy goes on");
    assert_eq!(sqlstate(ground.fence.sweep("acme", "portreeve_", |_| false, SECOND).await), "22023");
}

#[tokio::test]
async fn a_session_whose_role_is_gone_is_seen_and_unexplained() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Read).await;
    let client = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    let pid: i32 = client.query_one("select pg_backend_pid()", &[]).await.expect("a row").get(0);
    let dropped = "delete from portreeve.grants; drop role pr_g_t_1";
    ground.cluster.run_sql("acme", dropped).await.expect("a session does not keep its role");
    let connected = ground.fence.connected("acme").await.expect("everybody");
    let seen = connected.iter().find(|one| one.pid == pid).unwrap_or_else(|| panic!("{connected:?}"));
    assert!(seen.role.starts_with("dropped role ") && seen.database.as_deref() == Some("acme"), "{seen:?}");
    assert_eq!(Expected::default().road(seen), Road::Unexplained);
}

#[tokio::test]
async fn a_server_that_was_away_is_found_again() {
    let mut ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Read).await;
    ground.cluster.stop();
    let away = ground.fence.end_backends("acme", "pr_g_t_1").await.expect_err("it is down");
    assert!(matches!(away, Error::Unreachable { .. }), "{away}");
    ground.cluster.start_again().await.expect("up again");
    assert_eq!(ground.fence.end_backends("acme", "pr_g_t_1").await.expect("reached").1, []);
    assert!(ground.fence.close_grant("acme", "pr_g_t_1").await.expect("closed"));
}

fn told(report: &Report) -> [Vec<&str>; 3] {
    [&report.refusals, &report.strict, &report.remarks].map(|findings| {
        let mut words: Vec<&str> = findings.iter().map(|finding| finding.word.as_str()).collect();
        words.sort_unstable();
        words
    })
}

#[tokio::test]
async fn a_sound_fence_is_called_sound_and_what_a_reader_can_do_is_named() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Read).await;
    let report = ground.fence.self_test("acme", "pr_g_t_1", Scope::Read).await.expect("a report");
    let usual = vec!["advisory-locks", "alter-self", "large-objects", "logical-messages", "notify"];
    assert_eq!(told(&report), [vec![], usual, vec![]], "{report:#?}");
    assert!(report.is_sound() && !report.may_overlap());
    ground.open("pr_g_t_2", Scope::Write).await;
    let report = ground.fence.self_test("acme", "pr_g_t_2", Scope::Write).await.expect("a report");
    let nothing: [Vec<&str>; 3] = Default::default();
    assert_eq!(told(&report), nothing, "{report:#?}");
}

#[tokio::test]
async fn time_and_number_are_limited_by_the_database_too() {
    let ground = Ground::new().await;
    let soon = SystemClock.now().plus(Duration::from_millis(1500));
    ground.fence.open_grant("acme", "pr_g_t_1", Scope::Read, &verifier("pr_g_t_1"), soon, 2).await.expect("a grant");
    let _first = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    let _second = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    let third = ground.sign_in("acme", "pr_g_t_1").await.expect_err("one too many");
    assert!(third.starts_with("53300"), "{third}");
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let late = ground.sign_in("acme", "pr_g_t_1").await.expect_err("too late");
    assert!(late.starts_with("28P01"), "{late}");
}

#[tokio::test]
async fn a_reader_asleep_in_a_query_or_a_cursor_is_ended_as_well() {
    let ground = Ground::new().await;
    ground.open("pr_g_t_1", Scope::Read).await;
    let asleep = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    let holding = ground.sign_in("acme", "pr_g_t_1").await.expect("signed in");
    ask(&holding, "declare c cursor with hold for select * from orders; fetch 1 from c").await.expect("a row");
    let running = tokio::spawn(async move { ask(&asleep, "select pg_sleep(60)").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let ended = ground.fence.end("acme", "pr_g_t_1", SECOND).await.expect("gone");
    assert_eq!(ended.backends.len(), 2);
    assert!(ended.backends.iter().all(|(backend, fate)| backend.xid.is_none() && fate.is_none()));
    assert!(running.await.expect("no panic").expect_err("cut off").starts_with("57P01"));
    ask(&holding, "fetch all from c").await.expect_err("no row any more");
}

#[tokio::test]
async fn a_false_server_is_not_believed() {
    let ground = Ground::new().await;
    let mut other_name = upstream_of(&ground.cluster);
    other_name.server_name = "db.example.org".to_owned();
    let mut other_ca = upstream_of(&ground.cluster);
    other_ca.tls =
        portreeve::net::tls_connect::client_config(&ground.cluster.certificates().gate_ca, None).expect("a CA");
    for upstream in [other_name, other_ca] {
        let fence = Fence::new(upstream).expect("a fence");
        let refused = fence.backends("acme", "pr_g_t_1").await.expect_err("a false server").to_string();
        assert!(refused.contains("cannot reach") && refused.contains("certificate"), "{refused}");
    }
}
