//! One customer's rows as a file only its owner can open: written sealed, read back through the keyring, then announced.
//! Not here: what an archive holds (`purge/`), how it is sealed (`audit/archive.rs`), handing it over (`portal/`).

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::sync::mpsc;

use super::{Error, Turned, World, reading};
use crate::audit::archive::Sealer;
use crate::audit::keys::{Part, Recipient, RecipientKey, Recipients};
use crate::datamap::{DataMap, Layout};
use crate::disk::new_file::NewFile;
use crate::entropy::Entropy;
use crate::grant::{self, AccountStep, By, Customer};
use crate::ids::{CustomerId, ExportId};
use crate::purge::{self as purging, ArchiveError, Connection, Manifest, Schema};

/// How much is on its way between the database and the file, in bytes.
const PIPE_BYTES: usize = 256 * 1024;
/// Pieces that wait for the disk.
const PIECES: usize = 4;

/// A file as it was written.
struct Written {
    bytes: u64,
    digest: [u8; 32],
}

impl World {
    /// Makes every export that was asked for and can still be made.
    pub(super) async fn owners_backups(&self, id: CustomerId, turned: &mut Turned) -> Result<(), Error> {
        let state = self.state().await?;
        let customer = Self::customer(&state, id)?;
        if customer.closure.as_ref().is_some_and(|closure| closure.purge.begun.is_some()) {
            return Ok(());
        }
        let open = state.exports_of(id).filter(|export| export.made.is_none() && export.destroyed.is_none());
        for export in open.map(|export| export.id) {
            self.export(customer, export).await?;
            turned.exports.push(export);
        }
        Ok(())
    }

    /// The archive of a closed account, which the system asks for itself.
    pub(super) async fn archive(&self, customer: &Customer, turned: &mut Turned) -> Result<(), Error> {
        let state = self.state().await?;
        let closed = customer.closure.as_ref().map(|closure| closure.at).ok_or(Error::Bug("no closure"))?;
        let asked = state.exports_of(customer.id).any(|export| {
            export.requested.0 >= closed && export.requested.1 == By::System && export.destroyed.is_none()
        });
        if !asked {
            self.step(customer.id, AccountStep::ExportRequested).await?;
        }
        self.owners_backups(customer.id, turned).await
    }

    /// Writes, reads back, announces. What an earlier try left is removed first.
    async fn export(&self, customer: &Customer, export: ExportId) -> Result<(), Error> {
        self.make_folder(customer.id)?;
        self.remove_archives(customer.id, Some(export))?;
        let path = self.archive_path(customer.id, export);
        let to = self.recipient(customer.id).await?;
        let mut connection = self.connect(customer, &customer.database).await?;
        let (written, manifest) = self.write(&mut connection, customer, (&path, export), to).await?;
        self.read_back(&path, export, &manifest).await?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).map_err(Error::file("share", &path))?;
        let Written { bytes, digest } = written;
        tracing::info!(customer = %customer.id, %export, rows = manifest.rows(), bytes, "an archive was read back");
        self.step(customer.id, AccountStep::Exported { export, bytes, digest }).await?;
        Ok(())
    }

    /// The customer's public key of this year. Nothing else is sealed to a closed account's own keys any more.
    async fn recipient(&self, customer: CustomerId) -> Result<Arc<RecipientKey>, Error> {
        let (own, recipient) = (Recipients::new(), Recipient::Customer(customer));
        self.keyring.ensure(&own, &[recipient]).await?;
        let period = recipient.period(self.acts.clock.now());
        own.get(recipient, Part::Values, period).ok_or(Error::Bug("the keyring gave no key for this year"))
    }

    async fn write(
        &self,
        connection: &mut Connection,
        customer: &Customer,
        (path, export): (&Path, ExportId),
        to: Arc<RecipientKey>,
    ) -> Result<(Written, Manifest), Error> {
        let (mut sink, source) = tokio::io::duplex(PIPE_BYTES);
        let (pieces, taken) = mpsc::channel(PIECES);
        let (path, entropy, origin) = (path.to_owned(), Arc::clone(&self.acts.entropy), origin(customer.id));
        let writing = tokio::task::spawn_blocking(move || seal(&path, &to, &origin, export, entropy.as_ref(), taken));
        let map = self.map_of(customer)?;
        let tenant = customer.tenant.clone().unwrap_or_default();
        let within = customer.tenant.as_deref().filter(|_| customer.layout == grant::Layout::Schema);
        let schema = (&Schema::Generated, within);
        let mut tell = |table: &_, rows| tracing::info!(customer = %customer.id, %table, rows, "archived");
        let archiving = async {
            let done = purging::archive(connection, &map, &tenant, schema, &mut sink, &mut tell).await;
            drop(sink);
            done
        };
        let (manifest, pumped) = tokio::join!(archiving, pump(source, &pieces));
        let is_whole = manifest.is_ok() && pumped;
        if is_whole {
            // the file is finished only when it is told so; if nobody listens, what it says is asked below
            let _ended = pieces.send(None).await;
        }
        drop(pieces);
        let written = writing.await.map_err(|_| Error::Bug("the task that writes an archive panicked"))?;
        match (manifest, written) {
            // whoever reads the rows says why there are no more; a sink that is gone was let go by whoever writes them
            (Err(fault), _) if !matches!(fault, ArchiveError::Sink(_)) => Err(fault.into()),
            (manifest, written) => Ok((written?, manifest?)),
        }
    }

    /// Opens the file as its owner would, and compares every table's rows and digest with the manifest's.
    async fn read_back(&self, path: &Path, export: ExportId, manifest: &Manifest) -> Result<(), Error> {
        let sealed = reading::Sealed::open(path)?;
        let why = format!("archive {export} is read back");
        let keys = self.keyring.open(vec![sealed.header.key.clone()], "retention", &why).await?;
        let key = keys.into_iter().next().ok_or(Error::Bug("the keyring opened no key"))?;
        let manifest = manifest.clone();
        let checking = tokio::task::spawn_blocking(move || reading::check(sealed.plain(&key), &manifest));
        let checked = checking.await.map_err(|_| Error::Bug("the task that reads an archive back panicked"))?;
        checked.map_err(|why| Error::Refused(format!("archive {export} does not read back as it was written: {why}")))
    }

    /// A connection to one of the databases of the customer's cluster.
    pub(super) async fn connect(&self, customer: &Customer, database: &str) -> Result<Connection, Error> {
        Ok(self.upstream(customer)?.road.connect(database).await?)
    }

    pub(super) fn upstream(&self, customer: &Customer) -> Result<&super::Upstream, Error> {
        let cluster = &customer.cluster;
        match self.upstreams.get(cluster) {
            Some(Ok(upstream)) => Ok(upstream),
            Some(Err(why)) => Err(Error::Refused(format!("retention has no road to cluster \"{cluster}\": {why}"))),
            None => Err(Error::Refused(format!(
                "retention has no road to cluster \"{cluster}\": set maintenance_password_file in [clusters.{cluster}]"
            ))),
        }
    }

    /// What says which rows are the customer's.
    pub(super) fn map_of(&self, customer: &Customer) -> Result<DataMap, Error> {
        match customer.layout {
            grant::Layout::Database | grant::Layout::Schema => {
                Ok(DataMap { layout: Layout::Database, tenant: None, tables: Default::default() })
            }
            grant::Layout::Shared => self.shared_map(&format!("{}/{}", customer.cluster, customer.database)),
        }
    }

    fn shared_map(&self, place: &str) -> Result<DataMap, Error> {
        match self.maps.get(place) {
            Some(Ok(map)) if map.layout == Layout::Shared => Ok(map.clone()),
            Some(Ok(_)) => Err(Error::Refused(format!("the data map of {place} must say layout = \"shared\""))),
            Some(Err(why)) => Err(Error::Refused(format!("the data map of {place} cannot be used: {why}"))),
            None => Err(Error::Refused(format!(
                "there is no data map of {place}: run \"portreeve datamap scan\" and name its file in [retention.datamap]"
            ))),
        }
    }
}

fn origin(customer: CustomerId) -> String {
    format!("portreeve/archive/{customer}")
}

/// Hands on what comes; whether all of it went.
async fn pump(mut source: DuplexStream, pieces: &mpsc::Sender<Option<Vec<u8>>>) -> bool {
    loop {
        let mut piece = Vec::with_capacity(PIPE_BYTES);
        match source.read_buf(&mut piece).await {
            Ok(0) => return true,
            Ok(_) if pieces.send(Some(piece)).await.is_ok() => {}
            Ok(_) | Err(_) => return false,
        }
    }
}

/// Seals pieces into a file until one says that it was the last; without that, nothing of the file stays.
fn seal(
    path: &Path,
    to: &RecipientKey,
    origin: &str,
    export: ExportId,
    entropy: &dyn Entropy,
    mut pieces: mpsc::Receiver<Option<Vec<u8>>>,
) -> Result<Written, Error> {
    let failed = || Error::file("write", path);
    let begun = Sealer::begin(to, origin, export.0, entropy);
    let (mut sealer, mut out) = begun.map_err(|fault| Error::Refused(fault.to_string()))?;
    let mut file = NewFile::begin(path).map_err(failed())?;
    let (mut hash, mut bytes) = (Context::new(&SHA256), 0);
    let mut put = |out: &mut Vec<u8>| {
        hash.update(out);
        bytes += u64::try_from(out.len()).unwrap_or(0);
        let written = file.write_all(out);
        out.clear();
        written
    };
    loop {
        match pieces.blocking_recv() {
            Some(Some(piece)) => sealer.push(&piece, &mut out),
            Some(None) => break,
            None => return Err(Error::Refused("the archive was not read to its end".to_owned())),
        }
        put(&mut out).map_err(failed())?;
    }
    sealer.finish(&mut out);
    put(&mut out).map_err(failed())?;
    file.finish().map_err(failed())?;
    Ok(Written { bytes, digest: hash.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes") })
}
