//! Erasures that were completed, asked of the keyring again: one brought back from an old copy would hold the keys.
//! Not here: erasing (`closing/`). The same event asks, so that a keyring that did it does nothing twice.

use std::error::Error;

use crate::audit::keys::{Part, Recipient};
use crate::grant::Erasure;
use crate::keyring::{self, Doom};
use crate::register::Acts;

/// Asks for every completed erasure again. How many were asked for.
///
/// # Errors
/// If the register cannot be read or the keyring refuses; copies that still hold a key are told.
pub(super) async fn destroy_again(
    acts: &Acts,
    keyring: &keyring::Client,
) -> Result<usize, Box<dyn Error + Send + Sync>> {
    let register = acts.register.clone();
    let state = tokio::task::spawn_blocking(move || register.state()).await??;
    let mut asked = 0;
    let closed = state.customers().filter_map(|customer| Some((customer.id, customer.closure.as_ref()?)));
    for (customer, closure) in closed {
        for (part, erasure) in [(Part::Values, closure.values), (Part::Skeleton, closure.skeleton)] {
            let event = match erasure {
                Erasure::Done { event, .. } => event,
                // What was begun only is asked for by the account's next turn.
                Erasure::Kept | Erasure::Begun { .. } => continue,
            };
            let doom = Doom { event, recipient: Recipient::Customer(customer), parts: vec![part], periods: Vec::new() };
            let doomed = keyring.destroy(&doom).await?;
            if !doomed.pending.is_empty() {
                let copies = doomed.pending.join(", ");
                tracing::error!(alarm = "keys", %customer, copies, "copies of the keyring still hold destroyed keys");
            }
            asked += 1;
        }
    }
    Ok(asked)
}
