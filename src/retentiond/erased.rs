//! Erasures that were completed, held against what the keyring says it destroyed: one brought back from an old copy does
//! not know of the last ones, holds their keys, and is made to destroy them again.
//! Not here: erasing (`closing/`). The same event asks, so that a keyring that did it does nothing twice.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::audit::keys::{Part, Recipient};
use crate::audit::record::{Kind, Record};
use crate::grant::{Erasure, State};
use crate::ids::{CustomerId, EventId};
use crate::keyring::{Client, Doom, Gone};
use crate::register::Acts;

/// An erasure that the register knows to be completed.
#[derive(Clone, Copy, Debug)]
struct Completed {
    customer: CustomerId,
    part: Part,
    event: EventId,
}

/// What the keyring says it destroyed, between two turns.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Whose part is gone for all time.
    gone: BTreeSet<(Recipient, Part)>,
    /// How many entries were read, and the last of them: the list only grows, or it is another keyring's.
    read: u64,
    last: Option<Gone>,
    /// Erasures whose keys were found to be back, recorded already and not gone yet.
    told: BTreeSet<EventId>,
    /// Whether the keyring was another than before, and whoever remembers what it held was not told yet.
    is_other: bool,
}

/// What a turn came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Returned {
    /// Completed erasures that it did not know of; they are carried out again.
    pub again: Vec<(CustomerId, Part)>,
    /// Why not all that was erased is known to be gone everywhere: told, and tried again in the next turn.
    pub trouble: Option<String>,
}

impl Known {
    /// One question to the keyring, if it is the one that answered before and nothing was destroyed since.
    pub(super) async fn turn(&mut self, acts: &Acts, keyring: &Client) -> Returned {
        let mut returned = Returned::default();
        if let Err(error) = self.compare(acts, keyring, &mut returned).await {
            returned.trouble = Some(error.to_string());
        }
        if let Some(why) = &returned.trouble {
            tracing::error!(
                alarm = "keys",
                "whether keys that were destroyed are back is not known, or they are: {why}"
            );
        }
        returned
    }

    async fn compare(
        &mut self,
        acts: &Acts,
        keyring: &Client,
        returned: &mut Returned,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        // The register first: what it says is completed then, the keyring has done before it answers.
        let state = state(acts).await?;
        if self.read_on(keyring).await? {
            self.is_other = true;
            tracing::error!(
                alarm = "keys",
                "the keyring does not list all that it had destroyed before: an old keyring was brought back"
            );
        }
        let missing: Vec<Completed> = completed(&state).filter(|one| !self.knows(one)).collect();
        for one in missing {
            let Completed { customer, part, event } = one;
            tracing::error!(
                alarm = "keys",
                %customer,
                %part,
                "an old keyring was brought back: it does not know of an erasure that was completed, and is asked for it again"
            );
            if !self.told.contains(&event) {
                record(acts, &one).await?;
                self.told.insert(event);
            }
            let pending = again(keyring, &one).await?;
            returned.again.push((customer, part));
            if !pending.is_empty() {
                returned.trouble =
                    Some(format!("copies of the keyring still hold the {part} keys of {customer}: {pending}"));
            }
            self.told.remove(&event);
        }
        Ok(())
    }

    /// Whether the keyring was another than before; told once.
    pub(super) fn was_other(&mut self) -> bool {
        std::mem::take(&mut self.is_other)
    }

    fn knows(&self, one: &Completed) -> bool {
        self.gone.contains(&(Recipient::Customer(one.customer), one.part))
    }

    /// Reads what was destroyed since, or all of it if the last entry does not stand where it stood; whether that is so.
    async fn read_on(&mut self, keyring: &Client) -> Result<bool, crate::keyring::Error> {
        let mut listed = keyring.destroyed_from(self.read.saturating_sub(1)).await?;
        let is_other = self.last.is_some() && listed.first() != self.last.as_ref();
        if is_other {
            listed = keyring.destroyed_from(0).await?;
            (self.gone, self.read, self.last) = (BTreeSet::new(), 0, None);
        }
        let known = usize::from(self.last.is_some());
        for (recipient, part, period) in listed.iter().skip(known) {
            if period.is_none() {
                self.gone.insert((*recipient, *part));
            }
            self.read = self.read.saturating_add(1);
        }
        self.last = listed.last().copied();
        Ok(is_other)
    }
}

/// How often the keyring is asked while a turn takes long.
const EVERY: Duration = Duration::from_secs(10);

/// Turns beside those of the daemon, which may take a snapshot's hours.
pub(super) async fn watch(known: Arc<Mutex<Known>>, acts: Acts, keyring: Client) {
    loop {
        tokio::time::sleep(EVERY).await;
        known.lock().await.turn(&acts, &keyring).await;
    }
}

/// Asks for every completed erasure again, for copies may still hold what the keyring destroyed. How many were asked for.
///
/// # Errors
/// If the register cannot be read or the keyring refuses; copies that still hold a key are told.
pub(super) async fn destroy_again(acts: &Acts, keyring: &Client) -> Result<usize, Box<dyn Error + Send + Sync>> {
    // Before that, whether it knows of them at all.
    Known::default().turn(acts, keyring).await;
    let mut asked = 0;
    let state = state(acts).await?;
    for one in completed(&state) {
        let copies = again(keyring, &one).await?;
        if !copies.is_empty() {
            let customer = one.customer;
            tracing::error!(alarm = "keys", %customer, copies, "copies of the keyring still hold destroyed keys");
        }
        asked += 1;
    }
    Ok(asked)
}

async fn state(acts: &Acts) -> Result<Arc<State>, Box<dyn Error + Send + Sync>> {
    let register = acts.register.clone();
    Ok(tokio::task::spawn_blocking(move || register.state()).await??)
}

/// What was begun only is asked for by the account's next turn.
fn completed(state: &State) -> impl Iterator<Item = Completed> + '_ {
    let closed = state.customers().filter_map(|customer| Some((customer.id, customer.closure.as_ref()?)));
    closed.flat_map(|(customer, closure)| {
        let parts = [(Part::Values, closure.values), (Part::Skeleton, closure.skeleton)];
        parts.into_iter().filter_map(move |(part, erasure)| match erasure {
            Erasure::Done { event, .. } => Some(Completed { customer, part, event }),
            Erasure::Kept | Erasure::Begun { .. } => None,
        })
    })
}

/// Has the keyring destroy them; the copies that still hold them, in words.
async fn again(keyring: &Client, one: &Completed) -> Result<String, crate::keyring::Error> {
    let recipient = Recipient::Customer(one.customer);
    let doom = Doom { event: one.event, recipient, parts: vec![one.part], periods: Vec::new() };
    Ok(keyring.destroy(&doom).await?.pending.join(", "))
}

/// Who reads the log is to know that these keys were there once more.
async fn record(acts: &Acts, one: &Completed) -> Result<(), crate::log::Error> {
    let Completed { customer, part, event } = one;
    let mut record = Record::new(acts.clock.now(), Kind::Decided, None);
    record.skeleton.event = Some(event.to_string());
    record.skeleton.verb = Some("keys.returned".to_owned());
    record.skeleton.result = Some("told".to_owned());
    record.values.customer = Some(customer.to_string());
    record.values.message =
        Some(format!("an old keyring was brought back: the {part} keys of {customer} are destroyed again"));
    acts.log.record(record).await.map(drop)
}
