//! A receipt is made in `log/` only, after a durable write.

use portreeve::ids::SessionId;
use portreeve::log::{Claim, Receipt};

fn main() {
    let claim = Claim::of(SessionId([0; 8]), 1);
    let _ = Receipt { claim, position: 0 }; //~ E0451
}
