//! `portreeve grant`: a staff member opens access for themselves, with their own password, where the owner lets them.
//! Not here: the rules (`grant/`), and grants that an owner gives.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::context::{Desk, actor, customer, grant, moment, staff};
use super::sign_in::Signed;
use super::{Context, Exit, Failure, Table};
use crate::audit::record::{Kind, Record};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::units;
use crate::grant::wish::{self, Why};
use crate::grant::{Given, Grant, Lock, Purpose, Scope, SignIn, State, What};
use crate::ids::{GrantId, StaffId};
use crate::secret::Secret;
use crate::wire::scram::Verifier;

/// What can be done with grants.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open access for yourself, where the account owner allows it; asks for your password.
    Create(Create),
    /// List grants, newest last.
    List {
        /// Only those for this customer, by name or id.
        #[arg(long)]
        customer: Option<String>,
        /// Only those of this staff member, by name or id.
        #[arg(long)]
        staff: Option<String>,
        /// Only those that are neither ended nor over.
        #[arg(long)]
        live: bool,
    },
    /// Show one grant.
    Show {
        /// Its id, such as g7.
        grant: String,
    },
    /// Give back a grant of your own that you no longer need; asks for your password.
    Release {
        /// Its id, such as g7.
        grant: String,
        /// A file of mode 0600 that holds your password on one line; - is standard input; without it you are asked.
        #[arg(long, value_name = "PATH")]
        password_file: Option<PathBuf>,
    },
    /// End a grant and its sessions at once.
    Revoke {
        /// Its id, such as g7.
        grant: String,
    },
}

/// A grant somebody wants.
#[derive(Debug, Args)]
pub struct Create {
    /// Who: your own name.
    #[arg(long)]
    staff: String,
    /// For which customer, by name or id.
    #[arg(long)]
    customer: String,
    /// How far: metadata, read or write.
    #[arg(long, default_value = "read")]
    scope: Scope,
    /// How long, at most 2h.
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = units::duration)]
    lasting: Duration,
    /// Why: fault, question or operation.
    #[arg(long)]
    purpose: Purpose,
    /// Why, in a sentence the account owner will read.
    #[arg(long)]
    reason: String,
    /// The ticket it belongs to.
    #[arg(long)]
    ticket: String,
    /// A file of mode 0600 that holds your password on one line; - is standard input; without it you are asked.
    #[arg(long, value_name = "PATH")]
    password_file: Option<PathBuf>,
}

/// Does what `command` says.
///
/// # Errors
/// If the register refuses it, or cannot be used.
pub async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Create(wanted) => create(context, wanted).await,
        Command::List { customer, staff, live } => list(context, customer.as_deref(), staff.as_deref(), live),
        Command::Show { grant: id } => {
            let state = context.state()?;
            show(context, &state, [grant(&state, &id)?])
        }
        Command::Release { grant: id, password_file } => release(context, &id, password_file.as_deref()).await,
        Command::Revoke { grant: id } => revoke(context, &id).await,
    }
}

async fn create(context: &Context, wanted: Create) -> Result<Exit, Failure> {
    let Create { staff: name, customer: of, scope, lasting, purpose, reason, ticket, password_file } = wanted;
    if !context.config.standing {
        return Err(Failure::refused(
            "what was promised to customers asks for an instruction each time: type \"portreeve request open\" instead",
        ));
    }
    let Signed { desk, staff: who, customer: id } =
        context.sign_in(&name, &of, password_file.as_deref(), "grant.create").await?;
    let why = Why { purpose, reason, ticket };
    let done = desk.act(|_| Ok(wish::opened((who, id), (scope, lasting), &why, SystemClock.now()))).await?;
    show(context, &done.state, done.state.grant(GrantId(done.sequence.0)))
}

/// The staff member, if the password is theirs and they are not suspended: the one that the gate takes as well. Which of
/// the name and the password was wrong is not told.
pub(super) fn signed_in(sign_in: SignIn, state: &State, name: &str, password: &Secret<String>) -> Option<StaffId> {
    let staff = state.staff_named(name).filter(|staff| staff.works())?;
    let verifier: Verifier = staff.verifier_at(sign_in, SystemClock.now())?.parse().ok()?;
    verifier.fits(password.expose()).then_some(staff.id)
}

/// Records that somebody without the right password wanted that.
pub(super) async fn refuse(context: &Context, desk: Desk, name: &str, verb: &str) -> Result<Failure, Failure> {
    let mut record = Record::new(SystemClock.now(), Kind::Refused, None);
    record.skeleton.verb = Some(verb.to_owned());
    record.skeleton.result = Some("refused".to_owned());
    record.skeleton.uid = Some(rustix::process::getuid().as_raw());
    record.values.staff = Some(name.to_owned());
    record.values.message = Some("wrong name or password".to_owned());
    desk.log().record(record).await?;
    desk.close()?;
    let where_from = match context.config.staff.sign_in {
        SignIn::Password => String::new(),
        SignIn::Token => format!(
            "; what is asked for is a short-lived password: get one at {}/staff",
            context.config.portal.public_url
        ),
    };
    Ok(Failure::refused(format!("wrong password for \"{name}\", or there is no such active staff member{where_from}")))
}

/// A staff member gives back what is theirs; whose password is asked for the grant says.
async fn release(context: &Context, id: &str, password_file: Option<&Path>) -> Result<Exit, Failure> {
    let state = context.state()?;
    let Grant { id, staff: whose, customer, .. } = grant(&state, id)?;
    let name = state.staff(*whose).map_or_else(|| whose.to_string(), |staff| staff.name.clone());
    let Signed { desk, staff, .. } =
        context.sign_in(&name, &customer.to_string(), password_file, "grant.release").await?;
    let done = desk.act(|_| Ok(wish::released(staff, *id))).await?;
    show(context, &done.state, done.state.grant(*id))
}

async fn revoke(context: &Context, id: &str) -> Result<Exit, Failure> {
    let (register, state) = context.register_to_narrow(id.parse().ok().map(Lock::Grant)).await?;
    let Grant { id, customer, .. } = grant(&state, id)?;
    let (id, customer) = (*id, *customer);
    let done = context.narrow(register, &state, &[customer], What::GrantEnded { grant: id }).await?;
    show(context, &done.state, done.state.grant(id))
}

fn list(context: &Context, of: Option<&str>, whose: Option<&str>, live: bool) -> Result<Exit, Failure> {
    let state = context.state()?;
    let customer = of.map(|name| customer(&state, name)).transpose()?.map(|customer| customer.id);
    let staff = whose.map(|name| staff(&state, name)).transpose()?.map(|staff| staff.id);
    let now = SystemClock.now();
    let wanted = |grant: &&Grant| {
        customer.is_none_or(|customer| grant.customer == customer)
            && staff.is_none_or(|staff| grant.staff == staff)
            && (!live || grant.is_live(now))
    };
    show(context, &state, state.grants().filter(wanted))
}

pub(super) fn show<'s>(
    context: &Context,
    state: &State,
    grants: impl IntoIterator<Item = &'s Grant>,
) -> Result<Exit, Failure> {
    context.show(&table(state, grants, SystemClock.now()))?;
    Ok(Exit::Done)
}

fn table<'s>(state: &State, grants: impl IntoIterator<Item = &'s Grant>, now: Timestamp) -> Table {
    let columns = [
        "id", "staff", "customer", "scope", "status", "issued", "ends", "purpose", "reason", "ticket", "ended_at",
        "ended_by", "given",
    ];
    let mut table = Table::new(&columns);
    for grant in grants {
        let early = grant.ended.filter(|(at, _)| *at < grant.ends);
        let status = match early {
            Some(_) => "ended",
            None if grant.is_live(now) => "live",
            None => "over",
        };
        table.row([
            grant.id.to_string().into(),
            state.staff(grant.staff).map(|staff| staff.name.as_str()).into(),
            state.customer(grant.customer).map(|customer| customer.name.as_str()).into(),
            grant.scope.word().into(),
            status.into(),
            moment(grant.issued),
            moment(grant.ends),
            grant.purpose.word().into(),
            grant.reason.as_str().into(),
            grant.ticket.as_str().into(),
            early.map_or(Value::Null, |(at, _)| moment(at)),
            early.map_or(Value::Null, |(_, by)| actor(state, by)),
            match grant.given {
                Given::Own => "own".into(),
                Given::Request(request) => request.to_string().into(),
                Given::Code(code) => code.to_string().into(),
                Given::BreakGlass(by) => format!("break-glass with {by}").into(),
            },
        ]);
    }
    table
}
