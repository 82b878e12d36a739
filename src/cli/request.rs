//! `portreeve request`: staff ask an account owner for access, say more when asked, or use a code read out on the phone.
//! Not here: the answers, which owners give in the portal, and the rules (`grant/asking.rs`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::context::{actor, customer, moment, password, staff};
use super::sign_in::Signed;
use super::{Context, Exit, Failure, Table};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::units;
use crate::grant::wish::{self, Tried, Why, Wish, try_code};
use crate::grant::{Channel, Draft, Outcome, Purpose, Request, RequestStep, Scope, State, Status};
use crate::ids::{GrantId, RequestId, StaffId};

/// What can be done with requests.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask the account owner for access; with a code from the owner it is open at once. Asks for your password.
    Open(Box<Open>),
    /// List requests, newest last.
    List {
        /// Only those for this customer, by name or id.
        #[arg(long)]
        customer: Option<String>,
        /// Only those of this staff member, by name or id.
        #[arg(long)]
        staff: Option<String>,
        /// Only those that still wait for somebody.
        #[arg(long)]
        waiting: bool,
    },
    /// Show one request, with everything said about it.
    Show {
        /// Its id, such as r7.
        request: String,
    },
    /// Answer what the owner asked back; asks for your password.
    Answer {
        /// Its id, such as r7.
        request: String,
        /// What you say, in words the owner will read.
        #[arg(long)]
        text: String,
        /// A file of mode 0600 that holds your password on one line; - is standard input; without it you are asked.
        #[arg(long, value_name = "PATH")]
        password_file: Option<PathBuf>,
    },
    /// Take a request back that you no longer need; asks for your password.
    Withdraw {
        /// Its id, such as r7.
        request: String,
        /// A file of mode 0600 that holds your password on one line; - is standard input; without it you are asked.
        #[arg(long, value_name = "PATH")]
        password_file: Option<PathBuf>,
    },
}

/// A request somebody wants to open.
#[derive(Debug, Args)]
pub struct Open {
    /// Who: your own name.
    #[arg(long)]
    staff: String,
    /// For which customer, by name or id.
    #[arg(long)]
    customer: String,
    /// How far: metadata, read or write.
    #[arg(long, default_value = "read")]
    scope: Scope,
    /// How long, from the owner's answer on.
    #[arg(long = "for", value_name = "DURATION", default_value = "1h", value_parser = units::duration)]
    lasting: Duration,
    /// How long an answer is of use: later the request is over.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = units::duration)]
    start_within: Duration,
    /// Why: fault, question or operation.
    #[arg(long)]
    purpose: Purpose,
    /// How the customer's wish came: portal, mail, phone or form.
    #[arg(long, default_value = "portal")]
    channel: Channel,
    /// Why, in a sentence the account owner will read.
    #[arg(long)]
    reason: String,
    /// Why metadata is not enough, in a sentence the account owner will read.
    #[arg(long, default_value = "")]
    necessity: String,
    /// The ticket it belongs to.
    #[arg(long)]
    ticket: String,
    /// A file of mode 0600 that holds your password on one line; - is standard input; without it you are asked.
    #[arg(long, value_name = "PATH")]
    password_file: Option<PathBuf>,
    /// A file of mode 0600 that holds the owner's one-time code; - is standard input. Scope and duration are the code's.
    #[arg(long, value_name = "PATH")]
    code_file: Option<PathBuf>,
}

/// Does what `command` says.
///
/// # Errors
/// If the register refuses it, or cannot be used.
pub async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Open(wanted) => match wanted.code_file.clone() {
            Some(file) => redeem(context, *wanted, &file).await,
            None => open(context, *wanted).await,
        },
        Command::List { customer, staff, waiting } => list(context, customer.as_deref(), staff.as_deref(), waiting),
        Command::Show { request: id } => {
            let state = context.state()?;
            let request = request(&state, &id)?;
            show(context, &state, [request])?;
            said(context, &state, request)
        }
        Command::Answer { request: id, text, password_file } => {
            let answer = |staff, id| wish::answered(staff, id, text.clone());
            say(context, &id, (RequestStep::Answered, &answer), password_file.as_deref()).await
        }
        Command::Withdraw { request: id, password_file } => {
            say(context, &id, (RequestStep::Withdrawn, &wish::withdrawn), password_file.as_deref()).await
        }
    }
}

impl Open {
    fn wish(&self) -> Wish {
        let Open { scope, lasting, start_within, channel, .. } = *self;
        let why = Why { purpose: self.purpose, reason: self.reason.clone(), ticket: self.ticket.clone() };
        Wish { scope, lasting, start_within, channel, why, necessity: self.necessity.clone() }
    }
}

async fn open(context: &Context, wanted: Open) -> Result<Exit, Failure> {
    let Signed { desk, staff, customer } =
        context.sign_in(&wanted.staff, &wanted.customer, wanted.password_file.as_deref(), "request.open").await?;
    let wish = wanted.wish();
    let done = desk.act(|_| Ok(wish.asked((staff, customer), SystemClock.now()))).await?;
    show(context, &done.state, done.state.request(RequestId(done.sequence.0)))?;
    Ok(Exit::Done)
}

/// Opens a grant by an owner's code. The code is neither an argument nor kept: its digits make the key that signs.
async fn redeem(context: &Context, wanted: Open, file: &Path) -> Result<Exit, Failure> {
    let digits = password(Some(file), "the one-time code")?;
    let Signed { desk, staff, customer } =
        context.sign_in(&wanted.staff, &wanted.customer, wanted.password_file.as_deref(), "request.open").await?;
    let state = desk.acts().register.state()?;
    match try_code(&state, (staff, customer), &digits, &wanted.wish().why, SystemClock.now()) {
        Ok(Tried::Fits(key, draft)) => {
            let done = desk.act_signed(&key, |_: &State| Ok(draft.clone())).await?;
            super::grant::show(context, &done.state, done.state.grant(GrantId(done.sequence.0)))
        }
        Ok(Tried::Missed(draft, told)) => {
            desk.act(|_| Ok(draft.clone())).await?;
            Err(Failure::refused(told))
        }
        Err(told) => {
            desk.close()?;
            Err(Failure::refused(told))
        }
    }
}

/// The request of that id (`r7`).
fn request<'s>(state: &'s State, id: &str) -> Result<&'s Request, Failure> {
    let found = id.parse().ok().and_then(|id| state.request(id));
    found.ok_or_else(|| Failure::usage(format!("there is no request \"{id}\"; see \"portreeve request list\"")))
}

/// What the staff member of a request says about it; it is theirs alone, so whose password is asked for is clear.
async fn say(
    context: &Context,
    id: &str,
    (step, said): (RequestStep, &(dyn Fn(StaffId, RequestId) -> Draft + Sync)),
    password_file: Option<&Path>,
) -> Result<Exit, Failure> {
    let state = context.state()?;
    let Request { id, staff: asker, customer, .. } = request(&state, id)?;
    let name = state.staff(*asker).map_or_else(|| asker.to_string(), |staff| staff.name.clone());
    let Signed { desk, staff, .. } = context.sign_in(&name, &customer.to_string(), password_file, step.verb()).await?;
    let done = desk.act(|_| Ok(said(staff, *id))).await?;
    show(context, &done.state, done.state.request(*id))?;
    Ok(Exit::Done)
}

fn list(context: &Context, of: Option<&str>, whose: Option<&str>, waiting: bool) -> Result<Exit, Failure> {
    let state = context.state()?;
    let customer = of.map(|name| customer(&state, name)).transpose()?.map(|customer| customer.id);
    let staff = whose.map(|name| staff(&state, name)).transpose()?.map(|staff| staff.id);
    let now = SystemClock.now();
    let wanted = |request: &&Request| {
        customer.is_none_or(|customer| request.customer == customer)
            && staff.is_none_or(|staff| request.staff == staff)
            && (!waiting || request.status(now).is_waiting())
    };
    show(context, &state, state.requests().filter(wanted))?;
    Ok(Exit::Done)
}

fn show<'s>(context: &Context, state: &State, requests: impl IntoIterator<Item = &'s Request>) -> Result<(), Failure> {
    context.show(&table(state, requests, SystemClock.now()))
}

fn table<'s>(state: &State, requests: impl IntoIterator<Item = &'s Request>, now: Timestamp) -> Table {
    let columns = [
        "id",
        "staff",
        "customer",
        "scope",
        "for_seconds",
        "status",
        "opened",
        "answer_by",
        "purpose",
        "channel",
        "reason",
        "necessity",
        "ticket",
        "approvals",
        "grant",
    ];
    let mut table = Table::new(&columns);
    for request in requests {
        let status = request.status(now);
        table.row([
            request.id.to_string().into(),
            state.staff(request.staff).map(|staff| staff.name.as_str()).into(),
            state.customer(request.customer).map(|customer| customer.name.as_str()).into(),
            request.scope.word().into(),
            request.lasting.as_secs().into(),
            status.word().into(),
            moment(request.opened),
            moment(request.answer_by()),
            request.purpose.word().into(),
            request.channel.word().into(),
            request.reason.as_str().into(),
            request.necessity.as_str().into(),
            request.ticket.as_str().into(),
            state.approvers(request).len().into(),
            match status {
                Status::Over(Outcome::Granted(grant)) => grant.to_string().into(),
                Status::Over(Outcome::Denied(_) | Outcome::Withdrawn)
                | Status::Open
                | Status::AskedBack
                | Status::Unanswered
                | Status::TooLate => Value::Null,
            },
        ]);
    }
    table
}

/// Questions and answers, if there are any.
fn said(context: &Context, state: &State, request: &Request) -> Result<Exit, Failure> {
    if !request.said.is_empty() {
        let mut table = Table::new(&["at", "by", "text"]);
        for said in &request.said {
            table.row([moment(said.at), actor(state, said.by), said.text.as_str().into()]);
        }
        context.show(&table)?;
    }
    Ok(Exit::Done)
}
