//! `portreeve retention keys` and `store`: the pair that snapshots are encrypted to, and an empty store.
//! Not here: where the private half belongs: away from this machine, or it protects nothing.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use zeroize::Zeroizing;

use super::stock::{failure, stock};
use crate::audit::keys::generate_key_pair;
use crate::cli::{Context, Exit, Failure, Table};
use crate::entropy::OsEntropy;

/// Where the pair goes.
#[derive(Debug, Args)]
pub struct Keys {
    /// The public half, which [snapshots.NAME] recipient names.
    #[arg(long, value_name = "PATH")]
    public: PathBuf,
    /// The private half, mode 0400. Keep it away from this machine: without it nothing can be restored.
    #[arg(long, value_name = "PATH")]
    private: PathBuf,
}

/// Makes both files; one that is there is an error, and then neither is changed.
pub(super) fn make(context: &Context, keys: &Keys) -> Result<Exit, Failure> {
    for path in [&keys.private, &keys.public] {
        if path.try_exists()? {
            let again = "a pair is made once: what was encrypted to it needs it";
            return Err(Failure::refused(format!("{} is there already: {again}", path.display())));
        }
    }
    let (public, private) = generate_key_pair();
    let digits = |bytes: &[u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let secret = Zeroizing::new(format!("{}\n", digits(private.expose())));
    write(&keys.private, &secret, 0o400)?;
    write(&keys.public, &format!("{}\n", digits(&public)), 0o444)?;
    let mut table = Table::new(&["file", "done"]);
    for path in [&keys.private, &keys.public] {
        table.row([path.display().to_string().into(), "made".into()]);
    }
    context.show(&table)?;
    Ok(Exit::Done)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let failed = |error| Failure::failed(format!("cannot write {}: {error}", path.display()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// Makes the back-end's empty directory a store.
pub(super) fn make_store(context: &Context, backend: &str) -> Result<Exit, Failure> {
    let stock = stock(context, context.register()?)?;
    let shelf = stock.shelf(backend).ok_or_else(|| absent(backend))?;
    let store = shelf.create(&OsEntropy).map_err(|error| failure(error.into()))?;
    let mut table = Table::new(&["backend", "directory", "done"]);
    table.row([backend.into(), store.dir().display().to_string().into(), "made".into()]);
    context.show(&table)?;
    Ok(Exit::Done)
}

pub(super) fn absent(backend: &str) -> Failure {
    Failure::usage(format!("there is no section [snapshots.{backend}] in the configuration"))
}
