//! Reads a database's catalog in four queries; everything else happens in memory.
//! Not here: what it means (`datamap/`).

use std::collections::HashMap;

use super::{Connection, Error, OURS};
use crate::datamap::catalog::{Column, ForeignKey, Kind, OnDelete, Relation, Trigger};
use crate::datamap::{Catalog, TableName};

/// Relations that hold rows and are neither the system's, an extension's nor ours, with their columns.
const RELATIONS: &str = "
select c.oid, n.nspname::text, c.relname::text, c.relkind::text, greatest(c.reltuples, 0)::int8,
       coalesce((select i.inhparent from pg_inherits i where i.inhrelid = c.oid and c.relispartition), 0::oid),
       exists (select from pg_rewrite r where r.ev_class = c.oid and r.ev_type = '4'),
       a.names, a.types, a.categories, a.required, a.generated
from pg_class c join pg_namespace n on n.oid = c.relnamespace
cross join lateral (
    select coalesce(array_agg(a.attname::text order by a.attnum), '{}') as names,
           coalesce(array_agg(format_type(a.atttypid, null) order by a.attnum), '{}') as types,
           coalesce(array_agg(t.typcategory::text order by a.attnum), '{}') as categories,
           coalesce(array_agg(a.attnotnull order by a.attnum), '{}') as required,
           coalesce(array_agg(a.attgenerated <> '' order by a.attnum), '{}') as generated
    from pg_attribute a join pg_type t on t.oid = a.atttypid
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) a
where c.relkind in ('r', 'p', 'm', 'f') and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')";

const INDEXES: &str = "
select i.indrelid, i.indisprimary, array(select a.attname::text from unnest(i.indkey) with ordinality k(attnum, at)
       join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
       where k.at <= i.indnkeyatts order by k.at)
from pg_index i where i.indisvalid and i.indpred is null and 0 <> all (i.indkey) and i.indrelid >= 16384";

const FOREIGN_KEYS: &str = "
select f.conrelid, f.confrelid, f.conname::text, f.confdeltype::text, f.condeferrable,
       array(select a.attname::text from unnest(f.conkey) with ordinality k(attnum, at)
             join pg_attribute a on a.attrelid = f.conrelid and a.attnum = k.attnum order by k.at),
       array(select a.attname::text from unnest(f.confkey) with ordinality k(attnum, at)
             join pg_attribute a on a.attrelid = f.confrelid and a.attnum = k.attnum order by k.at)
from pg_constraint f where f.contype = 'f' and f.conparentid = 0 order by f.conname";

/// `tgtype` bits: 8 DELETE, 16 UPDATE. Those of constraints and ours are no business of a plan.
const TRIGGERS: &str = "
select t.tgrelid, t.tgname::text, (t.tgtype & 8) <> 0, (t.tgtype & 16) <> 0
from pg_trigger t where not t.tgisinternal and t.tgparentid = 0 and t.tgenabled <> 'D' and t.tgname !~ '^portreeve_'
order by t.tgname";

/// Reads it.
///
/// # Errors
/// [`Error::Database`]; [`Error::Refused`] for a schema whose name holds a dot.
pub async fn catalog(connection: &Connection) -> Result<Catalog, Error> {
    let failed = |error| connection.failed(error);
    let mut names: HashMap<u32, TableName> = HashMap::new();
    let mut relations: HashMap<u32, (Relation, u32)> = HashMap::new();
    for row in connection.rows(&format!("{RELATIONS} and not {OURS}")).await? {
        let oid: u32 = row.try_get(0).map_err(failed)?;
        let (relation, parent) = relation(&row).map_err(failed)?;
        if relation.name.schema.contains('.') {
            return Err(Error::Refused(format!("schema \"{}\": a dot in its name", relation.name.schema)));
        }
        names.insert(oid, relation.name.clone());
        relations.insert(oid, (relation, parent));
    }
    for row in connection.rows(INDEXES).await? {
        let (oid, is_primary): (u32, bool) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        let columns: Vec<String> = row.try_get(2).map_err(failed)?;
        if let Some((relation, _)) = relations.get_mut(&oid) {
            if is_primary {
                relation.primary_key.clone_from(&columns);
            }
            relation.indexes.push(columns);
        }
    }
    for row in connection.rows(TRIGGERS).await? {
        let oid: u32 = row.try_get(0).map_err(failed)?;
        let trigger = Trigger {
            name: row.try_get(1).map_err(failed)?,
            on_delete: row.try_get(2).map_err(failed)?,
            on_update: row.try_get(3).map_err(failed)?,
        };
        if let Some((relation, _)) = relations.get_mut(&oid) {
            relation.triggers.push(trigger);
        }
    }
    let mut foreign_keys = Vec::new();
    for row in connection.rows(FOREIGN_KEYS).await? {
        let (child, parent): (u32, u32) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        let (Some(child), Some(parent)) = (names.get(&child), names.get(&parent)) else { continue };
        let action: String = row.try_get(3).map_err(failed)?;
        foreign_keys.push(ForeignKey {
            name: row.try_get(2).map_err(failed)?,
            child: child.clone(),
            columns: row.try_get(5).map_err(failed)?,
            parent: parent.clone(),
            key: row.try_get(6).map_err(failed)?,
            on_delete: match action.as_str() {
                "c" => OnDelete::Cascade,
                "n" => OnDelete::SetNull,
                "d" => OnDelete::SetDefault,
                _ => OnDelete::Refuse,
            },
            is_deferrable: row.try_get(4).map_err(failed)?,
        });
    }
    let relations = relations.into_values().map(|(mut relation, parent)| {
        relation.partition_of = names.get(&parent).cloned();
        relation
    });
    Ok(Catalog::new(relations.collect(), foreign_keys))
}

fn relation(row: &tokio_postgres::Row) -> Result<(Relation, u32), tokio_postgres::Error> {
    let kind: String = row.try_get(3)?;
    let rows: i64 = row.try_get(4)?;
    let (names, types): (Vec<String>, Vec<String>) = (row.try_get(7)?, row.try_get(8)?);
    let (categories, required): (Vec<String>, Vec<bool>) = (row.try_get(9)?, row.try_get(10)?);
    let generated: Vec<bool> = row.try_get(11)?;
    let kinds = categories.into_iter().zip(required.into_iter().zip(generated));
    let columns = names.into_iter().zip(types).zip(kinds);
    let columns = columns.map(|((name, type_name), (category, (is_required, is_generated)))| Column {
        name,
        type_name,
        type_category: category.chars().next().unwrap_or('U'),
        is_required,
        is_generated,
    });
    let relation = Relation {
        name: TableName::new(row.try_get::<_, String>(1)?, row.try_get::<_, String>(2)?),
        kind: match kind.as_str() {
            "p" => Kind::Partitioned,
            "m" => Kind::MaterialisedView,
            "f" => Kind::Foreign,
            _ => Kind::Table,
        },
        partition_of: None,
        rows_estimated: u64::try_from(rows).unwrap_or(0),
        columns: columns.collect(),
        indexes: Vec::new(),
        primary_key: Vec::new(),
        triggers: Vec::new(),
        has_delete_rule: row.try_get(6)?,
    };
    Ok((relation, row.try_get(5)?))
}
