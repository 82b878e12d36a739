//! `portreeve retention plan`, `apply`, `status`: what would be done, doing it with a second person, what is late.
//! Not here: the plan (`retention/plan.rs`) and the deleting (`keeping/`). Who approves is recorded before anything goes.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::people::{People, Signed};
use super::write_plan;
use crate::cli::context::moment;
use crate::cli::{Context, Exit, Failure, Table, to_stdout};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::disk::{Disk, RealDisk};
use crate::keeping::{self, Keeping, Stock};
use crate::keyring::init::read_seed;
use crate::register::Register;
use crate::retention::overdue::Level;
use crate::retention::plan::{NotAToken, Token, confirm, plan};

/// A daemon that runs has begun a turn within this, unless it takes a snapshot.
const TURN_WITHIN: Duration = Duration::from_secs(900);

/// Which plan is applied, and by whom.
#[derive(Debug, Args)]
pub struct Apply {
    /// The plan's digest, as "portreeve retention plan" printed it.
    #[arg(long = "plan", value_name = "TOKEN")]
    token: String,
    #[command(flatten)]
    people: People,
}

/// Stores and catalog, for a verb that only looks.
///
/// # Errors
/// If the register, the instance's key or a recipient cannot be read.
pub(in crate::cli) fn stock(context: &Context, register: Register) -> Result<Stock, Failure> {
    let key = read_seed(&context.config.retention.instance_key)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    Stock::new(&context.config, &key, register, &disk).map_err(failure)
}

/// The error with its exit code.
pub(in crate::cli) fn failure(error: keeping::Error) -> Failure {
    if error.is_configuration() { Failure::configuration(&error) } else { error.into() }
}

/// Shows what would be done now.
pub(super) async fn show_plan(context: &Context) -> Result<Exit, Failure> {
    let stock = stock(context, context.register()?)?;
    let now = SystemClock.now();
    let inventory = stock.inventory(is_frozen(&stock), now).await.map_err(failure)?;
    let plan = plan(&inventory, &stock.rules, now);
    to_stdout(|out| write_plan(&plan, context.format, out))?;
    Ok(Exit::Done)
}

/// Does exactly what that plan says, if that is still what would be done.
pub(super) async fn apply(context: &Context, wanted: Apply) -> Result<Exit, Failure> {
    let token: Token = wanted.token.parse().map_err(|error: NotAToken| Failure::usage(error.to_string()))?;
    let register = context.register()?;
    let stock = stock(context, register.clone())?;
    let now = SystemClock.now();
    let inventory = stock.inventory(is_frozen(&stock), now).await.map_err(failure)?;
    let plan = confirm(token, &inventory, &stock.rules, now).map_err(|stale| Failure::refused(stale.to_string()))?;
    let needs_two = plan.needs_second_person() && context.config.retention.two_people;
    let passwords = wanted.people.passwords(needs_two)?;
    // As it stands now: whoever was suspended while passwords were typed approves nothing.
    let state = register.state()?;
    let desk = context.desk(register, &[]).await?;
    let signed = match passwords.signed_in(context.config.staff.sign_in, &state) {
        Ok(signed) => signed,
        Err(why) => return Err(passwords.refuse(desk, "retention.apply", &why).await?),
    };
    if needs_two && !matches!(&signed, Signed::Two(one, other) if plan.may_be_applied(one, other)) {
        let why = "the plan is above its cap: two different people must apply it";
        return Err(passwords.refuse(desk, "retention.apply", why).await?);
    }
    signed.record(desk.log(), "retention.apply", &token.to_string()).await?;
    let keeping = Keeping { stock, acts: desk.acts().clone() };
    let approved = keeping.approve(&plan, &signed.all()).await.map_err(failure);
    let expired = keeping.expire_all(&plan).await.map_err(failure);
    let noted = keeping.stock.notes.keep_applied(keeping.stock.rules.promise()).map_err(failure);
    drop(keeping);
    desk.close()?;
    let (approved, expired) = (approved?, expired?);
    noted?;
    let mut table = Table::new(&["object", "state", "confirmed_at", "why"]);
    for customer in approved {
        table.row([customer.to_string().into(), "approved to be purged".into(), Value::Null, Value::Null]);
    }
    for (snapshot, at) in &expired.gone {
        table.row([snapshot.to_string().into(), "gone".into(), moment(*at), Value::Null]);
    }
    for left in &expired.left {
        table.row([left.object.clone().into(), "not confirmed".into(), Value::Null, left.why.clone().into()]);
    }
    context.show(&table)?;
    Ok(if expired.left.is_empty() { Exit::Done } else { Exit::Findings })
}

/// Shows what is late, how each back-end stands, and when the daemon last began a turn.
pub(super) async fn status(context: &Context) -> Result<Exit, Failure> {
    let stock = stock(context, context.register()?)?;
    let now = SystemClock.now();
    let mut table = Table::new(&["what", "object", "level", "deadline"]);
    let guard = stock.notes.guard();
    let is_stuck = guard.is_none_or(|guard| now.since(guard.last.wall) > TURN_WITHIN);
    table.row([
        json!("last-turn"),
        json!(stock.name),
        json!(if is_stuck { "overdue" } else { "in time" }),
        guard.map_or(Value::Null, |guard| moment(guard.last.wall)),
    ]);
    let late = keeping::late(&stock, now).await.map_err(failure)?;
    let is_overdue = late.iter().any(|alarm| alarm.level == Level::Over);
    for alarm in &late {
        let (what, object) = keeping::named(&alarm.what);
        table.row([json!(what), json!(object), json!(alarm.level.to_string()), moment(alarm.deadline)]);
    }
    let accounts = stock.notes.accounts().unwrap_or_default();
    for (account, why) in &accounts.troubles {
        table.row([json!("account-stuck"), json!(format!("{account}: {why}")), json!("trouble"), Value::Null]);
    }
    for (account, why, until) in &accounts.waits {
        let until = until.map_or(Value::Null, |until| moment(Timestamp(until)));
        table.row([json!("account-waits"), json!(format!("{account}: {why}")), json!("in time"), until]);
    }
    let is_stuck = is_stuck || !accounts.troubles.is_empty();
    context.show(&table)?;
    Ok(if is_overdue || is_stuck { Exit::Findings } else { Exit::Done })
}

/// Whether the clocks disagreed when a daemon last looked: then nothing is deleted.
pub(in crate::cli) fn is_frozen(stock: &Stock) -> bool {
    stock.notes.guard().is_some_and(|guard| guard.is_frozen())
}
