//! `portreeve customer`: the customers, and the databases they are in.
//! Not here: their switch. Only an owner turns it on; `revoke` turns it off.

use clap::Subcommand;
use serde_json::Value;

use super::context::{actor, customer, customer_looked_up, moment};
use super::import::{self, Import};
use super::{Context, Exit, Failure, Table};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::grant::{AccountStep, By, Closure, Customer, Draft, Layout, Lock, Mode, Personal, Stage, State, What};
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
        /// Its schema, where each customer has one of its own in that database.
        #[arg(long, conflicts_with = "tenant")]
        schema: Option<String>,
        /// What it is called besides, for people.
        #[arg(long, value_name = "TEXT")]
        display: Option<String>,
    },
    /// Add the customers of a list (CSV), with their teams, and invite their first owners.
    Import(Import),
    /// Call a customer otherwise. Its grants, sessions and history go on; its old name is given to nobody else.
    Rename {
        /// Its name now, or its id.
        customer: String,
        /// The name staff connect by from now on.
        name: String,
        /// What it is called besides, for people; without it that stays.
        #[arg(long, value_name = "TEXT")]
        display: Option<String>,
    },
    /// List all customers.
    List,
    /// Show one customer.
    Show {
        /// Its name or id.
        customer: String,
    },
    /// Close a customer's account: access is off for good, and what its owner chose is deleted in time.
    Close {
        /// Its name or id.
        customer: String,
    },
    /// Refused: only an owner of the account can reopen it.
    Reopen {
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
        Command::Create { name, cluster, database, tenant, schema, display } => {
            let layout = match (&tenant, &schema) {
                (_, Some(_)) => Layout::Schema,
                (Some(_), None) => Layout::Shared,
                (None, None) => Layout::Database,
            };
            let personal = Personal {
                name: Some(name),
                cluster: Some(cluster),
                database: Some(database),
                tenant: tenant.or(schema),
                display,
                ..Personal::default()
            };
            create(context, layout, personal).await
        }
        Command::Import(wanted) => import::run(wanted, context).await,
        Command::List => {
            let state = context.state()?;
            show(context, &state, state.customers())
        }
        Command::Show { customer: name } => {
            let state = context.state()?;
            show(context, &state, [customer_looked_up(&state, &name)?])
        }
        Command::Rename { customer, name, display } => rename(context, &customer, name, display).await,
        Command::Revoke { customer: name } => revoke(context, &name).await,
        Command::Close { customer: name } => close(context, &name).await,
        Command::Reopen { customer: name } => {
            let state = context.state()?;
            let name = &customer(&state, &name)?.name;
            Err(Failure::refused(format!(
                "only an owner of \"{name}\" can reopen its account, in the portal, until its rows are deleted"
            )))
        }
    }
}

async fn create(context: &Context, layout: Layout, personal: Personal) -> Result<Exit, Failure> {
    context.config.cluster(personal.cluster.as_deref().unwrap_or_default())?;
    let desk = context.desk(context.register()?, &[]).await?;
    let draft = Draft { by: By::Operator, what: What::CustomerCreated { layout }, personal: Some(personal) };
    let done = desk.act(|_| Ok(draft.clone())).await?;
    show(context, &done.state, done.state.customer(CustomerId(done.sequence.0)))
}

/// What is open stays open: it is by the id, which stays.
async fn rename(context: &Context, named: &str, name: String, display: Option<String>) -> Result<Exit, Failure> {
    let register = context.register()?;
    let customer = customer(register.state()?.as_ref(), named)?.id;
    let desk = context.desk(register, &[customer]).await?;
    let personal = Personal { name: Some(name), display, ..Personal::default() };
    let draft = Draft { by: By::Operator, what: What::CustomerRenamed { customer }, personal: Some(personal) };
    let done = desk.act(|_| Ok(draft.clone())).await?;
    show(context, &done.state, done.state.customer(customer))
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

async fn close(context: &Context, name: &str) -> Result<Exit, Failure> {
    let (register, state) = context.register_to_narrow(name.parse().ok().map(Lock::Customer)).await?;
    let customer = customer(&state, name)?.id;
    let what = What::Account { customer, step: AccountStep::Closed };
    let done = context.narrow(register, &state, &[customer], what).await?;
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
        "id",
        "customer",
        "cluster",
        "database",
        "layout",
        "tenant",
        "access",
        "scope",
        "until",
        "set_at",
        "set_by",
        "owners",
        "grants",
        "account",
        "closed_at",
        "choice",
        "stages",
        "holds",
        "display",
        "formerly",
    ];
    let mut table = Table::new(&columns);
    for customer in customers {
        let consent = &customer.consent;
        let closure = customer.closure.as_ref();
        let owners = state.owners_of(customer.id).filter(|owner| owner.active);
        table.row([
            customer.id.to_string().into(),
            customer.name.as_str().into(),
            customer.cluster.as_str().into(),
            customer.database.as_str().into(),
            customer.layout.word().into(),
            customer.tenant.as_deref().into(),
            consent.mode_at(now).word().into(),
            consent.scope.word().into(),
            consent.until.map_or(Value::Null, moment),
            moment(consent.set_at),
            actor(state, consent.set_by),
            owners.map(|owner| Value::from(owner.name.as_str())).collect(),
            state.live_grants_of(customer.id, now).count().into(),
            closure.map_or("open", |closure| closure.stage().word()).into(),
            closure.map_or(Value::Null, |closure| moment(closure.at)),
            closure.map_or(Value::Null, choice),
            closure.map_or(Value::Null, stages),
            state.holds_on(customer.id).map(|hold| Value::from(hold.id.to_string())).collect(),
            customer.display.as_deref().into(),
            customer.former.iter().map(|former| Value::from(former.name.as_str())).collect(),
        ]);
    }
    table
}

/// What the owner chose; with it, whether everything is to go at once.
fn choice(closure: &Closure) -> Value {
    let chosen = closure.choice.map(|(choice, _)| choice.word());
    let at_once = closure.immediate.map(|_| "immediate");
    let words: Vec<&str> = [chosen, at_once].into_iter().flatten().collect();
    if words.is_empty() { Value::Null } else { words.join(", ").into() }
}

/// Each stage with when it was reached: `closed 2026-11-21T12:00:00Z`.
fn stages(closure: &Closure) -> Value {
    let told = |(stage, at): &(Stage, Timestamp)| {
        let at = moment(*at);
        Value::from(format!("{stage} {}", at.as_str().unwrap_or_default()))
    };
    closure.reached.iter().map(told).collect()
}
