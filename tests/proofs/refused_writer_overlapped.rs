//! Only what cannot change rows is forwarded before its record is durable.

use portreeve::grant::{Any, Authorized};
use portreeve::log::Enqueued;
use portreeve::proxy::release::{Ledger, Present, Slip, ToServer};
use portreeve::wire::frame::Frame;

fn overlap(
    to: &mut ToServer,
    frame: &Frame,
    allowed: Authorized<Any>,
    enqueued: Enqueued,
    ledger: &mut Ledger,
    present: Present,
) -> Result<(), Slip> {
    to.forward_overlapped(frame, allowed, enqueued, ledger, present) //~ E0308
}

fn main() {
    let _ = overlap;
}
