//! An authorisation is consumed: one frame each.

use portreeve::grant::{Any, Authorized};
use portreeve::log::Receipt;
use portreeve::proxy::release::{Ledger, Present, Slip, ToServer};
use portreeve::wire::frame::Frame;

fn twice(
    to: &mut ToServer,
    frame: &Frame,
    allowed: Authorized<Any>,
    one: Receipt,
    two: Receipt,
    ledger: &mut Ledger,
    present: Present,
) -> Result<(), Slip> {
    to.forward(frame, allowed, one, ledger, present)?;
    to.forward(frame, allowed, two, ledger, present) //~ E0382
}

fn main() {
    let _ = twice;
}
