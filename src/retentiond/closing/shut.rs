//! From its closing on nobody but retention, the gate and the snapshots' roles gets at what an account has, so that its
//! archive stays the last word; if it is reopened, the same are let in again, with exactly what was taken.
//! Not here: taking and giving (`purge/`). What is about to be taken is written down before.

use std::io::ErrorKind;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::purge::schema_of;
use super::{Error, World};
use crate::clock::Timestamp;
use crate::datamap::plan::write_fences;
use crate::disk::{Disk, RealDisk};
use crate::grant::{Closure, Customer, Layout};
use crate::ids::CustomerId;
use crate::purge::{self as purging, Connection, Place, Privilege, Shut, catalog};

/// What was taken from whom, until it is given back or the rows are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// The register's event that closed the account, the last time.
    closed: u64,
    /// When nobody was in any more, in microseconds.
    done: Option<i64>,
    /// What was taken and given.
    shut: Shut,
}

impl World {
    fn shut_path(&self, customer: CustomerId) -> PathBuf {
        self.kept_path(customer, ".shut.json")
    }

    fn note(&self, customer: CustomerId) -> Result<Option<Note>, Error> {
        let path = self.shut_path(customer);
        let bytes = match RealDisk.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", &path)(error)),
        };
        let damaged = |error| {
            let path = path.display();
            Error::Refused(format!(
                "{path} is damaged ({error}): it says what was taken from whom; bring it back from a copy"
            ))
        };
        serde_json::from_slice(&bytes).map(Some).map_err(damaged)
    }

    fn keep_note(&self, customer: CustomerId, note: &Note) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(note).expect("notes are plain JSON");
        self.replace(&self.shut_path(customer), &text, 0o600)
    }

    /// Since when nobody gets in, by this closure.
    pub(super) fn shut_since(&self, customer: CustomerId, closure: &Closure) -> Result<Option<Timestamp>, Error> {
        let note = self.note(customer)?.filter(|note| note.closed == closure.sequence.0);
        Ok(note.and_then(|note| note.done).map(Timestamp))
    }

    /// Shuts out whoever is not needed any more. May be done again: what came since goes as well.
    pub(super) async fn shut_out(&self, customer: &Customer, closure: &Closure) -> Result<(), Error> {
        let id = customer.id;
        let connection = self.connect(customer, &customer.database).await?;
        let known = self.note(id)?.unwrap_or_default();
        let closed = closure.sequence.0;
        let shut = match place(customer)? {
            None => {
                self.record(id, "closure.shut-out", "nothing writes its rows any more".to_owned()).await?;
                self.keep_note(id, &Note { closed, done: None, shut: known.shut.clone() })?;
                self.fence(customer, closure, &connection).await?;
                known.shut
            }
            Some(place) => {
                let keep = self.keep_access(customer);
                let found = purging::would_take(&connection, &place, &keep).await?;
                let shut = known.shut.and(&found);
                self.record(id, "closure.shut-out", format!("it is taken: {}", told(&found.taken))).await?;
                self.keep_note(id, &Note { closed, done: None, shut: shut.clone() })?;
                purging::shut_out(&connection, &place, &found, &keep).await?;
                shut
            }
        };
        self.keep_note(id, &Note { closed, done: Some(self.acts.clock.now().0), shut })
    }

    /// The write fence, which for rows in shared tables is all there is: reading goes on.
    async fn fence(&self, customer: &Customer, closure: &Closure, connection: &Connection) -> Result<(), Error> {
        let fences = write_fences(&self.map_of(customer)?, &catalog(connection).await?);
        let key = customer.tenant.as_deref().ok_or(Error::Bug("a customer of shared tables without a key"))?;
        let name = format!("{}-{}", customer.id, closure.sequence.0);
        Ok(purging::fence(connection, &fences, key, &name).await?)
    }

    /// Lets in again whoever was shut out of an account that was reopened since.
    pub(super) async fn let_in(&self, customer: &Customer) -> Result<(), Error> {
        let Some(note) = self.note(customer.id)? else { return Ok(()) };
        let connection = self.connect(customer, &customer.database).await?;
        let message = format!("it was reopened; it is given back: {}", told(&note.shut.taken));
        self.record(customer.id, "closure.let-in", message).await?;
        match place(customer)? {
            None => {
                let key = customer.tenant.as_deref().ok_or(Error::Bug("a customer of shared tables without a key"))?;
                purging::lift(&connection, key).await?;
            }
            Some(place) => {
                let gone = purging::let_in(&connection, &place, &note.shut).await?;
                if !gone.is_empty() {
                    let roles = gone.join(", ");
                    tracing::warn!(customer = %customer.id, roles, "these are gone and were given nothing back");
                }
            }
        }
        self.forget_shut(customer.id)
    }

    /// Forgets what was taken: there is nothing left to give it back on, or it was given back.
    pub(super) fn forget_shut(&self, customer: CustomerId) -> Result<(), Error> {
        let path = self.shut_path(customer);
        if path.exists() {
            RealDisk.remove(&path).map_err(Error::file("remove", &path))?;
        }
        Ok(())
    }

    /// Roles that keep access: the gate's, retention's, the snapshots', and whom `[road]` names for upkeep.
    fn keep_access(&self, customer: &Customer) -> Vec<String> {
        let cluster = self.config.clusters.get(&customer.cluster);
        let mut keep: Vec<String> = cluster.iter().map(|cluster| cluster.provisioner.clone()).collect();
        keep.extend(
            cluster.and_then(|cluster| cluster.maintenance.as_ref()).map(|maintenance| maintenance.role.clone()),
        );
        let snapshots = self.config.snapshots.values().filter(|snapshots| snapshots.cluster == customer.cluster);
        keep.extend(snapshots.map(|snapshots| snapshots.role.clone()));
        let upkeep = self.config.road.maintenance.iter();
        keep.extend(upkeep.map(|who| who.split('@').next().unwrap_or(who).to_owned()));
        keep
    }
}

/// What the customer has for itself; nothing in shared tables.
fn place(customer: &Customer) -> Result<Option<Place>, Error> {
    Ok(match customer.layout {
        Layout::Shared => None,
        Layout::Database => Some(Place::Database),
        Layout::Schema => Some(Place::Schema(schema_of(customer)?.to_owned())),
    })
}

fn told(privileges: &[Privilege]) -> String {
    let one =
        |privilege: &Privilege| format!("{} from {}", privilege.name, privilege.role.as_deref().unwrap_or("PUBLIC"));
    match privileges {
        [] => "nothing".to_owned(),
        some => some.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}
