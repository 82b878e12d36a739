//! A closed customer's schema goes in batches; nothing outside it goes with it.

use std::time::{Duration, Instant};

use portreeve::purge::{
    Connection, Control, MAINTENANCE, Pace, Road, SchemaOutcome, drop_schema, has_schema, prepare, schema_target,
    shared_large_objects,
};
use portreeve::secret::Secret;
use tokio::sync::watch;

use crate::ground::{Ground, Version};

const MANY: &str = "
set role app;
do $$ begin for n in 1..50 loop execute format('create table acme.t%s (id int primary key, up int references acme.t%s)',
    n, greatest(n - 1, 1)); end loop; end $$;
create table acme.pictures (id int, picture oid);
insert into acme.pictures select g, lo_from_bytea(0, 'a face') from generate_series(1, 30) g;
create table acme.events (at date not null) partition by range (at);
create table acme.events_old partition of acme.events for values from (minvalue) to (maxvalue);
create function acme.f() returns int language sql as 'select 1';
create type acme.kind as enum ('a');
reset role";

/// The maintenance role's road: no superuser.
pub async fn maintenance(ground: &Ground) -> Road {
    let road = Road::new(&Secret::new(ground.cluster.superuser_dsn("crm")), None).expect("a road");
    let superuser: Connection = road.connect("crm").await.expect("a superuser");
    prepare(&superuser).await.expect("prepared");
    let hba = ground.cluster.directory().join("data/pg_hba.conf");
    let lines = std::fs::read_to_string(&hba).expect("pg_hba.conf");
    std::fs::write(&hba, format!("local all {MAINTENANCE} trust\n{lines}")).expect("written");
    ground.run("select pg_reload_conf()").await;
    let dsn = ground.cluster.superuser_dsn("crm").replace("user=postgres", &format!("user={MAINTENANCE}"));
    let road = Road::new(&Secret::new(dsn), None).expect("a road");
    let began = Instant::now();
    while let Err(error) = road.connect("crm").await {
        assert!(began.elapsed() < Duration::from_secs(10), "{error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    road
}

async fn dropped(ground: &Ground, road: &Road, schema: &str) -> Result<SchemaOutcome, String> {
    let connection = road.connect("crm").await.expect("a connection");
    let target = schema_target(&connection, schema).await.map_err(|error| error.to_string())?;
    ground.run("select 1").await;
    let (_hold, stop) = watch::channel(false);
    let mut tell = |_: &_| {};
    let mut control = Control { may_run: &|| true, stop, tell: &mut tell };
    drop_schema(road, &target, &Pace::default(), &mut control).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_schema_goes_and_nothing_else() {
    for version in Version::BOTH {
        let ground = Ground::fenced(version).await;
        ground.run(MANY).await;
        let road = maintenance(&ground).await;
        let others = "select md5(string_agg(c::text, ',' order by id)) from globex.contacts c";
        let before = ground.value(others).await;
        let strange = [
            (
                "set role app; create table globex.mine (of int references acme.contacts)",
                "foreign key mine_of_fkey of globex.mine",
                "drop table globex.mine",
            ),
            (
                "set role app; create view public.all_of_them as select * from acme.contacts",
                "view public.all_of_them",
                "drop view public.all_of_them",
            ),
            ("set role app; create table public.child () inherits (acme.orders)", "child", "drop table public.child"),
            (
                "set role app; create function public.g(acme.kind) returns int language sql as 'select 1'",
                "g(acme.kind)",
                "drop function public.g",
            ),
        ];
        for (make, says, unmake) in strange {
            ground.run(make).await;
            let refused = dropped(&ground, &road, "acme").await.expect_err(says);
            assert!(
                refused.contains(says) && refused.contains("not this customer's"),
                "{version:?}: {says}: {refused}"
            );
            ground.run(unmake).await;
        }
        assert_eq!(ground.value("select count(*) from acme.contacts").await, "300", "nothing was dropped");
        let SchemaOutcome::Done(done) = dropped(&ground, &road, "acme").await.expect("dropped") else {
            panic!("it was not told to stop");
        };
        assert_eq!((done.large_objects, done.tables), (30, 56), "{version:?}: {done:?}");
        assert_eq!(ground.value("select count(*) from pg_largeobject_metadata").await, "0");
        let connection = road.connect("crm").await.expect("a connection");
        assert!(!has_schema(&connection, "acme").await.expect("an answer"));
        assert_eq!(ground.value(others).await, before);
        let gone = dropped(&ground, &road, "acme").await.expect_err("no such schema");
        assert!(gone.contains("there is no schema \"acme\""), "{gone}");
    }
}

/// Objects of every kind outside a schema that need one in it, what is said of each, and how it goes again.
const NEED_IT: [(&str, &str, &str); 14] = [
    (
        "create event trigger watch on ddl_command_start execute function acme.watch()",
        "event trigger watch",
        "drop event trigger watch",
    ),
    (
        "create domain public.few as int check (value > acme.f())",
        "constraint few_check of public.few",
        "drop domain public.few",
    ),
    (
        "create foreign data wrapper away validator acme.valid",
        "foreign-data wrapper away",
        "drop foreign data wrapper away",
    ),
    (
        "create type public.pair as (a int);
         create function acme.of_pair(public.pair) returns int language sql as 'select 1';
         create cast (public.pair as int) with function acme.of_pair(public.pair)",
        "cast from public.pair to integer",
        "drop type public.pair cascade",
    ),
    (
        "create operator public.### (function = acme.add, leftarg = int, rightarg = int)",
        "operator public.###(integer,integer)",
        "drop operator public.### (int, int)",
    ),
    (
        "create aggregate public.total(int) (sfunc = acme.add, stype = int)",
        "function public.total(integer)",
        "drop aggregate public.total(int)",
    ),
    (
        "create operator family public.odd using btree;
         alter operator family public.odd using btree add function 1 (int, int) acme.add(int, int)",
        "of operator family public.odd",
        "drop operator family public.odd using btree",
    ),
    (
        "create text search configuration public.words (copy = pg_catalog.simple);
         alter text search configuration public.words alter mapping for word with acme.words",
        "text search configuration public.words",
        "drop text search configuration public.words",
    ),
    (
        "create type public.span as range (subtype = int, multirange_type_name = acme.spans)",
        "type public.span",
        "drop type public.span",
    ),
    (
        "create table globex.part partition of acme.events for values from ('2020-01-01') to ('2021-01-01')",
        "table globex.part",
        "drop table globex.part",
    ),
    (
        "create index needs_it on globex.orders (acme.add(id, id))",
        "index globex.needs_it",
        "drop index globex.needs_it",
    ),
    (
        "create policy own on globex.orders using (acme.f() = 1)",
        "policy own on table globex.orders",
        "drop policy own on globex.orders",
    ),
    (
        "create function public.standard() returns int begin atomic select acme.f(); end",
        "function public.standard()",
        "drop function public.standard",
    ),
    ("create extension pg_trgm schema acme", "extension pg_trgm", "drop extension pg_trgm"),
];

/// What belongs to a schema in every way that a catalog knows: none of it is in its own way.
const OF_ITSELF: &str = "
set role app;
create function acme.f() returns int immutable language sql as 'select 1';
create function acme.add(int, int) returns int immutable language sql as 'select 1';
create function acme.touched() returns trigger language plpgsql as 'begin return new; end';
create type acme.kind as enum ('a');
create type acme.reach as range (subtype = int);
create domain acme.few as int check (value > acme.f());
create table acme.events (id int generated always as identity, at date not null default now(), n acme.few,
    twice int generated always as (acme.add(1, 1)) stored, body text) partition by range (at);
create table acme.events_now partition of acme.events default;
create table acme.named (plan text references public.plans, event int);
create index on acme.events (acme.add(n, n));
create view acme.seen as select at, acme.f() from acme.events;
create rule never as on delete to acme.events_now do also nothing;
create trigger touched before insert on acme.events for each row execute function acme.touched();
create policy own on acme.events using (acme.f() = 1);
create statistics acme.both on id, at from acme.events_now;
create operator acme.### (function = acme.add, leftarg = int, rightarg = int);
create aggregate acme.total(int) (sfunc = acme.add, stype = int);
alter default privileges in schema acme grant select on tables to public;
reset role;
create operator class acme.plain for type int using btree as operator 1 <, operator 3 =, function 1 btint4cmp(int, int);
create cast (acme.kind as int) with inout;
create publication all_of_it for tables in schema acme;
create publication one_of_it for table acme.orders;
create function acme.watch() returns event_trigger language plpgsql as 'begin end';
create function acme.valid(text[], oid) returns boolean language sql as 'select true';
create text search dictionary acme.words (template = pg_catalog.simple)";

#[tokio::test]
async fn what_needs_it_from_outside_is_in_the_way_of_whatever_kind() {
    let ground = Ground::bare(Version::Fifteen).await;
    ground.run(OF_ITSELF).await;
    let road = maintenance(&ground).await;
    for (make, says, unmake) in NEED_IT {
        ground.run(make).await;
        let refused = dropped(&ground, &road, "acme").await.expect_err(says);
        assert!(refused.contains(says) && refused.contains("not this customer's"), "{says}: {refused}");
        ground.run(unmake).await;
    }
    assert_eq!(ground.value("select count(*) from acme.contacts").await, "300", "nothing was dropped");
    dropped(&ground, &road, "acme").await.expect("nothing is in the way of itself");
    assert_eq!(ground.value("select count(*) from pg_namespace where nspname = 'acme'").await, "0");
}

#[tokio::test]
async fn a_new_schema_under_an_old_name_stays() {
    let ground = Ground::bare(Version::Fifteen).await;
    let road = maintenance(&ground).await;
    let connection = road.connect("crm").await.expect("a connection");
    let target = schema_target(&connection, "acme").await.expect("it is there");
    ground.run("alter schema acme rename to moved").await;
    let (_hold, stop) = watch::channel(false);
    let mut tell = |_: &_| {};
    let mut control = Control { may_run: &|| true, stop, tell: &mut tell };
    let pace = Pace::default();
    let moved = drop_schema(&road, &target, &pace, &mut control).await.expect_err("renamed").to_string();
    assert!(moved.contains("has another name now"), "{moved}");
    ground.run("create schema acme").await;
    let other = drop_schema(&road, &target, &pace, &mut control).await.expect_err("another").to_string();
    assert!(other.contains("is another schema now"), "{other}");
    ground.run("drop schema acme; drop schema moved cascade").await;
    let gone = drop_schema(&road, &target, &pace, &mut control).await.expect("gone already");
    assert!(matches!(gone, SchemaOutcome::Done(done) if !done.was_there && done.tables == 0));
}

/// Somebody gives the name to another customer's schema while the purge waits: that one stays, and so do its objects.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_gets_the_name_while_the_purge_waits_is_never_dropped() {
    for before in 0..5 {
        let ground = Ground::bare(Version::Fifteen).await;
        ground.run(MANY).await;
        ground.run(&MANY.replace("acme", "globex")).await;
        let road = maintenance(&ground).await;
        let connection = road.connect("crm").await.expect("a connection");
        let target = schema_target(&connection, "acme").await.expect("it is there");
        let others = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where n.oid = (select oid from pg_namespace where nspname = any(array['globex', 'acme']) and oid <> ";
        let others = format!("{others}{} limit 1)", target.oid);
        let (there, objects) = (ground.value(&others).await, "select count(*) from pg_largeobject_metadata");
        let swap = "alter schema acme rename to moved; alter schema globex rename to acme";
        let (asked, cluster) = (std::sync::atomic::AtomicU32::new(0), &ground.cluster);
        // asked before each batch: at the `before`th the names are swapped, as if hours had passed
        let may_run = || {
            if asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == before {
                let swapped = tokio::task::block_in_place(|| {
                    tokio::runtime::Handle::current().block_on(cluster.run_sql("crm", swap))
                });
                swapped.expect("swapped");
            }
            true
        };
        let (_hold, stop) = watch::channel(false);
        let mut tell = |_: &_| {};
        let mut control = Control { may_run: &may_run, stop, tell: &mut tell };
        let refused = drop_schema(&road, &target, &Pace::default(), &mut control).await.expect_err("another");
        assert!(refused.to_string().contains("is another schema now"), "{before}: {refused}");
        assert_eq!(ground.value(&others).await, there, "{before}: the other customer's");
        let left: u32 = ground.value(objects).await.parse().expect("a number");
        assert!(left >= 30, "{before}: {left}");
    }
}

/// Names are swapped again and again beside it, and nothing tells the purge: by the statement that drops, it is its own
/// schema or nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_whose_name_is_swapped_under_the_purge_is_dropped_alone_or_not_at_all() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let ground = Arc::new(Ground::bare(Version::Fifteen).await);
    let road = maintenance(&ground).await;
    for round in 0..4 {
        let make = "set role app; create schema if not exists one; create schema two; \
                    do $$ begin for n in 1..40 loop execute format('create table if not exists one.t%s (id int)', n); \
                    execute format('create table two.t%s (id int)', n); end loop; end $$";
        ground.run(make).await;
        let connection = road.connect("crm").await.expect("a connection");
        let target = schema_target(&connection, "one").await.expect("it is there");
        let other = schema_target(&connection, "two").await.expect("it is there");
        let stop = Arc::new(AtomicBool::new(false));
        let (renamed, mut first) = watch::channel(0_u32);
        let swapping = {
            let (ground, stop) = (Arc::clone(&ground), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // each may fail: it is being dropped
                    for (from, to) in [("one", "old"), ("two", "one"), ("one", "two"), ("old", "one")] {
                        let sql = format!("alter schema {from} rename to {to}");
                        let is_done = ground.cluster.run_sql("crm", &sql).await.is_ok();
                        renamed.send_modify(|count| *count += u32::from(is_done));
                    }
                }
            })
        };
        first.wait_for(|count| *count > 0).await.expect("a name is swapped");
        let (_hold, told) = watch::channel(false);
        let mut tell = |_: &_| {};
        let mut control = Control { may_run: &|| true, stop: told, tell: &mut tell };
        let done = drop_schema(&road, &target, &Pace::default(), &mut control).await;
        stop.store(true, Ordering::Relaxed);
        swapping.await.expect("no panic");
        let still = format!("select count(*) from pg_namespace where oid = {}", target.oid);
        assert_eq!(ground.value(&still).await, if done.is_ok() { "0" } else { "1" }, "round {round}: {done:?}");
        let left = format!("select count(*) from pg_class where relnamespace = {}", other.oid);
        assert_eq!(ground.value(&left).await, "40", "round {round}: the other schema");
        for name in ["one", "two", "old"] {
            ground.run(&format!("drop schema if exists {name} cascade")).await;
        }
    }
}

/// A customer's schema was made as a copy of another's: what both name is not one customer's to remove.
#[tokio::test]
async fn large_objects_that_others_refer_to_stay() {
    let ground = Ground::bare(Version::Fifteen).await;
    ground.run(MANY).await;
    let road = maintenance(&ground).await;
    ground
        .run(
            "set role app; create domain public.lo as oid; create table globex.faces (face public.lo);
        insert into globex.faces select picture from acme.pictures where id <= 3; reset role",
        )
        .await;
    ground.run("create table public.hidden (face oid); revoke all on public.hidden from public").await;
    let refused = dropped(&ground, &road, "acme").await.expect_err("a table that may not be read");
    assert!(refused.contains("permission denied for table hidden"), "{refused}");
    assert_eq!(ground.value("select count(*) from pg_largeobject_metadata").await, "30", "nothing is unlinked");
    ground.run("drop table public.hidden").await;
    let connection = road.connect("crm").await.expect("a connection");
    let target = schema_target(&connection, "acme").await.expect("it is there");
    assert_eq!(shared_large_objects(&connection, &target).await.expect("counted"), 3);
    let SchemaOutcome::Done(done) = dropped(&ground, &road, "acme").await.expect("dropped") else {
        panic!("it was not told to stop");
    };
    assert_eq!((done.large_objects, done.large_objects_shared), (27, 3), "{done:?}");
    assert_eq!(shared_large_objects(&connection, &target).await.expect("counted"), 0, "nobody can say any more");
    let left = "select count(*) from globex.faces f where encode(lo_get(f.face), 'escape') = 'a face'";
    assert_eq!(ground.value(left).await, "3");
}
