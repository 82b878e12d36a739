use std::time::Duration;

use super::*;
use crate::clock::Timestamp;
use crate::retention::inventory::{Inventory, Listing, Origin, Snapshot, State};
use crate::retention::plan::{Caps, OnCeiling, Rules, plan};
use crate::retention::promise::Promise;
use crate::retention::solve::Backend;

fn rules() -> Rules {
    let hour = Duration::from_secs(3600);
    let backend = Backend { name: "main".to_owned(), takes: hour, expiry_lag: hour, store_keeps: Duration::ZERO };
    let caps = Caps { expire: 0, expire_percent: 0, ..Caps::default() };
    Rules::new(Promise::default(), &[backend], caps, OnCeiling::HoldLastGood).expect("possible")
}

fn written(table: &Table, format: Format) -> String {
    let mut out = Vec::new();
    table.write(format, &mut out).expect("written");
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn a_solution_is_told_in_days_to_people_and_in_seconds_to_programs() {
    let rules = rules();
    let shown = written(&solved(rules.solution(), Format::Table), Format::Table);
    assert!(shown.contains("main     13d 23h  14d      68d 22h       37d 22h"), "{shown}");
    let shown = written(&solved(rules.solution(), Format::Json), Format::Json);
    let first: Value = serde_json::from_str(shown.lines().next().expect("a row")).expect("JSON");
    assert_eq!(first["purge_latest"], 5_954_400, "{first}");
}

#[test]
fn a_plan_is_shown_with_reasons_and_how_to_apply_it() {
    let started = Timestamp(1_795_000_000_000_000);
    let now = started.plus(Duration::from_secs(15 * 86_400));
    let snapshot = |sequence: u64, started| Snapshot {
        id: format!("s{sequence}\u{1b}[2J"),
        backend: "main".to_owned(),
        sequence,
        started,
        store_started: None,
        state: State::Verified,
        origin: Origin::Own,
        is_listed: true,
        locked_until: None,
        bytes: 1,
        manifest: None,
    };
    let inventory = Inventory {
        instance: "keeper-1".to_owned(),
        stores: [("main".to_owned(), Listing::Whole)].into(),
        snapshots: vec![snapshot(1, started), snapshot(2, now)],
        ..Inventory::default()
    };
    let plan = plan(&inventory, &rules(), now);
    let mut out = Vec::new();
    write_plan(&plan, Format::Table, &mut out).expect("written");
    let shown = String::from_utf8(out).expect("UTF-8");
    for part in [
        "expire  snapshot  main/s1\\u{1b}[2J",
        "due since ",
        "1 keep, 1 expire, 0 purge, 0 hold, 0 report; made at ",
        "a second person must apply it: it expires 1 snapshots, more than 0",
        &format!("portreeve retention apply --plan {}", plan.token()),
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let mut out = Vec::new();
    write_plan(&plan, Format::Json, &mut out).expect("written");
    let shown = String::from_utf8(out).expect("UTF-8");
    let last: Value = serde_json::from_str(shown.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["plan"], plan.token().to_string());
    assert_eq!(last["second_person_because"].as_array().map(Vec::len), Some(1));
}
