//! An authorisation is made by `decide` only.

use portreeve::clock::Timestamp;
use portreeve::grant::{Any, Authorized, Scope};
use portreeve::ids::{GrantId, Sequence};

fn main() {
    let _: Authorized<Any> = Authorized {
        grant: GrantId(1), //~ E0451
        scope: Scope::Write,
        until: Timestamp::NEVER,
        lease: Timestamp::NEVER,
        sequence: Sequence(1),
        _scope: std::marker::PhantomData,
    };
}
