//! Plans the scope `metadata`: SELECT on the columns that the data map calls not personal, and on nothing else. A column
//! the map does not know is nobody's to read. Views are left out: whose data they show, the map does not say.
//! Not here: the map (`datamap/`) and the scope's roles (`planner.rs`, `schemas.rs`).

use serde_json::{Value, json};

use super::Error;
use super::layout::Laid;
use super::name::{identifier, schema_role, scope_role};
use super::plan::Impersonal;
use super::planner::Planner;
use crate::grant::{Layout, Scope};

/// In the map of a database of schemas: the customer's own schema, whichever it is.
const OWN_SCHEMA: &str = "*";

/// `$1` each role with a table and its columns; `$2` the classes of shared tables, or nothing; `$3` the roles. What is to
/// be given and taken: verb, columns (none: the table whole), table, role. To take a table takes its columns too: they are
/// given again. What a dropped column says of privileges, which it does before PostgreSQL 17, is nobody's.
const DIFFERENCES: &str = "
with said as (
    select w ->> 'role' as role, w ->> 'schema' as schema, w ->> 'table' as relation, c.name as col
    from jsonb_array_elements($1::text::jsonb) w cross join jsonb_array_elements_text(w -> 'columns') c(name)),
classes as (select k as name, v as class from jsonb_each_text(nullif($2, '')::jsonb) e(k, v)),
wanted as (
    select s.role, r.oid as grantee, a.attrelid, a.attnum, a.attname, a.attacl, format('%I.%I', n.nspname, c.relname) as name
    from said s join pg_namespace n on n.nspname = s.schema
    join pg_class c on c.relnamespace = n.oid and c.relname = s.relation and c.relkind in ('r', 'p')
    join pg_attribute a on a.attrelid = c.oid and a.attname = s.col and a.attnum > 0 and not a.attisdropped
    left join pg_roles r on r.rolname = s.role
    where $2 = '' or exists (select from classes k where k.name = format('%I.%I', n.nspname, c.relname)
        and k.class in ('own', 'everybody'))),
roles as (select distinct r.oid, r.rolname from jsonb_array_elements_text($3::text::jsonb) e(name)
          join pg_roles r on r.rolname = e.name),
too_much as (
    select r.rolname, a.attname, format('%I.%I', n.nspname, c.relname) as name
    from roles r cross join pg_attribute a cross join lateral aclexplode(a.attacl) x
    join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
    where a.attacl is not null and a.attnum > 0 and not a.attisdropped and x.grantee = r.oid and not exists (
        select from wanted w where w.grantee = r.oid and w.attrelid = a.attrelid and w.attnum = a.attnum)),
whole as (
    select distinct r.oid as grantee, r.rolname, c.oid, format('%I.%I', n.nspname, c.relname) as name
    from roles r cross join pg_class c cross join lateral aclexplode(c.relacl) x
    join pg_namespace n on n.oid = c.relnamespace where c.relacl is not null and x.grantee = r.oid)
select 'revoke', string_agg(format('%I', t.attname), ', ' order by t.attname), t.name, t.rolname::text from too_much t
group by t.name, t.rolname
union all
select 'revoke', '', h.name, h.rolname::text from whole h
union all
select 'grant', string_agg(format('%I', w.attname), ', ' order by w.attnum), w.name, w.role from wanted w
where w.grantee is null or exists (select from whole h where h.grantee = w.grantee and h.oid = w.attrelid)
   or not exists (select from aclexplode(w.attacl) x where x.grantee = w.grantee and x.privilege_type = 'SELECT')
group by w.name, w.role
order by 3, 4, 1 desc";

/// `$1` as in [`DIFFERENCES`]: USAGE on each schema in which a role has a column and lacks it.
const SCHEMAS: &str = "
select distinct format('%I', n.nspname), w ->> 'role'
from jsonb_array_elements($1::text::jsonb) w join pg_namespace n on n.nspname = w ->> 'schema'
left join pg_roles r on r.rolname = w ->> 'role'
where r.oid is null or not exists (select from aclexplode(n.nspacl) x
    where x.grantee = r.oid and x.privilege_type = 'USAGE') order by 1, 2";

impl Planner<'_> {
    /// Which columns the scope reaches, by the data map; without one it stays as it was applied before, if it was.
    pub(super) async fn metadata(&mut self, laid: &Laid, classes: Option<&Value>) -> Result<(), Error> {
        let Some(map) = self.wanted.impersonal.clone() else {
            self.without_map().await?;
            return Ok(());
        };
        let expected = match laid {
            Laid::Database | Laid::Schema(_) => Layout::Database,
            Laid::Shared(_) => Layout::Shared,
        };
        if map.layout != expected {
            self.plan.blockers.push(
                "the data map is of another layout than this database: say layout = \"shared\" in it for shared tables, \
                 \"database\" otherwise"
                    .to_owned(),
            );
            return Ok(());
        }
        let (said, roles) = match laid {
            Laid::Database | Laid::Shared(_) => {
                let role = scope_role(self.database, Scope::Metadata);
                (reached(&map, &role, None), vec![role])
            }
            Laid::Schema(_) => self.in_each_schema(&map),
        };
        let (said, roles) = (Value::from(said).to_string(), json!(roles).to_string());
        for row in self.rows(SCHEMAS, &[&said]).await? {
            let [schema, role] = row.as_slice() else { continue };
            let sql = format!("grant usage on schema {schema} to {}", identifier(role));
            self.column_step(laid, schema, sql);
        }
        let classes = classes.map(Value::to_string).unwrap_or_default();
        for row in self.rows(DIFFERENCES, &[&said, &classes, &roles]).await? {
            let [verb, columns, table, role] = row.as_slice() else { continue };
            let end = if verb == "revoke" { "from" } else { "to" };
            let what = if columns.is_empty() { "all".to_owned() } else { format!("select ({columns})") };
            let sql = format!("{verb} {what} on table {table} {end} {}", identifier(role));
            self.column_step(laid, table, sql);
        }
        Ok(())
    }

    fn column_step(&mut self, laid: &Laid, of: &str, sql: String) {
        match laid {
            Laid::Database | Laid::Shared(_) => self.step(sql.clone(), sql, None),
            Laid::Schema(_) => self.step_in(of, sql.clone(), sql),
        }
    }

    fn in_each_schema(&self, map: &Impersonal) -> (Vec<Value>, Vec<String>) {
        let role = |schema: &String| schema_role(self.database, schema, Scope::Metadata);
        let said = self.schemas.iter().flat_map(|schema| reached(map, &role(schema), Some(schema))).collect();
        (said, self.schemas.iter().map(role).collect())
    }

    async fn without_map(&mut self) -> Result<(), Error> {
        const OFFERED: &str = "select 'yes' from portreeve.scope where name = 'metadata' limit 1";
        let is_offered = self.installed("portreeve.scope").await? && !self.texts(OFFERED, &[]).await?.is_empty();
        self.plan.notes.push(if is_offered {
            "no data map was given: the scope metadata reaches the columns it reached before".to_owned()
        } else {
            "no data map was given: the scope metadata is not offered (portreeve datamap scan proposes one)".to_owned()
        });
        Ok(())
    }
}

/// The columns of each table that are not personal, for `role`; in a database of schemas, of the tables of `schema`.
fn reached(map: &Impersonal, role: &str, schema: Option<&String>) -> Vec<Value> {
    let row = |((of, table), columns): (&(String, String), &Vec<String>)| {
        let here = match schema {
            None if of != OWN_SCHEMA => of,
            Some(schema) if of == OWN_SCHEMA => schema,
            None | Some(_) => return None,
        };
        Some(json!({ "role": role, "schema": here, "table": table, "columns": columns }))
    };
    map.tables.iter().filter_map(row).collect()
}
