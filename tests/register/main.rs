//! A whole Portreeve whose register is on a PostgreSQL server of its own: what an owner decides holds everywhere, and
//! while the server is away nobody is let in.
//! Not here: what must hold of any register (`src/register/conformance_tests.rs`).

mod ground;

use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve::clock::SystemClock;
use portreeve::grant::Mode;
use portreeve::register::{At, Follower, Register};

use ground::{Ground, SOON, sign_in, wait_for, words};

/// A register that was not read for so long decides nothing any more.
const STALE_AFTER: Duration = Duration::from_secs(5);
/// The times of an ending are what they are with a file (`tests/endings`); a busy machine is given more here.
const ENDED_WITHIN: Duration = Duration::from_secs(3);
const CHANGES: usize = 200;
/// 99 of a hundred changes are heard of within this on any machine; a quiet one is told apart by what is printed.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_register_is_on_a_server() {
    let mut ground = Ground::new().await;
    an_owner_opens_and_closes(&ground).await;
    changes_are_heard_of(&ground).await;
    the_server_goes_away_and_comes_back(&mut ground).await;
    what_is_there_can_be_asked(&ground);
}

async fn an_owner_opens_and_closes(ground: &Ground) {
    let refused = sign_in(&ground.stage).await.err().expect("the switch is off");
    assert!(words(&refused).contains("28000"), "{}", words(&refused));
    ground.switch(r#"{"mode":"standing","scope":"read"}"#);
    ground.grant();
    let mut ended = Vec::new();
    for _ in 0..5 {
        let session = ground.sign_in_soon().await;
        let query = session.client.simple_query("select count(*) from contacts").await.expect("it is open");
        assert!(!query.is_empty());
        let running = tokio::spawn(async move {
            let told = session.client.simple_query("select pg_sleep(120)").await.map(drop);
            (Instant::now(), told)
        });
        ground.wait_until_sleeping().await;
        ground.switch(r#"{"mode":"off"}"#);
        let since = Instant::now();
        let (at, told) = tokio::time::timeout(SOON, running).await.expect("it is ended").expect("no panic");
        let told = words(&told.expect_err("nobody lets it end by itself"));
        assert!(told.contains("consent") || told.contains("28000") || told.contains("57P01"), "{told}");
        ended.push(at.saturating_duration_since(since));
        ground.switch(r#"{"mode":"standing","scope":"read"}"#);
        ground.grant();
    }
    ended.sort();
    println!("from the portal's answer to the session's end: {ended:.1?}");
    assert!(ended.iter().all(|took| *took < ENDED_WITHIN), "{ended:?}");
    // The command line narrows as well, in a process of its own.
    let session = ground.sign_in_soon().await;
    ground.stage.run(&["customer", "revoke", "acme"]).expect("it is shut");
    let ended = tokio::time::timeout(SOON, session.connection).await.expect("it is ended").expect("no panic");
    assert!(ended.is_some(), "with an error");
    ground.switch(r#"{"mode":"standing","scope":"read"}"#);
}

/// By a follower as the proxy's, from the answer to the owner until it is known; zero if it was known before.
async fn changes_are_heard_of(ground: &Ground) {
    let config = ground.config();
    let seen = ground.stage.path("test.seen");
    let follower = Follower::start(&config.register, ground.trust(), &seen, Arc::new(SystemClock)).expect("it starts");
    let mut lags = Vec::new();
    for change in 0..CHANGES {
        let (wanted, body) = match change % 2 {
            0 => (Mode::Off, r#"{"mode":"off"}"#),
            _ => (Mode::Standing, r#"{"mode":"standing","scope":"read"}"#),
        };
        let heard = tokio::spawn(heard(follower.clone(), wanted));
        ground.switch(body);
        let answered = Instant::now();
        let at = tokio::time::timeout(SOON, heard).await.expect("it is heard of").expect("no panic");
        lags.push(at.saturating_duration_since(answered));
    }
    lags.sort_unstable();
    let at = |place: usize| *lags.get(place).expect("as many as changes");
    let (median, p99) = (at(CHANGES / 2), at(CHANGES * 99 / 100));
    println!("a change is heard of: median {median:.1?}, p99 {p99:.1?}, slowest {:.1?}", at(CHANGES - 1));
    assert!(p99 <= HEARD_WITHIN, "{lags:?}");
}

async fn heard(follower: Follower, wanted: Mode) -> Instant {
    let mut changed = follower.changed();
    loop {
        changed.mark_unchanged();
        let state = follower.state();
        if state.customer_named("acme").is_some_and(|acme| acme.consent.mode == wanted) {
            return Instant::now();
        }
        changed.changed().await.expect("a follower");
    }
}

async fn the_server_goes_away_and_comes_back(ground: &mut Ground) {
    ground.switch(r#"{"mode":"standing","scope":"read"}"#);
    ground.grant();
    let session = ground.sign_in_soon().await;
    ground.register.stop();
    let since = Instant::now();
    let told = tokio::time::timeout(STALE_AFTER + SOON, session.connection).await.expect("it is ended");
    let took = since.elapsed();
    let told = words(&told.expect("no panic").expect("with an error"));
    assert!(told.contains("The register was last read at"), "{told}");
    // It was read last a moment before the server went.
    assert!(took + Duration::from_millis(200) > STALE_AFTER, "ended before it was too old: {took:?}");
    println!("the server is away: a session ends after {took:.1?}");
    let refused = sign_in(&ground.stage).await.err().expect("nobody is let in");
    assert!(words(&refused).contains("28000 no access to customer \"acme\": the register"), "{}", words(&refused));
    let (status, answer) =
        ground.stage.set_consent("acme", r#"{"mode":"standing","scope":"write"}"#).expect("the portal");
    assert!(status >= 500, "nothing is widened: {status} {answer}");
    let told = ground.stage.run(&["customer", "list"]).expect_err("it cannot be read").to_string();
    assert!(told.contains("cannot connect to the register postgresql://localhost:"), "{told}");

    ground.register.start_again().await.expect("the server is back");
    let since = Instant::now();
    let session = ground.sign_in_soon().await;
    println!("the server is back: a session begins after {:.1?}", since.elapsed());
    // Off is off: what could not be widened is not, and what narrows goes on.
    ground.switch(r#"{"mode":"off"}"#);
    assert!(tokio::time::timeout(SOON, session.connection).await.expect("it is ended").expect("no panic").is_some());
}

/// A register that is behind what a role saw does not start it, on a server either; nor does one that cannot be used.
fn what_is_there_can_be_asked(ground: &Ground) {
    let config = ground.config();
    let register = Register::open(&config.register, ground.trust()).expect("it opens");
    let state = register.state().expect("it verifies");
    assert!(state.sequence().0 > CHANGES as u64);
    assert!(!ground.stage.path("register/register.sqlite").exists(), "there is no file beside it");
    let place = At::from(&config.register).place().to_string();
    let said = ground.stage.run(&["--format", "json", "register", "prepare", "--dsn-file", &ground.dsn_file()]);
    let said = String::from_utf8(said.expect("prepared once more").stdout).expect("text");
    assert!(said.contains(&place) && said.contains("portreeve_register is there"), "{said}");
    let doctor = ground.stage.command(&["doctor"]).output().expect("it runs");
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains(&place) && doctor.contains("every event in its place"), "{doctor}");
    let listed = String::from_utf8(ground.stage.run(&["customer", "list"]).expect("a list").stdout).expect("text");
    assert!(listed.contains("acme"), "{listed}");
    wait_for(|| register.state().is_ok());
}
