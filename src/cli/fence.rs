//! `portreeve fence plan|apply|check|remove`: the fence of one database, as a superuser.
//! Not here: what a fence is (`fence/`) and where settings come from (`config/`).

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Format;
use crate::config::Config;
use crate::datamap::{self, DataMap};
use crate::fence::{
    self, Accepted, Applied, Finding, Impersonal, Keep, Layout, Plan, Removed, Report, Revocable, Schemas, Shared,
    Superuser, Wanted,
};
use crate::grant::{self, Scope};
use crate::net::tls_connect::{self, VerifiedTls, client_config};
use crate::secret::Secret;

/// The verbs.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Command {
    /// Show what apply would do, statement by statement, and who would lose what
    Plan(Change),
    /// Put the fence up, or bring it up to date, in one transaction
    Apply(Change),
    /// Examine what a grant of each scope could do; exit code 4 if the fence does not hold
    Check(Target),
    /// Take the fence down and give back to PUBLIC what apply took
    Remove(Target),
}

/// Which database, and how to reach it.
#[derive(clap::Args, Clone, Debug)]
pub struct Target {
    /// Cluster, as named in the configuration
    #[arg(long, default_value = "main")]
    pub cluster: String,
    /// Database on that cluster
    #[arg(long)]
    pub database: String,
    /// File with a superuser's connection string: host=… port=… user=… [password=…]
    #[arg(long, value_name = "FILE")]
    pub superuser_dsn_file: PathBuf,
}

/// A change of the fence.
#[derive(clap::Args, Clone, Debug)]
pub struct Change {
    /// Which database
    #[command(flatten)]
    pub target: Target,
    /// Role that keeps what is taken from PUBLIC, such as the application's (repeatable)
    #[arg(long, value_name = "ROLE")]
    pub keep: Vec<String>,
    /// Let all roles that are not named with --keep lose it
    #[arg(long)]
    pub cut_others: bool,
    /// Other database that is closed to PUBLIC too, such as postgres or template1 (repeatable)
    #[arg(long, value_name = "DATABASE")]
    pub close: Vec<String>,
    /// Also take this from PUBLIC, besides [fence] revoke_public: advisory-locks, large-objects, logical-messages
    #[arg(long, value_name = "WORD")]
    pub revoke_public: Vec<Revocable>,
    /// How customers lie in the database
    #[command(flatten)]
    pub tables: Box<Tables>,
    /// File with the provisioner's password, to create the role if it does not exist
    #[arg(long, value_name = "FILE")]
    pub provisioner_password_file: Option<PathBuf>,
}

/// How customers lie in a database; what was said before is kept there, so say only what is new.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Tables {
    /// database: one customer has it whole; shared: several have rows in the same tables; schema: each has a schema
    /// (default: as applied before)
    #[arg(long, value_name = "LAYOUT")]
    pub layout: Option<grant::Layout>,
    /// A customer's schema (repeatable)
    #[arg(long = "schema", value_name = "SCHEMA")]
    pub schemas: Vec<String>,
    /// Every schema is a customer's, but the system's and public
    #[arg(long)]
    pub all_schemas: bool,
    /// The column that tells customers apart, in each table that has one of this name
    #[arg(long, value_name = "COLUMN")]
    pub tenant_column: Option<String>,
    /// A table with a tenant column of another name (repeatable)
    #[arg(long = "table", value_name = "TABLE=COLUMN", value_parser = table_and_column)]
    pub tables: Vec<(String, String)>,
    /// A table without tenant column that staff of every customer may read, such as public.countries (repeatable)
    #[arg(long, value_name = "TABLE")]
    pub everybody: Vec<String>,
    /// A table that no staff may reach (repeatable)
    #[arg(long, value_name = "TABLE")]
    pub nobody: Vec<String>,
    /// The data map: its columns without personal data are what the scope metadata reaches (default: the entry of
    /// [retention.datamap] for the database)
    #[arg(long, value_name = "FILE")]
    pub datamap: Option<PathBuf>,
    /// Role that does without COPY FROM into fenced tables, which row security forbids to all but their owner
    /// (repeatable)
    #[arg(long, value_name = "ROLE")]
    pub without_copy: Vec<String>,
}

impl Tables {
    fn layout(&self) -> Result<Layout, Error> {
        let Tables { layout, schemas, all_schemas, tenant_column, tables, everybody, nobody, without_copy, datamap: _ } =
            self.clone();
        let says_tables = tenant_column.is_some()
            || !tables.is_empty()
            || [&everybody, &nobody, &without_copy].iter().any(|said| !said.is_empty());
        let says_schemas = all_schemas || !schemas.is_empty();
        match (layout, says_tables, says_schemas) {
            (None, false, false) => Ok(Layout::AsItIs),
            (Some(grant::Layout::Database), false, false) => Ok(Layout::Database),
            (Some(grant::Layout::Shared), _, false) => {
                Ok(Layout::Shared(Shared { tenant_column, own: tables, everybody, nobody, without_copy }))
            }
            (Some(grant::Layout::Schema), false, _) => Ok(Layout::Schema(Schemas { named: schemas, all: all_schemas })),
            (None | Some(grant::Layout::Database | grant::Layout::Schema), true, _) => Err(Error::NotShared),
            (None | Some(grant::Layout::Database | grant::Layout::Shared), _, true) => Err(Error::NotSchemas),
        }
    }
}

/// `public.notes=account_id`.
fn table_and_column(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((table, column)) if !table.is_empty() && !column.is_empty() => Ok((table.to_owned(), column.to_owned())),
        Some(_) | None => Err(format!("\"{text}\" is not TABLE=COLUMN, such as public.notes=account_id")),
    }
}

/// What the configuration says about the cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The proxy's role there.
    pub provisioner: String,
    /// The server's CA file, for a superuser's connection over the network.
    pub ca: Option<PathBuf>,
    /// The name its certificate must have.
    pub server_name: String,
    /// Whether somebody else manages the login roles.
    pub is_external: bool,
    /// `[fence] accept`.
    pub accept: Vec<Accepted>,
    /// `[fence] revoke_public`.
    pub revoke_public: Vec<Revocable>,
    /// The file `[retention.datamap]` names for the database.
    pub datamap: Option<PathBuf>,
}

impl Settings {
    /// What `config` says about the cluster the command names.
    ///
    /// # Errors
    /// If there is no such cluster, or an entry of `[fence] revoke_public` is none.
    pub fn of(command: &Command, config: &Config) -> Result<Settings, crate::config::Error> {
        let target = command.target();
        let cluster = config.cluster(&target.cluster)?;
        let place = format!("{}/{}", target.cluster, target.database);
        Ok(Settings {
            datamap: config.retention.datamap.get(&place).cloned(),
            provisioner: cluster.provisioner.clone(),
            is_external: cluster.external.is_some(),
            ca: Some(cluster.ca.clone()),
            server_name: cluster.host.clone(),
            accept: config.fence.accept.iter().map(|entry| Accepted::from_entry(entry)).collect(),
            revoke_public: if config.fence.revoke_public { Revocable::ALL.to_vec() } else { Vec::new() },
        })
    }
}

/// Why nothing is done about a fence of somebody else's.
pub const EXTERNAL: &str = "the login roles of this cluster are managed by somebody else (fence = \"external\"): the proxy \
                            examines them at each sign-in and while sessions are open, and says in its own log what it found";

/// How it went, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As asked.
    Done,
    /// `check` found that the fence does not hold.
    Unsound,
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The fence's own.
    #[error(transparent)]
    Fence(#[from] fence::Error),
    /// TLS towards the server.
    #[error(transparent)]
    Tls(#[from] tls_connect::Error),
    /// A file that was named.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Options that mean something for shared tables only.
    #[error("tenant columns and tables are declared for shared tables only: add --layout shared")]
    NotShared,
    /// Options that mean something for schemas only.
    #[error("customers' schemas are named where each has one: add --layout schema")]
    NotSchemas,
    /// The data map.
    #[error(transparent)]
    DataMap(#[from] datamap::Error),
    /// A file that was named holds nothing.
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    /// Printing.
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
}

impl Command {
    /// What it is about: the cluster to look up in the configuration is in it.
    pub fn target(&self) -> &Target {
        match self {
            Command::Plan(change) | Command::Apply(change) => &change.target,
            Command::Check(target) | Command::Remove(target) => target,
        }
    }
}

/// Does it and prints to `out`.
pub async fn run(
    command: &Command,
    settings: &Settings,
    format: Format,
    out: &mut dyn Write,
) -> Result<Outcome, Error> {
    let target = command.target();
    let mut superuser = connect(target, settings).await?;
    let mut outcome = Outcome::Done;
    let (text, value) = match command {
        Command::Plan(change) => {
            let plan = superuser.plan(&wanted(change, settings)?).await?;
            (plan_text(&plan, target), plan_json(&plan))
        }
        Command::Apply(change) => {
            let applied = superuser.apply(&wanted(change, settings)?).await?;
            (applied_text(&applied, target), json!({ "steps": applied.steps, "notes": applied.notes }))
        }
        Command::Check(_) => {
            let mut reports = Vec::new();
            for (schema, scope) in superuser.scopes().await? {
                let accept = &settings.accept;
                let report = superuser.check(schema.as_deref(), scope, &settings.provisioner, accept).await?;
                if !report.is_sound() {
                    outcome = Outcome::Unsound;
                }
                let word = schema.map_or(String::new(), |schema| schema + " ") + scope.word();
                reports.push((word, scope, report));
            }
            let value: Value = reports.iter().map(|(word, _, report)| (word.clone(), report_json(report))).collect();
            (reports.iter().map(|(word, scope, report)| report_text(word, *scope, report)).collect(), value)
        }
        Command::Remove(_) => {
            let removed = superuser.remove(&settings.provisioner).await?;
            (removed_text(&removed, target), json!({ "given_back": removed.given_back, "left": removed.left }))
        }
    };
    match format {
        Format::Json => writeln!(out, "{value:#}")?,
        Format::Table | Format::Csv => write!(out, "{text}")?,
    }
    Ok(outcome)
}

async fn connect(target: &Target, settings: &Settings) -> Result<Superuser, Error> {
    let dsn = read(&target.superuser_dsn_file)?;
    let tls = match &settings.ca {
        Some(ca) => Some(VerifiedTls::new(client_config(ca, None)?, &settings.server_name)?),
        None => None,
    };
    Ok(Superuser::connect(&dsn, &target.database, tls).await?)
}

fn wanted(change: &Change, settings: &Settings) -> Result<Wanted, Error> {
    let password = change.provisioner_password_file.as_deref().map(read).transpose()?;
    let verifier = password.map(|password| postgres_protocol::password::scram_sha_256(password.expose().as_bytes()));
    let datamap = change.tables.datamap.as_ref().or(settings.datamap.as_ref()).map(|path| map(path)).transpose()?;
    Ok(Wanted {
        impersonal: datamap.as_ref().map(impersonal),
        provisioner: settings.provisioner.clone(),
        provisioner_verifier: verifier,
        keep: change.keep.clone(),
        others: if change.cut_others { Keep::Cut } else { Keep::Ask },
        revoke_public: settings.revoke_public.iter().chain(&change.revoke_public).copied().collect(),
        close: change.close.clone(),
        layout: change.tables.layout()?,
    })
}

/// A file's text without the line end.
fn read(path: &Path) -> Result<Secret<String>, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let text = Secret::new(text);
    let trimmed = text.expose().trim_end_matches(['\r', '\n']);
    if trimmed.is_empty() { Err(Error::Empty(path.to_owned())) } else { Ok(Secret::new(trimmed.to_owned())) }
}

/// What the scope metadata reaches by that map.
pub fn impersonal(map: &DataMap) -> Impersonal {
    let layout = match map.layout {
        datamap::Layout::Database => grant::Layout::Database,
        datamap::Layout::Shared => grant::Layout::Shared,
    };
    let plain = |table: &datamap::Table| {
        table.columns.iter().filter(|(_, category)| !category.is_personal()).map(|(name, _)| name.clone()).collect()
    };
    let tables = map.tables.iter().map(|(of, table)| ((of.schema.clone(), of.name.clone()), plain(table))).collect();
    Impersonal { layout, tables }
}

fn map(path: &Path) -> Result<DataMap, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(DataMap::parse(&path.display().to_string(), &text)?)
}

fn plan_text(plan: &Plan, target: &Target) -> String {
    let mut text = String::new();
    let mut section = |title: String, lines: Vec<String>| {
        if !lines.is_empty() {
            text.extend([title.as_str(), "\n"]);
            text.extend(lines.iter().flat_map(|line| ["  ", line, "\n"]));
        }
    };
    section("In the way:".to_owned(), plan.blockers.clone());
    let losses = plan.losses.iter().map(|loss| format!("{}: {}", loss.role, loss.loses.join(", "))).collect();
    section("Roles that would lose something, unless named with --keep:".to_owned(), losses);
    let elsewhere =
        plan.open_elsewhere.iter().map(|name| format!("{name} (portreeve fence apply for it, or --close {name})"));
    section("Other databases that PUBLIC may connect to; the self-test refuses them:".to_owned(), elsewhere.collect());
    section(
        format!("Steps in database {}:", target.database),
        plan.steps.iter().map(|step| step.what.clone()).collect(),
    );
    section("Worth knowing:".to_owned(), plan.notes.clone());
    if plan.steps.is_empty() {
        text.push_str("Nothing to do: the fence stands.\n");
    }
    text
}

fn plan_json(plan: &Plan) -> Value {
    let steps: Vec<Value> =
        plan.steps.iter().map(|step| json!({ "what": step.what, "sql": step.sql, "undo": step.undo })).collect();
    let losses: Vec<Value> = plan.losses.iter().map(|loss| json!({ "role": loss.role, "loses": loss.loses })).collect();
    json!({ "steps": steps, "losses": losses, "open_elsewhere": plan.open_elsewhere,
        "notes": plan.notes, "blockers": plan.blockers })
}

fn applied_text(applied: &Applied, target: &Target) -> String {
    let notes: String = applied.notes.iter().map(|note| format!("note: {note}\n")).collect();
    match applied.steps.len() {
        0 => format!("{notes}Nothing to do: the fence of {} stands.\n", target.database),
        number => format!(
            "{}\n{notes}The fence of {} stands ({number} steps). Look at it with portreeve fence check.\n",
            applied.steps.join("\n"),
            target.database
        ),
    }
}

fn removed_text(removed: &Removed, target: &Target) -> String {
    let mut text: String = removed.given_back.iter().map(|statement| format!("{statement}\n")).collect();
    removed.left.iter().for_each(|left| text.push_str(&format!("not given back: {left}\n")));
    text.push_str(&format!("The fence of {} is gone.\n", target.database));
    text
}

fn report_text(word: &str, scope: Scope, report: &Report) -> String {
    let verdict = match (report.is_sound(), report.may_overlap(), scope) {
        (false, _, _) => "UNSOUND: no statement would pass",
        (true, _, Scope::Write) => "sound",
        (true, true, Scope::Metadata | Scope::Read) => "sound; statements overlap with their records",
        (true, false, Scope::Metadata | Scope::Read) => "sound; strict: statements wait for their records",
    };
    let mut text = format!("{word}: {verdict}\n");
    let mut list = |kind: &str, finding: &Finding, more: &str| {
        text.push_str(&format!("  {kind} {}: {}\n      {more}\n", finding.word, finding.found));
    };
    report.refusals.iter().for_each(|finding| list("refused", finding, &finding.hint));
    report.strict.iter().for_each(|finding| list("strict", finding, &finding.hint));
    report.remarks.iter().for_each(|finding| list("remark", finding, &finding.hint));
    report.accepted.iter().for_each(|(finding, reason)| list("accepted", finding, reason));
    text
}

fn report_json(report: &Report) -> Value {
    let finding = |finding: &Finding| json!({ "word": finding.word, "found": finding.found, "hint": finding.hint });
    let list = |findings: &[Finding]| findings.iter().map(finding).collect::<Vec<Value>>();
    let accepted: Vec<Value> = report
        .accepted
        .iter()
        .map(|(finding, reason)| json!({ "word": finding.word, "found": finding.found, "reason": reason }))
        .collect();
    json!({
        "sound": report.is_sound(), "overlap": report.may_overlap(), "refusals": list(&report.refusals),
        "strict": list(&report.strict), "accepted": accepted, "remarks": list(&report.remarks),
    })
}
