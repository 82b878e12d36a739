//! What is late, by what there is now, and one word for each kind of it.
//! Not here: the arithmetic (`retention/overdue.rs`), and telling.

use super::{Error, Stock};
use crate::clock::Timestamp;
use crate::retention::overdue::{Alarm, What, alarms};
use crate::retention::plan::Object;

/// What is late now, by what there is now.
///
/// # Errors
/// If the register cannot be read.
pub async fn late(stock: &Stock, now: Timestamp) -> Result<Vec<Alarm>, Error> {
    let frozen = stock.notes.guard().and_then(|guard| guard.frozen);
    let inventory = stock.inventory(frozen.is_some(), now).await?;
    Ok(alarms(&inventory, &stock.rules, frozen.map(|frozen| frozen.lasted), now))
}

/// One word for a collector, and about what it is.
pub fn named(what: &What) -> (&'static str, String) {
    let object = |object: &Object| match object {
        Object::Snapshot(backend, id) => format!("{backend}/{id}"),
        Object::Archive(id) => id.clone(),
        Object::Customer(id) => id.to_string(),
    };
    match what {
        What::Gone(of) => ("not-gone", object(of)),
        What::Values(of) => ("audit-values", object(of)),
        What::Skeleton(of) => ("audit-skeleton", object(of)),
        What::Rows(of) => ("live-rows", object(of)),
        What::Backups(of) => ("backups", object(of)),
        What::Review(of) => ("hold-review", object(of)),
        What::NoGoodSnapshot(backend) => ("no-good-snapshot", backend.clone()),
        What::StoreSilent(backend) => ("store-silent", backend.clone()),
        What::Frozen => ("clocks-disagree", String::new()),
    }
}
