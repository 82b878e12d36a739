//! What is destroyed on its day: the archives, the keys of the audit records' two parts.
//! Not here: when, and whether a hold forbids it (`retention::closure`, `register::erase`).

use std::time::Duration;

use super::folder::away;
use super::kept::Kept;
use super::{Error, World};
use crate::audit::keys::{Recipient, Recipients};
use crate::clock::Timestamp;
use crate::grant::{AccountStep, Closure, Customer, RecordPart};
use crate::keyring::Doom;
use crate::log::count::count;
use crate::log::search::logs;
use crate::register::{Erased, Gone, Terms};
use crate::retention::closure::LEAD;

/// How long owners may sign in after the end, for the certificate.
const FETCHED_WITHIN: Duration = Duration::from_secs(30 * 86_400);

impl World {
    /// Removes every archive of the customer's, sees that none is there, and says so of each. One that was made is where it
    /// was put, or nothing is known of it.
    pub(super) async fn destroy_archives(&self, customer: &Customer, kept: &Kept) -> Result<(), Error> {
        let state = self.state().await?;
        if state.holds_on(customer.id).next().is_some() {
            return Err(Error::Refused("a hold keeps the archive".to_owned()));
        }
        let living: Vec<_> = state.exports_of(customer.id).filter(|export| export.destroyed.is_none()).collect();
        if !kept.destroying {
            let made = living.iter().filter(|export| export.made.is_some());
            let mut paths = made.map(|export| self.archive_path(customer.id, export.id));
            if let Some(lost) = paths.find(|path| !path.exists()) {
                return Err(Error::Refused(format!(
                    "{} is not where it was put, so that it cannot be said to be destroyed: mount its folder or bring it \
                     back; if it is known to be destroyed, make an empty file of that name",
                    lost.display()
                )));
            }
        }
        let left = self.archives(customer.id, None)?.ok_or_else(|| away(&self.folder(customer.id)))?.len();
        self.record(customer.id, "export.destroying", format!("{left} files of archives are removed")).await?;
        // whoever is killed from here on may have removed some
        self.keep(customer.id, &Kept { destroying: true, ..kept.clone() })?;
        self.remove_archives(customer.id, None)?;
        for export in living.iter().map(|export| export.id) {
            self.step(customer.id, AccountStep::ExportDestroyed { export }).await?;
        }
        Ok(())
    }

    /// Counts the customer's records, as long as there is a key by which they are recognised.
    async fn count_records(&self, customer: &Customer, kept: &Kept) -> Result<(), Error> {
        if kept.records.is_some() {
            return Ok(());
        }
        let known = Recipients::new();
        self.keyring.known(&known).await?;
        let (id, audit) = (customer.id, self.config.audit.directory.clone());
        let counting = tokio::task::spawn_blocking(move || count(&logs(&audit)?, id, &known));
        let counted = counting.await.map_err(|_| Error::Bug("the task that counts records panicked"))??;
        let records = counted.into_iter().map(|counted| (counted.log, counted.records)).collect();
        self.keep(customer.id, &Kept { records: Some(records), ..kept.clone() })
    }

    /// Destroys the keys of one part, or asks again for what is pending. Before the last of them go, records are counted.
    pub(super) async fn destroy_keys(&self, customer: &Customer, kept: &Kept, part: RecordPart) -> Result<(), Error> {
        let is_begun = customer.closure.as_ref().is_some_and(|closure| closure.erasure(part).begun().is_some());
        if part == RecordPart::Skeleton && !is_begun {
            self.count_records(customer, kept).await?;
        }
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

    /// After the end: once its owners had time to fetch the last part of the certificate, the register forgets them.
    pub(super) async fn forget(
        &self,
        customer: &Customer,
        closure: &Closure,
        end: Timestamp,
        now: Timestamp,
    ) -> Result<(), Error> {
        let state = self.state().await?;
        let is_held = state.holds_on(customer.id).next().is_some();
        if closure.forgotten.is_some() || is_held || self.clocks.is_frozen || now < end.plus(FETCHED_WITHIN) {
            return Ok(());
        }
        self.record(customer.id, "customer.forgetting", "the register's texts about it are deleted".to_owned()).await?;
        let (register, id) = (self.acts.register.clone(), customer.id);
        let forgetting = tokio::task::spawn_blocking(move || register.forget(id));
        let rows = forgetting.await.map_err(|_| Error::Bug("the task that deletes side rows panicked"))??;
        self.step(customer.id, AccountStep::Forgotten { rows }).await?;
        Ok(())
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
