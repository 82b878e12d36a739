//! Only what cannot change rows is forwarded before its record is durable.

use portreeve::grant::{Any, Authorized};
use portreeve::log::Enqueued;
use portreeve::proxy::release::{Burst, Ledger, Present, Slip, ToServer};

fn overlap(
    to: &mut ToServer,
    burst: Burst,
    allowed: Authorized<Any>,
    enqueued: Enqueued,
    ledger: &mut Ledger,
    present: Present,
) -> Result<(), Slip> {
    to.forward_overlapped(burst, allowed, enqueued, ledger, present) //~ E0308
}

fn main() {
    let _ = overlap;
}
