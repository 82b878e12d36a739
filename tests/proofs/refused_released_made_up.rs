//! Permission to disclose comes from the ledger only.

use portreeve::ids::SessionId;
use portreeve::proxy::release::Released;

fn main() {
    let _ = Released { session: SessionId([0; 8]), up_to: u64::MAX }; //~ E0451
}
