//! Purging rows of shared tables: exactly the customer's, counted, under the write fence, gently.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portreeve::datamap::plan::{Action, Step};
use portreeve::purge::{Control, Event, Outcome, Pace, Pause, Purge, lift};
use tokio::sync::watch;

use super::ground::{Ground, MAP, all_rows, counts, maintenance, map, pace};

#[tokio::test]
async fn exactly_the_customers_rows_go_and_are_counted() {
    let ground = Ground::new().await;
    let others = ground.others().await;
    let mut events = Vec::new();
    let outcome = ground.purge_telling("p1", &mut events).await.expect("purged");
    assert!(matches!(outcome, Outcome::Done(_)));
    assert_eq!(counts(&outcome), all_rows());
    assert_eq!(ground.others().await, others, "nothing of others was touched");
    assert_eq!(ground.column("select tenant_id::text from summary order by 1").await, ["1", "3"], "it was refreshed");
    let batches = events.iter().filter(|event| matches!(event, Event::Batch { .. })).count();
    assert!(batches >= 30, "{batches} batches of a hundred");
    let again = ground.purge("p1").await.expect("asked again");
    assert_eq!(again, outcome, "once more changes nothing");
}

#[tokio::test]
async fn rows_cannot_come_back() {
    let ground = Ground::new().await;
    ground.purge("p1").await.expect("purged");
    for sql in [
        "set role app; insert into contacts values (9001, 2, 'back@example.com')",
        "set role app; update contacts set tenant_id = 2 where id = 3",
        "set session_replication_role = replica; insert into orders values (9001, 2, 1)",
        "insert into events values (2, '2025-05-05', '{}')",
    ] {
        let refused = ground.cluster.run_sql("shared", sql).await.expect_err(sql).to_string();
        assert!(refused.contains("this customer's account is closed"), "{refused}");
    }
    ground
        .cluster
        .run_sql("shared", "set role app; insert into contacts values (9001, 1, 'other@x')")
        .await
        .expect("others may");
    lift(&ground.connection().await, "2").await.expect("lifted");
    let sql = "set role app; insert into contacts values (9002, 2, 'new@x')";
    ground.cluster.run_sql("shared", sql).await.expect("a new customer under the old key");
}

#[tokio::test]
async fn triggers_that_write_the_row_elsewhere_are_followed() {
    let ground = Ground::with(
        "create function audit() returns trigger language plpgsql as $$ begin
             insert into history (tenant_id, what) values (old.tenant_id, 'deleted ' || old.email); return null; end $$;
         create trigger audit after delete on contacts for each row execute function audit()",
    )
    .await;
    let map = map(&MAP.replace("large_objects", "triggers = { audit = [\"public.history\"] }\nlarge_objects"));
    let ground = Ground { map, ..ground };
    let outcome = ground.purge("p1").await.expect("purged");
    let history = counts(&outcome).into_iter().find(|(table, _)| table == "history");
    assert_eq!(history, Some(("history".to_owned(), 30 + 400)), "what the trigger wrote went, too");
    assert!(ground.column("select '' from history where tenant_id = 2").await.is_empty());
}

#[tokio::test]
async fn circles_and_shared_large_objects() {
    let ground = Ground::with(
        "alter table contacts add main_order int references orders deferrable;
         update contacts c set main_order = (select min(id) from orders o where o.contact_id = c.id);
         alter table contacts alter main_order set not null;
         create function lo_of_two(t1 int, t2 int) returns void language plpgsql as $$ declare o oid; begin
             o := lo_from_bytea(0, 'shared'); execute format('alter large object %s owner to app', o);
             update contacts set photo = o where id in (t1, t2); end $$;
         select lo_of_two(1, 4), lo_of_two(7, 8)",
    )
    .await;
    let map = map(&MAP.replace("country = \"location\"", "country = \"location\"\nmain_order = \"pseudonym\""));
    let ground = Ground { map, ..ground };
    let outcome = ground.purge("p1").await.expect("purged");
    assert_eq!(counts(&outcome), all_rows());
    let (Outcome::Done(gone) | Outcome::Stopped(gone)) = outcome;
    assert_eq!(gone.iter().map(|gone| gone.large_objects).sum::<u64>(), 1, "the one of 1 and 4, both of customer 2");
    let left = ground.column("select oid::text from pg_largeobject_metadata").await;
    assert_eq!(
        left,
        ground.column("select photo::text from contacts where id = 8").await,
        "the one of 7 and 8 is needed"
    );
}

#[tokio::test]
async fn it_waits_for_its_window_and_stops_when_told() {
    let ground = Ground::new().await;
    let (stopper, stop) = watch::channel(false);
    let is_open = AtomicBool::new(false);
    let may_run = || is_open.load(Ordering::Relaxed);
    let mut seen = Vec::new();
    let mut tell = |event: &Event| {
        seen.push(event.clone());
        match event {
            Event::Paused(Pause::Window) => is_open.store(true, Ordering::Relaxed),
            Event::Batch { .. } => stopper.send(true).expect("it listens"),
            _ => {}
        }
    };
    let digest = ground.plan().await.digest();
    let road = maintenance(&ground.cluster);
    let purge = Purge {
        road: &road,
        database: "shared",
        id: "p1",
        before: &[],
        map: &ground.map,
        customer: "2",
        digest: &digest,
        pace: pace(),
    };
    let outcome = purge.run(&mut Control { may_run: &may_run, stop, tell: &mut tell }).await.expect("stopped");
    assert!(matches!(outcome, Outcome::Stopped(_)), "{outcome:?}");
    assert_eq!(seen.iter().filter(|event| matches!(event, Event::Paused(Pause::Window))).count(), 1, "{seen:?}");
    let done: u64 = counts(&outcome).iter().map(|(_, rows)| rows).sum();
    assert!(done <= 100, "one batch");
    assert_eq!(counts(&ground.purge("p1").await.expect("went on")), all_rows());
}

/// Nobody is kept waiting behind a window that is closed for the day.
#[tokio::test]
async fn it_stops_when_its_window_stays_closed() {
    let ground = Ground::new().await;
    let (_keep, stop) = watch::channel(false);
    let digest = ground.plan().await.digest();
    let road = maintenance(&ground.cluster);
    let purge = Purge {
        road: &road,
        database: "shared",
        id: "p1",
        before: &[],
        map: &ground.map,
        customer: "2",
        digest: &digest,
        pace: Pace { window: Duration::from_millis(10), ..pace() },
    };
    let mut control = Control { may_run: &|| false, stop, tell: &mut |_| {} };
    let ended = tokio::time::timeout(Duration::from_secs(60), purge.run(&mut control)).await.expect("it ends");
    let outcome = ended.expect("stopped");
    assert!(matches!(outcome, Outcome::Stopped(_)), "{outcome:?}");
    assert_eq!(counts(&outcome).iter().map(|(_, rows)| rows).sum::<u64>(), 0);
    assert_eq!(counts(&ground.purge("p1").await.expect("went on")), all_rows());
}

/// A circle of tables is one transaction, which may take long: whoever is told to stop does not begin it.
#[tokio::test]
async fn it_stops_before_a_circle_when_told() {
    let ground = Ground::with(
        "alter table contacts add main_order int references orders deferrable;
         update contacts c set main_order = (select min(id) from orders o where o.contact_id = c.id);
         alter table contacts alter main_order set not null",
    )
    .await;
    let map = map(&MAP.replace("country = \"location\"", "country = \"location\"\nmain_order = \"pseudonym\""));
    let ground = Ground { map, ..ground };
    let plan = ground.plan().await;
    let is_circle = |step: &Step| matches!(step.action, Action::Together(_));
    let circle = plan.steps.iter().position(is_circle).expect("a circle");
    let (stopper, stop) = watch::channel(false);
    let mut tell = |event: &Event| {
        if matches!(event, Event::Step { step, .. } if *step + 1 == circle) {
            stopper.send(true).expect("it listens");
        }
    };
    let (digest, road) = (plan.digest(), maintenance(&ground.cluster));
    let purge = Purge {
        road: &road,
        database: "shared",
        id: "p1",
        before: &[],
        map: &ground.map,
        customer: "2",
        digest: &digest,
        pace: pace(),
    };
    let outcome = purge.run(&mut Control { may_run: &|| true, stop, tell: &mut tell }).await.expect("stopped");
    assert!(matches!(outcome, Outcome::Stopped(_)), "{outcome:?}");
    assert_eq!(ground.column("select count(*) from contacts where tenant_id = 2").await, ["400"], "not begun");
    assert_eq!(counts(&ground.purge("p1").await.expect("went on")), all_rows());
}

#[tokio::test]
async fn a_locked_row_is_waited_for() {
    let ground = Ground::new().await;
    // the write fence stands already: it needs the whole table for a moment
    let (_stopper, stop) = watch::channel(true);
    let digest = ground.plan().await.digest();
    let road = maintenance(&ground.cluster);
    let pace = Pace { batch: Duration::from_millis(50), ..pace() };
    let purge = Purge {
        road: &road,
        database: "shared",
        id: "p1",
        before: &[],
        map: &ground.map,
        customer: "2",
        digest: &digest,
        pace,
    };
    let stopped = purge.run(&mut Control { may_run: &|| true, stop, tell: &mut |_| {} }).await.expect("stopped");
    assert!(matches!(stopped, Outcome::Stopped(_)));
    let holder = ground.cluster.superuser_dsn("shared");
    let (holder, driver) = tokio_postgres::connect(&holder, tokio_postgres::NoTls).await.expect("a connection");
    let driver = tokio::spawn(driver);
    holder.batch_execute("begin; select from contacts where id = 1 for update").await.expect("held");
    let (_keep, stop) = watch::channel(false);
    let (waits, waiting) = tokio::sync::oneshot::channel();
    let mut waits = Some(waits);
    let mut tell = |event: &Event| {
        if matches!(event, Event::Paused(Pause::Locked))
            && let Some(waits) = waits.take()
        {
            waits.send(()).expect("somebody listens");
        }
    };
    let mut control = Control { may_run: &|| true, stop, tell: &mut tell };
    let began = Instant::now();
    let release = async {
        waiting.await.expect("it waits");
        holder.batch_execute("commit").await.expect("released");
    };
    let (outcome, ()) = tokio::join!(purge.run(&mut control), release);
    assert_eq!(counts(&outcome.expect("purged")), all_rows());
    assert!(began.elapsed() >= Duration::from_secs(2), "the lock's time-out");
    drop(holder);
    driver.await.expect("no panic").expect("a clean end");
}

/// What the fence's self-test says of a database that retention was prepared in must be what it said before.
#[tokio::test]
async fn the_write_fence_does_not_trouble_the_fence_of_staff() {
    use portreeve::cli::demo::cluster::PROVISIONER;
    use portreeve::fence::{Keep, Layout, Shared, Superuser, Wanted};
    use portreeve::grant::Scope;
    use portreeve::secret::Secret;

    let cluster = super::ground::cluster().await;
    cluster.run_sql("shared", super::ground::TABLES).await.expect("tables");
    let dsn = Secret::new(cluster.superuser_dsn("shared"));
    let mut superuser = Superuser::connect(&dsn, "shared", None).await.expect("a superuser");
    let shared = Shared {
        tenant_column: Some("tenant_id".to_owned()),
        everybody: vec!["public.countries".to_owned()],
        nobody: vec!["public.lines".to_owned()],
        ..Shared::default()
    };
    let wanted = Wanted {
        provisioner: PROVISIONER.to_owned(),
        provisioner_verifier: None,
        keep: vec!["app".to_owned()],
        others: Keep::Ask,
        revoke_public: Vec::new(),
        close: Vec::new(),
        layout: Layout::Shared(shared),
        impersonal: None,
    };
    superuser.apply(&wanted).await.expect("applied");
    let before = superuser.check(None, Scope::Write, PROVISIONER, &[]).await.expect("a report");
    super::ground::prepared(&cluster, "shared").await;
    let ground = Ground { map: map(MAP), cluster };
    assert_eq!(counts(&ground.purge("p1").await.expect("purged")), all_rows(), "row policies do not hide rows from it");
    let after = superuser.check(None, Scope::Write, PROVISIONER, &[]).await.expect("a report");
    assert_eq!(after.refusals, before.refusals);
    let kept = superuser.remove(PROVISIONER).await.expect_err("it would take the write fence down").to_string();
    assert!(kept.contains("keeps 1 purged customers from coming back"), "{kept}");
    ground.cluster.run_sql("shared", "delete from portreeve.tombstones").await.expect("deleted");
    superuser.remove(PROVISIONER).await.expect("removed");
    assert!(ground.column("select 1 from pg_trigger where tgname = 'portreeve_tombstone'").await.is_empty());
}

#[tokio::test]
async fn it_holds_back_for_others_that_wait_for_locks() {
    let ground = Ground::new().await;
    let dsn = ground.cluster.superuser_dsn("shared");
    let (holder, driver) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.expect("a connection");
    let driver = tokio::spawn(driver);
    let (waiter, other) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.expect("a connection");
    let other = tokio::spawn(other);
    holder.batch_execute("begin; lock table countries").await.expect("held");
    let waiting = tokio::spawn(async move { waiter.batch_execute("select from countries").await });
    let waits = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = 'shared'";
    while ground.column(waits).await.is_empty() {
        tokio::task::yield_now().await;
    }
    let (said, heard) = tokio::sync::oneshot::channel();
    let mut said = Some(said);
    let mut tell = |event: &Event| {
        if matches!(event, Event::Paused(Pause::LockWaiters))
            && let Some(said) = said.take()
        {
            said.send(()).expect("somebody listens");
        }
    };
    let (_keep, stop) = watch::channel(false);
    let digest = ground.plan().await.digest();
    let road = maintenance(&ground.cluster);
    let pace = Pace { waiters: Duration::from_secs(60), ..pace() };
    let purge = Purge {
        road: &road,
        database: "shared",
        id: "p1",
        before: &[],
        map: &ground.map,
        customer: "2",
        digest: &digest,
        pace,
    };
    let mut control = Control { may_run: &|| true, stop, tell: &mut tell };
    let release = async {
        heard.await.expect("it holds back");
        assert_eq!(ground.column("select coalesce(sum(rows), 0)::text from portreeve.purge_steps").await, ["0"]);
        holder.batch_execute("commit").await.expect("released");
    };
    let (outcome, ()) = tokio::join!(purge.run(&mut control), release);
    assert_eq!(counts(&outcome.expect("purged")), all_rows());
    waiting.await.expect("no panic").expect("it got its lock");
    drop(holder);
    driver.await.expect("no panic").expect("a clean end");
    other.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn a_customer_without_rows_is_purged_too_and_a_key_that_is_none_is_refused() {
    let ground = Ground::new().await;
    let whole = "select count(*)::text from contacts union all select count(*)::text from lines";
    let before = ground.column(whole).await;
    let road = maintenance(&ground.cluster);
    for (customer, is_refused) in [("77", false), ("2 or true", true), ("", true)] {
        let digest =
            portreeve::datamap::plan::plan(&ground.map, &ground.catalog().await, customer).map(|plan| plan.digest());
        let (_keep, stop) = watch::channel(false);
        let purge = Purge {
            road: &road,
            database: "shared",
            id: customer,
            before: &[],
            map: &ground.map,
            customer,
            digest: digest.as_deref().unwrap_or_default(),
            pace: pace(),
        };
        let outcome = purge.run(&mut Control { may_run: &|| true, stop, tell: &mut |_| {} }).await;
        assert_eq!(outcome.is_err(), is_refused, "{customer}: {outcome:?}");
        if let Ok(outcome) = outcome {
            assert!(matches!(outcome, Outcome::Done(_)) && counts(&outcome).iter().all(|(_, rows)| *rows == 0));
        }
    }
    assert_eq!(ground.column(whole).await, before);
}
