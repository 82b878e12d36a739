//! `portreeve customer`: the customers, and the databases they are in.
//! Not here: their switch. Only an owner turns it on; `revoke` turns it off.

use clap::Subcommand;
use serde_json::Value;

use super::context::{actor, customer, moment};
use super::{Context, Exit, Failure, Table};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::grant::{By, Customer, Draft, Layout, Lock, Mode, Personal, State, What};
use crate::ids::CustomerId;

/// What can be done with customers.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a customer; nobody has access to it until its owner allows it.
    Create {
        /// The name staff connect by, such as acme.
        name: String,
        /// The cluster of the configuration that holds its data.
        #[arg(long)]
        cluster: String,
        /// Its database there.
        #[arg(long)]
        database: String,
        /// What stands in the tenant columns of its rows, where several customers share that database's tables.
        #[arg(long, value_name = "KEY")]
        tenant: Option<String>,
    },
    /// List all customers.
    List,
    /// Show one customer.
    Show {
        /// Its name or id.
        customer: String,
    },
    /// Switch support access off and end every grant. Only an owner can switch it on again.
    Revoke {
        /// Its name or id.
        customer: String,
    },
}

/// Does what `command` says.
///
/// # Errors
/// If the register refuses it, or cannot be used.
pub async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Create { name, cluster, database, tenant } => {
            let personal = Personal {
                name: Some(name),
                cluster: Some(cluster),
                database: Some(database),
                tenant,
                ..Personal::default()
            };
            create(context, personal).await
        }
        Command::List => {
            let state = context.state()?;
            show(context, &state, state.customers())
        }
        Command::Show { customer: name } => {
            let state = context.state()?;
            show(context, &state, [customer(&state, &name)?])
        }
        Command::Revoke { customer: name } => revoke(context, &name).await,
    }
}

async fn create(context: &Context, personal: Personal) -> Result<Exit, Failure> {
    context.config.cluster(personal.cluster.as_deref().unwrap_or_default())?;
    let desk = context.desk(context.register()?, &[]).await?;
    let layout = if personal.tenant.is_some() { Layout::Shared } else { Layout::Database };
    let draft = Draft { by: By::Operator, what: What::CustomerCreated { layout }, personal: Some(personal) };
    let done = desk.act(|_| Ok(draft.clone())).await?;
    show(context, &done.state, done.state.customer(CustomerId(done.sequence.0)))
}

async fn revoke(context: &Context, name: &str) -> Result<Exit, Failure> {
    let (register, state) = context.register_to_narrow(name.parse().ok().map(Lock::Customer)).await?;
    let Customer { id, consent, .. } = customer(&state, name)?;
    let (customer, scope) = (*id, consent.scope);
    let done = context
        .narrow(register, &state, &[customer], What::ConsentSet { customer, mode: Mode::Off, scope, until: None })
        .await?;
    show(context, &done.state, done.state.customer(customer))
}

fn show<'s>(
    context: &Context,
    state: &State,
    customers: impl IntoIterator<Item = &'s Customer>,
) -> Result<Exit, Failure> {
    context.show(&table(state, customers, SystemClock.now()))?;
    Ok(Exit::Done)
}

fn table<'s>(state: &State, customers: impl IntoIterator<Item = &'s Customer>, now: Timestamp) -> Table {
    let columns = [
        "id", "customer", "cluster", "database", "tenant", "access", "scope", "until", "set_at", "set_by", "owners",
        "grants",
    ];
    let mut table = Table::new(&columns);
    for customer in customers {
        let consent = &customer.consent;
        let owners = state.owners_of(customer.id).filter(|owner| owner.active);
        table.row([
            customer.id.to_string().into(),
            customer.name.as_str().into(),
            customer.cluster.as_str().into(),
            customer.database.as_str().into(),
            customer.tenant.as_deref().into(),
            consent.mode_at(now).word().into(),
            consent.scope.word().into(),
            consent.until.map_or(Value::Null, moment),
            moment(consent.set_at),
            actor(state, consent.set_by),
            owners.map(|owner| Value::from(owner.name.as_str())).collect(),
            state.live_grants_of(customer.id, now).count().into(),
        ]);
    }
    table
}
