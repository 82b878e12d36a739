//! A customer's needles between the beginning of a purge and its verification: sealed to the vendor's key, in a file that
//! only the daemon may read, destroyed afterwards.
//! Not here: what a needle is (`purge/`). A lost file lowers the level that is stated and nothing else.

use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use super::reading::Sealed;
use super::{Error, World};
use crate::audit::archive::Sealer;
use crate::audit::keys::{Part, Recipient};
use crate::datamap::plan::Plan;
use crate::datamap::{Catalog, DataMap};
use crate::disk::{Disk, RealDisk};
use crate::ids::CustomerId;
use crate::purge::{self as purging, Connection, Needles};
use crate::secret::Secret;

/// How many are taken.
const NEEDLES: usize = 64;

impl World {
    fn needles_path(&self, customer: CustomerId) -> PathBuf {
        self.kept_path(customer, ".needles")
    }

    /// Takes needles, unless they were taken before.
    pub(super) async fn take_needles(
        &self,
        customer: CustomerId,
        connection: &Connection,
        (map, catalog, plan): (&DataMap, &Catalog, &Plan),
    ) -> Result<(), Error> {
        let path = self.needles_path(customer);
        if path.exists() {
            return Ok(());
        }
        let entropy = self.acts.entropy.as_ref();
        let needles = purging::needles(connection, map, catalog, plan, NEEDLES, entropy).await?;
        self.keyring.ensure(&self.recipients, &[Recipient::Vendor]).await?;
        let period = Recipient::Vendor.period(self.acts.clock.now());
        let to = self.recipients.get(Recipient::Vendor, Part::Values, period);
        let to = to.ok_or(Error::Bug("the keyring gave no key for this month"))?;
        let begun = Sealer::begin(&to, &format!("portreeve/needles/{customer}"), 0, entropy);
        let (mut sealer, mut sealed) = begun.map_err(|fault| Error::Refused(fault.to_string()))?;
        sealer.push(needles.to_bytes().expose(), &mut sealed);
        sealer.finish(&mut sealed);
        self.replace(&path, &sealed, 0o600)
    }

    /// The needles that were taken; none in it if the file is gone or cannot be read.
    pub(super) async fn needles(&self, customer: CustomerId) -> Result<Needles, Error> {
        let path = self.needles_path(customer);
        let sealed = match Sealed::open(&path) {
            Ok(sealed) => sealed,
            Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
                tracing::warn!(%customer, "the needles are lost: the purge is verified to level 0 only");
                return Ok(Needles::new(self.acts.entropy.as_ref()));
            }
            Err(error) => return Err(error),
        };
        let why = format!("needles of {customer}, to verify its purge");
        let keys = self.keyring.open(vec![sealed.header.key.clone()], "retention", &why).await?;
        let key = keys.into_iter().next().ok_or(Error::Bug("the keyring opened no key"))?;
        let mut bytes = Vec::new();
        sealed.plain(&key).read_to_end(&mut bytes).map_err(Error::file("read", &path))?;
        let bytes = Secret::new(bytes);
        Needles::from_bytes(bytes.expose())
            .ok_or_else(|| Error::Refused(format!("{} is damaged: remove it; level 0 is stated then", path.display())))
    }

    /// Destroys them.
    pub(super) fn destroy_needles(&self, customer: CustomerId) -> Result<(), Error> {
        let path = self.needles_path(customer);
        if path.exists() {
            RealDisk.remove(&path).map_err(Error::file("remove", &path))?;
        }
        Ok(())
    }
}
