//! What a password may hold, and what certificates say of the clocks.

use std::time::Duration;

use super::{clocks, map, quoted};
use crate::clock::Timestamp;
use crate::retention::clock_guard::{Guard, Reading};

#[test]
fn a_password_of_any_signs_is_read_back_as_it_was() {
    for password in ["plain", "it's", r"back\slash", "a b=c", r"\'"] {
        let dsn = format!("host='db' user='u' password={}", quoted(password));
        let config: tokio_postgres::Config = dsn.parse().expect("it parses");
        assert_eq!(config.get_password(), Some(password.as_bytes()), "{password}");
    }
}

#[test]
fn clocks_are_told_as_they_stand() {
    let reading = |seconds: i64, database: Option<i64>| Reading {
        wall: Timestamp(seconds * 1_000_000),
        since_boot: Duration::from_secs(seconds.unsigned_abs()),
        boot: [1; 16],
        database: database.map(|at| Timestamp(at * 1_000_000)),
    };
    let first = Guard::first(reading(1000, Some(1003)));
    let told = clocks(&first);
    assert_eq!((told.is_frozen, told.agree, told.skew_ms), (false, 3, 3000));
    assert_eq!(clocks(&first.after(reading(1010, None))).agree, 2);
    let frozen = clocks(&first.after(reading(1010, Some(5000))));
    assert_eq!((frozen.is_frozen, frozen.agree), (true, 1));
}

#[test]
fn a_data_map_that_is_not_there_says_which() {
    let why = map(std::path::Path::new("/nowhere/datamap.toml")).expect_err("there is none");
    assert!(why.contains("/nowhere/datamap.toml"), "{why}");
}
