//! `keys list`: which keys there are: customers' and the vendor's, those of logs, the keyring's own generation.
//! Not here: keys themselves; nothing secret is shown. What is wrong with them says `keys doctor`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::kept::{Hand, hand};
use crate::audit::checkpoint::SigningKey;
use crate::audit::keys::{Part, Recipient};
use crate::cli::context::moment;
use crate::cli::{Context, Failure, Table};
use crate::clock::{Clock, SystemClock};
use crate::keyring::{Slot, init, pinned};
use crate::retention::by_age::{self, ByAge};

/// A row per key.
pub(super) async fn list(context: &Context) -> Result<Table, Failure> {
    let (generation, held, destroyed) = match hand(context).await? {
        Hand::Client(client) => {
            let (generation, held) = client.held().await?;
            (generation, held, client.destroyed().await?)
        }
        Hand::File(kept) => {
            let keyring = kept.keyring();
            let gone = keyring.destroyed().iter().map(|gone| (gone.recipient, gone.part, gone.period)).collect();
            (kept.generation(), keyring.held(None).collect(), gone)
        }
    };
    let mut table = Table::new(&["kind", "of", "part", "period", "state", "until"]);
    table.row(["kek".into(), "keyring".into(), Value::Null, generation.into(), "in use".into(), Value::Null]);
    logs(context, &mut table)?;
    let name = names(context);
    let now = SystemClock.now();
    for Slot { recipient, part, period } in held {
        let state = match period.cmp(&recipient.period(now)) {
            std::cmp::Ordering::Less => "past",
            std::cmp::Ordering::Equal => "in use",
            std::cmp::Ordering::Greater => "next",
        };
        let until = until(context, recipient, part, period);
        table.row(["records".into(), name(recipient).into(), word(part), period.into(), state.into(), until]);
    }
    let destroyed: BTreeSet<(Recipient, Part, Option<u32>)> = destroyed.into_iter().collect();
    for (recipient, part, period) in destroyed {
        let period = period.map_or_else(|| "all".into(), Value::from);
        table.row(["records".into(), name(recipient).into(), word(part), period, "destroyed".into(), Value::Null]);
    }
    Ok(table)
}

/// The keys that sign logs: each writer's, and those of its logs that ended.
fn logs(context: &Context, table: &mut Table) -> Result<(), Failure> {
    let public_key = &context.config.keyring.public_key;
    for (writer, secret) in super::writers(context)? {
        let current = match init::read_seed(&secret) {
            Ok(seed) => Some(pinned::log_name(public_key, &writer, &SigningKey::from_seed(&seed).public())?),
            Err(error) => {
                tracing::debug!(%error, "which log a writer writes is not known");
                None
            }
        };
        for name in pinned::log_names(public_key, &writer)? {
            let state = match &current {
                None => "its secret is not readable here",
                Some(current) if *current == name => "in use",
                Some(_) => "ended",
            };
            table.row(["log".into(), name.into(), Value::Null, Value::Null, state.into(), Value::Null]);
        }
    }
    Ok(())
}

/// Customers by name, where the register can be read.
fn names(context: &Context) -> impl Fn(Recipient) -> String {
    let state = context.state().ok();
    move |recipient| {
        let named = || Some(state.as_ref()?.customer(recipient.customer()?)?.name.clone());
        named().unwrap_or_else(|| recipient.to_string())
    }
}

/// From when on a key is destroyed for its age, as the vendor's are.
fn until(context: &Context, recipient: Recipient, part: Part, period: u32) -> Value {
    match recipient {
        Recipient::Vendor => by_age::ends(period, term(context, part)).map_or(Value::Null, moment),
        Recipient::Customer(_) => Value::Null,
    }
}

/// How long after its month that part of records of no customer is kept.
pub(super) fn term(context: &Context, part: Part) -> Duration {
    let ByAge { values_after, skeleton_after } = context.config.audit.vendor;
    match part {
        Part::Values => values_after,
        Part::Skeleton => skeleton_after,
    }
}

fn word(part: Part) -> Value {
    part.to_string().into()
}
