//! What can be said of an event without the state: it continues the chain, reads, is signed, has the side row it had.
//! Not here: whether the rules allow it, and what it changes (`apply`). The signature of a code's key needs the state,
//! which has the key. So most of the work of a long register can be done by one thread while another folds.

use super::apply::{Fault, Trust};
use super::event::{Event, Stored, What, chain, signature_holds};
use super::personal::Personal;
use super::state::State;
use crate::ids::Sequence;

/// An event that was looked at by itself; made nowhere but in [`examine`].
#[derive(Debug)]
pub struct Examined {
    pub(super) sequence: Sequence,
    /// The hash it continues.
    pub(super) behind: [u8; 32],
    pub(super) hash: [u8; 32],
    pub(super) event: Event,
    /// Its side row; none: it has none, or it was erased.
    pub(super) personal: Option<Personal>,
    /// Itself, if what signed it is still to be verified.
    unverified: Option<Box<Stored>>,
}

/// Looks at the event behind one of that sequence and hash. Without `trust` its signature is not looked at: for whoever has
/// the hash of it, or of one behind it, from a fold that verified, and holds it against the chain that this makes.
///
/// # Errors
/// Names what is wrong with it.
pub fn examine(stored: &Stored, behind: (Sequence, [u8; 32]), trust: Option<&Trust>) -> Result<Examined, Fault> {
    let (sequence, (before, behind)) = (stored.sequence, behind);
    let expected = before.next();
    if sequence != expected {
        return Err(Fault::Gap { expected, found: sequence });
    }
    if chain(&behind, &stored.content) != stored.hash {
        return Err(Fault::Chain(sequence));
    }
    let event = Event::decode(&stored.content).ok_or(Fault::Content(sequence))?;
    let is_code = matches!(event.what, What::CodeRedeemed { .. });
    if let Some(trust) = trust {
        check_signature(stored, &event, &behind, Some(&trust.portal_key).filter(|_| !is_code))?;
    }
    let personal = side_of(stored, &event)?;
    let unverified = trust.filter(|_| is_code).map(|_| Box::new(stored.clone()));
    Ok(Examined { sequence, behind, hash: stored.hash, event, personal, unverified })
}

impl Examined {
    /// Its place: what the next one is behind.
    pub fn place(&self) -> (Sequence, [u8; 32]) {
        (self.sequence, self.hash)
    }

    /// Where a code was used: is it signed with that code's key?
    pub(super) fn check_code(&self, state: &State) -> Result<(), Fault> {
        let (Some(stored), What::CodeRedeemed { code, .. }) = (&self.unverified, self.event.what) else {
            return Ok(());
        };
        let key = state.code(code).map(|code| &code.key).ok_or(Fault::Signature(self.sequence))?;
        check_signature(stored, &self.event, &self.behind, Some(key))
    }
}

/// Whether it carries the signature it needs, as far as the key is known.
fn check_signature(stored: &Stored, event: &Event, behind: &[u8; 32], key: Option<&[u8; 32]>) -> Result<(), Fault> {
    match (&stored.signature, key) {
        (Some(signature), Some(key)) if !signature_holds(key, stored, behind, signature) => {
            Err(Fault::Signature(stored.sequence))
        }
        (None, _) if event.what.is_signed(event.by) => Err(Fault::Unsigned(stored.sequence)),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

/// The side row, if there is one and it is the event's own.
fn side_of(stored: &Stored, event: &Event) -> Result<Option<Personal>, Fault> {
    let fault = Fault::Side(stored.sequence);
    let needed = event.what.has_side();
    match (&event.side, &stored.side) {
        (Some(digest), Some(side)) if needed && side.digest() == *digest => {
            Personal::decode(&side.body).map(Some).ok_or(fault)
        }
        (Some(_), None) if needed => Ok(None),
        (None, None) if !needed => Ok(None),
        (Some(_) | None, Some(_) | None) => Err(fault),
    }
}
