//! What a verification allows to be claimed: a level of residue, and in words what is left and why it is no higher.
//! Not here: verifying (`purge/verify.rs`). Counts and names of objects only.

use super::Error;
use crate::purge::{Level, Verified};

/// What may be claimed, as a number.
pub(super) fn level(verified: &Verified) -> Result<u8, Error> {
    let Some(level) = verified.level() else {
        let left: Vec<String> = verified
            .rows_left
            .iter()
            .chain(&verified.orphans)
            .map(|(table, rows)| format!("{table}: {rows}"))
            .collect();
        return Err(Error::Refused(format!("rows of the customer are left or lead nowhere ({})", left.join(", "))));
    };
    if let Some((table, found)) = verified.probed.found.first() {
        let message = format!("{found} known values of the customer are in {table}, which the data map does not purge");
        return Err(Error::Refused(format!("{message}: classify its columns, then plan again")));
    }
    Ok(match level {
        Level::L0 => 0,
        Level::L1 => 1,
        Level::L2 => 2,
    })
}

/// What is left, in words, and each reason for which no more than level 0 is claimed.
pub(super) fn report(verified: &Verified) -> Vec<String> {
    let mut report = Vec::new();
    if verified.probed.needles == 0 {
        report.push("level 0: there was no known value to look for".to_owned());
    }
    if verified.large_objects > 0 {
        report.push(format!("level 0: {} large objects are referred to by nothing", verified.large_objects));
    }
    if verified.statistics > 0 {
        report.push(format!("level 0: {} rows of statistics hold known values", verified.statistics));
    }
    if !verified.statistics_unread.is_empty() {
        let tables = verified.statistics_unread.join(", ");
        report.push(format!("level 0: the maintenance role may not see all statistics of {tables}"));
    }
    if let Some(why) = &verified.statements_unread {
        report.push(format!("level 0: remembered statements could not be read: {why}"));
    }
    let blockers = verified.blockers.iter();
    report.extend(blockers.map(|blocker| format!("level 0: dead rows could not be removed: {blocker}")));
    let unvacuumed = verified.unvacuumed.iter();
    report
        .extend(unvacuumed.map(|warning| format!("level 0: dead rows may be there, a table was left out: {warning}")));
    if !verified.unwritten.is_empty() {
        let tables = verified.unwritten.join(", ");
        report.push(format!("not level 2: these were to be rewritten and were not, for want of a right: {tables}"));
    }
    if verified.probed.special > 0 {
        let special = verified.probed.special;
        report.push(format!("text may spell {special} of the known values in still other ways than were looked for"));
    }
    report
}
