//! The fence while sessions are open: one that no longer holds ends them, and no login role is left that nobody knows.
//! Not here: what the self-test finds (`tests/fence`, `tests/layouts`), and roles of dead proxies (`proxy_ends.rs`).

use std::time::{Duration, Instant};

use portreeve::audit::record::{Kind, Record};
use portreeve::cli::demo::stage::STAFF;

use crate::cast::SOON;
use crate::client::{sign_in, words};
use crate::ground::{Ground, sign_in_soon};
use crate::measured::wait_for_roles;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_that_holds_no_longer_ends_its_sessions_and_no_others() {
    let mut ground = Ground::new(&[("fence", "examine_every = \"1s\"")]).await;
    ground.grant(STAFF, "acme", "write", "2h");
    ground.grant(STAFF, "globex", "read", "2h");
    let idle = sign_in_soon(&ground.stage, STAFF, "acme", "idle").await;
    let busy = sign_in_soon(&ground.stage, STAFF, "acme", "busy").await;
    let elsewhere = sign_in_soon(&ground.stage, STAFF, "globex", "elsewhere").await;
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        idle.client.simple_query("select 1").await.expect("a fence that holds disturbs nobody");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    ground.stage.cluster.run_sql("acme", "grant connect on database globex to public").await.expect("a hole");
    let update = "update contacts set full_name = 'changed' || pg_sleep(0.1)::text";
    let refused = words(&busy.client.batch_execute(update).await.expect_err("it is ended"));
    assert!(refused.starts_with("57P01 the fence around customer \"acme\" is not sound any more"), "{refused}");
    let told = tokio::time::timeout(SOON, idle.connection).await.expect("soon").expect("no panic").1;
    let told = told.as_ref().map(words).unwrap_or_default();
    assert!(told.starts_with("57P01 the fence") && told.contains("portreeve fence check"), "{told}");
    let refused = words(&sign_in(&ground.stage, STAFF, "acme", "late").await.err().expect("nobody is let in"));
    assert!(refused.contains("the fence around this customer is not sound"), "{refused}");
    elsewhere.client.simple_query("select count(*) from contacts").await.expect("another customer is undisturbed");
    wait_for_roles(&ground, 1).await;
    for pid in [idle.pid, busy.pid] {
        let end = end_of(&mut ground, pid).await;
        assert_eq!(end.skeleton.verb.as_deref(), Some("fence-unsound"));
        assert_eq!(end.skeleton.result.as_deref(), Some("gone"));
        let message = end.values.message.unwrap_or_default();
        assert!(
            message.contains("connect:globex: role") && message.contains("may connect to database globex"),
            "{message}"
        );
    }

    ground.stage.cluster.run_sql("acme", "revoke connect on database globex from public").await.expect("mended");
    let again = sign_in(&ground.stage, STAFF, "acme", "again").await.expect("it holds again");
    ground.stage.cluster.run_sql("acme", "drop schema portreeve cascade").await.expect("somebody takes the fence away");
    let told = tokio::time::timeout(SOON, again.connection).await.expect("soon").expect("no panic").1;
    assert!(told.as_ref().map(words).unwrap_or_default().starts_with("57P01 the fence around"), "{told:?}");
}

const SLOW: &str = "
create table public.seen (role name);
create function public.slow() returns trigger language plpgsql security definer as
    'begin insert into public.seen values (new.role); perform pg_sleep(8); return null; end';
create constraint trigger slow after insert on portreeve.grants deferrable initially deferred
    for each row execute function public.slow()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_whose_making_was_never_answered_goes_without_a_restart() {
    let ground = Ground::new(&[]).await;
    ground.grant(STAFF, "acme", "write", "2h");
    let cluster = &ground.stage.cluster;
    cluster.run_sql("acme", SLOW).await.expect("a commit that takes longer than anybody waits");
    let until = Instant::now() + SOON;
    let refused = loop {
        let refused = words(&sign_in(&ground.stage, STAFF, "acme", "unheard").await.err().expect("no answer"));
        // The gate hears of the grant a moment later.
        if !refused.contains("you have no grant") {
            break refused;
        }
        assert!(Instant::now() < until, "{refused}");
    };
    assert!(refused.contains("the customer's database cannot be reached"), "{refused}");
    let until = Instant::now() + SOON;
    while cluster.run_sql("acme", "select role from public.seen").await.expect("rows").is_empty() {
        assert!(Instant::now() < until, "the role was not made after all");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    wait_for_roles(&ground, 0).await;
    let left = cluster.run_sql("acme", "select role from portreeve.grants").await.expect("rows");
    assert_eq!(left, Vec::<Vec<Option<String>>>::new());
}

const REFUSING: &str = "
create sequence public.tried;
alter function portreeve.close_grant(text) rename to kept;
create function portreeve.close_grant(role text) returns boolean language plpgsql security definer as
    'begin perform nextval(''public.tried''); raise exception ''not now''; end';
grant execute on function portreeve.close_grant(text) to portreeve_provisioner";

const RESTORED: &str = "
drop function portreeve.close_grant(text); alter function portreeve.kept(text) rename to close_grant";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_could_not_be_dropped_is_dropped_later_with_all_that_nobody_knows() {
    let ground = Ground::new(&[]).await;
    ground.grant(STAFF, "acme", "write", "2h");
    let cluster = &ground.stage.cluster;
    let session = sign_in_soon(&ground.stage, STAFF, "acme", "one").await;
    let role = ground.roles().await.concat();
    let stray = format!("{}deadbeef", role.get(..role.len() - 8).expect("a number at the end"));
    let other = "pr_g_00000000_other_00000000_1_00000000";
    let verifier = "select rolpassword from pg_authid where rolname ~ '^pr_g_' limit 1";
    for name in [&stray, other] {
        let made = format!("select portreeve.open_grant('{name}', 'read', ({verifier}), now() + interval '1 hour', 1)");
        cluster.run_sql("acme", &made).await.expect("a role that the gate does not know");
    }
    cluster.run_sql("acme", REFUSING).await.expect("no role can be dropped");
    drop(session);
    let until = Instant::now() + SOON;
    let tried = "select last_value from public.tried where is_called and last_value >= 3";
    while cluster.run_sql("acme", tried).await.expect("a number").is_empty() {
        assert!(Instant::now() < until, "it is not tried again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ground.roles().await.len(), 3);
    cluster.run_sql("acme", RESTORED).await.expect("roles can be dropped");
    wait_for_roles(&ground, 1).await;
    assert_eq!(ground.roles().await, [other], "the role of another proxy was taken for its own");
    drop(sign_in_soon(&ground.stage, STAFF, "acme", "after").await);
}

/// The record of the end of that backend's session.
async fn end_of(ground: &mut Ground, pid: i32) -> Record {
    let until = Instant::now() + SOON;
    let mut auditor = crate::auditor::Auditor::new(&ground.stage, &ground.stage.audit()).await;
    let mut ends = Vec::new();
    loop {
        ends.extend(auditor.news(&[Kind::SessionEnded]).await.into_iter().map(|found| found.record));
        if let Some(end) = ends.iter().find(|end| end.skeleton.backend == Some(pid)) {
            return end.clone();
        }
        assert!(Instant::now() < until, "its end is not recorded");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_reader_can_change_by_now_makes_open_sessions_strict() {
    let ground = Ground::new(&[("fence", "examine_every = \"1s\"")]).await;
    ground.grant(STAFF, "globex", "read", "2h");
    let session = sign_in_soon(&ground.stage, STAFF, "globex", "reader").await;
    let mut auditor = crate::auditor::Auditor::new(&ground.stage, &ground.stage.audit()).await;
    let mut gates = async |wanted: &str| {
        let until = Instant::now() + SOON;
        loop {
            session.client.simple_query("select 1").await.expect("it goes on");
            let found = auditor.news(&[Kind::Statement]).await;
            if found.iter().any(|found| found.record.skeleton.gate.as_deref() == Some(wanted)) {
                return;
            }
            assert!(Instant::now() < until, "no statement is {wanted}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    gates("overlap").await;
    ground.stage.cluster.run_sql("globex", "grant temporary on database globex to public").await.expect("granted");
    gates("strict").await;
    ground.stage.cluster.run_sql("globex", "revoke temporary on database globex from public").await.expect("revoked");
    gates("overlap").await;
}
