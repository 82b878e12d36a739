//! `portreeve staff`: the vendor's people who may be given access.
//! Not here: access itself; a staff member without a grant reaches nothing.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::context::{moment, new_password, staff};
use super::{Context, Exit, Failure, Table};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::entropy::{OsEntropy, random};
use crate::grant::{By, Draft, Lock, Personal, Region, Staff, State, What, check_name};
use crate::ids::StaffId;
use crate::wire::scram::verifier_from_password;

/// As PostgreSQL itself has it.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("4096 is not zero");

/// What can be done with staff.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a staff member.
    Create {
        /// The name they sign in by, such as jane.
        name: String,
        /// A file of mode 0600 that holds their password on one line; - is standard input; without it you are asked.
        #[arg(long, value_name = "PATH")]
        password_file: Option<PathBuf>,
        /// The country they work in, two letters such as DE; some account owners allow some only.
        #[arg(long, value_name = "COUNTRY")]
        region: Option<Region>,
    },
    /// List all staff.
    List,
    /// Show one staff member.
    Show {
        /// Their name or id.
        staff: String,
    },
    /// Remove a staff member for good: every session and grant of theirs ends at once.
    Revoke {
        /// Their name or id.
        staff: String,
    },
}

/// Does what `command` says.
///
/// # Errors
/// If the register refuses it, or cannot be used.
pub async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Create { name, password_file, region } => {
            create(context, name, password_file.as_deref(), region).await
        }
        Command::List => {
            let state = context.state()?;
            show(context, &state, state.all_staff())
        }
        Command::Show { staff: name } => {
            let state = context.state()?;
            show(context, &state, [staff(&state, &name)?])
        }
        Command::Revoke { staff: name } => revoke(context, &name).await,
    }
}

async fn create(
    context: &Context,
    name: String,
    password_file: Option<&Path>,
    region: Option<Region>,
) -> Result<Exit, Failure> {
    check_name(&name).map_err(|fault| Failure::usage(fault.to_string()))?;
    let password = new_password(password_file, &name)?;
    let verifier = verifier_from_password(password.expose(), &random::<16>(&OsEntropy), ITERATIONS).to_stored();
    let region = region.map(|region| region.to_string());
    let personal = Personal { name: Some(name), verifier: Some(verifier), region, ..Personal::default() };
    let desk = context.desk(context.register()?, &[]).await?;
    let draft = Draft { by: By::Operator, what: What::StaffCreated, personal: Some(personal) };
    let done = desk.act(|_| Ok(draft.clone())).await?;
    show(context, &done.state, done.state.staff(StaffId(done.sequence.0)))
}

async fn revoke(context: &Context, name: &str) -> Result<Exit, Failure> {
    let (register, state) = context.register_to_narrow(name.parse().ok().map(Lock::Staff)).await?;
    let id = staff(&state, name)?.id;
    let done = context.narrow(register, &state, &[], What::StaffRemoved { staff: id }).await?;
    show(context, &done.state, done.state.staff(id))
}

fn show<'s>(context: &Context, state: &State, staff: impl IntoIterator<Item = &'s Staff>) -> Result<Exit, Failure> {
    context.show(&table(state, staff, SystemClock.now()))?;
    Ok(Exit::Done)
}

fn table<'s>(state: &State, staff: impl IntoIterator<Item = &'s Staff>, now: Timestamp) -> Table {
    let mut table = Table::new(&["id", "staff", "status", "created", "grants", "region"]);
    for staff in staff {
        let live = state.grants().filter(|grant| grant.staff == staff.id && grant.is_live(now));
        table.row([
            staff.id.to_string().into(),
            staff.name.as_str().into(),
            if staff.active { "active" } else { "removed" }.into(),
            moment(staff.created),
            live.count().into(),
            staff.region.map(|region| region.to_string()).into(),
        ]);
    }
    table
}
