//! The proper use of each proof.

use portreeve::grant::{Any, Authorized, ReadOnly};
use portreeve::log::{Enqueued, Receipt};
use portreeve::proxy::release::{Ledger, Present, Released, Slip, ToClient, ToServer};
use portreeve::wire::frame::Frame;

fn strict(
    to: &mut ToServer,
    frame: &Frame,
    allowed: Authorized<Any>,
    receipt: Receipt,
    ledger: &mut Ledger,
    present: Present,
) -> Result<(), Slip> {
    to.forward(frame, allowed, receipt, ledger, present)
}

fn overlapped(
    to: &mut ToServer,
    frame: &Frame,
    allowed: Authorized<ReadOnly>,
    enqueued: Enqueued,
    ledger: &mut Ledger,
    present: Present,
) -> Result<(), Slip> {
    to.forward_overlapped(frame, allowed, enqueued, ledger, present)
}

fn disclosed(to: &mut ToClient, released: &Released) {
    to.disclose(released);
}

fn main() {
    let _ = (strict, overlapped, disclosed);
}
