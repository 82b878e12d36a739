//! `audit tiles`: one log's tree as files that other tools read.
//! Not here: which files (`audit/tiles.rs`). Needs the log's public key and no other: there is no content in them.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::audit::checkpoint::{Checkpoint, verifier_key};
use crate::audit::tiles::{Tile, Tiles};
use crate::audit::tree::Frontier;
use crate::cli::{Context, Exit, Failure};
use crate::keyring::{init, pinned};
use crate::log::reader::Reader;

/// Which log, and where to.
#[derive(Debug, Args)]
pub struct Wanted {
    /// The log, by its writer's name, such as `proxy-gate-1`.
    #[arg(long, value_name = "NAME")]
    pub log: String,
    /// A new folder for the files: `checkpoint`, `tile/…`, and the key to check them with, `log.vkey`.
    #[arg(long, value_name = "PATH")]
    pub output: PathBuf,
}

/// Writes the files; the checkpoint comes last, as the layout demands. If it fails, no folder is left.
pub(super) fn write(context: &Context, wanted: &Wanted) -> Result<Exit, Failure> {
    let public = init::read_public_key(&pinned::log_key(&context.config.keyring.public_key, &wanted.log))?;
    let reader = Reader::open(&context.config.audit.directory.join(&wanted.log))?;
    let checkpoint = Checkpoint::open(reader.note(), reader.origin(), &public)
        .map_err(|error| Failure::failed(format!("{error}: run \"portreeve audit verify\"")))?;
    fs::create_dir(&wanted.output).map_err(|fault| match fault.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!(
            "{} is there already, and nothing is overwritten: give another name to --output",
            wanted.output.display()
        )),
        _ => Failure::failed(format!("cannot make {}: {fault}", wanted.output.display())),
    })?;
    let written = fill(&reader, &checkpoint, &public, wanted);
    if let Err(failure) = written {
        let left = fs::remove_dir_all(&wanted.output).err();
        let left = left.map(|fault| format!("; {} is half written and stays: {fault}", wanted.output.display()));
        return Err(Failure::failed(format!("{}{}", failure.message(), left.unwrap_or_default())));
    }
    Ok(Exit::Done)
}

fn fill(reader: &Reader, checkpoint: &Checkpoint, public: &[u8; 32], wanted: &Wanted) -> Result<(), Failure> {
    let (mut tiles, mut tree) = (Tiles::new(), Frontier::new());
    let mut leaves = reader.leaves();
    while tree.size() < checkpoint.size
        && let Some(leaf) = leaves.next().transpose()?
    {
        tree.push(leaf.leaf_hash());
        keep(&wanted.output, &tiles.push(&leaf))?;
    }
    if tree.size() != checkpoint.size || tree.root() != checkpoint.root {
        let detail = "its leaves are not those that its checkpoint was signed for: run \"portreeve audit verify\"";
        return Err(Failure::failed(format!("the log {} is unsound: {detail}", wanted.log)));
    }
    keep(&wanted.output, &tiles.finish())?;
    let file = |path: &str, text: String| Tile { path: path.to_owned(), bytes: text.into_bytes() };
    let key = format!("{}\n", verifier_key(reader.origin(), public));
    keep(&wanted.output, &[file("log.vkey", key), file("checkpoint", reader.note().to_owned())])
}

fn keep(output: &Path, tiles: &[Tile]) -> Result<(), Failure> {
    for tile in tiles {
        let path = output.join(&tile.path);
        let kept = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, &tile.bytes));
        kept.map_err(|fault| Failure::failed(format!("cannot write {}: {fault}", path.display())))?;
    }
    Ok(())
}
