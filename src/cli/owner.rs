//! `portreeve owner`: the people who allow or forbid access to their own account.
//! Not here: further owners. An operator makes a customer's first one; that one adds others, in the portal.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Subcommand;

use super::context::{customer, moment, new_password, owner};
use super::{Context, Exit, Failure, Table};
use crate::entropy::{OsEntropy, random};
use crate::grant::{By, Draft, Owner, Personal, State, What, check_owner_name};
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
    /// List owners.
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
    /// Remove an owner for good. With the last one the customer's switch goes off.
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
        Command::List { customer: None } => {
            let state = context.state()?;
            show(context, &state, state.owners())
        }
        Command::List { customer: Some(name) } => {
            let state = context.state()?;
            show(context, &state, state.owners_of(customer(&state, &name)?.id))
        }
        Command::Show { owner: name } => {
            let state = context.state()?;
            show(context, &state, [owner(&state, &name)?])
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
    show(context, &done.state, done.state.owner(OwnerId(done.sequence.0)))
}

async fn revoke(context: &Context, name: &str) -> Result<Exit, Failure> {
    // Which customer is shut, if any, only the register knows.
    let (register, state) = context.register_to_narrow(None).await?;
    let Owner { id, customer, .. } = owner(&state, name)?;
    let (id, customer) = (*id, *customer);
    let done = context.narrow(register, &state, &[customer], What::OwnerRemoved { owner: id }).await?;
    show(context, &done.state, done.state.owner(id))
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

fn show<'s>(context: &Context, state: &State, owners: impl IntoIterator<Item = &'s Owner>) -> Result<Exit, Failure> {
    context.show(&table(state, owners))?;
    Ok(Exit::Done)
}

fn table<'s>(state: &State, owners: impl IntoIterator<Item = &'s Owner>) -> Table {
    let mut table = Table::new(&["id", "owner", "customer", "status", "tokens", "created"]);
    for owner in owners {
        table.row([
            owner.id.to_string().into(),
            owner.name.as_str().into(),
            state.customer(owner.customer).map(|customer| customer.name.as_str()).into(),
            if owner.active { "active" } else { "removed" }.into(),
            owner.token_digests.len().into(),
            moment(owner.created),
        ]);
    }
    table
}
