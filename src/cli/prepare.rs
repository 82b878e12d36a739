//! `portreeve retention prepare`: the maintenance role and its tables in a customers' database, as a superuser.
//! Not here: what is done to the database (`purge/prepare.sql`).

use serde_json::json;

use super::datamap::{Target, connect};
use super::{Context, Exit, Failure, Table};
use crate::purge::{MAINTENANCE, prepare};

/// Prepares it and shows what the role has become a member of, and what is in the way ([`Exit::Findings`]).
///
/// # Errors
/// Any [`Failure`].
pub async fn run(target: Target, context: &Context) -> Result<Exit, Failure> {
    let prepared = prepare(&connect(&target, context).await?).await?;
    let mut table = Table::new(&["what", "says"]);
    table.row([json!("role"), json!(format!("{MAINTENANCE} is there; give it a password or a certificate"))]);
    for owner in &prepared.member_of {
        table.row([json!("member of"), json!(owner)]);
    }
    for note in &prepared.notes {
        table.row([json!("in the way"), json!(note)]);
    }
    context.show(&table)?;
    Ok(if prepared.notes.is_empty() { Exit::Done } else { Exit::Findings })
}
