//! Errors and the codes they end with.

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("cannot do it")]
struct Wrapped(#[source] std::io::Error);

#[test]
fn every_error_has_one_code() {
    let refused = keyring::Error::Refused { uid: 7, verb: "open".to_owned(), list: "openers".to_owned() };
    for (failure, exit) in [
        (Failure::from(std::io::Error::other("x")), Exit::Failed),
        (Failure::from(refused), Exit::Refused),
        (Failure::from(config::Error::UnknownUser { name: "x".to_owned() }), Exit::Configuration),
        (Failure::from(keyring::Error::Missing { what: "x", path: "f".into() }), Exit::Configuration),
        (
            Failure::from(keyring::Error::Exposed { what: "x", path: "f".into(), mode: 0o444, due: 0o400 }),
            Exit::Configuration,
        ),
        (
            Failure::from(keyring::Error::Damaged { what: "x", path: "f".into(), problem: "torn".to_owned() }),
            Exit::Configuration,
        ),
        (
            Failure::from(keyring::Error::WrongCredential { path: "f".into(), credential: "c".into() }),
            Exit::Configuration,
        ),
        (Failure::from(keyring::Error::Bug("x")), Exit::Failed),
        (Failure::from(Unkeepable(vec![])), Exit::Configuration),
        (Failure::usage("x"), Exit::Usage),
        (Failure::refused("x"), Exit::Refused),
        (Failure::failed("x"), Exit::Failed),
    ] {
        assert_eq!(failure.exit(), exit, "{}", failure.message());
    }
}

#[test]
fn a_cause_is_told_once() {
    let told = Failure::from(Wrapped(std::io::Error::other("disk on fire")));
    assert_eq!(told.message(), "cannot do it: disk on fire");
    let source = std::io::Error::other("disk on fire");
    let told = Failure::from(config::Error::Unreadable { file: "f".into(), source });
    assert_eq!(told.message(), "cannot read f: disk on fire");
}

#[test]
fn the_help_names_every_code() {
    for exit in [Exit::Done, Exit::Failed, Exit::Usage, Exit::Refused, Exit::Findings, Exit::Configuration] {
        assert!(CODES.contains(&format!("{} ", exit as u8)), "{exit:?}");
    }
}
