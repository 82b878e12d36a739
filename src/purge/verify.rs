//! Verifies a purge: no row, no orphan, no large object nobody refers to, nothing in statistics or statements, no needle
//! anywhere; and says how far that reaches. Counts only, ready for a certificate.
//! Not here: snapshots and replicas; files below SQL, but for the scrub that rewrites them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::needles::Needles;
use super::patience::insist;
use super::probe::{Probed, probe};
use super::run::{left, unreferenced};
use super::{Connection, Error, OURS, catalog, statements, tombstone};
use crate::datamap::TableName;
use crate::datamap::name::literal;
use crate::datamap::plan::Plan;

/// Whether files are rewritten, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scrub {
    /// Freed space stays in the files until it is used again.
    #[default]
    None,
    /// VACUUM FULL of every table of the plan and of `pg_statistic`: each is locked meanwhile.
    VacuumFull,
}

/// How far the absence reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// No row of the plan's tables, no new orphan.
    L0,
    /// No trace that SQL shows: dead rows vacuumed, statistics and statements clean, no needle in any table.
    L1,
    /// The tables' files are rewritten. WAL, replicas and snapshots are other matters.
    L2,
}

/// What was found. No personal data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Tables with rows left.
    pub rows_left: Vec<(TableName, u64)>,
    /// Tables whose orphans have become more, and how many more.
    pub orphans: Vec<(TableName, u64)>,
    /// Large objects that nothing refers to and that something referred to before.
    pub large_objects: u64,
    /// Rows of statistics with a needle, of columns alone or together.
    pub statistics: u64,
    /// Tables whose statistics the role may not see all of.
    pub statistics_unread: Vec<String>,
    /// Remembered statements with a needle; they were taken out.
    pub statements: u64,
    /// Why statements could not be looked through, if so.
    pub statements_unread: Option<String>,
    /// The search through all tables.
    pub probed: Probed,
    /// What kept dead rows from being removed.
    pub blockers: Vec<String>,
    /// Tables that VACUUM or ANALYZE left out or warned of, with the server's words.
    pub unvacuumed: Vec<String>,
    /// Tables whose files were to be rewritten and are the same as before.
    pub unwritten: Vec<String>,
    /// Whether files were to be rewritten.
    pub scrub: Scrub,
}

impl Verified {
    /// The level reached; `None` if anything of the customer is left.
    pub fn level(&self) -> Option<Level> {
        if !self.rows_left.is_empty() || !self.orphans.is_empty() {
            return None;
        }
        let is_clean = self.large_objects == 0
            && self.statistics == 0
            && self.statistics_unread.is_empty()
            && self.statements_unread.is_none()
            && self.probed.needles > 0
            && self.probed.found.is_empty()
            && self.blockers.is_empty()
            && self.unvacuumed.is_empty();
        let is_scrubbed = self.scrub == Scrub::VacuumFull && self.unwritten.is_empty();
        Some(match (is_clean, is_scrubbed) {
            (true, true) => Level::L2,
            (true, false) => Level::L1,
            (false, _) => Level::L0,
        })
    }
}

/// Vacuums, then looks everywhere.
///
/// # Errors
/// [`Error::Refused`] if the purge is not finished; [`Error::Database`].
pub async fn verify(
    connection: &mut Connection,
    plan: &Plan,
    purge: &str,
    needles: &Needles,
    scrub: Scrub,
) -> Result<Verified, Error> {
    let (baseline, xid) = finished(connection, purge).await?;
    let blockers = blockers(connection, &xid).await?;
    let (unvacuumed, unwritten) = vacuum(connection, plan, scrub).await?;
    let (statements, statements_unread) = statements::take_out(connection, needles).await?;
    let catalog = catalog(connection).await?;
    let mut verified = Verified {
        rows_left: left(connection, plan).await?,
        statistics: statistics(connection, needles).await?,
        statistics_unread: hidden(connection).await?,
        statements,
        statements_unread,
        blockers,
        unvacuumed,
        unwritten,
        scrub,
        probed: probe(connection, &catalog, needles).await?,
        ..Verified::default()
    };
    let before = |key: &str| baseline.get(key).and_then(Value::as_u64).unwrap_or(0);
    for orphans in &plan.orphans {
        let more = connection.number(&orphans.sql).await?.saturating_sub(before(&orphans.table.to_string()));
        if more > 0 {
            verified.orphans.push((orphans.table.clone(), more));
        }
    }
    verified.large_objects = connection.number(&unreferenced(plan)).await?.saturating_sub(before("large_objects"));
    Ok(verified)
}

/// What the second look finds, a day and a week later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recheck {
    /// Tables to which rows have come back.
    pub rows_back: Vec<(TableName, u64)>,
    /// Tables whose write fence is gone.
    pub unfenced: Vec<String>,
}

/// Looks again whether rows came back, and whether the fence still stands.
///
/// # Errors
/// [`Error::Database`].
pub async fn recheck(connection: &Connection, plan: &Plan) -> Result<Recheck, Error> {
    let unfenced = tombstone::missing(connection, &plan.fences).await?.into_iter().map(|(table, _)| table);
    let mut unfenced: Vec<String> = unfenced.collect();
    let stone = format!("select count(*) from portreeve.tombstones where customer = {}", literal(&plan.customer));
    if connection.number(&stone).await? == 0 {
        unfenced.push("portreeve.tombstones".to_owned());
    }
    Ok(Recheck { rows_back: left(connection, plan).await?, unfenced })
}

async fn finished(connection: &Connection, purge: &str) -> Result<(Value, String), Error> {
    let sql = format!("select baseline, finished_xid from portreeve.purges where purge = {}", literal(purge));
    let mut row = connection.texts(&sql).await?.into_iter().next().unwrap_or_default().into_iter();
    let (baseline, xid) = (row.next().flatten(), row.next().flatten());
    let baseline = baseline.and_then(|text| serde_json::from_str(&text).ok());
    match (baseline, xid) {
        (Some(baseline), Some(xid)) => Ok((baseline, xid)),
        _ => Err(Error::Refused(format!("purge {purge} is not finished: there is nothing to verify"))),
    }
}

/// Whoever may still see the rows keeps VACUUM from removing them.
async fn blockers(connection: &Connection, xid: &str) -> Result<Vec<String>, Error> {
    let sql = format!(
        "with last as (select age({xid}::text::xid) as age)
         select format('session %s (%s) has had a transaction open since before the end of the purge', pid, usename)
         from pg_stat_activity, last where backend_xmin is not null and pid <> pg_backend_pid() and age(backend_xmin) >= last.age
         union all select format('replication slot %s holds back old rows', slot_name) from pg_replication_slots, last
         where greatest(age(xmin), age(catalog_xmin)) >= last.age
         union all select format('prepared transaction %s', gid) from pg_prepared_xacts, last where age(transaction) >= last.age",
        xid = literal(xid)
    );
    Ok(connection.texts(&sql).await?.into_iter().flatten().flatten().collect())
}

/// Vacuums the plan's tables; those that the server warned of, and those whose files were to be rewritten and were not.
/// A role without the right is answered with a warning, not with an error.
async fn vacuum(connection: &Connection, plan: &Plan, scrub: Scrub) -> Result<(Vec<String>, Vec<String>), Error> {
    let tables: BTreeSet<&TableName> = plan.steps.iter().map(|step| &step.table).collect();
    let leaves: BTreeSet<&TableName> = plan.steps.iter().flat_map(|step| &step.leaves).collect();
    let (mut unvacuumed, mut unwritten) = (Vec::new(), Vec::new());
    for leaf in &leaves {
        match scrub {
            Scrub::None => {
                let vacuum = format!("vacuum (analyze, index_cleanup on, truncate off) {}", leaf.sql());
                unvacuumed.extend(warned(connection, &vacuum).await?);
            }
            Scrub::VacuumFull => {
                let (warnings, is_new) = rewritten(connection, "full, analyze", &leaf.sql()).await?;
                unvacuumed.extend(warnings);
                unwritten.extend((!is_new).then(|| leaf.to_string()));
            }
        }
    }
    for table in tables.into_iter().filter(|table| !leaves.contains(table)).chain(&plan.refresh) {
        unvacuumed.extend(warned(connection, &format!("analyze {}", table.sql())).await?);
    }
    if scrub == Scrub::VacuumFull {
        for shared in ["pg_catalog.pg_statistic", "pg_catalog.pg_largeobject"] {
            let (_, is_new) = rewritten(connection, "full", shared).await?;
            unwritten.extend((!is_new).then(|| shared.to_owned()));
        }
    }
    Ok((unvacuumed, unwritten))
}

/// Runs it; what the server warned of meanwhile.
async fn warned(connection: &Connection, sql: &str) -> Result<Vec<String>, Error> {
    connection.warnings();
    insist(connection, sql, &mut |_| {}).await?;
    Ok(connection.warnings())
}

/// Rewrites a table; what the server warned of, and whether it stands in another file now.
async fn rewritten(connection: &Connection, how: &str, table: &str) -> Result<(Vec<String>, bool), Error> {
    let file = format!("select pg_relation_filenode({}::regclass)::int8", literal(table));
    let before = connection.number(&file).await?;
    let warnings = warned(connection, &format!("vacuum ({how}) {table}")).await?;
    Ok((warnings, connection.number(&file).await? != before))
}

/// Values in statistics of columns, of expressions, and of columns together.
const STATISTICS: &str = "
select concat_ws(' ', most_common_vals::text, histogram_bounds::text, most_common_elems::text)
from pg_stats where schemaname !~ '^pg_' and schemaname <> 'information_schema'
union all select concat_ws(' ', most_common_vals::text, histogram_bounds::text, most_common_elems::text)
from pg_stats_ext_exprs where schemaname !~ '^pg_' and schemaname <> 'information_schema'
union all select most_common_vals::text
from pg_stats_ext where schemaname !~ '^pg_' and schemaname <> 'information_schema'";

/// Tables whose statistics those views hide, in part or all: a column that may not be read, row security, or statistics
/// that only the owner sees (of an index's expressions, of columns together).
const HIDDEN: &str = "
select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and (exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
               and not has_column_privilege(c.oid, a.attnum, 'select'))
    or c.relrowsecurity and row_security_active(c.oid)
    or not pg_has_role(c.relowner, 'usage')
       and (exists (select from pg_statistic_ext s where s.stxrelid = c.oid)
         or exists (select from pg_index i where i.indrelid = c.oid and i.indexprs is not null)))";

async fn statistics(connection: &Connection, needles: &Needles) -> Result<u64, Error> {
    let rows = connection.texts(STATISTICS).await?;
    let hit = rows.iter().flatten().flatten().filter(|text| needles.count_in(text.as_bytes()) > 0);
    Ok(u64::try_from(hit.count()).unwrap_or(u64::MAX))
}

async fn hidden(connection: &Connection) -> Result<Vec<String>, Error> {
    let hidden: Vec<String> = connection
        .texts(&format!("{HIDDEN} and not {OURS} order by 1"))
        .await?
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    if !hidden.is_empty() {
        let tables = hidden.join(", ");
        tracing::warn!(
            tables,
            "statistics of these tables are hidden from the maintenance role and were not looked at"
        );
    }
    Ok(hidden)
}
