//! Break-glass with two real people, each with their own password, and what the owner sees of it.
//! Not here: the rules one by one (`src/grant/glass_tests.rs`).

use std::time::Instant;

use aws_lc_rs::signature::Ed25519KeyPair;
use portreeve::cli::demo::stage::{STAFF, said};
use portreeve::clock::{Clock, SystemClock};
use portreeve::config;
use portreeve::grant::{Bounds, By, Draft, Mode, Scope, Terms, Trust, What};
use portreeve::ids::EventId;
use portreeve::keyring::init;
use portreeve::register::Register;

use crate::ground::{Ground, LEAD, ended};

const REASON: &str = "every invoice is wrong since noon";

fn ask(ground: &Ground) -> std::process::Output {
    let wanted =
        ["--format", "json", "break-glass", "ask", "--customer", "acme", "--reason", REASON, "--ticket", "SUP-9"];
    ground.as_staff(STAFF, &wanted)
}

/// The owner agrees to it, as the portal would write it down.
fn agree(ground: &Ground) {
    let config = config::load(&ground.stage.configuration()).expect("the stage's configuration");
    let trust = Trust { portal_key: init::read_public_key(&config.portal.signing_public_key).expect("its public key") };
    let register = Register::open(&config.register.path, trust).expect("the register");
    let state = register.state().expect("its state");
    let customer = state.customer_named("acme").expect("acme").id;
    let owner = state.owners_of(customer).next().expect("its owner").id;
    let (mode, scope, terms) =
        (Mode::PerRequest, Scope::Read, Bounds { break_glass: true, ..Terms::default().bounds() });
    let what = What::ConsentAgreed { customer, mode, scope, until: None, terms };
    let draft = Draft { by: By::Owner(owner), what, personal: None };
    let place = (state.sequence(), state.head());
    let mut proposal = draft.propose(EventId([7; 16]), SystemClock.now(), [7; 32], place);
    let seed = init::read_seed(&config.portal.signing_key).expect("its signing key");
    let key = Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("a seed");
    proposal.sign(&key, &state.head());
    register.append(&proposal).expect("the rules allow it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_open_it_where_the_owner_agreed_and_off_means_off() {
    let ground = Ground::new(&[]).await;
    let refused = ask(&ground);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert!(said(&refused).contains("has not agreed to break-glass"), "{}", said(&refused));

    agree(&ground);
    let asked = ask(&ground);
    assert!(asked.status.success(), "{}", said(&asked));
    let glass = said(&asked);
    let glass =
        glass.split('"').find(|word| word.starts_with('b') && word[1..].parse::<u64>().is_ok()).expect("its id");
    let alone = ground.as_staff(STAFF, &["break-glass", "confirm", glass]);
    assert!(said(&alone).contains("nobody does that for themselves"), "{}", said(&alone));
    let refused = said(&ground.psql("select 1"));
    assert!(refused.contains("no access to customer"), "one alone opens nothing: {refused}");
    let confirmed = ground.as_staff(LEAD, &["break-glass", "confirm", glass]);
    assert!(confirmed.status.success(), "{}", said(&confirmed));

    let session = ground.busy_session().await;
    let (status, history) = ground.stage.api("acme", "GET", "/v1/customers/acme/history", None).expect("the portal");
    assert_eq!(status, 200, "{history}");
    for part in ["confirmed jane's emergency visit", "break-glass", REASON] {
        assert!(history.contains(part), "the owner does not see \"{part}\": {history}");
    }
    let (status, answer) = ground.stage.set_consent("acme", r#"{"mode":"off"}"#).expect("the portal");
    assert_eq!(status, 200, "{answer}");
    ended(session, Instant::now(), "switched support access off");
}

/// The same at the desk, where each has signed in by their own password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_open_it_at_the_desk() {
    let ground = Ground::new(&[]).await;
    let line = format!("BREAK acme FOR '20 min' REASON '{REASON}' TICKET 'SUP-9'");
    let desk = |who: &str, line: &str| said(&ground.psql_as(who, "portreeve", line));
    assert!(desk(STAFF, &line).contains("has not agreed to break-glass"));
    agree(&ground);
    let asked = desk(STAFF, &line);
    let (_, id) = asked.split_once("CONFIRM b").expect(&asked);
    let confirm = format!("CONFIRM b{}", id.split(';').next().expect("a number"));
    assert!(asked.contains("|20 min|to be confirmed|"), "{asked}");
    assert!(desk(STAFF, &confirm).contains("nobody does that for themselves"));
    assert!(desk(LEAD, "CONFIRM b1").contains("nobody asked for \"b1\" in an emergency"));
    assert!(desk(LEAD, "SHOW EMERGENCIES").contains(REASON), "whoever may confirm it sees why");
    let refused = said(&ground.psql("select 1"));
    assert!(refused.contains("no access to customer"), "one alone opens nothing: {refused}");
    let confirmed = desk(LEAD, &confirm);
    assert!(confirmed.contains("|confirmed|") && confirmed.contains("every owner"), "{confirmed}");
    let inside = ground.psql_soon("select 'inside'");
    assert!(inside.status.success(), "{}", said(&inside));
    assert!(desk(STAFF, "SHOW GRANTS").contains("break-glass with s"));
    let recorded = ground.must(&["--format", "json", "audit", "search", "--kind", "desk"]);
    assert!(recorded.contains("BREAK acme") && recorded.contains(&confirm), "{recorded}");
    ground.must(&["audit", "verify"]);
}
