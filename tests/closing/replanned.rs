//! A plan that changed after its purge was begun: made anew on record, approved anew above the cap, exact in the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve::cli::demo::cluster::{Cluster, Settings};
use portreeve::cli::demo::stage::SHARED_DATABASE;
use portreeve::grant::{AccountStep, By, Personal, SnapshotStep, Stage, What};
use portreeve::ids::StaffId;
use portreeve::purge::{Pace, Road};
use portreeve::retention::certificate::Findings;
use portreeve::retentiond::closing::{Turned, Upstream, World, turn};
use portreeve::secret::Secret;
use tokio::sync::watch;

use super::ground::{DAY, Ground, KILLS_WITHIN, killed_after};

/// A world in which every purge needs two people, and batches are far apart.
async fn strict(ground: &Ground) -> World {
    let mut world = ground.world().await;
    let mut config = (*world.config).clone();
    config.retention.caps.purge = 0;
    world.config = Arc::new(config);
    world
}

async fn turned(ground: &Ground) -> Turned {
    let world = strict(ground).await;
    let turned = turn(&world, ground.now()).await.expect("a turn");
    world.acts.log.close().expect("the log closes");
    assert_eq!(turned.troubles, []);
    turned
}

async fn staff(ground: &Ground, name: &str) -> StaffId {
    let personal = Personal { name: Some(name.to_owned()), verifier: Some("v".to_owned()), ..Personal::default() };
    ground.act(By::Operator, What::StaffCreated, Some(personal)).await.expect("created");
    ground.state().staff_named(name).expect("a member of staff").id
}

async fn approve(ground: &Ground, people: &[StaffId]) {
    let customer = ground.customer("initech").id;
    let (digest, _) = ground.closure("initech").purge.planned.expect("planned");
    for staff in people {
        let what = What::Account { customer, step: AccountStep::PurgeApproved { digest } };
        ground.act(By::Staff(*staff), what, None).await.expect("approved");
    }
}

fn waits_for_people(turned: &Turned) -> bool {
    turned.waits.iter().any(|(_, why, _)| why.contains("more accounts are due than purge_max"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_changed_midway_is_made_anew_approved_anew_and_ends_exactly_wherever_it_is_killed() {
    let mut ground = Ground::new().await;
    let others = ground.others(7).await;
    let people = [staff(&ground, "ann").await, staff(&ground, "bob").await];
    ground.close("initech").await;
    ground.account("initech", AccountStep::Immediate).await.expect("asked for");
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    assert!(waits_for_people(&turned(&ground).await));
    assert_eq!((ground.stage_of("initech"), ground.rows(7).await.as_str()), (Stage::Planned, "1200"));
    approve(&ground, &people[..1]).await;
    assert!(waits_for_people(&turned(&ground).await), "one is not two");
    approve(&ground, &people[1..]).await;

    // Stopped after some batches.
    let (tell, stop) = watch::channel(false);
    let mut world = strict(&ground).await;
    world.stop = stop;
    world.pace = Pace { rows_first: 100, rows_max: 100, rest_percent: 20_000, ..Pace::default() };
    let now = ground.now();
    let watching = async {
        while ground.rows(7).await == "1200" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tell.send_replace(true);
    };
    let (done, ()) = tokio::join!(turn(&world, now), watching);
    world.acts.log.close().expect("the log closes");
    assert_eq!(done.expect("a turn").troubles, []);
    let left: u32 = ground.rows(7).await.parse().expect("a number");
    assert!(left > 0 && left < 1200, "{left}");

    // Meanwhile the vendor makes a table more.
    let sql = "set role app; create table notes (tenant_id int not null, id int primary key, body text); \
               insert into notes values (7, 1, 'a'), (7, 2, 'b'), (7, 3, 'c'), (8, 4, 'd')";
    ground.stage.cluster.run_sql(SHARED_DATABASE, sql).await.expect("a table more");
    ground.more_map =
        "[tables.'public.notes'.columns]\ntenant_id = 'pseudonym'\nid = 'pseudonym'\nbody = 'free-text'\n".to_owned();
    let first = ground.closure("initech").purge;
    assert!(waits_for_people(&turned(&ground).await), "the new plan was approved by nobody");
    let held = ground.closure("initech").purge;
    assert!(held.replanned.is_some() && held.planned != first.planned && held.waits(), "{held:?}");
    assert_eq!((held.begun, held.plan_begun()), (first.begun, None));
    assert_eq!(ground.rows(7).await, left.to_string(), "nothing more is deleted");
    approve(&ground, &people).await;

    // Dropping a turn is as killing the process.
    let until = Instant::now() + KILLS_WITHIN;
    for polls in 0.. {
        let world = strict(&ground).await;
        let ended = killed_after(polls, Box::pin(turn(&world, ground.now()))).await;
        world.acts.log.close().expect("the log closes");
        if ended.is_some() && ground.stage_of("initech") == Stage::LiveClean {
            break;
        }
        assert!(Instant::now() < until, "it does not come to an end");
    }
    assert_eq!(ground.rows(7).await, "0");
    assert_eq!(ground.others(7).await, others);
    assert_eq!(ground.column(SHARED_DATABASE, "select id::text from notes").await, ["4"]);
    assert_eq!(ground.closure("initech").purge.verified.map(|(_, rows, _)| rows), Some(1203));
    let verdict = ground.verified("initech");
    assert_eq!(verdict.findings, []);
    let body = &verdict.parts[0].body;
    let Findings::Live(live) = &body.findings else { panic!("part 1 is about live rows") };
    assert!(live.tables.iter().all(|table| table.planned == table.deleted && table.left == 0), "{live:?}");
    assert_eq!(body.people.approved, people.map(|staff| By::Staff(staff).to_string()));
}

/// Another database takes the name after the plan was made, and the daemon is killed at every moment from then on: people
/// are asked before that one goes.
#[tokio::test(flavor = "multi_thread")]
async fn another_database_than_the_one_planned_waits_for_people_wherever_the_daemon_is_killed() {
    let mut ground = Ground::new().await;
    ground.close("acme").await;
    ground.well().await;
    ground.later(DAY * 30).await;
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    ground.well().await;
    assert_eq!(ground.stage_of("acme"), Stage::Planned);
    let first = ground.closure("acme").purge.planned;
    let oids = "select datname || ' ' || oid from pg_database where datname in ('acme', 'moved') order by oid";
    for sql in [
        "alter database acme rename to moved",
        "create database acme owner app",
        "grant connect on database acme to portreeve_maintenance",
    ] {
        ground.stage.cluster.run_sql("postgres", sql).await.expect(sql);
    }
    let before = ground.column("postgres", oids).await;
    assert_eq!(before.len(), 2);
    ground.later(DAY + DAY / 24).await;
    let until = Instant::now() + KILLS_WITHIN;
    for polls in 0.. {
        let world = ground.world().await;
        let ended = killed_after(polls, Box::pin(turn(&world, ground.now()))).await;
        world.acts.log.close().expect("the log closes");
        assert_eq!(ground.column("postgres", oids).await, before, "killed after {polls} polls");
        if ended.is_some() {
            break;
        }
        assert!(Instant::now() < until, "it does not come to an end");
    }
    let turned = ground.turn().await;
    assert!(waits_for_people(&turned), "{turned:?}");
    let purge = ground.closure("acme").purge;
    assert!(purge.waits() && purge.planned != first && purge.begun.is_none(), "{purge:?}");
    assert_eq!(ground.column("postgres", oids).await, before);
}

/// A turn while the cluster's address leads to that server.
async fn elsewhere(ground: &Ground, other: &Cluster) -> Turned {
    let mut world = ground.world().await;
    let road = Road::new(&Secret::new(other.superuser_dsn("postgres")), None).expect("a road");
    let upstream = Upstream { road, maintenance_database: "postgres".to_owned(), replicas: Vec::new() };
    world.upstreams.insert("main".to_owned(), Ok(upstream));
    let turned = turn(&world, ground.now()).await.expect("a turn");
    world.acts.log.close().expect("the log closes");
    turned
}

/// The address of the cluster leads to another server: without such a database nothing is gone, and with one of that name
/// it is another's, until people say otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_instead_of_the_one_planned_for_is_left_alone() {
    let ground = Ground::new().await;
    ground.close("acme").await;
    ground.account("acme", AccountStep::Immediate).await.expect("asked for");
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    let obstacle = "alter database acme is_template true";
    ground.stage.cluster.run_sql("postgres", obstacle).await.expect("something in the way");
    ground.turn().await;
    assert_eq!(ground.stage_of("acme"), Stage::Purging);

    // made anew: those of the cache are copies of one
    let other = Cluster::start(Settings::default()).await.expect("another server");
    let turned = elsewhere(&ground, &other).await;
    assert!(turned.troubles.iter().any(|(_, why)| why.contains("another server answers")), "{turned:?}");
    let purge = ground.closure("acme").purge;
    assert!(purge.verified.is_none() && purge.replanned.is_none(), "{purge:?}");

    other.create_database("acme").await.expect("a database of that name");
    let turned = elsewhere(&ground, &other).await;
    assert!(waits_for_people(&turned), "{turned:?}");
    let purge = ground.closure("acme").purge;
    assert!(purge.verified.is_none() && purge.waits(), "{purge:?}");
    let there = other.run_sql("postgres", "select 1 from pg_database where datname = 'acme'").await.expect("asked");
    assert_eq!(there.len(), 1, "it stays");
}

/// A database of the old name after the purge is through: nobody is shut out of it before people said whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_came_back_stays_open_until_people_approve_its_purge() {
    let mut ground = Ground::new().await;
    ground.close("acme").await;
    ground.account("acme", AccountStep::Immediate).await.expect("asked for");
    let fresh = ground.now();
    ground.snapshot(1, SnapshotStep::Begun { backend: 1, started: fresh }).await;
    ground.snapshot(1, SnapshotStep::Verified { bytes: 9 }).await;
    ground.well().await;
    assert_eq!(ground.stage_of("acme"), Stage::LiveClean);
    for sql in ["create database acme owner app", "grant connect on database acme to portreeve_maintenance"] {
        ground.stage.cluster.run_sql("postgres", sql).await.expect(sql);
    }
    // that it is gone, only its own server can say
    let other = Cluster::start(Settings::default()).await.expect("another server");
    ground.later(DAY + DAY / 24).await;
    let turned = elsewhere(&ground, &other).await;
    assert!(turned.troubles.iter().any(|(_, why)| why.contains("another server answers")), "{turned:?}");
    assert_eq!(ground.closure("acme").purge.rechecked, None);
    let is_open = "select has_database_privilege('app', 'acme', 'connect')
        and exists (select from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
            where datname = 'acme' and grantee = 0 and privilege_type = 'CONNECT')";
    for _ in 0..3 {
        let turned = ground.turn().await;
        assert!(turned.troubles.is_empty() && waits_for_people(&turned), "{turned:?}");
        assert_eq!(ground.column("postgres", is_open).await, ["t"]);
    }
    let purge = ground.closure("acme").purge;
    assert!(purge.waits() && purge.came_back().is_some(), "{purge:?}");
}
