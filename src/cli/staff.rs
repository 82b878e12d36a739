//! `portreeve staff`: the vendor's people who may be given access, and what they must fulfil besides.
//! Not here: access itself; a staff member without a grant reaches nothing. Teams are in `team`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::context::{moment, new_password, password, staff, warn};
use super::grant::{refuse, signed_in};
use super::staff_list;
use super::{Context, Exit, Failure, Table, second_factor};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::units;
use crate::entropy::{OsEntropy, random};
use crate::grant::{
    ANY, Attestation, By, Draft, Lock, Personal, Region, Staff, StaffStep, Standing, State, Team, TeamRole, What,
    check_name,
};
use crate::ids::StaffId;
use crate::register::Register;
use crate::wire::scram::{ITERATIONS, verifier_from_password};

/// What can be done with staff.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a staff member; they begin in team "support".
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
    /// Suspend a staff member: every session and grant of theirs ends at once, and none begins.
    Suspend {
        /// Their name or id.
        staff: String,
    },
    /// Let a suspended staff member work again. Takes the password of somebody else: a team lead, or one of security.
    Resume {
        /// Their name or id.
        staff: String,
        /// Who vouches.
        #[command(flatten)]
        voucher: Voucher,
    },
    /// Remove a staff member for good: every session and grant of theirs ends at once.
    #[command(alias = "revoke")]
    Remove {
        /// Their name or id.
        staff: String,
    },
    /// Compare the staff here with the staff list of record (CSV). Exit code 4: somebody is here who is not on it.
    Compare(staff_list::Compare),
    /// Note that a staff member signed the confidentiality agreement, or went through the training.
    Attest {
        /// Their name or id.
        staff: String,
        /// Which: confidentiality or training.
        #[arg(long)]
        kind: Attestation,
        /// Which version of it, as section `staff` of the configuration counts them.
        #[arg(long)]
        version: u32,
        /// The day on which it no longer holds, such as 2027-12-31 (UTC).
        #[arg(long, value_name = "DATE", value_parser = date)]
        until: Timestamp,
    },
    /// Say when and from where a staff member works; what is not given stays as it is.
    Limit {
        /// Their name or id.
        staff: String,
        /// Hours with their time zone, such as "mon-fri 08:00-17:00 Europe/Copenhagen"; ";" between several; or any.
        #[arg(long)]
        hours: Option<String>,
        /// Networks, such as "10.1.0.0/16, 2001:db8::/32"; or any.
        #[arg(long)]
        networks: Option<String>,
    },
    /// Give a staff member a second factor: with its codes, and their password, they get short-lived passwords in the portal.
    SecondFactor(second_factor::SecondFactor),
    /// Forget as whom the identity provider knows a staff member, since it has a new account for them: whoever next signs in
    /// there under their name is them.
    ForgetSubject {
        /// Their name or id.
        staff: String,
    },
    /// Let a staff member work outside their hours for a while. Takes the password of somebody else, as resume does.
    Except {
        /// Their name or id.
        staff: String,
        /// For how long, at most 24h.
        #[arg(long = "for", value_name = "DURATION", value_parser = units::duration)]
        lasting: Duration,
        /// Why, in a sentence.
        #[arg(long)]
        reason: String,
        /// Who vouches.
        #[command(flatten)]
        voucher: Voucher,
    },
}

/// Somebody who vouches for somebody else, with their own password.
#[derive(Debug, Args)]
pub struct Voucher {
    /// Who you are: a team lead, or somebody of security.
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
        Command::Suspend { staff } => {
            narrow(context, &staff, |staff| What::Staff { staff, step: StaffStep::Suspended }).await
        }
        Command::Remove { staff } => narrow(context, &staff, |staff| What::StaffRemoved { staff }).await,
        Command::Compare(compare) => staff_list::run(compare, context).await,
        Command::SecondFactor(wanted) => second_factor::run(wanted, context).await,
        Command::ForgetSubject { staff } => operate(context, &staff, StaffStep::SubjectForgotten, |_| None).await,
        Command::Resume { staff, voucher } => vouch(context, &staff, voucher, StaffStep::Resumed, None).await,
        Command::Attest { staff, kind, version, until } => {
            operate(context, &staff, StaffStep::Attested { kind, version, until }, |_| None).await
        }
        Command::Limit { staff, hours, networks } => {
            let limited = |standing: &Standing| {
                let networks = networks.clone().unwrap_or_else(|| joined(standing.networks.as_deref(), ","));
                Some(Personal {
                    hours: Some(hours.clone().unwrap_or_else(|| joined(standing.hours.as_deref(), "; "))),
                    networks: Some(networks.split(',').map(|network| network.trim().to_owned()).collect()),
                    ..Personal::default()
                })
            };
            operate(context, &staff, StaffStep::Limited, limited).await
        }
        Command::Except { staff, lasting, reason, voucher } => {
            let step = StaffStep::Excepted { until: SystemClock.now().plus(lasting) };
            let personal = Personal { reason: Some(reason), ..Personal::default() };
            vouch(context, &staff, voucher, step, Some(personal)).await
        }
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

async fn narrow(context: &Context, name: &str, what: impl FnOnce(StaffId) -> What) -> Result<Exit, Failure> {
    let (register, state) = context.register_to_narrow(name.parse().ok().map(Lock::Staff)).await?;
    let id = staff(&state, name)?.id;
    let what = what(id);
    let done = context.narrow(register.clone(), &state, &[], what).await?;
    if matches!(what, What::StaffRemoved { .. }) {
        erase_outdated(&register);
    }
    show(context, &done.state, done.state.staff(id))
}

/// Erases secrets of staff that open nothing any more. What has put them out of use is done either way.
fn erase_outdated(register: &Register) {
    if let Err(fault) = register.erase_outdated() {
        warn(&format!("secrets that open nothing any more are not all erased from the register: {fault}"));
    }
}

/// What the vendor's operator says of somebody.
pub(super) async fn operate(
    context: &Context,
    name: &str,
    step: StaffStep,
    personal: impl FnOnce(&Standing) -> Option<Personal>,
) -> Result<Exit, Failure> {
    let register = context.register()?;
    let state = register.state()?;
    let Staff { id, standing, .. } = staff(&state, name)?;
    let (what, personal) = (What::Staff { staff: *id, step }, personal(standing));
    let draft = Draft { by: By::Operator, what, personal };
    let done = context.desk(register.clone(), &[]).await?.act(|_| Ok(draft.clone())).await?;
    if matches!(step, StaffStep::SecondFactorSet | StaffStep::SecondFactorRemoved) {
        erase_outdated(&register);
    }
    show(context, &done.state, done.state.staff(*id))
}

/// What somebody else says of them, signed in as themselves.
async fn vouch(
    context: &Context,
    name: &str,
    voucher: Voucher,
    step: StaffStep,
    personal: Option<Personal>,
) -> Result<Exit, Failure> {
    let register = context.register()?;
    let state = register.state()?;
    let id = staff(&state, name)?.id;
    let password = password(voucher.password_file.as_deref(), &voucher.name)?;
    let desk = context.desk(register, &[]).await?;
    let Some(by) = signed_in(context.config.staff.sign_in, &state, &voucher.name, &password) else {
        return Err(refuse(context, desk, &voucher.name, step.verb()).await?);
    };
    let draft = Draft { by: By::Staff(by), what: What::Staff { staff: id, step }, personal };
    let done = desk.act(|_| Ok(draft.clone())).await?;
    show(context, &done.state, done.state.staff(id))
}

fn show<'s>(context: &Context, state: &State, staff: impl IntoIterator<Item = &'s Staff>) -> Result<Exit, Failure> {
    context.show(&table(state, staff, SystemClock.now()))?;
    Ok(Exit::Done)
}

fn table<'s>(state: &State, staff: impl IntoIterator<Item = &'s Staff>, now: Timestamp) -> Table {
    let columns = [
        "id",
        "staff",
        "status",
        "created",
        "grants",
        "region",
        "teams",
        "attested",
        "hours",
        "networks",
        "excepted_until",
        "second_factor",
    ];
    let mut table = Table::new(&columns);
    for staff in staff {
        let live = state.grants().filter(|grant| grant.staff == staff.id && grant.is_live(now));
        let standing = &staff.standing;
        table.row([
            staff.id.to_string().into(),
            staff.name.as_str().into(),
            status(staff).into(),
            moment(staff.created),
            live.count().into(),
            staff.region.map(|region| region.to_string()).into(),
            teams(state, staff.id),
            attested(standing),
            joined(standing.hours.as_deref(), "; ").into(),
            joined(standing.networks.as_deref(), ", ").into(),
            standing.excepted.map_or(Value::Null, |(until, _)| moment(until)),
            standing.second_factor.is_some().into(),
        ]);
    }
    table
}

fn status(staff: &Staff) -> &'static str {
    match (staff.active, staff.standing.suspended) {
        (false, _) => "removed",
        (true, Some(_)) => "suspended",
        (true, None) => "active",
    }
}

/// The beginning of a day in UTC.
fn date(text: &str) -> Result<Timestamp, String> {
    let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    let at = day.map(|day| Timestamp(day.and_utc().timestamp_micros()));
    at.ok_or_else(|| format!("\"{text}\" is not a day such as 2027-12-31"))
}

/// `support`, `billing (lead)`.
fn teams(state: &State, staff: StaffId) -> Value {
    let named = |(team, role): (&Team, TeamRole)| match role {
        TeamRole::Support => team.name.clone(),
        TeamRole::Lead | TeamRole::Security => format!("{} ({role})", team.name),
    };
    state.teams_of(staff).map(|team| Value::from(named(team))).collect()
}

/// `training 3 until 2027-12-31T00:00:00Z`.
fn attested(standing: &Standing) -> Value {
    let one = |(kind, (version, until)): (&Attestation, &(u32, Timestamp))| {
        Value::from(format!("{kind} {version} until {}", moment(*until).as_str().unwrap_or_default()))
    };
    standing.attested.iter().map(one).collect()
}

/// As they are given; none is `any`.
fn joined<T: ToString>(all: Option<&[T]>, between: &str) -> String {
    all.map_or(ANY.to_owned(), |all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(between))
}
