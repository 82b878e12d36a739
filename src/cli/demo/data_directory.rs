//! What a throw-away PostgreSQL stands on: its programs, its user, its directory, and in that an initialised data
//! directory: `initdb` once, copied from a cache ever after.
//! Not here: settings and start-up (`cluster.rs`).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::cluster::Error;
use crate::entropy::{OsEntropy, random};

/// The system user that runs the server: PostgreSQL refuses to run as root.
#[derive(Clone, Copy, Debug)]
pub(super) enum RunAs {
    /// Whoever we are.
    Ourselves,
    /// We are root and step down to this user.
    Other { uid: u32, gid: u32 },
}

impl RunAs {
    /// Ourselves, or `postgres`, or `nobody` when we are root.
    pub(super) fn choose() -> Result<RunAs, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(RunAs::Ourselves);
        }
        let path = Path::new("/etc/passwd");
        let users = fs::read_to_string(path).map_err(Error::io("read", path))?;
        let find = |name: &str| users.lines().find_map(|line| ids_of(line, name));
        find("postgres").or_else(|| find("nobody")).ok_or(Error::NoUser)
    }

    /// Lets `command` run as that user.
    pub(super) fn apply(self, command: &mut Command) {
        if let RunAs::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives `path` to that user.
    pub(super) fn give(self, path: &Path) -> Result<(), Error> {
        match self {
            RunAs::Ourselves => Ok(()),
            RunAs::Other { uid, gid } => chown(path, Some(uid), Some(gid)).map_err(Error::io("give away", path)),
        }
    }
}

fn ids_of(line: &str, name: &str) -> Option<RunAs> {
    let mut fields = line.split(':');
    if fields.next() != Some(name) {
        return None;
    }
    let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(RunAs::Other { uid, gid })
}

/// Makes `to` an initialised data directory with superuser `postgres`; by way of a copy in `cache` where one is given.
pub(super) fn create(bin: &Path, to: &Path, cache: Option<&Path>, run_as: RunAs) -> Result<(), Error> {
    let Some(cache) = cache else {
        return initdb(bin, to, run_as);
    };
    fs::create_dir_all(cache).map_err(Error::io("create", cache))?;
    let lock_path = cache.join("cluster-template.lock");
    let lock = File::create(&lock_path).map_err(Error::io("create", &lock_path))?;
    lock.lock().map_err(Error::io("lock", &lock_path))?;
    let template = cache.join(template_name(bin)?);
    if template.exists() {
        return copy_tree(&template, to, run_as);
    }
    initdb(bin, to, run_as)?;
    let partial = cache.join("cluster-template.partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(Error::io("remove", &partial))?;
    }
    copy_tree(to, &partial, RunAs::Ourselves)?;
    fs::rename(&partial, &template).map_err(Error::io("rename", &partial))
}

/// `cluster-template-15.18-<file id>`: another build of the server gets a template of its own.
fn template_name(bin: &Path) -> Result<String, Error> {
    let postgres = bin.join("postgres");
    let output = Command::new(&postgres).arg("--version").output().map_err(Error::io("run", &postgres))?;
    let version = String::from_utf8_lossy(&output.stdout);
    let number = version.split_whitespace().nth(2).unwrap_or("unknown");
    let built = fs::metadata(&postgres).map_err(Error::io("read", &postgres))?;
    Ok(format!("cluster-template-{number}-{:x}-{:x}", built.ino(), built.mtime()))
}

fn initdb(bin: &Path, to: &Path, run_as: RunAs) -> Result<(), Error> {
    fs::create_dir(to).map_err(Error::io("create", to))?;
    run_as.give(to)?;
    let program = bin.join("initdb");
    let mut command = Command::new(&program);
    command
        .args(["--username=postgres", "--auth=reject", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"])
        .arg(to)
        .current_dir("/")
        .stdin(Stdio::null());
    run_as.apply(&mut command);
    let output = command.output().map_err(Error::io("run", &program))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Failed { program: PathBuf::from("initdb"), said })
}

/// Copies directories and plain files with their modes; all of `to` belongs to `owner`.
fn copy_tree(from: &Path, to: &Path, owner: RunAs) -> Result<(), Error> {
    fs::create_dir(to).map_err(Error::io("create", to))?;
    owner.give(to)?;
    let mode = fs::metadata(from).map_err(Error::io("read", from))?.permissions();
    fs::set_permissions(to, mode).map_err(Error::io("set the mode of", to))?;
    let entries = fs::read_dir(from).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    for entry in entries.map_err(Error::io("read", from))? {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(Error::io("read", &source))?;
        if kind.is_dir() {
            copy_tree(&source, &target, owner)?;
        } else if kind.is_file() {
            fs::copy(&source, &target).map_err(Error::io("copy", &source))?;
            owner.give(&target)?;
        }
    }
    Ok(())
}

/// The directory of PostgreSQL's programs: `PORTREEVE_PG_BIN`, else the newest of `/usr/lib/postgresql/*/bin`.
pub fn postgres_bin() -> Result<PathBuf, Error> {
    let holds_server = |path: &PathBuf| path.join("initdb").exists() && path.join("postgres").exists();
    if let Some(path) = std::env::var_os("PORTREEVE_PG_BIN").map(PathBuf::from) {
        let looked = path.display().to_string();
        return Some(path).filter(holds_server).ok_or(Error::NoPostgres { looked });
    }
    let usual = Path::new("/usr/lib/postgresql");
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let mut versions: Vec<_> = fs::read_dir(usual)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter_map(|path| version(&path).map(|version| (version, path.join("bin"))))
        .filter(|(_, bin)| holds_server(bin))
        .collect();
    versions.sort();
    versions.pop().map(|(_, bin)| bin).ok_or(Error::NoPostgres { looked: format!("{}/*/bin", usual.display()) })
}

/// Where the files are; removed at the end if it is ours.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    pub(super) removed_at_end: bool,
}

impl Directory {
    /// `given`, or a new one under the system's temporary directory; it must not exist.
    pub(super) fn create(given: Option<PathBuf>, run_as: RunAs) -> Result<Directory, Error> {
        let removed_at_end = given.is_none();
        let path = given.unwrap_or_else(|| {
            let unique = random::<8>(&OsEntropy).map(|byte| format!("{byte:02x}")).concat();
            std::env::temp_dir().join(format!("portreeve-{unique}"))
        });
        fs::create_dir(&path).map_err(Error::io("create", &path))?;
        let directory = Directory { path, removed_at_end };
        run_as.give(&directory.path)?;
        Ok(directory)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.removed_at_end
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(directory = %self.path.display(), %error, "a throw-away directory stays behind");
        }
    }
}
