//! Large objects by what refers to them: a column of type oid, or of a domain over it such as `lo`, may name one.
//! Not here: archiving and unlinking them. HOLE: a reference in another type, such as an array or a text, is not seen.

/// Begins a query over every such column: the table's object id, schema, name, and the column's name; goes on with a
/// condition over `pg_class c` and its `pg_namespace n`.
pub(super) const REFERRING: &str = "
with recursive oids as (
    select 'pg_catalog.oid'::regtype::oid as type
    union all select t.oid from pg_type t join oids on t.typbasetype = oids.type)
select c.oid::text as id, n.nspname::text as schema, c.relname::text as name, a.attname::text as attribute
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
where a.attnum > 0 and not a.attisdropped and a.atttypid in (select type from oids) and ";
