//! `portreeve retention adopt` and `restore`: taking in what others took, and bringing a snapshot back.
//! Not here: reading it (`snapshots/`). A restore is an access: two people, a reason, recorded before it begins.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::keys::absent;
use super::people::{People, Signed};
use super::stock::{failure, stock};
use crate::cli::{Context, Exit, Failure, Table};
use crate::clock::{SystemClock, Timestamp};
use crate::config::{self, read_secret_line};
use crate::entropy::OsEntropy;
use crate::grant::{By, SnapshotStep, check_reason};
use crate::ids::SnapshotId;
use crate::keeping::{Keeping, Shelf};
use crate::snapshots::{Order, Progress, Target, Upstream, read_private_key};

/// What is taken in.
#[derive(Debug, Args)]
pub struct Adopt {
    /// Into which back-end's store: the NAME of [snapshots.NAME].
    #[arg(long)]
    backend: String,
    /// A dump in custom format, or the directory of a base backup with its manifest. It stays where it is.
    #[arg(long)]
    path: PathBuf,
    /// When it was begun, such as 2026-11-01T02:00:00Z; held against what it says itself.
    #[arg(long, value_parser = timestamp)]
    started: Timestamp,
}

/// What is brought back, and where.
#[derive(Debug, Args)]
pub struct Restore {
    /// From which back-end's store.
    #[arg(long)]
    backend: String,
    /// Which snapshot: 32 hexadecimal digits.
    #[arg(long)]
    snapshot: SnapshotId,
    /// The recipient's private key.
    #[arg(long, value_name = "PATH")]
    private_key: PathBuf,
    /// For a whole cluster: a directory that is missing or empty.
    #[arg(long, value_name = "PATH", required_unless_present = "database", conflicts_with = "database")]
    directory: Option<PathBuf>,
    /// For a dump: an empty database of the same cluster.
    #[arg(long, requires_all = ["role", "role_password_file"])]
    database: Option<String>,
    /// A role that may create everything there.
    #[arg(long)]
    role: Option<String>,
    /// Its password, on one line of a file of mode 0600.
    #[arg(long, value_name = "PATH")]
    role_password_file: Option<PathBuf>,
    /// Why, in a sentence.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    people: People,
}

/// Takes it in: from then on it is ours, and expires by the start it had.
pub(super) async fn adopt(context: &Context, wanted: Adopt) -> Result<Exit, Failure> {
    let register = context.register()?;
    let stock = stock(context, register.clone())?;
    let shelf = stock.shelf(&wanted.backend).ok_or_else(|| absent(&wanted.backend))?.clone();
    let store = shelf.open()?;
    let lease = store.lease()?;
    let id = Order::fresh_id(&OsEntropy);
    let started = wanted.started;
    let order = Order {
        id,
        started,
        slot: None,
        recipient: shelf.recipient,
        customers: Vec::new(),
        bytes_per_second_max: shelf.snapshots.bytes_per_second_max,
    };
    let (programs, path) = (stock.programs.clone(), wanted.path.clone());
    let (taken, _lease) = tokio::task::spawn_blocking(move || {
        let taken = store.adopt(&lease, &programs, &path, &order, &SystemClock, &OsEntropy, &mut shown());
        (taken, lease)
    })
    .await?;
    let bytes = taken?.foot.plain_bytes;
    let desk = context.desk(register, &[]).await?;
    let keeping = Keeping { stock, acts: desk.acts().clone() };
    // Until this stands, the file is nobody's: reported, never deleted.
    let step = SnapshotStep::Adopted { backend: shelf.number, started, bytes };
    let adopted = keeping.step_by(By::Operator, id, step).await.map_err(failure);
    drop(keeping);
    desk.close()?;
    adopted?;
    show(context, &wanted.backend, id, "adopted", bytes)
}

/// Brings it back, after it is on record who wanted it and why.
pub(super) async fn restore(context: &Context, wanted: Restore) -> Result<Exit, Failure> {
    check_reason(&wanted.reason).map_err(|fault| Failure::usage(fault.to_string()))?;
    let register = context.register()?;
    let stock = stock(context, register.clone())?;
    let shelf = stock.shelf(&wanted.backend).ok_or_else(|| absent(&wanted.backend))?.clone();
    let private = read_private_key(&wanted.private_key)?;
    let upstream = wanted.database.as_ref().map(|_| upstream(&shelf, &wanted, &context.config)).transpose()?;
    let passwords = wanted.people.passwords(true)?;
    // As it stands now: whoever was suspended while passwords were typed approves nothing.
    let state = register.state()?;
    let desk = context.desk(register, &[]).await?;
    let signed = match passwords.signed_in(context.config.staff.sign_in, &state) {
        Ok(signed @ Signed::Two(..)) => signed,
        Ok(Signed::Operator | Signed::One(_)) => {
            return Err(passwords.refuse(desk, "snapshot.restore", "a restore needs two people").await?);
        }
        Err(why) => return Err(passwords.refuse(desk, "snapshot.restore", &why).await?),
    };
    let what = format!("{}/{}: {}", wanted.backend, wanted.snapshot, wanted.reason);
    signed.record(desk.log(), "snapshot.restore", &what).await?;
    let store = shelf.open()?;
    let (id, directory, database) = (wanted.snapshot, wanted.directory.clone(), wanted.database.clone());
    let programs = stock.programs.clone();
    let restored = tokio::task::spawn_blocking(move || {
        let target = match (&directory, &upstream, &database) {
            (Some(directory), ..) => Target::Directory(directory),
            (None, Some(upstream), Some(database)) => Target::Database { upstream, database },
            (None, _, _) => return Err(crate::snapshots::Error::Refused("name a directory or a database".to_owned())),
        };
        store.restore(id, &private, &programs, &target, &mut shown())
    })
    .await?;
    let said = match &restored {
        Ok(restored) => format!("{what}; {} bytes are back", restored.bytes),
        Err(error) => format!("{what}; it failed: {error}"),
    };
    signed.record(desk.log(), "snapshot.restored", &said).await?;
    desk.close()?;
    show(context, &wanted.backend, wanted.snapshot, "restored", restored?.bytes)
}

fn upstream(shelf: &Shelf, wanted: &Restore, config: &config::Config) -> Result<Upstream, Failure> {
    let missing = || Failure::usage("name the role with --role and its password with --role-password-file");
    let (role, file) = wanted.role.clone().zip(wanted.role_password_file.as_ref()).ok_or_else(missing)?;
    let own = shelf.upstream().map_err(failure)?;
    let private = config.retention.runtime.clone();
    Ok(Upstream { user: role, password: read_secret_line(file)?, certificate: None, private, ..own })
}

fn show(context: &Context, backend: &str, id: SnapshotId, done: &str, bytes: u64) -> Result<Exit, Failure> {
    let mut table = Table::new(&["backend", "snapshot", "done", "bytes"]);
    table.row([backend.into(), id.to_string().into(), done.into(), Value::from(bytes)]);
    context.show(&table)?;
    Ok(Exit::Done)
}

/// Says on standard error how far it is, each hundred megabytes.
fn shown() -> impl FnMut(Progress) -> ControlFlow<()> {
    let mut told = 0;
    move |Progress { bytes, estimate }| {
        if bytes / 100_000_000 > told {
            told = bytes / 100_000_000;
            let of = estimate.map_or_else(String::new, |estimate| format!(" of {}", estimate / 1_000_000));
            // If standard error is gone there is nobody to tell.
            let _nobody = writeln!(std::io::stderr(), "portreeve: {}{of} MB", bytes / 1_000_000);
        }
        ControlFlow::Continue(())
    }
}

fn timestamp(text: &str) -> Result<Timestamp, String> {
    let read = chrono::DateTime::parse_from_rfc3339(text);
    read.map(|at| Timestamp(at.timestamp_micros()))
        .map_err(|_| "expected a moment such as 2026-11-01T02:00:00Z".to_owned())
}
