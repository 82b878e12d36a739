//! The purge of a customer that goes as a whole, a database or a schema, and what may be said of it afterwards.
//! Not here: dropping (`purge/`), and rows in shared tables (`purge.rs`).

use std::collections::BTreeMap;

use super::kept::{Found, Kept};
use super::purge::name;
use super::{Error, World};
use crate::grant::{Closure, Customer};
use crate::purge::{self as purging, Control, Event, SchemaOutcome, SchemaTarget, Target};
use crate::retention::closure::Dates;

impl World {
    pub(super) async fn purge_schema(
        &self,
        customer: &Customer,
        closure: &Closure,
        kept: &Kept,
        dates: &Dates,
    ) -> Result<Found, Error> {
        let Some((schema, oid)) = kept.database.clone() else {
            let message = "the notes of the plan are lost, so that it is not known which schema was meant: bring the \
                           daemon's folder back from a copy";
            return Err(Error::Refused(message.to_owned()));
        };
        let road = self.planned_road(customer, kept)?;
        let target = SchemaTarget { database: customer.database.clone(), name: schema, oid };
        // whoever is killed between its tables knows fewer of them
        let shared = purging::shared_large_objects(&road.connect(&target.database).await?, &target).await?;
        let shared = shared.max(kept.large_objects_shared);
        let kept = &Kept { large_objects_shared: shared, ..kept.clone() };
        self.keep(customer.id, kept)?;
        let may_run = || self.may_purge(closure, dates);
        let mut tell = |event: &Event| tracing::info!(customer = %customer.id, ?event, "the purge of a schema");
        let mut control = Control { may_run: &may_run, stop: self.stop.clone(), tell: &mut tell };
        let dropped = match purging::drop_schema(&road, &target, &self.pace, &mut control).await? {
            SchemaOutcome::Done(dropped) => dropped,
            SchemaOutcome::Stopped => return Err(Error::Stopped),
        };
        let connection = road.connect(&target.database).await?;
        if purging::has_schema(&connection, &target.name).await? {
            return Err(Error::Refused(format!("a schema \"{}\" is there again; it was not dropped", target.name)));
        }
        let (position, replicas) = self.replayed(customer, &connection).await?;
        let mut found = whole(customer, closure, kept, (position, replicas));
        found.report.extend(not_by_us("schema", dropped.was_there));
        if !dropped.was_there {
            let message = "large objects that its tables referred to may remain in the database: nobody knows which";
            found.report.push(message.to_owned());
        }
        found.report.push("the schema and its tables' files are gone; their blocks are not overwritten".to_owned());
        let shared = shared.max(dropped.large_objects_shared);
        if shared > 0 {
            found.report.push(format!("{shared} large objects stay: tables outside the schema refer to them, too"));
        }
        found.report.extend(dropped.statements_unread.map(|unread| format!("level 0: {unread}")));
        Ok(found)
    }

    pub(super) async fn purge_database(
        &self,
        customer: &Customer,
        closure: &Closure,
        kept: &Kept,
    ) -> Result<Found, Error> {
        let maintenance_database = &self.upstream(customer)?.maintenance_database;
        let road = self.planned_road(customer, kept)?;
        let Some((database, oid)) = kept.database.clone() else {
            let message = "the notes of the plan are lost, so that it is not known which database was meant: bring \
                           the daemon's folder back from a copy";
            return Err(Error::Refused(message.to_owned()));
        };
        let target = Target { name: database, oid };
        let dropped = purging::drop_database(&road, maintenance_database, &target).await?;
        let connection = road.connect(maintenance_database).await?;
        if purging::is_there(&connection, &target.name).await? {
            return Err(Error::Refused(format!("a database \"{}\" is there again; it was not dropped", target.name)));
        }
        let (position, replicas) = self.replayed(customer, &connection).await?;
        let mut found = whole(customer, closure, kept, (position, replicas));
        found.report.extend(not_by_us("database", dropped.was_there));
        found.report.push("the database and its files are gone; their blocks are not overwritten".to_owned());
        if dropped.statements_gone == Some(false) {
            found.report.push("level 0: pg_stat_statements may still remember statements of it".to_owned());
        }
        Ok(found)
    }
}

/// What is found of a customer that went as a whole: nothing was looked for elsewhere, so that no level is claimed above
/// that it is gone.
fn whole(
    customer: &Customer,
    closure: &Closure,
    kept: &Kept,
    (position, replicas): (String, Vec<(String, i64)>),
) -> Found {
    let mut found = Found { level: 0, position, replicas, ..Found::default() };
    found.runs.insert(name(customer, closure), kept.planned.iter().cloned().collect::<BTreeMap<_, _>>());
    found.report.push("level 0: no known value was looked for in what else is on the server".to_owned());
    found
}

/// What must be said of something that was not there when it was to be dropped.
fn not_by_us(what: &str, was_there: bool) -> Option<String> {
    let message = "was gone before: by a run of this purge that was killed, or by somebody else; the rows that are said \
                   to be deleted are those that the plan counted";
    (!was_there).then(|| format!("the {what} {message}"))
}
