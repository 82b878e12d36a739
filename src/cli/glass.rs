//! `portreeve break-glass`: two of the staff, each with their own password, open access in an emergency.
//! Not here: the rules (`grant/glass.rs`). The account owner sees both steps at once.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::context::{absent, customer, moment, password};
use super::grant::{refuse, signed_in};
use super::{Context, Exit, Failure, Table};
use crate::clock::{Clock, SystemClock};
use crate::config::units;
use crate::grant::{By, Draft, Glass, GlassStep, Personal, Purpose, Scope, State, What};
use crate::ids::{CustomerId, GlassId, StaffId};

/// What can be done in an emergency.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask for access in an emergency; somebody else has to confirm it within 15 minutes.
    Ask(Ask),
    /// Confirm what somebody else asked for, which opens access for them. One of the two is a lead, or of security.
    Confirm {
        /// What was asked for, such as b7.
        glass: String,
        /// Who you are.
        #[command(flatten)]
        own: Own,
    },
    /// List what was asked for, newest last.
    List,
}

/// What somebody asks for.
#[derive(Debug, Args)]
pub struct Ask {
    /// For which customer, by name or id.
    #[arg(long)]
    customer: String,
    /// How far: read or write.
    #[arg(long, default_value = "read")]
    scope: Scope,
    /// How long, at most 1h.
    #[arg(long = "for", value_name = "DURATION", default_value = "30m", value_parser = units::duration)]
    lasting: Duration,
    /// Why: fault, question or operation.
    #[arg(long, default_value = "fault")]
    purpose: Purpose,
    /// What the emergency is, in a sentence the account owner will read.
    #[arg(long)]
    reason: String,
    /// The ticket it belongs to.
    #[arg(long)]
    ticket: String,
    /// Who asks.
    #[command(flatten)]
    own: Own,
}

/// Who acts, with their own password.
#[derive(Debug, Args)]
pub struct Own {
    /// Who you are.
    #[arg(long = "as", value_name = "NAME")]
    name: String,
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
        Command::Ask(wanted) => ask(context, wanted).await,
        Command::Confirm { glass: named, own } => {
            let state = context.state()?;
            let Glass { id, customer, .. } = glass(&state, &named)?;
            let confirmed = |_| What::Glass(GlassStep::Confirmed { glass: *id });
            act(context, (*customer, *id), own, confirmed, None).await
        }
        Command::List => {
            let state = context.state()?;
            show(context, &state, state.glasses())
        }
    }
}

async fn ask(context: &Context, wanted: Ask) -> Result<Exit, Failure> {
    let Ask { customer: of, scope, lasting, purpose, reason, ticket, own } = wanted;
    let customer = customer(&*context.state()?, &of)?.id;
    let personal = Personal { reason: Some(reason), ticket: Some(ticket), ..Personal::default() };
    let asked = |staff| What::Glass(GlassStep::Asked { staff, customer, scope, lasting, purpose });
    act(context, (customer, GlassId(0)), own, asked, Some(personal)).await
}

/// One step by whoever signed in; a new one shows itself by its own number.
async fn act(
    context: &Context,
    (customer, known): (CustomerId, GlassId),
    own: Own,
    step: impl FnOnce(StaffId) -> What,
    personal: Option<Personal>,
) -> Result<Exit, Failure> {
    let register = context.register()?;
    let state = register.state()?;
    let password = password(own.password_file.as_deref(), &own.name)?;
    let desk = context.desk(register, &[customer]).await?;
    let Some(by) = signed_in(context.config.staff.sign_in, &state, &own.name, &password) else {
        return Err(refuse(context, desk, &own.name, "break-glass").await?);
    };
    let draft = Draft { by: By::Staff(by), what: step(by), personal };
    let done = desk.act(|_| Ok(draft.clone())).await?;
    let id = if known == GlassId(0) { GlassId(done.sequence.0) } else { known };
    show(context, &done.state, done.state.glass(id))
}

fn glass<'s>(state: &'s State, id: &str) -> Result<&'s Glass, Failure> {
    let found = id.parse().ok().and_then(|id| state.glass(id));
    found.ok_or_else(|| absent("emergency", id, "portreeve break-glass list"))
}

fn show<'s>(context: &Context, state: &State, glasses: impl IntoIterator<Item = &'s Glass>) -> Result<Exit, Failure> {
    let columns = [
        "id",
        "staff",
        "customer",
        "scope",
        "minutes",
        "status",
        "asked",
        "confirmed",
        "confirmed_by",
        "reason",
        "ticket",
    ];
    let (mut table, now) = (Table::new(&columns), SystemClock.now());
    for glass in glasses {
        let name = |id| state.staff(id).map(|staff| staff.name.as_str());
        let status = match glass.confirmed {
            Some(_) => "confirmed",
            None if glass.is_open(now) => "to be confirmed",
            None => "lapsed",
        };
        table.row([
            glass.id.to_string().into(),
            name(glass.staff).into(),
            state.customer(glass.customer).map(|customer| customer.name.as_str()).into(),
            glass.scope.word().into(),
            (glass.lasting.as_secs() / 60).into(),
            status.into(),
            moment(glass.asked),
            glass.confirmed.map_or(Value::Null, |(at, _)| moment(at)),
            glass.confirmed.and_then(|(_, by)| name(by)).into(),
            glass.reason.as_str().into(),
            glass.ticket.as_str().into(),
        ]);
    }
    context.show(&table)?;
    Ok(Exit::Done)
}
