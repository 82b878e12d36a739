//! What is particular to a server; what holds of every register is in `conformance_tests.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::unfit::refused;
use super::*;
use crate::entropy::{OsEntropy, random};
use crate::grant::world::{ACME, NOON, World, customer, staff};
use crate::grant::{By, Draft, Layout, Mode, Scope, What};
use crate::register::At;
use crate::register::kept::{Kept, Shelf, proposal, verifier, wait_for};

fn a_road_that_does_not_lead_there_is_said_to(shelf: &Shelf) {
    let server = shelf.database();
    shelf.prepare(&server).expect("prepared");
    let nobody = RegisterServer { port: 1, ..server.clone() };
    assert!(
        refused(&nobody).contains("cannot connect to the register postgresql://localhost:1/"),
        "{}",
        refused(&nobody)
    );
    let no_password = RegisterServer { password_file: "/nonexistent".into(), ..server.clone() };
    assert!(refused(&no_password).contains("secret file /nonexistent"), "{}", refused(&no_password));
    // Another CA than the server's own, and a name that its certificate does not carry.
    let other = shelf.cluster().certificates().gate_ca.clone();
    let untrusted = RegisterServer { ca: other, ..server.clone() };
    assert!(refused(&untrusted).contains("invalid peer certificate"), "{}", refused(&untrusted));
    let misnamed = RegisterServer { host: "127.0.0.2".to_owned(), ..server.clone() };
    assert!(refused(&misnamed).contains("cannot connect"), "{}", refused(&misnamed));
    let wrong = RegisterServer { role: "app".to_owned(), ..server };
    assert!(refused(&wrong).contains("password authentication failed"), "{}", refused(&wrong));
}

/// What rewrites the side rows runs as the superuser who prepared, and whoever calls it cannot have it run anything else,
/// even with a right that is refused at the next connection.
fn rewriting_reaches_nothing_of_whoever_asks(shelf: &Shelf) {
    let server = shelf.database();
    shelf.prepare(&server).expect("prepared");
    let own = format!("alter database {} owner to portreeve_register", server.database);
    shelf.sql(&server.database, &own).expect("it is done");
    let trap = "set role portreeve_register;
        create function pg_temp.trap() returns int language plpgsql as $$
            begin raise exception 'reached as %', current_user; end $$;
        create view pg_temp.pg_stat_activity as
            select pg_temp.trap() as pid, '3'::xid as backend_xmin, null::name as datname;
        create view pg_temp.pg_replication_slots as select '3'::xid as xmin where pg_temp.trap() > 0;
        create domain pg_temp.xid as pg_catalog.xid check (pg_temp.trap() > 0);
        select portreeve_register.rewrite('3')";
    let rewritten = shelf.sql(&server.database, trap).expect("nothing of it is reached");
    assert_eq!(rewritten, [[Some("t".to_owned())]]);
    assert!(refused(&server).contains("ownership of the database"), "{}", refused(&server));
}

/// What another role made under the register's names would run as the superuser who prepares: it is not touched.
fn what_others_made_is_not_prepared(shelf: &Shelf) {
    let server = shelf.database();
    shelf.sql(&server.database, "create schema portreeve_register authorization outsider").expect("made");
    let told = shelf.prepare(&server).expect_err("it is another's").to_string();
    assert!(told.contains("belongs to a role that is no superuser"), "{told}");
    let given =
        "alter schema portreeve_register owner to postgres; create table portreeve_register.register (version int);
        alter table portreeve_register.register owner to outsider";
    shelf.sql(&server.database, given).expect("given");
    let told = shelf.prepare(&server).expect_err("something in it is another's").to_string();
    assert!(told.contains("or something in it, belongs to a role that is no superuser"), "{told}");
    shelf.sql(&server.database, "drop table portreeve_register.register").expect("dropped");
    shelf.prepare(&server).expect("prepared");
}

/// An answer without an error is no proof: what keeps rows back on the server fails the append, and nothing of it is there.
fn what_is_kept_back_is_not_taken_for_stored(shelf: &Arc<Shelf>) {
    let kept = Kept::on(shelf);
    let At::Server(server) = kept.at.clone() else { panic!("it is on a server") };
    let world = World::with_people();
    let register = kept.holding(&world);
    let joe = proposal(world.make(By::Operator, What::StaffCreated, Some(staff("joe"))));
    let trap = "create function swallow() returns trigger language plpgsql as 'begin return null; end'";
    shelf.sql(&server.database, trap).expect("made");
    for table in ["event", "side"] {
        let on = format!("on portreeve_register.{table}");
        let made = format!("create trigger swallow before insert {on} for each row execute function swallow()");
        shelf.sql(&server.database, &made).expect("made");
        let told = register.append(&joe).expect_err("it is kept back");
        assert!(
            matches!(told, Error::Unfit { .. }) && told.to_string().contains("keeps back what is appended"),
            "{told}"
        );
        shelf.sql(&server.database, &format!("drop trigger swallow {on}")).expect("dropped");
        assert_eq!(register.read_from(Sequence(4)).expect("it reads"), [], "{table}");
    }
    assert_eq!(register.append(&joe).expect("nothing is in the way"), Sequence(4));
}

/// A password that is changed on the server and in its file needs no restart.
fn a_new_password_is_read_at_the_next_connection(shelf: &Arc<Shelf>) {
    let kept = Kept::on(shelf);
    let register = kept.holding(&World::with_people());
    let change = |password: &str| {
        let sql = format!("alter role portreeve_register password '{}'", verifier(password));
        shelf.sql("postgres", &sql).expect("changed");
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'portreeve_register'";
        shelf.sql("postgres", end).expect("ended");
    };
    change("another");
    wait_for(|| register.state().is_err());
    let told = register.state().expect_err("the old password").to_string();
    assert!(told.contains("password authentication failed"), "{told}");
    shelf.write_password("another");
    wait_for(|| register.state().is_ok());
    change("secret");
    shelf.write_password("secret");
    wait_for(|| register.state().is_ok());
}

/// The server's crash, at any point of appends that go on: what was said to be appended is, and what was unsure is known.
fn what_was_appended_survives_the_servers_crash(shelf: &Arc<Shelf>) {
    const CRASHES: u64 = 4;
    shelf.sql("postgres", "checkpoint").expect("so that a start replays little");
    let kept = Kept::on(shelf);
    let register = kept.holding(&World::with_people());
    let stop = Arc::new(AtomicBool::new(false));
    let (stopping, writing) = (Arc::clone(&stop), register.clone());
    let (tell, told) = mpsc::channel();
    let writer = std::thread::spawn(move || {
        let mut unsure = 0;
        while !stopping.load(Ordering::Relaxed) {
            // Down: it comes back by itself.
            let Ok(state) = writing.state() else { continue };
            let id = EventId(random(&OsEntropy));
            let draft = Draft { by: By::Operator, what: What::StaffCreated, personal: Some(staff(&id.to_string())) };
            let proposal = draft.propose(id, NOON, random(&OsEntropy), (state.sequence(), state.head()));
            match writing.append(&proposal) {
                Ok(sequence) => tell.send((id, Some(sequence))).expect("somebody counts"),
                Err(fault) => {
                    let is_unsure = matches!(fault, Error::Unsure(_));
                    assert!(is_unsure || fault.is_unsure(), "{fault}");
                    unsure += u32::from(is_unsure);
                    let found = loop {
                        if let Ok(found) = writing.find(id) {
                            break found;
                        }
                    };
                    assert!(is_unsure || found.is_none(), "it was not tried, and is there: {fault}");
                    tell.send((id, found)).expect("somebody counts");
                }
            }
        }
        unsure
    });
    let mut known = Vec::new();
    for crash in 0..CRASHES {
        known.extend(told.iter().take(5));
        std::thread::sleep(Duration::from_micros(731 * crash));
        shelf.cluster().stop();
        shelf.start_again();
    }
    known.extend(told.iter().take(1));
    stop.store(true, Ordering::Relaxed);
    let unsure: u32 = writer.join().expect("no panic");
    known.extend(told.iter());
    let there = known.iter().filter(|(_, sequence)| sequence.is_some()).count();
    println!("{there} appended over {CRASHES} crashes, {unsure} of them or of those that were not unsure at first");
    let register = kept.open();
    for (id, sequence) in known {
        assert_eq!(register.find(id).expect("it reads"), sequence);
    }
    let last = register.state().expect("it verifies").sequence();
    assert_eq!(last, Sequence(3 + u64::try_from(there).expect("a number")));
}

/// Whoever asks what became of an append waits until nobody is at it any more.
fn an_append_under_way_is_waited_for(shelf: &Arc<Shelf>) {
    let kept = Kept::on(shelf);
    let At::Server(server) = kept.at.clone() else { panic!("it is on a server") };
    let register = kept.holding(&World::with_people());
    let mut world = World::with_people();
    world.must(By::Operator, What::StaffCreated, Some(staff("joe")));
    let (event, id) = (world.events[3].clone(), EventId([9; 16]));
    // What a process that died left behind: a transaction in which the event is, for a second.
    let insert = format!(
        "begin; insert into portreeve_register.event values (4, {}, {}, {}, null); select pg_sleep(1); commit",
        kept.bytes(&id.0),
        kept.bytes(&event.content),
        kept.bytes(&event.hash)
    );
    let (left, database) = (Arc::clone(shelf), server.database.clone());
    let dying = std::thread::spawn(move || {
        // Beside the superuser's connection of the test, which waits below.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let dsn = left.cluster().superuser_dsn(&database);
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.expect("it connects");
            let driver = tokio::spawn(connection);
            client.batch_execute(&insert).await.expect("it is appended");
            drop(client);
            driver.await.expect("no panic").expect("it ended well");
        });
    });
    let held = "select 1 from pg_locks where locktype = 'advisory' and mode = 'ShareLock' and granted";
    wait_for(|| !shelf.sql(&server.database, held).expect("locks").is_empty());
    assert_eq!(register.find(id).expect("it reads"), Some(Sequence(4)), "not before it is known");
    dying.join().expect("no panic");
}

/// Without the server's telling, it is asked often enough.
fn what_is_not_told_is_found_by_asking(shelf: &Arc<Shelf>) {
    let kept = Kept::on(shelf);
    let mut world = World::with_people();
    let register = kept.holding(&world);
    let follower = kept.follow().expect("it starts");
    let At::Server(server) = kept.at.clone() else { panic!("it is on a server") };
    let deaf = "alter table portreeve_register.event disable trigger event_told";
    shelf.sql(&server.database, deaf).expect("nobody is told");
    let mut took = Vec::new();
    for round in 0..20 {
        world.consent(if round % 2 == 0 { Mode::Standing } else { Mode::Off }, Scope::Read, None);
        let before = Instant::now();
        let sequence = register.append(&proposal(world.events.last().expect("made").clone())).expect("it applies");
        wait_for(|| follower.state().sequence() == sequence);
        took.push(before.elapsed());
    }
    took.sort();
    println!("by asking alone: median {:?}, slowest {:?}", took[10], took[19]);
    assert!(took[10] < Duration::from_millis(500), "{took:?}");
}

/// Does that while the server keeps deleted rows for other reasons than readers, which only PostgreSQL 15 can be told.
fn keeping_deleted_rows(shelf: &Shelf, what: impl FnOnce()) {
    let shown =
        || shelf.sql("postgres", "select current_setting('vacuum_defer_cleanup_age', true)").expect("it answers");
    if shown() == [[None]] {
        let version = shelf.sql("postgres", "select current_setting('server_version_num')").expect("it answers");
        let version = version.into_iter().flatten().flatten().next().and_then(|text| text.parse().ok());
        let version: u32 = version.expect("a number");
        assert!(version >= 160_000, "PostgreSQL 15 and older can be told: {version}");
        eprintln!("skipped: {version} cannot be told to keep deleted rows, so that nothing of it is tried");
        return;
    }
    let set = |sql: &str, shows: &str| {
        shelf.sql("postgres", sql).expect("it is done");
        shelf.sql("postgres", "select pg_reload_conf()").expect("it is read");
        wait_for(|| shown() == [[Some(shows.to_owned())]]);
    };
    set("alter system set vacuum_defer_cleanup_age = 1000", "1000");
    what();
    set("alter system reset vacuum_defer_cleanup_age", "0");
}

/// However many statements it takes: nobody sees half of what is just being forgotten.
fn what_is_read_at_once_is_of_one_moment(shelf: &Shelf) {
    let server = shelf.database();
    shelf.prepare(&server).expect("prepared");
    // Not events: nobody looks at them but the engine.
    let many = "insert into portreeve_register.event
            select n, decode(lpad(to_hex(n), 32, '0'), 'hex'), '\\x00', sha256(int8send(n)) from generate_series(1, 5000) n;
        insert into portreeve_register.side
            select sequence, hash, content from portreeve_register.event";
    shelf.sql(&server.database, many).expect("inserted");
    let mut engine = Postgres::open(&server).expect("it opens");
    let count = |engine: &mut Postgres, during: &dyn Fn()| {
        let (mut events, mut sides) = (0, 0);
        let read = engine.read(Sequence(1), &mut |stored| {
            if events == 0 {
                during();
            }
            events += 1;
            assert_eq!(stored.sequence, Sequence(events), "each, in order");
            sides += u64::from(stored.side.is_some());
            ControlFlow::Continue(())
        });
        read.expect("it reads");
        (events, sides)
    };
    let delete = || drop(shelf.sql(&server.database, "delete from portreeve_register.side").expect("deleted"));
    assert_eq!(count(&mut engine, &delete), (5000, 5000));
    assert_eq!(count(&mut engine, &|| ()), (5000, 0), "the next is of another moment");
    engine.read(Sequence(1), &mut |_| ControlFlow::Break(())).expect("whoever has seen enough goes");
    let one =
        "insert into portreeve_register.side select sequence, hash, content from portreeve_register.event limit 1";
    shelf.sql(&server.database, one).expect("inserted");
    assert_eq!(count(&mut engine, &|| ()), (5000, 1));
}

/// Nothing of an erased row is in the table's files; while somebody has a snapshot with it, it is not said to be gone.
fn what_is_forgotten_is_in_no_file_of_the_table(shelf: &Arc<Shelf>) {
    let kept = Kept::on(shelf);
    let mut world = World::with_people();
    world.must(By::Operator, What::CustomerCreated { layout: Layout::Database }, Some(customer("globex")));
    let register = kept.holding(&world);
    let At::Server(server) = kept.at.clone() else { panic!("it is on a server") };
    let files = || {
        let path = "checkpoint; select pg_relation_filepath('portreeve_register.side')";
        let rows = shelf.sql(&server.database, path).expect("a path");
        let path = rows.into_iter().flatten().flatten().next().expect("a path");
        std::fs::read(shelf.cluster().directory().join("data").join(path)).expect("the table's file")
    };
    let body = |at: usize| world.events[at].side.as_ref().expect("a side row").body.clone();
    let is_in = |file: &[u8], body: &[u8]| file.windows(body.len()).any(|bytes| bytes == body);
    assert!(is_in(&files(), &body(0)) && is_in(&files(), &body(3)));
    let dsn = shelf.cluster().superuser_dsn(&server.database);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (client, connection) =
        runtime.block_on(tokio_postgres::connect(&dsn, tokio_postgres::NoTls)).expect("connected");
    runtime.spawn(connection);
    let snapshot = "begin isolation level repeatable read; select count(*) from portreeve_register.event";
    runtime.block_on(client.batch_execute(snapshot)).expect("a snapshot");
    let told = register.forget(ACME).expect_err("somebody reads").to_string();
    assert!(told.contains("somebody reads the register"), "{told}");
    assert!(is_in(&files(), &body(0)), "it is still there, as was said");
    runtime.block_on(client.batch_execute("commit")).expect("it ends");
    keeping_deleted_rows(shelf, || {
        let told = register.forget(ACME).expect_err("it is kept").to_string();
        assert!(told.contains("vacuum_defer_cleanup_age"), "{told}");
        assert!(is_in(&files(), &body(0)), "it is still there, as was said");
    });
    assert_eq!(register.forget(ACME).expect("nobody reads"), 0, "it was deleted before");
    let file = files();
    assert!(!is_in(&file, &body(0)) && !is_in(&file, &body(1)) && is_in(&file, &body(3)));
}

/// Somebody's transaction that has read the side rows and idles holds nobody up.
fn whoever_idles_over_side_rows_holds_nobody_up(shelf: &Arc<Shelf>) {
    let kept = Kept::on(shelf);
    let mut world = World::with_people();
    let register = kept.holding(&world);
    let At::Server(server) = kept.at.clone() else { panic!("it is on a server") };
    let dsn = shelf.cluster().superuser_dsn(&server.database);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (client, connection) =
        runtime.block_on(tokio_postgres::connect(&dsn, tokio_postgres::NoTls)).expect("connected");
    runtime.spawn(connection);
    runtime.block_on(client.batch_execute("begin; select count(*) from portreeve_register.side")).expect("it idles");
    let before = Instant::now();
    let told = register.forget(ACME).expect_err("somebody reads").to_string();
    assert!(told.contains("somebody reads the register"), "{told}");
    register.erase_replaced(Sequence(3)).expect("deleting waits for nobody");
    world.must(By::Operator, What::StaffCreated, Some(staff("joe")));
    register.append(&proposal(world.events[3].clone())).expect("it applies");
    let took = before.elapsed();
    assert!(took < REWRITE_WITHIN / 3, "{took:?}");
    let left = "select from portreeve_register.side where sequence <= 3";
    assert!(shelf.sql(&server.database, left).expect("it reads").is_empty());
    let file =
        || shelf.sql(&server.database, "select pg_relation_filenode('portreeve_register.side')").expect("a number");
    let before = file();
    let told = register.overwrite().expect_err("somebody reads").to_string();
    assert!(told.contains("somebody reads the register"), "{told}");
    runtime.block_on(client.batch_execute("commit")).expect("it ends");
    assert_eq!(file(), before, "it is as it was");
    // What failed is tried again by itself, and what is done is not.
    register.overwrite().expect("nobody uses it");
    let anew = file();
    assert_ne!(anew, before);
    register.overwrite().expect("nothing is left");
    assert_eq!(file(), anew);
    assert_eq!(register.forget(ACME).expect("nobody uses it"), 0, "it was deleted before");
}

/// Events stay whoever asks, the server's superuser too; truncating is changing.
fn no_role_changes_an_event(shelf: &Arc<Shelf>) {
    let kept = Kept::on(shelf);
    let At::Server(server) = kept.at.clone() else { panic!("it is on a server") };
    drop(kept.holding(&World::with_people()));
    for sql in [
        "update portreeve_register.event set signature = null",
        "delete from portreeve_register.event",
        "truncate portreeve_register.event cascade",
        "set session_replication_role = replica; delete from portreeve_register.event",
    ] {
        let told = shelf.sql(&server.database, sql).expect_err("they stay").to_string();
        assert!(told.contains("the register is append-only"), "{sql}: {told}");
    }
    for sql in [
        "update side set salt = body",
        "truncate side",
        "delete from checkpoint",
        "delete from abandoned",
        "update checkpoint set log = 'another'",
        "update register set version = 0",
        "alter table event disable trigger all",
        "drop table side",
        "create table mine ()",
        "cluster side using side_pkey",
    ] {
        let told = kept.refusal(sql);
        assert!(told.contains("permission denied") || told.contains("must be owner"), "{sql}: {told}");
    }
}

#[test]
fn what_is_particular_to_a_server() {
    let shelf = Shelf::start();
    unfit::what_cannot_be_used_is_refused_with_what_to_do(&shelf);
    rewriting_reaches_nothing_of_whoever_asks(&shelf);
    what_others_made_is_not_prepared(&shelf);
    what_is_kept_back_is_not_taken_for_stored(&shelf);
    a_road_that_does_not_lead_there_is_said_to(&shelf);
    a_new_password_is_read_at_the_next_connection(&shelf);
    an_append_under_way_is_waited_for(&shelf);
    late::an_append_that_comes_after_it_was_asked_for_is_refused(&shelf);
    what_is_not_told_is_found_by_asking(&shelf);
    what_is_read_at_once_is_of_one_moment(&shelf);
    what_is_forgotten_is_in_no_file_of_the_table(&shelf);
    whoever_idles_over_side_rows_holds_nobody_up(&shelf);
    no_role_changes_an_event(&shelf);
    elsewhere::settings_that_do_not_arrive_are_missed(&shelf);
    elsewhere::a_standby_is_not_taken_for_the_primary(&shelf);
    what_was_appended_survives_the_servers_crash(&shelf);
}
