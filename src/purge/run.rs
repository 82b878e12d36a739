//! A purge in shared tables from beginning to end: one at a time, under the write fence, asked before, in passes until
//! nothing is left. What was committed is counted in the database, so that a purge killed anywhere goes on exactly.
//! Not here: one step (`rows.rs`) and what is verified afterwards (`verify.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::patience::{Go, insist};
use super::rows::{Batches, Ended, counted, unlink};
use super::{Connection, Control, Error, Event, Pace, Road, catalog, tombstone};
use crate::datamap::name::{identifier, identifiers, literal};
use crate::datamap::plan::{Action, Plan, Step, plan};
use crate::datamap::{DataMap, TableName};

/// How often all steps are gone through before it is said that rows come back.
const PASSES: usize = 5;
/// How long to wait for a killed predecessor's backend to notice.
const ALONE_TRIES: u32 = 40;
const ALONE_AGAIN: Duration = Duration::from_millis(250);

/// A purge to be done, or to go on with.
pub struct Purge<'a> {
    /// Where.
    pub road: &'a Road,
    /// In which database.
    pub database: &'a str,
    /// Its name: the same again to go on after a kill.
    pub id: &'a str,
    /// Purges of the same rows that were begun before by other plans: what was so before them is what it was.
    pub before: &'a [String],
    /// The data map.
    pub map: &'a DataMap,
    /// The customer's key.
    pub customer: &'a str,
    /// The digest of the plan that was approved.
    pub digest: &'a str,
    /// How hard it may press.
    pub pace: Pace,
}

/// What went from one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Which table.
    pub table: TableName,
    /// Rows deleted, over all runs.
    pub rows: u64,
    /// Rows in which a key was made null.
    pub nullified: u64,
    /// Large objects removed.
    pub large_objects: u64,
}

/// How it ended. Counts only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing of the customer is left in the plan's tables.
    Done(Vec<Gone>),
    /// Told to stop; what is counted is committed.
    Stopped(Vec<Gone>),
}

impl Purge<'_> {
    /// Does it. Dropping the future is as safe as killing the process.
    ///
    /// # Errors
    /// [`Error::Refused`] if the plan is stale, another purge runs, or rows of other customers point at the rows;
    /// [`Error::Database`].
    pub async fn run(&self, control: &mut Control<'_>) -> Result<Outcome, Error> {
        let mut connection = self.road.connect(self.database).await?;
        alone(&connection, self.id).await?;
        let plan = self.fresh_plan(&connection).await?;
        // places are sorted and near each other, which the planner does not know
        connection.run(&format!("set search_path = {}; set random_page_cost = 0.1", self.schemas())).await?;
        if !begun(&connection, self.id, self.digest).await? {
            tombstone::raise(&connection, &plan, self.id, control.tell).await?;
            ask(&connection, &plan).await?;
            begin(&connection, &plan, self).await?;
        } else {
            tombstone::raise(&connection, &plan, self.id, control.tell).await?;
        }
        for pass in 1..=PASSES {
            (control.tell)(&Event::Pass(pass));
            let stopped = self.pass(&mut connection, &plan, control).await?;
            if stopped {
                return Ok(Outcome::Stopped(gone(&connection, &plan, self.id).await?));
            }
            if left(&connection, &plan).await?.is_empty() {
                finish(&connection, &plan, self.id).await?;
                return Ok(Outcome::Done(gone(&connection, &plan, self.id).await?));
            }
            // in the first pass nothing was asked since the start; rows may point here that did not then
            ask(&connection, &plan).await?;
        }
        let left = left(&connection, &plan).await?;
        let left: Vec<String> = left.iter().map(|(table, rows)| format!("{table}: {rows}")).collect();
        Err(Error::Refused(format!(
            "rows are left after {PASSES} passes ({}): something writes them again or points at them; see the triggers \
             and unfenced tables of the plan",
            left.join(", ")
        )))
    }

    /// Where the application's triggers find their tables, which seldom say their schema; the catalog comes first.
    fn schemas(&self) -> String {
        let schemas: BTreeSet<&String> = self.map.tables.keys().map(|table| &table.schema).collect();
        format!("pg_catalog, public, {}", identifiers(schemas))
    }

    /// The plan as the catalog is now; it must be the approved one.
    async fn fresh_plan(&self, connection: &Connection) -> Result<Plan, Error> {
        let catalog = catalog(connection).await?;
        let plan = plan(self.map, &catalog, self.customer)
            .map_err(|refused| Error::Refused(format!("the purge is refused: {}", refused.join("; "))))?;
        if plan.digest() != self.digest {
            return Err(Error::Refused(
                "the plan is stale: data map or catalog have changed since it was approved; plan again".to_owned(),
            ));
        }
        Ok(plan)
    }

    /// All steps once; whether it was told to stop.
    async fn pass(&self, connection: &mut Connection, plan: &Plan, control: &mut Control<'_>) -> Result<bool, Error> {
        let mut together = BTreeSet::new();
        let mut rows = self.pace.rows_first;
        for (number, step) in plan.steps.iter().enumerate() {
            if let Action::Together(group) = step.action {
                if together.insert(group) && self.together(connection, plan, group, control).await? == Go::Stop {
                    return Ok(true);
                }
                continue;
            }
            let mut batches = Batches { connection, purge: self.id, plan, pace: &self.pace, control, rows };
            let ended = batches.step(number, step).await?;
            rows = batches.rows;
            match ended {
                Ended::Clean => (control.tell)(&Event::Step { step: number, table: step.table.clone() }),
                Ended::Stuck => {}
                Ended::Stopped => return Ok(true),
            }
        }
        Ok(false)
    }

    /// A circle of tables in one transaction whose checks wait for its end, unless it was told to stop before.
    async fn together(
        &self,
        connection: &mut Connection,
        plan: &Plan,
        group: usize,
        control: &mut Control<'_>,
    ) -> Result<Go, Error> {
        if control.clear(connection, &self.pace).await? == Go::Stop {
            return Ok(Go::Stop);
        }
        let database = connection.database().to_owned();
        let failed = |error| Error::database(&database, error);
        let transaction = connection.client.transaction().await.map_err(failed)?;
        transaction.batch_execute("set constraints all deferred").await.map_err(failed)?;
        let mut events = Vec::new();
        let steps = plan.steps.iter().enumerate().filter(|(_, step)| step.action == Action::Together(group));
        for (number, step) in steps {
            for leaf in &step.leaves {
                let mut unlinked = 0;
                for sql in unlink(plan, step, leaf, &step.condition) {
                    unlinked += transaction.query_typed(&sql, &[]).await.map_err(failed)?.len();
                }
                let act = format!("delete from only {} t where {} returning 1", leaf.sql(), step.condition);
                let sql = counted(self.id, number, &act, unlinked);
                let answer = transaction.query_typed(&sql, &[]).await.map_err(failed)?;
                let gone: i64 = answer.first().map_or(Ok(0), |row| row.try_get(0)).map_err(failed)?;
                let rows = u64::try_from(gone).unwrap_or(0);
                events.push(Event::Batch { step: number, table: step.table.clone(), rows });
            }
        }
        transaction.commit().await.map_err(failed)?;
        events.iter().for_each(|event| (control.tell)(event));
        Ok(Go::On)
    }
}

/// A lock of the session on this purge's name: two daemons, or a killed one whose backend has not noticed yet.
async fn alone(connection: &Connection, id: &str) -> Result<(), Error> {
    let sql = format!(
        "select count(*) from (select pg_try_advisory_lock(hashtextextended({}, 0)) as got) l where got",
        literal(&format!("portreeve purge {id}"))
    );
    for _ in 0..ALONE_TRIES {
        if connection.number(&sql).await? == 1 {
            return Ok(());
        }
        tokio::time::sleep(ALONE_AGAIN).await;
    }
    Err(Error::Refused(format!("another process is at purge {id} already")))
}

/// Whether this purge was begun before; then it must have been with the same plan.
async fn begun(connection: &Connection, id: &str, digest: &str) -> Result<bool, Error> {
    let rows = connection.texts(&format!("select digest from portreeve.purges where purge = {}", literal(id))).await?;
    match rows.into_iter().flatten().flatten().next() {
        None => Ok(false),
        Some(known) if known == digest => Ok(true),
        Some(_) => Err(Error::Refused(format!("purge {id} was begun with another plan; give this one its own name"))),
    }
}

/// Refuses while rows of others point at what is to go.
async fn ask(connection: &Connection, plan: &Plan) -> Result<(), Error> {
    let mut strangers = Vec::new();
    for probe in &plan.probes {
        for row in connection.rows(&probe.sql).await? {
            let failed = |error| connection.failed(error);
            let (count, whose): (i64, Vec<Option<String>>) =
                (row.try_get(0).map_err(failed)?, row.try_get::<_, Option<_>>(1).map_err(failed)?.unwrap_or_default());
            if count > 0 {
                let whose: Vec<String> = whose.into_iter().flatten().collect();
                let whose = if whose.is_empty() { String::new() } else { format!(" (customers {})", whose.join(", ")) };
                strangers.push(format!(
                    "{count} rows of others in {}{whose} point to the customer's rows of {} ({})",
                    probe.child, probe.parent, probe.constraint
                ));
            }
        }
    }
    if strangers.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(format!("{}: mend these rows first; they are not this customer's", strangers.join("; "))))
}

async fn begin(connection: &Connection, plan: &Plan, purge: &Purge<'_>) -> Result<(), Error> {
    let mut baseline = serde_json::Map::new();
    for orphans in &plan.orphans {
        baseline.insert(orphans.table.to_string(), connection.number(&orphans.sql).await?.into());
    }
    baseline.insert("large_objects".to_owned(), connection.number(&unreferenced(plan)).await?.into());
    for before in purge.before {
        let sql =
            format!("select baseline from portreeve.purges where purge = {} and finished_at is null", literal(before));
        let known = connection.texts(&sql).await?.into_iter().flatten().flatten().next();
        let known: serde_json::Map<String, Value> =
            known.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        for (what, count) in known {
            let now = baseline.get(&what).and_then(Value::as_u64).unwrap_or(u64::MAX);
            baseline.insert(what, count.as_u64().unwrap_or(u64::MAX).min(now).into());
        }
    }
    let sql = format!(
        "insert into portreeve.purges (purge, digest, baseline) values ({}, {}, {}::jsonb) on conflict do nothing",
        literal(purge.id),
        literal(purge.digest),
        literal(&Value::Object(baseline).to_string())
    );
    connection.run(&sql).await
}

/// What a purge deleted so far, by the tables of its steps; of one that never began, nothing.
///
/// # Errors
/// [`Error::Database`].
pub async fn deleted(
    connection: &Connection,
    id: &str,
    steps: &[Option<String>],
) -> Result<BTreeMap<String, u64>, Error> {
    let mut deleted = BTreeMap::new();
    let sql = format!("select step, rows from portreeve.purge_steps where purge = {}", literal(id));
    for row in connection.rows(&sql).await? {
        let failed = |error| connection.failed(error);
        let (number, rows): (i32, i64) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        let table = usize::try_from(number).ok().and_then(|number| steps.get(number)?.clone());
        if let Some(table) = table {
            *deleted.entry(table).or_default() += u64::try_from(rows).unwrap_or(0);
        }
    }
    Ok(deleted)
}

/// Counts large objects that no column of the data map refers to.
pub(super) fn unreferenced(plan: &Plan) -> String {
    let referred = plan.large_objects.iter().map(|(table, column)| {
        format!("and not exists (select from {} x where x.{} = m.oid)", table.sql(), identifier(column))
    });
    format!("select count(*) from pg_largeobject_metadata m where true {}", referred.collect::<Vec<_>>().join(" "))
}

/// Tables of the plan that still have rows of the customer.
pub(super) async fn left(connection: &Connection, plan: &Plan) -> Result<Vec<(TableName, u64)>, Error> {
    let mut left = Vec::new();
    for step in plan.counted() {
        let Step { table, condition, .. } = step;
        let rows = connection.number(&format!("select count(*) from {} t where {condition}", table.sql())).await?;
        if rows > 0 {
            left.push((table.clone(), rows));
        }
    }
    Ok(left)
}

async fn finish(connection: &Connection, plan: &Plan, id: &str) -> Result<(), Error> {
    for view in &plan.refresh {
        insist(connection, &format!("refresh materialized view {}", view.sql()), &mut |_| {}).await?;
    }
    let sql = format!(
        "update portreeve.purges set finished_at = now(), finished_xid = pg_current_xact_id()::xid::text
         where purge = {} and finished_at is null",
        literal(id)
    );
    connection.run(&sql).await
}

/// What is counted so far, by table.
pub(super) async fn gone(connection: &Connection, plan: &Plan, id: &str) -> Result<Vec<Gone>, Error> {
    let sql = format!("select step, rows, large_objects from portreeve.purge_steps where purge = {}", literal(id));
    let mut by_table: BTreeMap<TableName, Gone> = BTreeMap::new();
    for step in &plan.steps {
        let table = step.table.clone();
        by_table.entry(table.clone()).or_insert(Gone { table, rows: 0, nullified: 0, large_objects: 0 });
    }
    for row in connection.rows(&sql).await? {
        let failed = |error| connection.failed(error);
        let number: i32 = row.try_get(0).map_err(failed)?;
        let (rows, objects): (i64, i64) = (row.try_get(1).map_err(failed)?, row.try_get(2).map_err(failed)?);
        let step = usize::try_from(number).ok().and_then(|number| plan.steps.get(number));
        let Some((step, gone)) = step.and_then(|step| Some((step, by_table.get_mut(&step.table)?))) else { continue };
        let rows = u64::try_from(rows).unwrap_or(0);
        match step.action {
            Action::Nullify(_) => gone.nullified += rows,
            Action::Delete | Action::Together(_) => gone.rows += rows,
        }
        gone.large_objects += u64::try_from(objects).unwrap_or(0);
    }
    Ok(by_table.into_values().collect())
}
