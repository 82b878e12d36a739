//! What is destroyed on its day: the archives, the keys of the audit records' two parts.
//! Not here: when, and whether a hold forbids it (`retention::closure`, `register::erase`).

use std::path::Path;
use std::time::Duration;

use super::folder::away;
use super::kept::Kept;
use super::{Error, World};
use crate::audit::keys::{Part, Recipient, Recipients};
use crate::audit::public::{Lost, Notice};
use crate::clock::Timestamp;
use crate::grant::{AccountStep, Closure, Customer, Erasure, RecordPart};
use crate::ids::{CustomerId, EventId};
use crate::keeping::terms;
use crate::keyring::{Doom, pinned};
use crate::log;
use crate::log::count::{count, noticed};
use crate::log::vouched::Vouched;
use crate::register::{self, Doomed, Erased, Gone, Register, Unknown, lawful_from, sealed_part};

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

    /// Counts the customer's records, as long as there is a key by which they are recognised; without, nothing is counted
    /// anew.
    async fn count_records(&self, customer: &Customer, kept: &Kept, known: Recipients) -> Result<Kept, Error> {
        if known.tag(Recipient::Customer(customer.id)).is_none() {
            return Ok(kept.clone());
        }
        let (id, audit) = (customer.id, self.config.audit.directory.clone());
        let (keyring_public, register) = (self.config.keyring.public_key.clone(), self.acts.register.clone());
        let counting = tokio::task::spawn_blocking(move || {
            let logs = all(&audit, &keyring_public)?;
            register.check_there(&audit, &pinned::names(&keyring_public)?, &logs)?;
            Ok::<_, Error>(count(logs.dirs(), id, &known, logs.keys())?)
        });
        let counted = counting.await.map_err(|_| Error::Bug("the task that counts records panicked"))??;
        let records = counted.into_iter().map(|counted| (counted.log, counted.records)).collect();
        let kept = Kept { records: Some(records), ..kept.clone() };
        self.keep(customer.id, &kept)?;
        Ok(kept)
    }

    /// Destroys the keys of one part, or asks again for what is pending. Before they go, records are counted, and a notice
    /// tells everybody how many nothing opens any more.
    pub(super) async fn destroy_keys(
        &self,
        customer: &Customer,
        closure: &Closure,
        kept: &Kept,
        part: RecordPart,
    ) -> Result<(), Error> {
        let known = Recipients::new();
        self.keyring.known(&known).await?;
        if known.is_stranger(Recipient::Customer(customer.id), sealed_part(part)) {
            return Err(Error::Refused(Unknown { customer: customer.id, part }.to_string()));
        }
        let is_counted = closure.erasure(part).begun().is_some() && kept.records.is_some();
        let kept = if is_counted { kept.clone() } else { self.count_records(customer, kept, known).await? };
        let terms = terms(&self.config.promise);
        let lawful = lawful_from(closure, part, &terms);
        let destroy = |doomed: Doomed| async move {
            self.notice(&doomed, &kept, lawful).await.map_err(|error| error.to_string())?;
            // Counting takes its time, and the register asks nobody again of what was begun before.
            let state = self.state().await.map_err(|error| error.to_string())?;
            if state.holds_on(doomed.customer).next().is_some() {
                return Err("a hold keeps the keys".to_owned());
            }
            let recipient = Recipient::Customer(doomed.customer);
            let doom = Doom { event: doomed.event, recipient, parts: vec![doomed.part], periods: Vec::new() };
            let done = self.keyring.destroy(&doom).await.map_err(|error| error.to_string())?;
            Ok::<Gone, String>(Gone { keys: done.keys, pending: done.pending })
        };
        match self.acts.erase((customer.id, part), &terms, destroy).await? {
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

    /// Says in the log, to everybody and naming nobody, what is about to be erased; once for each erasure.
    async fn notice(&self, doomed: &Doomed, kept: &Kept, lawful: Timestamp) -> Result<(), Error> {
        let event = doomed.event.to_string();
        if kept.noticed.contains(&event) {
            return Ok(());
        }
        // an operator may have told of it, or this daemon before it was killed
        if self.told(doomed.event, doomed.part).await?.is_none() {
            let records = kept.records.clone().unwrap_or_default();
            let logs = records.into_iter().map(|(log, records)| Lost { log, records }).collect();
            self.acts.log.notice(Notice::new(doomed.event, doomed.part, lawful, logs)).await?;
        }
        let mut kept = kept.clone();
        kept.noticed.insert(event);
        self.keep(doomed.customer, &kept)
    }

    /// The notes with how many records each log holds: as a notice tells it, where an operator destroyed the last keys.
    pub(super) async fn with_records(&self, closure: &Closure, kept: &Kept) -> Result<Kept, Error> {
        let event = match closure.skeleton {
            Erasure::Done { event, .. } if kept.records.is_none() => event,
            Erasure::Done { .. } | Erasure::Begun { .. } | Erasure::Kept => return Ok(kept.clone()),
        };
        Ok(Kept { records: self.told(event, Part::Skeleton).await?, ..kept.clone() })
    }

    /// What a notice of that erasure says, in whoever's log it stands: how many records of which log.
    async fn told(&self, event: EventId, part: Part) -> Result<Option<Vec<(String, u64)>>, Error> {
        let audit = self.config.audit.directory.clone();
        let keyring_public = self.config.keyring.public_key.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let logs = all(&audit, &keyring_public)?;
            noticed(logs.dirs(), logs.keys(), event, part)
        });
        let notice = reading.await.map_err(|_| Error::Bug("the task that reads notices panicked"))??;
        Ok(notice.map(|notice| notice.logs.into_iter().map(|lost| (lost.log, lost.records)).collect()))
    }

    /// After the end: once its owners had time to fetch the last part of the certificate, the register forgets them. The
    /// event first, with which nobody knows the names any more; then the texts, again until nothing of them is left.
    pub(super) async fn forget(
        &self,
        customer: &Customer,
        closure: &Closure,
        end: Timestamp,
        now: Timestamp,
    ) -> Result<(), Error> {
        let kept = self.kept(customer.id, closure.sequence)?;
        if kept.forgotten {
            return Ok(());
        }
        if closure.forgotten.is_none() {
            let is_held = self.state().await?.holds_on(customer.id).next().is_some();
            if is_held || self.clocks.is_frozen || now < end.plus(FETCHED_WITHIN) {
                return Ok(());
            }
            let told = "the register's texts about it are deleted".to_owned();
            self.record(customer.id, "customer.forgetting", told).await?;
            let rows = self.in_register(customer.id, Register::rows_about).await?;
            self.step(customer.id, AccountStep::Forgotten { rows }).await?;
        }
        self.in_register(customer.id, Register::forget).await?;
        self.keep(customer.id, &Kept { forgotten: true, ..kept })
    }

    async fn in_register(
        &self,
        customer: CustomerId,
        verb: fn(&Register, CustomerId) -> Result<u64, register::Error>,
    ) -> Result<u64, Error> {
        let register = self.acts.register.clone();
        let done = tokio::task::spawn_blocking(move || verb(&register, customer)).await;
        Ok(done.map_err(|_| Error::Bug("the task that looks for side rows panicked"))??)
    }
}

/// The logs, if none is left out: a notice with too low a number would be there for good.
fn all(audit: &Path, keyring_public: &Path) -> Result<Vouched, log::Error> {
    let logs = pinned::logs(audit, keyring_public)?;
    logs.told().iter().for_each(|line| tracing::warn!("{line}"));
    logs.whole()
}
