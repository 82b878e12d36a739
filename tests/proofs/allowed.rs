//! The proper use of each proof.

use portreeve::grant::{Any, Authorized, ReadOnly};
use portreeve::log::{Enqueued, Receipt};
use portreeve::proxy::release::{Burst, Ledger, Present, Released, Slip, ToClient, ToServer};

fn strict(
    to: &mut ToServer,
    burst: Burst,
    allowed: Authorized<Any>,
    receipt: Receipt,
    ledger: &mut Ledger,
    present: Present,
) -> Result<(), Slip> {
    to.forward(burst, allowed, receipt, ledger, present)
}

fn overlapped(
    to: &mut ToServer,
    burst: Burst,
    allowed: Authorized<ReadOnly>,
    enqueued: Enqueued,
    ledger: &mut Ledger,
    present: Present,
) -> Result<(), Slip> {
    to.forward_overlapped(burst, allowed, enqueued, ledger, present)
}

fn disclosed(to: &mut ToClient, released: &Released) {
    to.disclose(released);
}

fn main() {
    let _ = (strict, overlapped, disclosed);
}
