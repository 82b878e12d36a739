//! The desk, `dbname=portreeve`: where staff ask for access, answer, and give it back, with any PostgreSQL client.
//! Not here: signing in (`proxy/sign_in.rs`), and any customer's data, of which the desk has none.
//! Frames come from our own validation (`wire/`), answers go in pgwire's messages; each line is recorded before it is
//! done or answered, and what it changes goes by the register as at the command line.

mod answers;
mod doing;
mod ending;
mod lexer;
mod line;
mod prepared;
mod recorded;
mod seat;
mod shows;
mod words;

use std::net::SocketAddr;

use tokio::sync::Mutex;

use crate::audit::record::{Kind, Record};
use crate::clock::Timestamp;
use crate::grant::{AtDesk, DeskRefusal, Staff, State, at_desk};
use crate::ids::StaffId;
use crate::log::Receipt;
use crate::proxy::Gate;
use crate::proxy::proving::Proved;
use crate::proxy::refused::Refused;
use crate::proxy::sign_in::Client;
use crate::register::{self, Acts, Noted};

pub use seat::sit;

/// The database name that leads here. No customer may be called that.
pub const NAME: &str = "portreeve";

/// What all sessions at the desk share.
pub struct Desk {
    acts: Acts,
    noted: Noted,
    /// Held while a one-time code is tried.
    trying: Mutex<()>,
}

impl Desk {
    /// A desk whose acts go by this register.
    pub fn new(acts: Acts, noted: Noted) -> Desk {
        Desk { acts, noted, trying: Mutex::new(()) }
    }

    /// Says what became of what an earlier process of this proxy was about to change when it died, and records it.
    ///
    /// # Errors
    /// If a note cannot be read, or the resolution not be recorded.
    pub async fn resolve_left(&self) -> Result<(), register::Error> {
        let left = self.noted.left()?;
        for (intent, found) in self.acts.resolve_open_intents(&left).await? {
            let became = found.map_or("was not made".to_owned(), |sequence| format!("is event {sequence}"));
            tracing::warn!(event = %intent.event, became, "a process died over a change of the desk; that is recorded");
            self.noted.forget(intent.event).await?;
        }
        Ok(())
    }
}

/// Somebody who signed in and may sit down: that is recorded.
pub struct Arrival {
    staff: Staff,
    /// Until when what they signed in with carries the session.
    credential: Timestamp,
    application: String,
    _recorded: Receipt,
}

/// Whether they may be there, and the record of it.
///
/// # Errors
/// Why they may not, or why it could not be recorded.
pub async fn arrive(gate: &Gate, client: &Client, proved: Proved, application: String) -> Result<Arrival, Refused> {
    let Proved { staff, until: credential } = proved;
    let state = gate.follower.state();
    allowed(gate, &state, (staff.id, credential), client.address)
        .map_err(|refusal| Refused::Desk(Box::new(refusal), std::sync::Arc::clone(&state)))?;
    gate.has_room()?;
    let mut record = Record::new(gate.clock.now(), Kind::SignedIn, None);
    record.skeleton.session = Some(client.session);
    record.skeleton.staff = Some(staff.id.0);
    record.skeleton.sequence = Some(state.sequence().0);
    record.values.staff = Some(staff.name.clone());
    record.values.customer = Some(NAME.to_owned());
    record.values.application = Some(application.clone());
    record.values.address = Some(client.address.to_string());
    let recorded = gate.log.record(record).await.map_err(Refused::Log)?;
    Ok(Arrival { staff, credential, application, _recorded: recorded })
}

/// Asks whether they may be at the desk now.
fn allowed(
    gate: &Gate,
    state: &State,
    (staff, credential): (StaffId, Timestamp),
    address: SocketAddr,
) -> Result<Timestamp, DeskRefusal> {
    let locks = gate.locks.current();
    let register_read = gate.follower.last_read();
    let who = AtDesk { staff, address: address.ip(), register_read, credential, locks: &locks };
    at_desk(state, &who, &gate.limits, gate.clock.now())
}
