//! `portreeve hold`: what is kept because an authority demands it, though its time is over.
//! Not here: what a hold keeps (`grant/closure.rs`): exports and audit keys, never live rows or whole snapshots.

use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use super::context::{actor, customer, moment};
use super::{Context, Exit, Failure, Table};
use crate::clock::{Clock, SystemClock};
use crate::config::units;
use crate::grant::{By, Draft, Hold, Personal, State, What};
use crate::ids::HoldId;

/// What can be done with holds.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keep a customer's exports and audit records until the hold is released. Live rows and snapshots go on time.
    Place {
        /// Whose, by name or id.
        #[arg(long)]
        customer: String,
        /// Who demands it, such as "district court, case 12-345".
        #[arg(long)]
        authority: String,
        /// Why, in a sentence.
        #[arg(long)]
        reason: String,
        /// When somebody must look again whether it is still needed; it does not end by itself.
        #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = units::duration)]
        review_in: Duration,
    },
    /// Release a hold; what was due meanwhile is then removed.
    Release {
        /// Its id, such as h7.
        hold: String,
        /// Who allows it.
        #[arg(long)]
        authority: String,
        /// Why, in a sentence.
        #[arg(long)]
        reason: String,
    },
    /// List holds, newest last.
    List {
        /// Only those on this customer's data, by name or id.
        #[arg(long)]
        customer: Option<String>,
    },
}

/// Does what `command` says.
///
/// # Errors
/// If the register refuses it, or cannot be used.
pub async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Place { customer: name, authority, reason, review_in } => {
            let register = context.register()?;
            let id = customer(register.state()?.as_ref(), &name)?.id;
            let desk = context.desk(register, &[id]).await?;
            let personal = texts(authority, reason);
            let build = |_: &State| {
                let review = SystemClock.now().plus(review_in);
                let what = What::HoldPlaced { customer: id, review };
                Ok(Draft { by: By::Operator, what, personal: Some(personal.clone()) })
            };
            let done = desk.act(build).await?;
            show(context, &done.state, done.state.hold(HoldId(done.sequence.0)))
        }
        Command::Release { hold: id, authority, reason } => {
            let register = context.register()?;
            let state = register.state()?;
            let found = id.parse().ok().and_then(|id| state.hold(id));
            let absent = || Failure::usage(format!("there is no hold \"{id}\"; see \"portreeve hold list\""));
            let Hold { id, customer, .. } = found.ok_or_else(absent)?;
            let desk = context.desk(register, &[*customer]).await?;
            let draft = Draft {
                by: By::Operator,
                what: What::HoldReleased { hold: *id },
                personal: Some(texts(authority, reason)),
            };
            let done = desk.act(|_| Ok(draft.clone())).await?;
            show(context, &done.state, done.state.hold(*id))
        }
        Command::List { customer: name } => {
            let state = context.state()?;
            let of = name.map(|name| customer(&state, &name).map(|customer| customer.id)).transpose()?;
            show(context, &state, state.holds().filter(|hold| of.is_none_or(|of| hold.customer == of)))
        }
    }
}

fn texts(authority: String, reason: String) -> Personal {
    Personal { authority: Some(authority), reason: Some(reason), ..Personal::default() }
}

fn show<'s>(context: &Context, state: &State, holds: impl IntoIterator<Item = &'s Hold>) -> Result<Exit, Failure> {
    let columns =
        ["id", "customer", "status", "authority", "reason", "placed_at", "review_at", "released_at", "released_by"];
    let mut table = Table::new(&columns);
    for hold in holds {
        table.row([
            hold.id.to_string().into(),
            state.customer(hold.customer).map(|customer| customer.name.as_str()).into(),
            if hold.released.is_some() { "released" } else { "in force" }.into(),
            hold.authority.as_str().into(),
            hold.reason.as_str().into(),
            moment(hold.placed.0),
            moment(hold.review),
            hold.released.map_or(Value::Null, |(at, _)| moment(at)),
            hold.released.map_or(Value::Null, |(_, by)| actor(state, by)),
        ]);
    }
    context.show(&table)?;
    Ok(Exit::Done)
}

#[cfg(test)]
#[path = "hold_tests.rs"]
mod tests;
