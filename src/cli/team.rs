//! `portreeve team`: who of the staff looks after which customers.
//! Not here: access itself; that takes the owner's consent and a grant besides.

use clap::Subcommand;
use serde_json::Value;

use super::context::{absent, customer, moment, staff};
use super::{Context, Exit, Failure, Table};
use crate::grant::{By, Draft, Personal, State, Team, TeamRole, TeamStep, What, check_name};
use crate::ids::{CustomerId, TeamId};

/// What can be done with teams.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a team. New staff and new customers are in team "support" until they are moved.
    Create {
        /// Its name, such as billing.
        name: String,
    },
    /// Put a staff member into a team, or change what they are in it.
    Add {
        /// The team, by name or id.
        team: String,
        /// The staff member, by name or id.
        staff: String,
        /// As what: support, lead or security. A lead or somebody of security may resume and except others.
        #[arg(long, default_value = "support")]
        role: TeamRole,
    },
    /// Take a staff member out of a team; sessions they could not open any more end at once.
    Remove {
        /// The team, by name or id.
        team: String,
        /// The staff member, by name or id.
        staff: String,
    },
    /// Have a team look after a customer.
    Assign {
        /// The team, by name or id.
        team: String,
        /// The customer, by name or id.
        customer: String,
    },
    /// Have a team look after a customer no longer; sessions nobody could open any more end at once.
    Unassign {
        /// The team, by name or id.
        team: String,
        /// The customer, by name or id.
        customer: String,
    },
    /// Dissolve a team for good, with its memberships and assignments.
    Dissolve {
        /// The team, by name or id.
        team: String,
    },
    /// List all teams.
    List,
    /// Show one team.
    Show {
        /// The team, by name or id.
        team: String,
    },
}

/// Does what `command` says.
///
/// # Errors
/// If the register refuses it, or cannot be used.
pub async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Create { name } => create(context, name).await,
        Command::Add { team: named, staff: whom, role } => {
            let state = context.state()?;
            let (team, staff) = (team(&state, &named)?.id, staff(&state, &whom)?.id);
            act(context, team, TeamStep::MemberAdded { team, staff, role }).await
        }
        Command::Assign { team: named, customer: which } => {
            let state = context.state()?;
            let (team, customer) = (team(&state, &named)?.id, customer(&state, &which)?.id);
            act(context, team, TeamStep::Assigned { team, customer }).await
        }
        Command::Remove { team: named, staff: whom } => {
            let step = |state: &State| {
                let (team, staff) = (team(state, &named)?.id, staff(state, &whom)?.id);
                Ok(TeamStep::MemberRemoved { team, staff })
            };
            narrow(context, &named, step).await
        }
        Command::Unassign { team: named, customer: which } => {
            let step = |state: &State| {
                let (team, customer) = (team(state, &named)?.id, customer(state, &which)?.id);
                Ok(TeamStep::Unassigned { team, customer })
            };
            narrow(context, &named, step).await
        }
        Command::Dissolve { team: named } => {
            narrow(context, &named, |state| Ok(TeamStep::Dissolved { team: team(state, &named)?.id })).await
        }
        Command::List => {
            let state = context.state()?;
            show(context, &state, state.teams())
        }
        Command::Show { team: named } => {
            let state = context.state()?;
            show(context, &state, [team(&state, &named)?])
        }
    }
}

async fn create(context: &Context, name: String) -> Result<Exit, Failure> {
    check_name(&name).map_err(|fault| Failure::usage(fault.to_string()))?;
    let desk = context.desk(context.register()?, &[]).await?;
    let personal = Personal { name: Some(name), ..Personal::default() };
    let draft = Draft { by: By::Operator, what: What::Team(TeamStep::Created), personal: Some(personal) };
    let done = desk.act(|_| Ok(draft.clone())).await?;
    show(context, &done.state, done.state.team(TeamId(done.sequence.0)))
}

/// What gives a team more is recorded first.
async fn act(context: &Context, team: TeamId, step: TeamStep) -> Result<Exit, Failure> {
    let concerned: Vec<CustomerId> = step.customer().into_iter().collect();
    let desk = context.desk(context.register()?, &concerned).await?;
    let draft = Draft { by: By::Operator, what: What::Team(step), personal: None };
    let done = desk.act(|_| Ok(draft.clone())).await?;
    show(context, &done.state, done.state.team(team))
}

/// What takes from it happens in any case.
async fn narrow(
    context: &Context,
    named: &str,
    step: impl FnOnce(&State) -> Result<TeamStep, Failure>,
) -> Result<Exit, Failure> {
    let (register, state) = context.register_to_narrow(None).await?;
    let (team, step) = (team(&state, named)?.id, step(&state)?);
    let concerned: Vec<CustomerId> = step.customer().into_iter().collect();
    let done = context.narrow(register, &state, &concerned, What::Team(step)).await?;
    show(context, &done.state, done.state.team(team))
}

/// The team of that name, or else of that id (`t7`), dissolved ones included.
fn team<'s>(state: &'s State, name: &str) -> Result<&'s Team, Failure> {
    let by_id = || name.parse().ok().and_then(|id| state.team(id));
    state.team_named(name).or_else(by_id).ok_or_else(|| absent("team", name, "portreeve team list"))
}

fn show<'s>(context: &Context, state: &State, teams: impl IntoIterator<Item = &'s Team>) -> Result<Exit, Failure> {
    let mut table = Table::new(&["id", "team", "status", "created", "members", "customers"]);
    for team in teams {
        let member = |(id, role): (_, TeamRole)| {
            let name = state.staff(id).map_or("?", |staff| &staff.name);
            Value::from(if role == TeamRole::Support { name.to_owned() } else { format!("{name} ({role})") })
        };
        let customer = |id| state.customer(id).map(|customer| Value::from(customer.name.as_str()));
        table.row([
            team.id.to_string().into(),
            team.name.as_str().into(),
            if team.dissolved.is_none() { "active" } else { "dissolved" }.into(),
            team.created.map_or(Value::Null, moment),
            state.members(team.id).map(member).collect(),
            state.looked_after(team.id).filter_map(customer).collect(),
        ]);
    }
    context.show(&table)?;
    Ok(Exit::Done)
}
