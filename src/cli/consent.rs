//! `portreeve consent`: what an owner agreed to, and a doubt about it.
//! Not here: changing it. Only an owner widens, in the portal; `portreeve customer revoke` switches off.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use super::context::{actor, customer, moment};
use super::sign_in::Signed;
use super::{Context, Exit, Failure, Table};
use crate::clock::{Clock, SystemClock};
use crate::grant::wish;
use crate::grant::{Customer, ERASED, Limit, State};

/// What can be done about consent.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a customer's owner agreed to.
    Show {
        /// Its name or id.
        customer: String,
    },
    /// Doubt what an owner wants: nothing is opened until an owner has answered in the portal. Asks for your password.
    Question {
        /// Whose, by name or id.
        customer: String,
        /// Who: your own name.
        #[arg(long)]
        staff: String,
        /// Why, in a sentence the account owner will read.
        #[arg(long)]
        reason: String,
        /// A file of mode 0600 that holds your password on one line; - is standard input; without it you are asked.
        #[arg(long, value_name = "PATH")]
        password_file: Option<PathBuf>,
    },
}

/// Does what `command` says.
///
/// # Errors
/// If the register refuses it, or cannot be used.
pub async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Show { customer: name } => {
            let state = context.state()?;
            show(context, &state, customer(&state, &name)?)
        }
        Command::Question { customer: of, staff: name, reason, password_file } => {
            let Signed { desk, staff, customer } =
                context.sign_in(&name, &of, password_file.as_deref(), "instruction.question").await?;
            let done = desk.act(|_| Ok(wish::doubted(staff, customer, reason.clone()))).await?;
            let customer = done.state.customer(customer).ok_or_else(|| Failure::failed("bug: a customer is gone"))?;
            show(context, &done.state, customer)
        }
    }
}

fn show(context: &Context, state: &State, customer: &Customer) -> Result<Exit, Failure> {
    let consent = &customer.consent;
    let terms = &consent.terms;
    let columns = [
        "customer",
        "mode",
        "scope",
        "until",
        "longest_seconds",
        "approvals",
        "break_glass",
        "hours",
        "addresses",
        "regions",
        "set_at",
        "set_by",
        "doubt",
    ];
    let mut table = Table::new(&columns);
    table.row([
        customer.name.as_str().into(),
        consent.mode_at(SystemClock.now()).word().into(),
        consent.scope.word().into(),
        consent.until.map_or(Value::Null, moment),
        terms.longest.as_secs().into(),
        terms.approvals.into(),
        terms.break_glass.into(),
        limited(&terms.hours, |hours| hours.to_string().into()),
        limited(&terms.networks, |all| all.iter().map(|network| Value::from(network.to_string())).collect()),
        limited(&terms.regions, |all| all.iter().map(|region| Value::from(region.to_string())).collect()),
        moment(consent.set_at),
        actor(state, consent.set_by),
        customer.questioned.as_ref().map_or(Value::Null, |doubt| doubt.reason.as_str().into()),
    ]);
    context.show(&table)?;
    Ok(Exit::Done)
}

fn limited<T>(limit: &Limit<T>, show: impl FnOnce(&T) -> Value) -> Value {
    match limit {
        Limit::Free => Value::Null,
        Limit::To(limit) => show(limit),
        Limit::Erased => ERASED.into(),
    }
}
