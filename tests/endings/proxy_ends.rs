//! The proxy itself ends, is killed, or no longer knows what was decided.
//! Not here: ends that somebody orders.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::STAFF;

use crate::cast::{Doing, SOON, cast, watch_backends};
use crate::client::{sign_in, words};
use crate::ground::{Act, Ground, register, sign_in_soon};
use crate::measured::{Expected, Measured, Watched, wait_for_roles};

/// A register that cannot be read is too old to go by after this.
const STALE_AFTER: Duration = Duration::from_secs(5);
/// The register was last read this long before it was hidden, at most.
const READ_WITHIN: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_or_stop_the_proxy_or_hide_its_register() {
    let mut ground = Ground::new(&[]).await;
    let before = ground.rows().await;
    let mut measured = Measured::default();
    ground.grant(STAFF, "acme", "write", "2h");
    hidden_register(&mut ground, &mut measured).await;
    told_to_stop(&mut ground, &mut measured).await;
    killed(&mut ground).await;
    assert_eq!(ground.rows().await, before, "rows were changed");
    killed_after_a_lock(&mut ground).await;
    wait_for_roles(&ground, 0).await;
    measured.print();
}

/// Nobody can say whether access still stands: after 5 s it does not.
async fn hidden_register(ground: &mut Ground, measured: &mut Measured) {
    let watched = Watched::new(ground, cast(&ground.stage, STAFF, &Doing::ALL).await).await;
    let path = ground.stage.path("register/register.sqlite");
    let hidden = path.with_extension("hidden");
    fs::rename(&path, &hidden).expect("the register is hidden");
    let stale = Instant::now() + STALE_AFTER;
    let stale = Act { began: stale - READ_WITHIN, done: stale };
    let expected = ended("register unreadable", "register-stale", "The register was last read at");
    watched.ended(ground, stale, &expected, measured).await;
    let refused = sign_in(&ground.stage, STAFF, "acme", "late").await.err().expect("nobody is let in");
    assert!(words(&refused).contains("28000 no access to customer \"acme\": the register"), "{}", words(&refused));
    fs::rename(&hidden, &path).expect("the register is back");
    drop(sign_in_soon(&ground.stage, STAFF, "acme", "again").await);
    wait_for_roles(ground, 0).await;
}

async fn told_to_stop(ground: &mut Ground, measured: &mut Measured) {
    let watched = Watched::new(ground, cast(&ground.stage, STAFF, &Doing::ALL).await).await;
    let told = Act::at(Instant::now());
    let proxy = ground.stage.proxy.as_mut().expect("a proxy");
    assert!(proxy.stop().expect("it stops"), "the proxy did not end well");
    let took = told.began.elapsed();
    println!("the proxy stopped within {took:.1?}");
    let expected = ended("SIGTERM", "proxy-stopping", "the gate is shutting down");
    watched.ended(ground, told, &expected, measured).await;
    assert_eq!(ground.roles().await, Vec::<String>::new(), "a proxy that ended left roles");
    ground.stage.start_proxy().expect("it starts again");
}

/// A dead proxy ends nothing: the UPDATE runs on. The next start ends it, before anybody is let in.
async fn killed(ground: &mut Ground) {
    // What waits for a stuck client outlives the process in the kernel: bytes that were shown already.
    let taking: Vec<_> = Doing::ALL.into_iter().filter(|doing| *doing != Doing::Stuck).collect();
    let members = cast(&ground.stage, STAFF, &taking).await;
    let pids: Vec<i32> = members.iter().map(|member| member.pid).collect();
    let update = members.iter().find(|member| member.doing == Doing::Update).map(|member| member.pid);
    ground.stage.proxy.as_mut().expect("a proxy").kill().expect("kill -9");
    for member in members {
        assert!(!member.seen().await.told.starts_with("57P01"), "a killed proxy tells nobody");
    }
    assert_eq!(ground.roles().await.len(), 1, "the dead proxy's role");
    let gone = watch_backends(&ground.stage, pids).await;
    let began = Instant::now();
    ground.stage.start_proxy().expect("it starts again");
    let start = Act { began, done: Instant::now() };
    let gone = gone.await.expect("all are ended");
    let (_, worked_on) = *gone.iter().find(|(pid, _)| Some(*pid) == update).expect("it was watched");
    start.until(worked_on, "the UPDATE of a dead proxy ended");
    let last = gone.iter().map(|(_, at)| *at).max().expect("some");
    let outlived = start.until(last, "backends of a dead proxy ended");
    assert!(outlived <= Duration::from_millis(50), "backends of a dead proxy outlived the next one's start");
    assert_eq!(ground.roles().await, Vec::<String>::new(), "roles of a dead proxy");
    println!("after kill -9 all backends were gone {:.1?} after the next start", last.duration_since(began));
}

/// A lock came by the control socket, and the proxy died before the register had it: it still holds.
async fn killed_after_a_lock(ground: &mut Ground) {
    drop(sign_in_soon(&ground.stage, STAFF, "acme", "before").await);
    let state = register(&ground.stage).state().expect("a register");
    let acme = state.customer_named("acme").expect("acme").id;
    let mut socket = UnixStream::connect(ground.stage.path("proxy/control.sock")).expect("the control socket");
    socket.set_read_timeout(Some(SOON)).expect("a time-out");
    writeln!(socket, r#"{{"lock":{{"customer":{}}}}}"#, acme.0).expect("asked");
    let mut answer = String::new();
    BufReader::new(&socket).read_line(&mut answer).expect("answered");
    ground.stage.proxy.as_mut().expect("a proxy").kill().expect("kill -9");
    assert!(answer.contains("ended") && !answer.contains("error"), "{answer}");
    let locks = ground.stage.path("proxy/locks");
    assert!(fs::read_to_string(&locks).expect("a lock file").starts_with(&acme.to_string()));

    ground.stage.start_proxy().expect("it starts again");
    let refused = sign_in(&ground.stage, STAFF, "acme", "locked").await.err().expect("it is locked");
    assert!(words(&refused).contains("access was withdrawn a moment ago"), "{}", words(&refused));

    // Widening does not lift what it does not know of; the owner's off does, and speaks for itself from then on.
    ground.close("acme");
    let until = Instant::now() + SOON;
    while !fs::read_to_string(&locks).expect("a lock file").is_empty() {
        assert!(Instant::now() < until, "the register's word did not lift the lock");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let refused = sign_in(&ground.stage, STAFF, "acme", "off").await.err().expect("it is off");
    assert!(words(&refused).contains("switched off"), "{}", words(&refused));
    ground.open("acme", "write");
    ground.grant(STAFF, "acme", "read", "1h");
    drop(sign_in_soon(&ground.stage, STAFF, "acme", "after").await);
}

fn ended<'a>(way: &'static str, reason: &'a str, says: &'a str) -> Expected<'a> {
    Expected { way, reason, sqlstate: "57P01", says }
}
