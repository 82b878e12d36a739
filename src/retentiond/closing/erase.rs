//! What is destroyed on its day: the archives, the keys of the audit records' two parts.
//! Not here: when, and whether a hold forbids it (`retention::closure`, `register::erase`).

use super::{Error, World};
use crate::audit::keys::Recipient;
use crate::grant::{AccountStep, Customer, RecordPart};
use crate::keyring::Doom;
use crate::register::{Erased, Gone, Terms};
use crate::retention::closure::LEAD;

impl World {
    /// Removes every archive of the customer's, sees that none is there, and says so of each.
    pub(super) async fn destroy_archives(&self, customer: &Customer) -> Result<(), Error> {
        let state = self.state().await?;
        if state.holds_on(customer.id).next().is_some() {
            return Err(Error::Refused("a hold keeps the archive".to_owned()));
        }
        let left = self.archives(customer.id, None)?.len();
        self.record(customer.id, "export.destroying", format!("{left} files of archives are removed")).await?;
        self.remove_archives(customer.id, None)?;
        let living = state.exports_of(customer.id).filter(|export| export.destroyed.is_none());
        for export in living.map(|export| export.id) {
            self.step(customer.id, AccountStep::ExportDestroyed { export }).await?;
        }
        Ok(())
    }

    /// Destroys the keys of one part, or asks again for what is pending.
    pub(super) async fn destroy_keys(&self, customer: &Customer, part: RecordPart) -> Result<(), Error> {
        let keyring = self.keyring.clone();
        let destroy = |doomed: crate::register::Doomed| async move {
            let recipient = Recipient::Customer(doomed.customer);
            let doom = Doom { event: doomed.event, recipient, parts: vec![doomed.part], periods: Vec::new() };
            let done = keyring.destroy(&doom).await?;
            Ok::<Gone, crate::keyring::Error>(Gone { keys: done.keys, pending: done.pending })
        };
        match self.acts.erase((customer.id, part), &self.terms(), destroy).await? {
            Erased::Done(keys) => {
                tracing::info!(customer = %customer.id, %part, keys, "keys are destroyed");
                Ok(())
            }
            Erased::Pending(copies) => {
                let copies = copies.join(", ");
                Err(Error::Refused(format!("copies of the keyring still hold the keys of its {part}: {copies}")))
            }
        }
    }

    /// The promise's terms, and a little earlier, so that it is done by then.
    fn terms(&self) -> Terms {
        let promise = &self.config.promise;
        Terms {
            values_after: promise.gone_everywhere_after.saturating_sub(LEAD),
            skeleton_after: promise.audit_skeleton_after.saturating_sub(LEAD),
        }
    }
}
