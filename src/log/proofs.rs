//! Proofs out of nothing, for the tests of the rule that asks for them (`proxy/release.rs`).
//! Not here: anything outside of tests; this module is not compiled there.

use tokio::sync::oneshot;

use super::{Claim, Enqueued, Receipt};

/// A receipt for that frame.
pub fn receipt(claim: Claim) -> Receipt {
    Receipt { claim, position: 0 }
}

/// A record of that frame on its way, and what makes it durable.
pub fn enqueued(claim: Claim) -> (impl FnOnce(), Enqueued) {
    let (answer, durable) = oneshot::channel();
    let make_durable = move || answer.send(Ok(receipt(claim))).expect("somebody waits");
    (make_durable, Enqueued { claim, ticket: 0, hurried: false, durable })
}
