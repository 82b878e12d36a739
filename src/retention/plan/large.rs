//! A large inventory, for measuring: many snapshots of several back-ends, many closed customers.
//! Not a test itself; the bench and a test plan for it.

use std::time::Duration;

use super::{Caps, OnCeiling, Rules};
use crate::clock::Timestamp;
use crate::ids::CustomerId;
use crate::retention::closure::{Closure, Dates, Facts, Stage};
use crate::retention::inventory::{Inventory, Listing, Origin, Snapshot, State};
use crate::retention::promise::Promise;
use crate::retention::solve::Backend;

const START: Timestamp = Timestamp(1_700_000_000_000_000);

/// So many snapshots of the back-end `main` and so many customers, and a moment at which some of each are due.
pub fn large(snapshots: u64, customers: u64) -> (Inventory, Timestamp) {
    let rules = rules();
    let now = START.plus(Duration::from_secs(60 * snapshots));
    let facts = Facts { planned: Some(START), has_good_snapshot: true, window_opens: Some(START), ..Facts::default() };
    let closed = (0..customers).map(|customer| {
        // Closed one after the other over a hundred days.
        let ago = Duration::from_secs(8_640_000 / customers.max(1) * customer);
        let closed = Timestamp(now.0.saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(0)));
        let dates = Dates::new(closed, rules.promise(), rules.solution());
        (Closure { stage: Stage::Planned, ..Closure::new(CustomerId(customer), dates) }, facts.clone())
    });
    let inventory = Inventory {
        instance: "keeper-1".to_owned(),
        stores: [("main".to_owned(), Listing::Whole)].into(),
        snapshots: (0..snapshots).map(snapshot).collect(),
        closed: closed.collect(),
        ..Inventory::default()
    };
    (inventory, now)
}

/// The rules to plan it by: the promise as it is shipped.
pub fn rules() -> Rules {
    let hour = Duration::from_secs(3600);
    let backend = Backend { name: "main".to_owned(), takes: hour, expiry_lag: hour, store_keeps: Duration::ZERO };
    Rules::new(Promise::default(), &[backend], Caps::default(), OnCeiling::HoldLastGood)
        .expect("the shipped promise is possible")
}

fn snapshot(sequence: u64) -> Snapshot {
    Snapshot {
        id: format!("{sequence:032x}"),
        backend: "main".to_owned(),
        sequence,
        started: START.plus(Duration::from_secs(60 * sequence)),
        store_started: None,
        state: if sequence.is_multiple_of(7) { State::Failed } else { State::Verified },
        origin: Origin::Own,
        is_listed: true,
        locked_until: None,
        bytes: sequence,
        manifest: Some([7; 32]),
    }
}
