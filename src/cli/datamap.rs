//! `portreeve datamap scan|check|export`: the data map of a customers' database.
//! Not here: what a data map is (`datamap/`) and the connection (`purge/`).

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{Context, Exit, Failure, Table, to_stdout};
use crate::datamap::compare::differences;
use crate::datamap::{DataMap, Layout, MAP_BYTES_MAX, export, propose};
use crate::net::tls_connect::{VerifiedTls, client_config};
use crate::purge::{Connection, Road, catalog, samples};
use crate::secret::Secret;

/// What can be done with a data map.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Propose a data map from the catalog, names and sampled values; no value is printed
    Scan(Scan),
    /// Compare the data map with the catalog; exit code 4 if they differ
    Check(Mapped),
    /// Print the data-flow map for people
    Export {
        /// The data map
        #[command(flatten)]
        map: MapFile,
        /// As a document or as a table
        #[arg(long = "as", value_name = "FORM", value_enum, default_value_t)]
        form: Form,
    },
}

/// How the data-flow map is written.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Form {
    /// A document.
    #[default]
    Markdown,
    /// One line for each column.
    Csv,
}

/// Where the data map is.
#[derive(Args, Clone, Debug)]
pub struct MapFile {
    /// The data map; default: datamap.toml beside the configuration
    #[arg(long = "map", value_name = "FILE")]
    pub path: Option<PathBuf>,
}

/// Which database, and how to reach it.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// Cluster, as named in the configuration
    #[arg(long, default_value = "main")]
    pub cluster: String,
    /// Database on that cluster
    #[arg(long)]
    pub database: String,
    /// File with a connection string of the maintenance role or a superuser: host=… port=… user=… [password=…]
    #[arg(long, value_name = "FILE", visible_alias = "superuser-dsn-file")]
    pub dsn_file: PathBuf,
}

/// A database and its map.
#[derive(Args, Clone, Debug)]
pub struct Mapped {
    /// The database
    #[command(flatten)]
    pub target: Target,
    /// The map
    #[command(flatten)]
    pub map: MapFile,
}

/// What is known before a scan.
#[derive(Args, Clone, Debug)]
pub struct Scan {
    /// The database
    #[command(flatten)]
    pub target: Target,
    /// database: one customer has it whole; shared: several have rows in the same tables (default: guessed)
    #[arg(long, value_name = "LAYOUT")]
    pub layout: Option<crate::grant::Layout>,
    /// The column that tells customers apart (default: guessed)
    #[arg(long, value_name = "COLUMN")]
    pub tenant_column: Option<String>,
}

/// Does what `command` says; `config` is the configuration's path, beside which the map is.
///
/// # Errors
/// Any [`Failure`].
pub async fn run(command: Command, context: &Context, config: &Path) -> Result<Exit, Failure> {
    match command {
        Command::Scan(scan) => {
            let connection = connect(&scan.target, context).await?;
            let catalog = catalog(&connection).await?;
            let samples = samples(&connection, &catalog).await?;
            let layout = scan.layout.map(|layout| match layout {
                crate::grant::Layout::Database | crate::grant::Layout::Schema => Layout::Database,
                crate::grant::Layout::Shared => Layout::Shared,
            });
            let proposal = propose::propose(&catalog, &samples, layout, scan.tenant_column);
            to_stdout(|out| write!(out, "{}", proposal.to_toml()))?;
            Ok(if proposal.undecided.is_empty() { Exit::Done } else { Exit::Findings })
        }
        Command::Check(mapped) => {
            let map = read(&mapped.map, config)?;
            let connection = connect(&mapped.target, context).await?;
            let catalog = catalog(&connection).await?;
            let mut table = Table::new(&["table", "finding"]);
            for difference in differences(&map, &catalog) {
                table.row([json!(difference.table.to_string()), json!(difference.what)]);
            }
            context.show(&table)?;
            Ok(if table.is_empty() { Exit::Done } else { Exit::Findings })
        }
        Command::Export { map, form } => {
            let map = read(&map, config)?;
            let text = match form {
                Form::Markdown => export::markdown(&map),
                Form::Csv => export::csv(&map),
            };
            to_stdout(|out| write!(out, "{text}"))?;
            Ok(Exit::Done)
        }
    }
}

/// The data map of the file, or beside the configuration.
pub(super) fn read(map: &MapFile, config: &Path) -> Result<DataMap, Failure> {
    let path = map.path.clone().unwrap_or_else(|| config.with_file_name("datamap.toml"));
    let name = path.display().to_string();
    let bytes =
        std::fs::metadata(&path).map_err(|fault| Failure::failed(format!("cannot read {name}: {fault}")))?.len();
    if usize::try_from(bytes).is_ok_and(|bytes| bytes > MAP_BYTES_MAX) {
        return Err(Failure::failed(format!("{name} is larger than {MAP_BYTES_MAX} bytes: that is no data map")));
    }
    let text =
        std::fs::read_to_string(&path).map_err(|fault| Failure::failed(format!("cannot read {name}: {fault}")))?;
    DataMap::parse(&name, &text).map_err(|error| Failure::configuration(&error))
}

/// A connection to the database that is meant.
pub(super) async fn connect(target: &Target, context: &Context) -> Result<Connection, Failure> {
    let name = target.dsn_file.display();
    let text = std::fs::read_to_string(&target.dsn_file);
    let text = Secret::new(text.map_err(|fault| Failure::failed(format!("cannot read {name}: {fault}")))?);
    let dsn = Secret::new(text.expose().trim_end_matches(['\r', '\n']).to_owned());
    if dsn.expose().is_empty() {
        return Err(Failure::failed(format!("{name} is empty")));
    }
    let cluster = context.config.cluster(&target.cluster)?;
    let tls = VerifiedTls::new(client_config(&cluster.ca, None)?, &cluster.host)?;
    Ok(Road::new(&dsn, Some(tls))?.connect(&target.database).await?)
}
