//! The folder of one customer from which the portal serves: archives and certificates.
//! Not here: what is in the files.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

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

    /// Makes the customer's folder; the one that they all stand in must be there.
    pub(super) fn make_folder(&self, customer: CustomerId) -> Result<(), Error> {
        self.must_have_root()?;
        let folder = self.folder(customer);
        RealDisk.make_directory(&folder).map_err(Error::file("make", &folder))
    }

    /// Everything in the folder that is an archive or a part of one: of that export, or of any. None if there is no such
    /// folder, which says nothing of where its files are.
    pub(super) fn archives(
        &self,
        customer: CustomerId,
        export: Option<ExportId>,
    ) -> Result<Option<Vec<PathBuf>>, Error> {
        let folder = self.folder(customer);
        let names = match RealDisk.names(&folder) {
            Ok(names) => names,
            Err(error) if error.kind() == ErrorKind::NotFound => return self.must_have_root().map(|()| None),
            Err(error) => return Err(Error::file("list", &folder)(error)),
        };
        let begin = export.map_or("archive-".to_owned(), |export| format!("archive-{export}."));
        let is_one = |name: &String| name.strip_prefix('.').unwrap_or(name).starts_with(&begin);
        Ok(Some(names.into_iter().filter(is_one).map(|name| folder.join(name)).collect()))
    }

    fn must_have_root(&self) -> Result<(), Error> {
        let root = &self.config.portal.archives;
        match root.is_dir() {
            true => Ok(()),
            false => Err(away(root)),
        }
    }

    /// Removes them, and looks again. A folder that is not there is no place from which something is known to be gone.
    pub(super) fn remove_archives(&self, customer: CustomerId, export: Option<ExportId>) -> Result<(), Error> {
        let away = || away(&self.folder(customer));
        for path in self.archives(customer, export)?.ok_or_else(away)? {
            RealDisk.remove(&path).map_err(Error::file("remove", &path))?;
        }
        match self.archives(customer, export)?.ok_or_else(away)?.first() {
            None => Ok(()),
            Some(left) => Err(Error::Refused(format!("{} is still there after it was removed", left.display()))),
        }
    }
}

/// A place from which nothing is known.
pub(super) fn away(folder: &Path) -> Error {
    Error::Refused(format!(
        "the folder {} is not there, and with it every archive may be elsewhere: mount it or bring it back; if it is known \
         to be destroyed with all that was in it, make it anew, empty",
        folder.display()
    ))
}
