//! `portreeve owner`: the people who allow or forbid access to their own account.
//! Not here: further owners. An operator makes a customer's first one; that one adds others, in the portal.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;
use serde_json::Value;

use super::context::{customer, moment, new_password, owner, tell};
use super::invitations::{Code, Invited, Letters};
use super::{Context, Exit, Failure, Table};
use crate::clock::{Clock, SystemClock};
use crate::config::units;
use crate::entropy::{OsEntropy, random};
use crate::grant::{Became, By, Draft, ERASED, Invitation, Owner, Personal, State, What, check_owner_name};
use crate::ids::OwnerId;
use crate::secret::Secret;

/// What can be done with owners.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a customer's first owner.
    Create {
        /// The name they sign in by at the portal, such as olga@acme.example.
        name: String,
        /// Whose account, by name or id.
        #[arg(long)]
        customer: String,
        /// A file of mode 0600 that holds their password on one line; - is standard input; without it you are asked.
        #[arg(long, value_name = "PATH")]
        password_file: Option<PathBuf>,
        /// Where to write a new API token for the owner, a file that does not exist yet; it is kept nowhere else.
        #[arg(long, value_name = "PATH")]
        token_file: Option<PathBuf>,
    },
    /// Invite a customer's first owner: they set their own password in the portal, by a link that works once.
    Invite {
        /// The name they will sign in by, such as olga@acme.example.
        name: String,
        /// Whose account, by name or id.
        #[arg(long)]
        customer: String,
        /// Where to write the link, a file that does not exist yet; it is kept nowhere else.
        #[arg(long, value_name = "PATH")]
        link_file: PathBuf,
        /// How long it can be accepted, at most 30 days.
        #[arg(long = "for", value_name = "DURATION", default_value = "7d", value_parser = units::duration)]
        lasting: Duration,
    },
    /// List owners, and those who are invited to be one.
    List {
        /// Only those of this customer, by name or id.
        #[arg(long)]
        customer: Option<String>,
    },
    /// Show one owner.
    Show {
        /// Their name or id.
        owner: String,
    },
    /// Remove an owner for good, or take an invitation back. With the last owner the customer's switch goes off.
    Revoke {
        /// Their name or id.
        owner: String,
    },
}

/// Does what `command` says.
///
/// # Errors
/// If the register refuses it, or cannot be used.
pub async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Create { name, customer, password_file, token_file } => {
            create(context, name, &customer, password_file.as_deref(), token_file.as_deref()).await
        }
        Command::Invite { name, customer, link_file, lasting } => {
            invite(context, name, &customer, (&link_file, lasting)).await
        }
        Command::List { customer: None } => {
            let state = context.state()?;
            show(context, &state, state.owners(), state.invitations())
        }
        Command::List { customer: Some(name) } => {
            let state = context.state()?;
            let id = customer(&state, &name)?.id;
            show(context, &state, state.owners_of(id), state.invitations().filter(|one| one.customer == id))
        }
        Command::Show { owner: name } => {
            let state = context.state()?;
            match invitation(&state, &name) {
                Some(invitation) => show(context, &state, [], [invitation]),
                None => show(context, &state, [owner(&state, &name)?], []),
            }
        }
        Command::Revoke { owner: name } => revoke(context, &name).await,
    }
}

async fn create(
    context: &Context,
    name: String,
    of: &str,
    password_file: Option<&Path>,
    token_file: Option<&Path>,
) -> Result<Exit, Failure> {
    check_owner_name(&name).map_err(|fault| Failure::usage(fault.to_string()))?;
    let register = context.register()?;
    let customer = customer(register.state()?.as_ref(), of)?.id;
    let password = new_password(password_file, &name)?;
    let password_hash = Some(hash(&password)?);
    let digest = token_file.map(write_token).transpose()?;
    let token_digests = digest.map(|digest| vec![digest.to_vec().into()]);
    let personal = Personal { name: Some(name), password_hash, token_digests, ..Personal::default() };
    let draft = Draft { by: By::Operator, what: What::OwnerCreated { customer }, personal: Some(personal) };
    let created = match context.desk(register, &[customer]).await {
        Ok(desk) => desk.act(|_| Ok(draft.clone())).await,
        Err(failure) => Err(failure),
    };
    if let (Err(_), Some(token_file)) = (&created, token_file) {
        // It belongs to nobody.
        std::fs::remove_file(token_file)?;
    }
    let done = created?;
    show(context, &done.state, done.state.owner(OwnerId(done.sequence.0)), [])
}

/// The link is on the disk before the register has its digest.
async fn invite(
    context: &Context,
    name: String,
    of: &str,
    (link_file, lasting): (&Path, Duration),
) -> Result<Exit, Failure> {
    check_owner_name(&name).map_err(|fault| Failure::usage(fault.to_string()))?;
    let register = context.register()?;
    let state = register.state()?;
    let found = customer(&state, of)?;
    let (customer, code, ends) = (found.id, Code::new(), SystemClock.now().plus(lasting));
    let mut letters = Letters::begin(link_file)?;
    let invited = Invited { customer: &found.name, display: found.display.as_deref(), owner: &name, ends, code: &code };
    letters.add(&[invited], &context.config.portal.public_url)?;
    let invitation = Some(code.digest.to_vec().into());
    let personal = Personal { name: Some(name.clone()), invitation, ..Personal::default() };
    let draft = Draft { by: By::Operator, what: What::OwnerInvited { customer, ends }, personal: Some(personal) };
    let done = match context.desk(register, &[customer]).await {
        Ok(desk) => desk.act(|_| Ok(draft.clone())).await,
        Err(failure) => Err(failure),
    };
    if done.is_err() {
        letters.remove()?;
    }
    let done = done?;
    show(context, &done.state, [], done.state.invitation(OwnerId(done.sequence.0)))?;
    tell(&format!("the link is in {}: Portreeve sends no mail; send it, then delete the file", link_file.display()));
    Ok(Exit::Done)
}

/// The newest invitation to that name, or that of the id, unless it became an owner.
fn invitation<'s>(state: &'s State, name: &str) -> Option<&'s Invitation> {
    let id = name.parse().ok();
    let named = |one: &&Invitation| (one.name == name && one.name != ERASED) || Some(one.id) == id;
    let accepted = |one: &&Invitation| matches!(one.became, Some(Became::Accepted(_)));
    state.invitations().filter(named).last().filter(|one| !accepted(one) && state.owner(one.id).is_none())
}

async fn revoke(context: &Context, name: &str) -> Result<Exit, Failure> {
    // Which customer is shut, if any, only the register knows.
    let (register, state) = context.register_to_narrow(None).await?;
    if let Some(invitation) = invitation(&state, name).filter(|one| one.became.is_none()) {
        let (id, customer) = (invitation.id, invitation.customer);
        let what = What::OwnerUninvited { invitation: id };
        let done = context.narrow(register, &state, &[customer], what).await?;
        return show(context, &done.state, [], done.state.invitation(id));
    }
    let Owner { id, customer, .. } = owner(&state, name)?;
    let (id, customer) = (*id, *customer);
    let done = context.narrow(register, &state, &[customer], What::OwnerRemoved { owner: id }).await?;
    show(context, &done.state, done.state.owner(id), [])
}

/// Argon2id with the crate's parameters (19 MiB, 2 passes), as a PHC string.
fn hash(password: &Secret<String>) -> Result<String, Failure> {
    let hashed: Result<PasswordHash, _> =
        Argon2::default().hash_password_with_salt(password.expose().as_bytes(), &random::<16>(&OsEntropy));
    hashed
        .map(|hash| hash.to_string())
        .map_err(|fault| Failure::failed(format!("bug: cannot hash a password: {fault}")))
}

/// Writes a new token to a new file of mode 0600, and returns its SHA-256 digest.
fn write_token(path: &Path) -> Result<[u8; 32], Failure> {
    let token = Secret::new(URL_SAFE_NO_PAD.encode(Secret::new(random::<32>(&OsEntropy)).expose()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|fault| {
        Failure::failed(format!(
            "cannot write the token to {}: {fault}; name a file that does not exist",
            path.display()
        ))
    })?;
    writeln!(file, "{}", token.expose())?;
    file.sync_all()?;
    let digest = digest::digest(&digest::SHA256, token.expose().as_bytes());
    Ok(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

fn show<'s>(
    context: &Context,
    state: &State,
    owners: impl IntoIterator<Item = &'s Owner>,
    invitations: impl IntoIterator<Item = &'s Invitation>,
) -> Result<Exit, Failure> {
    let mut table = Table::new(&["id", "owner", "customer", "status", "tokens", "created", "invited_until"]);
    let customer = |id| state.customer(id).map(|customer| customer.name.as_str());
    for owner in owners {
        table.row([
            owner.id.to_string().into(),
            owner.name.as_str().into(),
            customer(owner.customer).into(),
            if owner.active { "active" } else { "removed" }.into(),
            owner.token_digests.len().into(),
            moment(owner.created),
            Value::Null,
        ]);
    }
    let now = SystemClock.now();
    for invitation in invitations.into_iter().filter(|one| state.owner(one.id).is_none()) {
        let status = match invitation.became {
            None if invitation.is_open(now) => "invited",
            None => "invitation over",
            Some(Became::Withdrawn(_) | Became::Closed(_) | Became::Accepted(_)) => "invitation withdrawn",
        };
        table.row([
            invitation.id.to_string().into(),
            invitation.name.as_str().into(),
            customer(invitation.customer).into(),
            status.into(),
            0.into(),
            moment(invitation.at),
            moment(invitation.ends),
        ]);
    }
    context.show(&table)?;
    Ok(Exit::Done)
}
