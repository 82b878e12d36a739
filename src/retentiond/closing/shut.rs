//! From its closing on nobody but retention, the gate and the snapshots' roles gets at what an account has for itself, so
//! that its archive stays the last word; if it is reopened, the same are let in again, with exactly what was taken. In
//! shared tables only the write fence stands, and it leaves open what `purge/tombstone.rs` says.
//! Not here: taking and giving (`purge/`). What is about to be taken is written down before.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::purge::schema_of;
use super::{Error, World};
use crate::clock::Timestamp;
use crate::datamap::plan::{reached, write_fences};
use crate::disk::{Disk, RealDisk};
use crate::grant::{By, Closure, Customer, Layout, State};
use crate::ids::CustomerId;
use crate::purge::{self as purging, Connection, Place, Privilege, Shut, catalog};

/// The end of the name of an empty file: what was taken when the account was closed last was given back.
const LET_IN: &str = ".let-in";

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
    /// The server, by the number that it was given when it was made.
    #[serde(default)]
    server: Option<String>,
    /// The database's or the schema's object id there.
    #[serde(default)]
    oid: Option<u32>,
}

/// What is there now: the server, and the object id of what the customer has for itself.
type Here = (String, Option<u32>);

impl Note {
    fn is_of_another(&self, (server, oid): &Here) -> bool {
        self.server.as_ref().is_some_and(|known| known != server) || self.oid.is_some() && self.oid != *oid
    }
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
        let (id, closed) = (customer.id, closure.sequence.0);
        let connection = self.connect(customer, &customer.database).await?;
        let here = here(customer, &connection).await?;
        // of another one, which people said is the customer's, nothing was taken yet
        let is_approved = self.kept(id, closure.sequence)?.another;
        let known = self.note(id)?.filter(|known| !(is_approved && known.is_of_another(&here)));
        if known.as_ref().is_some_and(|known| known.is_of_another(&here)) {
            return Err(self.of_another(id));
        }
        let is_first = known.as_ref().is_none_or(|known| known.closed != closed);
        let known = known.map(|known| known.shut).unwrap_or_default();
        let (server, oid) = here;
        let note = |done, shut: &Shut| Note { closed, done, shut: shut.clone(), server: Some(server.clone()), oid };
        let begin = |shut: &Shut| -> Result<(), Error> {
            self.keep_note(id, &note(None, shut))?;
            self.remove(&self.kept_path(id, LET_IN))
        };
        let shut = match place(customer)? {
            None => {
                if is_first {
                    let message =
                        format!("no row with its key comes or changes any more; {}", self.left_open(customer)?);
                    self.record(id, "closure.shut-out", message).await?;
                }
                begin(&known)?;
                self.fence(customer, closure, &connection).await?;
                known
            }
            Some(place) => {
                let keep = self.keep_access(customer);
                let found = purging::would_take(&connection, &place, &keep).await?;
                let shut = known.and(&found);
                if is_first || !found.taken.is_empty() {
                    let replicas = self.config.clusters.get(&customer.cluster).map(|cluster| cluster.replicas.keys());
                    let message = format!(
                        "it is taken: {}{}",
                        told(&found.taken),
                        read_on(&place, replicas.into_iter().flatten())
                    );
                    self.record(id, "closure.shut-out", message).await?;
                }
                begin(&shut)?;
                purging::shut_out(&connection, &place, &found, &keep).await?;
                shut
            }
        };
        self.keep_note(id, &note(Some(self.acts.clock.now().0), &shut))
    }

    fn of_another(&self, customer: CustomerId) -> Error {
        let path = self.shut_path(customer);
        Error::Refused(format!(
            "{} says what was taken on another server, database or schema than the one that is there now, where nothing is \
             done: bring that one back; if this is the same one, moved, write null for \"server\" and \"oid\" in that file",
            path.display()
        ))
    }

    /// What the write fence leaves open, in words.
    pub(super) fn left_open(&self, customer: &Customer) -> Result<String, Error> {
        let map = self.map_of(customer)?;
        let reached: Vec<String> = reached(&map).map(ToString::to_string).collect();
        let change = match reached.as_slice() {
            [] => String::new(),
            some => {
                format!(", and that rows in {}, reached only through other tables, come or change", some.join(", "))
            }
        };
        Ok(format!(
            "not fenced between closing and purge: that its rows are deleted or given another key{change}; its archive \
             holds what was there when it was read"
        ))
    }

    /// The write fence, which for rows in shared tables is all there is: reading goes on.
    async fn fence(&self, customer: &Customer, closure: &Closure, connection: &Connection) -> Result<(), Error> {
        let fences = write_fences(&self.map_of(customer)?, &catalog(connection).await?);
        let key = customer.tenant.as_deref().ok_or(Error::Bug("a customer of shared tables without a key"))?;
        let name = format!("{}-{}", customer.id, closure.sequence.0);
        Ok(purging::fence(connection, &fences, key, &name).await?)
    }

    /// Lets in again whoever was shut out of an account that was reopened since.
    pub(super) async fn let_in(&self, customer: &Customer, state: &State) -> Result<(), Error> {
        let Some(note) = self.note(customer.id)? else { return self.was_let_in(customer, state) };
        let connection = self.connect(customer, &customer.database).await?;
        if note.is_of_another(&here(customer, &connection).await?) {
            return Err(self.of_another(customer.id));
        }
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
        self.replace(&self.kept_path(customer.id, LET_IN), b"", 0o600)?;
        self.forget_shut(customer.id)
    }

    /// Without a note it was let in before, or never shut; or the note is lost. An archive is made for an account that is
    /// shut, and for no other without being asked for.
    fn was_let_in(&self, customer: &Customer, state: &State) -> Result<(), Error> {
        let was_shut = state.exports_of(customer.id).any(|export| export.requested.1 == By::System);
        let let_in = self.kept_path(customer.id, LET_IN);
        if !was_shut || let_in.exists() {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "it was reopened, and {}, which says what was taken from whom, is lost: bring it back from a copy; or give it \
             back by hand and make an empty file {}",
            self.shut_path(customer.id).display(),
            let_in.display()
        )))
    }

    /// Forgets what was taken: there is nothing left to give it back on, or it was given back.
    pub(super) fn forget_shut(&self, customer: CustomerId) -> Result<(), Error> {
        self.remove(&self.shut_path(customer))
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        if path.exists() {
            RealDisk.remove(path).map_err(Error::file("remove", path))?;
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
        keep.extend(upkeep.map(|who| role_of(who).to_owned()));
        keep
    }
}

/// The role of somebody whom `[road]` names: its name may hold an `@` itself.
fn role_of(who: &str) -> &str {
    who.rsplit_once('@').map_or(who, |(role, _)| role)
}

async fn here(customer: &Customer, connection: &Connection) -> Result<Here, Error> {
    let oid = match customer.layout {
        Layout::Shared => None,
        Layout::Database => Some(purging::target(connection, &customer.database).await?.oid),
        Layout::Schema => Some(purging::schema_target(connection, schema_of(customer)?).await?.oid),
    };
    Ok((connection.server().await?, oid))
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

/// What shutting out leaves at replicas, in words: sessions are ended at the primary, of which those there are none.
fn read_on<'a>(place: &Place, replicas: impl Iterator<Item = &'a String>) -> String {
    let replicas: Vec<&str> = replicas.map(String::as_str).collect();
    match (place, replicas.as_slice()) {
        (Place::Schema(_), _) | (Place::Database, []) => String::new(),
        (Place::Database, some) => {
            format!("; not ended: sessions that are open at {}, which read on until they end", some.join(", "))
        }
    }
}

#[cfg(test)]
#[path = "shut_tests.rs"]
mod tests;
