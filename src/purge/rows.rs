//! One step of a purge: the rows of one table in batches. A cursor that outlives its transaction lists where the
//! customer's rows lie; each batch deletes rows by place AND by customer, and commits its count with them.
//! Not here: the order of steps and what surrounds them (`run.rs`).

use std::time::Instant;

use super::patience::{Go, ROWS_MIN, adapted};
use super::{Connection, Control, Error, Event, Pace, Pause};
use crate::datamap::TableName;
use crate::datamap::name::{identifiers, literal};
use crate::datamap::plan::{Action, Plan, Step};

/// How often a batch is tried that a lock or a deadlock stopped.
const TRIES: u32 = 60;

/// How a step ended, for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// No row is left.
    Clean,
    /// Something still points to rows that are left; another pass may help.
    Stuck,
    /// Told to stop.
    Stopped,
}

/// Steps of one purge on one connection.
pub(super) struct Batches<'a, 'b> {
    pub(super) connection: &'a mut Connection,
    pub(super) purge: &'a str,
    pub(super) plan: &'a Plan,
    pub(super) pace: &'a Pace,
    pub(super) control: &'a mut Control<'b>,
    /// The size of the next batch.
    pub(super) rows: u64,
}

impl Batches<'_, '_> {
    /// All rows of step `number`.
    pub(super) async fn step(&mut self, number: usize, step: &Step) -> Result<Ended, Error> {
        let mut ended = Ended::Clean;
        for leaf in &step.leaves {
            match self.leaf(number, step, leaf).await? {
                Ended::Clean => {}
                Ended::Stuck => ended = Ended::Stuck,
                Ended::Stopped => return Ok(Ended::Stopped),
            }
        }
        Ok(ended)
    }

    /// Lists and deletes until the list is empty: rows that were updated meanwhile have moved.
    async fn leaf(&mut self, number: usize, step: &Step, leaf: &TableName) -> Result<Ended, Error> {
        loop {
            let declare = format!(
                "declare portreeve_rows no scroll cursor with hold for select t.ctid::text from only {} t where {}",
                leaf.sql(),
                wanted(step)
            );
            self.connection.run(&declare).await?;
            let round = self.round(number, step, leaf).await;
            let (listed, done) = match round {
                Ok(counts) => counts,
                // the connection may be gone with the cursor; the first error is the one to tell
                Err(error) => return Err(error),
            };
            self.connection.run("close portreeve_rows").await?;
            match (listed, done) {
                (None, _) => return Ok(Ended::Stopped),
                (Some(0), _) => return Ok(Ended::Clean),
                (Some(_), 0) => return Ok(Ended::Stuck),
                (Some(_), _) => {}
            }
        }
    }

    /// How many rows were listed (`None` if told to stop) and how many done.
    async fn round(&mut self, number: usize, step: &Step, leaf: &TableName) -> Result<(Option<u64>, u64), Error> {
        let (mut listed, mut done) = (0, 0);
        loop {
            let rows = match self.control.clear(self.connection, self.pace).await? {
                Go::On => self.rows,
                Go::Gently => ROWS_MIN.min(self.rows),
                Go::Stop => return Ok((None, done)),
            };
            let places = self.connection.texts(&format!("fetch forward {rows} from portreeve_rows")).await?;
            let places: Vec<String> = places.into_iter().flatten().flatten().collect();
            if places.is_empty() {
                return Ok((Some(listed), done));
            }
            listed += u64::try_from(places.len()).unwrap_or(0);
            let began = Instant::now();
            let Some(gone) = self.batch(number, step, leaf, &places).await? else {
                return Ok((None, done));
            };
            let took = began.elapsed();
            done += gone;
            self.rows = adapted(rows, took, self.pace);
            (self.control.tell)(&Event::Batch { step: number, table: step.table.clone(), rows: gone });
            self.control.rest(took * self.pace.rest_percent / 100).await;
        }
    }

    /// One transaction; `None` if told to stop while it waited. Rows something points to stay, and count as not done.
    async fn batch(
        &mut self,
        number: usize,
        step: &Step,
        leaf: &TableName,
        places: &[String],
    ) -> Result<Option<u64>, Error> {
        let places: Vec<String> = places.iter().map(|place| format!("\"{place}\"")).collect();
        let here = format!("t.ctid = any ('{{{}}}'::tid[])", places.join(","));
        for attempt in 1.. {
            match self.once(number, step, leaf, &here).await {
                Err(Error::Database { sqlstate, .. }) if sqlstate == "23503" => return Ok(Some(0)),
                Err(error) if error.is_passing() && attempt < TRIES => {
                    (self.control.tell)(&Event::Paused(Pause::Locked));
                    self.rows = ROWS_MIN.min(self.pace.rows_max);
                    self.control.rest(self.pace.batch).await;
                    if *self.control.stop.borrow() {
                        return Ok(None);
                    }
                }
                done => return done.map(Some),
            }
        }
        Ok(None)
    }

    async fn once(&mut self, number: usize, step: &Step, leaf: &TableName, here: &str) -> Result<u64, Error> {
        // "is true" keeps the customer's condition a filter of rows found by place: through its index, every batch would
        // read all rows of the customer again, the dead ones of the batches before, too
        let rows = format!("{here} and ({}) is true", wanted(step));
        let act = act(step, leaf, &rows);
        if step.guards.is_empty() && step.large_objects.is_empty() {
            return self.connection.number(&counted(self.purge, number, &act, 0)).await;
        }
        let database = self.connection.database().to_owned();
        let transaction =
            self.connection.client.transaction().await.map_err(|error| Error::database(&database, error))?;
        let failed = |error| Error::database(&database, error);
        // locked first: from here on nobody can point a new row at one of these; what already does is seen below
        if !step.guards.is_empty() {
            let lock = format!("select 1 from only {} t where {rows} for update", leaf.sql());
            transaction.query_typed(&lock, &[]).await.map_err(failed)?;
        }
        let mut unlinked = 0;
        if step.action == Action::Delete && !step.large_objects.is_empty() {
            for sql in unlink(self.plan, step, leaf, &rows) {
                let answer = transaction.query_typed(&sql, &[]).await.map_err(failed)?;
                unlinked += answer.len();
            }
        }
        let answer =
            transaction.query_typed(&counted(self.purge, number, &act, unlinked), &[]).await.map_err(failed)?;
        let gone: i64 = answer.first().map_or(Ok(0), |row| row.try_get(0)).map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(u64::try_from(gone).unwrap_or(0))
    }
}

/// Which rows `t` a step acts on.
fn wanted(step: &Step) -> String {
    let mut conditions = vec![step.condition.clone()];
    conditions.extend(step.guards.iter().cloned());
    if let Action::Nullify(columns) = &step.action {
        conditions.push(format!("({}) is distinct from null", identifiers(columns)));
    }
    conditions.join(" and ")
}

fn act(step: &Step, leaf: &TableName, rows: &str) -> String {
    match &step.action {
        Action::Nullify(columns) => {
            let set: Vec<String> = columns.iter().map(|column| format!("{} = null", identifiers([column]))).collect();
            format!("update only {} t set {} where {rows} returning 1", leaf.sql(), set.join(", "))
        }
        Action::Delete | Action::Together(_) => format!("delete from only {} t where {rows} returning 1", leaf.sql()),
    }
}

/// The act and its count in one statement: both are committed, or neither.
pub(super) fn counted(purge: &str, number: usize, act: &str, unlinked: usize) -> String {
    format!(
        "with gone as ({act}), counted as (select count(*) as rows from gone)
         insert into portreeve.purge_steps as s (purge, step, rows, large_objects, batches)
         select {}, {number}, rows, {unlinked}, 1 from counted
         on conflict (purge, step) do update set rows = s.rows + excluded.rows, batches = s.batches + 1,
             large_objects = s.large_objects + excluded.large_objects
         returning (select rows from counted)",
        literal(purge)
    )
}

/// Unlinks the large objects that only these rows refer to; one row for each unlinked.
pub(super) fn unlink(plan: &Plan, step: &Step, leaf: &TableName, rows: &str) -> Vec<String> {
    let statements = step.large_objects.iter().map(|column| {
        let elsewhere: Vec<String> = plan
            .large_objects
            .iter()
            .map(|(table, other)| {
                let is_own = table == &step.table && other == column;
                let but = format!(
                    "and (x.tableoid, x.ctid) not in (select t.tableoid, t.ctid from only {} t where {rows})",
                    leaf.sql()
                );
                format!(
                    "not exists (select from {} x where x.{} = o.lo {})",
                    table.sql(),
                    identifiers([other]),
                    if is_own { but } else { String::new() }
                )
            })
            .collect();
        format!(
            "select lo_unlink(o.lo) from (select distinct t.{} as lo from only {} t where {rows}) o
             where o.lo in (select m.oid from pg_largeobject_metadata m) and {}",
            identifiers([column]),
            leaf.sql(),
            elsewhere.join(" and ")
        )
    });
    statements.collect()
}
