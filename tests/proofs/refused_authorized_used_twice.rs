//! An authorisation is consumed: one frame each.

use portreeve::grant::{Any, Authorized};
use portreeve::log::Receipt;
use portreeve::proxy::release::{Burst, Ledger, Present, Slip, ToServer};

fn twice(
    to: &mut ToServer,
    [first, second]: [Burst; 2],
    allowed: Authorized<Any>,
    one: Receipt,
    two: Receipt,
    ledger: &mut Ledger,
    present: Present,
) -> Result<(), Slip> {
    to.forward(first, allowed, one, ledger, present)?;
    to.forward(second, allowed, two, ledger, present) //~ E0382
}

fn main() {
    let _ = twice;
}
