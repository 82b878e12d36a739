//! The folder of one customer from which the portal serves: archives and certificates.
//! Not here: what is in the files.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::{Error, World};
use crate::disk::{Disk, RealDisk};
use crate::ids::{CustomerId, ExportId};

impl World {
    pub(super) fn folder(&self, customer: CustomerId) -> PathBuf {
        self.config.portal.archives.join(customer.to_string())
    }

    pub(super) fn archive_path(&self, customer: CustomerId, export: ExportId) -> PathBuf {
        self.folder(customer).join(format!("archive-{export}.tar.sealed"))
    }

    /// Everything in the folder that is an archive or a part of one: of that export, or of any.
    pub(super) fn archives(&self, customer: CustomerId, export: Option<ExportId>) -> Result<Vec<PathBuf>, Error> {
        let folder = self.folder(customer);
        let names = match RealDisk.names(&folder) {
            Ok(names) => names,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::file("list", &folder)(error)),
        };
        let begin = export.map_or("archive-".to_owned(), |export| format!("archive-{export}."));
        let is_one = |name: &String| name.strip_prefix('.').unwrap_or(name).starts_with(&begin);
        Ok(names.into_iter().filter(is_one).map(|name| folder.join(name)).collect())
    }

    /// Removes them, and looks again.
    pub(super) fn remove_archives(&self, customer: CustomerId, export: Option<ExportId>) -> Result<(), Error> {
        for path in self.archives(customer, export)? {
            RealDisk.remove(&path).map_err(Error::file("remove", &path))?;
        }
        match self.archives(customer, export)?.first() {
            None => Ok(()),
            Some(left) => Err(Error::Refused(format!("{} is still there after it was removed", left.display()))),
        }
    }
}
