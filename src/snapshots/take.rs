//! Taking one snapshot: from a database into the store.
//! Not here: when one is due; the road between (`pipeline.rs`).

use super::about::About;
use super::back_end::BackEnd;
use super::child::{Programs, Upstream};
use super::error::Error;
use super::header::{Foot, Header, Names, Origin};
use super::lease::Lease;
use super::pipeline::{CHUNK_BYTES, Passage, refuse_served_slot};
use super::seal::DataKey;
use super::store::Store;
use super::{Kind, Watch};
use crate::clock::{Clock, Timestamp};
use crate::entropy::{Entropy, random};
use crate::ids::{CustomerId, SnapshotId};

/// Which snapshot is wanted.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its id, chosen and recorded before it is tried; see [`Order::fresh_id`].
    pub id: SnapshotId,
    /// When it is begun, recorded with its id: its age counts from here, and it is deleted only if it says the same.
    pub started: Timestamp,
    /// The slot of the grid it is for; none if it was asked for by hand.
    pub slot: Option<Timestamp>,
    /// The snapshot recipient's X25519 public key.
    pub recipient: [u8; 32],
    /// Whose data is in it, as far as the caller knows.
    pub customers: Vec<CustomerId>,
    /// The pace at which it is written, if there is a limit. Bytes per second, before they are sealed.
    pub bytes_per_second_max: Option<u64>,
}

impl Order {
    /// An id that no other snapshot has.
    pub fn fresh_id(entropy: &dyn Entropy) -> SnapshotId {
        SnapshotId(random(entropy))
    }
}

/// A snapshot that is whole, verified and durable.
#[derive(Clone, Debug)]
pub struct Taken {
    /// What stands before its data.
    pub header: Header,
    /// What stands after it.
    pub foot: Foot,
}

impl Store {
    /// Takes a snapshot. `about` is what the cluster said just before.
    ///
    /// # Errors
    /// Any [`Error`]; then nothing in the store looks whole.
    #[expect(clippy::too_many_arguments, reason = "each is another seam: who leads, what, from where, time, chance")]
    pub fn take(
        &self,
        lease: &Lease,
        back_end: &dyn BackEnd,
        programs: &Programs,
        upstream: &Upstream,
        about: &About,
        order: &Order,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
        watch: &mut Watch<'_>,
    ) -> Result<Taken, Error> {
        let database = back_end.database().unwrap_or_default();
        let drafted = Draft {
            id: order.id,
            kind: back_end.kind(),
            origin: Origin::Taken,
            database,
            customers: &order.customers,
            slot: order.slot,
            started: order.started,
            source_started: Some(about.now),
            server_version: about.server_version.clone(),
            system_identifier: Some(about.system_identifier),
            checksums: back_end.checksums(),
            recipient: order.recipient,
        };
        let (header, key) = drafted.seal(self, lease, entropy)?;
        refuse_served_slot(self, &header)?;
        let estimate = back_end.estimate(about);
        self.refuse_small_room(back_end.kind(), estimate)?;
        let mut child = back_end.start(programs, upstream, &format!("portreeve-{}", order.id))?;
        let (header_of, bytes_per_second_max) = (header.clone(), order.bytes_per_second_max);
        let passage = Passage { store: self, lease, clock, header: header_of, key, estimate, bytes_per_second_max };
        let foot = passage.run(&mut child, |stream| back_end.check(programs, stream), watch)?;
        Ok(Taken { header, foot })
    }

    /// A cluster is as large as it says; a dump is smaller than its database, one cannot tell by how much.
    fn refuse_small_room(&self, kind: Kind, estimate: Option<u64>) -> Result<(), Error> {
        let free = self.disk().free_bytes(self.dir()).map_err(Error::storage("measure", self.dir()))?;
        match (kind, estimate) {
            (Kind::PgBaseBackup, Some(needed)) if needed > free => {
                let detail = format!("the cluster has {needed} bytes, {free} are free");
                Err(Error::Full { dir: self.dir().to_owned(), detail })
            }
            (Kind::PgBaseBackup | Kind::PgDump, _) => Ok(()),
        }
    }
}

/// All that a header says.
pub(super) struct Draft<'a> {
    pub(super) id: SnapshotId,
    pub(super) kind: Kind,
    pub(super) origin: Origin,
    pub(super) database: &'a str,
    pub(super) customers: &'a [CustomerId],
    pub(super) slot: Option<Timestamp>,
    pub(super) started: Timestamp,
    pub(super) source_started: Option<Timestamp>,
    pub(super) server_version: String,
    pub(super) system_identifier: Option<u64>,
    pub(super) checksums: Option<super::Algorithm>,
    pub(super) recipient: [u8; 32],
}

impl Draft<'_> {
    /// The header, and the key that is sealed in it.
    pub(super) fn seal(self, store: &Store, lease: &Lease, entropy: &dyn Entropy) -> Result<(Header, DataKey), Error> {
        let (key, enc, sealed_key) = DataKey::fresh(self.id, &self.recipient, entropy)?;
        let sealed_names = key.seal_names(self.id, &Names::new(self.database, self.customers));
        let instance = store.instance();
        let header = Header {
            instance: instance.id(),
            id: self.id.0,
            kind: self.kind,
            series: instance.series(self.kind, self.system_identifier.unwrap_or(0), self.database),
            slot: self.slot.map(|slot| slot.0),
            started: self.started.0,
            source_started: self.source_started.map(|at| at.0),
            origin: self.origin,
            server_version: self.server_version,
            system_identifier: self.system_identifier,
            checksums: self.checksums,
            token: lease.token(),
            chunk_bytes: u32::try_from(CHUNK_BYTES).expect("a chunk is far below 4 GiB"),
            recipient: self.recipient,
            enc,
            sealed_key,
            sealed_names,
        };
        Ok((header, key))
    }
}
