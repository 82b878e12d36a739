//! What the register says of erasures, held against what the keyring says that it destroyed.
//! Not here: how many records that concerns (`log/together.rs`).

use std::collections::BTreeSet;

use crate::audit::keys::{Recipient, Recipients};
use crate::audit::public::Notice;
use crate::cli::keyring::WRITER;
use crate::clock::Timestamp;
use crate::grant::{Erasure, RecordPart, State};
use crate::ids::{CustomerId, EventId};
use crate::log::verify::{Finding, Verdict};
use crate::register::sealed_part;

/// Notices whose erasure was begun and not carried out: the keyring does not say that it destroyed those keys. The register
/// must have been read before the keyring was asked.
pub(super) fn under_way(state: &State, known: &Recipients) -> BTreeSet<[u8; 16]> {
    let begun = all(state).filter_map(|(customer, part, erasure)| match erasure {
        Erasure::Begun { event, .. } if !is_gone(known, customer, part) => Some(event),
        Erasure::Begun { .. } | Erasure::Kept | Erasure::Done { .. } => None,
    });
    begun.map(|event: EventId| Notice::id_of(event)).collect()
}

/// Erasures that are completed, and of which the keyring does not know: whatever the totals are, it is not the keyring that
/// carried them out. The register must have been read before the keyring was asked.
pub(super) fn brought_back(state: &State, known: &Recipients) -> Vec<(String, Finding)> {
    let forgotten = all(state).filter_map(|(customer, part, erasure)| match erasure {
        Erasure::Done { at, .. } if !is_gone(known, customer, part) => Some((customer, part, at)),
        Erasure::Done { .. } | Erasure::Begun { .. } | Erasure::Kept => None,
    });
    let find = |(customer, part, at): (CustomerId, RecordPart, Timestamp)| {
        let detail = format!(
            "the register says that the keys of the {part} are destroyed since {at}, and the keyring does not: an old \
             keyring was brought back"
        );
        (WRITER.to_owned(), Finding { verdict: Verdict::RolledBack, place: customer.to_string(), detail })
    };
    forgotten.map(find).collect()
}

fn all(state: &State) -> impl Iterator<Item = (CustomerId, RecordPart, Erasure)> {
    let closures = state.customers().filter_map(|customer| Some((customer.id, customer.closure.as_ref()?)));
    closures.flat_map(|(id, closure)| RecordPart::ALL.iter().map(move |part| (id, *part, closure.erasure(*part))))
}

fn is_gone(known: &Recipients, customer: CustomerId, part: RecordPart) -> bool {
    known.is_gone(Recipient::Customer(customer), sealed_part(part))
}

#[cfg(test)]
#[path = "erasures_tests.rs"]
mod tests;
