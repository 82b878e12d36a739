//! Plans the fence of a database in which each customer has a schema: a role for each schema and scope that may use that
//! schema only. All schemas are looked at in a few queries, as there may be thousands.
//! Not here: what goes for every layout (`planner.rs`) and the test of it (`schema_checks.rs`). Design section 9.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Error;
use super::name::{identifier, literal, schema_role, schemas_role, scope_word};
use super::plan::Schemas;
use super::planner::{Planner, sequences, tables};
use crate::grant::{Scope, check_schema};

/// Schemas that may be customers'; an extension's is nobody's.
const CANDIDATES: &str = "
select n.nspname::text from pg_namespace n where n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', 'portreeve', 'public') and not exists (select from pg_depend d
      where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e') order by 1";

/// `$1` every schema and scope with its role; `$2` the role of all schemas. What each lacks, in order: its kind, and texts
/// for [`Planner::lacking`].
const LACKING: &str = "
with wanted as (
    select w ->> 'schema' as schema, w ->> 'scope' as scope, w ->> 'role' as role, r.oid,
           string_to_array(w ->> 'tables', ',') as tables, string_to_array(w ->> 'sequences', ',') as sequences
    from jsonb_array_elements($1::text::jsonb) w left join pg_roles r on r.rolname = w ->> 'role'),
things as (
    select w.role, w.oid, w.schema, 0 as ord, 'schema' as kind, format('%I', n.nspname) as name, n.nspacl as acl,
           array['USAGE'] as list
    from wanted w join pg_namespace n on n.nspname = w.schema
    union all
    select w.role, w.oid, w.schema, 1, case c.relkind when 'S' then 'sequence' else 'table' end,
           format('%I.%I', n.nspname, c.relname), c.relacl,
           case c.relkind when 'S' then w.sequences when 'm' then array(select t from unnest(w.tables) t where t = 'SELECT')
               else w.tables end
    from wanted w join pg_namespace n on n.nspname = w.schema join pg_class c on c.relnamespace = n.oid
    where c.relkind in ('r', 'p', 'v', 'm', 'S') and not exists (select from pg_depend d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'))
select '0' as ord, w.schema, 'role' as kind, w.role, '' as list, '' as name from wanted w where w.oid is null
union all
select '1', w.schema, 'member', w.role, '', '' from wanted w where w.oid is null or not exists (
    select from pg_auth_members m join pg_roles g on g.oid = m.roleid where m.member = w.oid and g.rolname = $2)
union all
select (2 + t.ord)::text, t.schema, t.kind, t.role, lower(array_to_string(m.list, ', ')), t.name
from things t cross join lateral (
    select array_agg(p) as list from unnest(t.list) p where t.oid is null or not exists (
        select from aclexplode(t.acl) a where a.grantee = t.oid and a.privilege_type = p)) m
where m.list is not null
order by 2, 4, 1, 6";

impl Planner<'_> {
    /// The fence of every schema that is a customer's.
    pub(super) async fn schemas(&mut self, schemas: &Schemas) -> Result<(), Error> {
        let wanted = self.wanted_schemas(schemas).await?;
        self.gate_role().await?;
        let scopes = self.scopes.clone();
        let role = |schema: &str, scope: Scope| schema_role(self.database, schema, scope);
        let pairs: Vec<(&str, Scope)> =
            wanted.iter().flat_map(|schema| scopes.iter().map(move |scope| (schema.as_str(), *scope))).collect();
        let known = self.known_scopes().await?;
        let all: Value = pairs
            .iter()
            .map(|(schema, scope)| {
                json!({ "schema": schema, "scope": scope_word(*scope), "role": role(schema, *scope),
                        "tables": tables(*scope), "sequences": sequences(*scope) })
            })
            .collect();
        let gate = schemas_role(self.database);
        let lacking = self.rows(LACKING, &[&all.to_string(), &gate]).await?;
        for row in lacking {
            self.lacking(&row, &identifier(&gate));
        }
        for (schema, scope) in pairs {
            let (word, role) = (scope_word(scope), schema_role(self.database, schema, scope));
            if !known.contains(&vec![word.to_owned(), schema.to_owned(), role.clone()]) {
                let sql = format!(
                    "insert into portreeve.scope (name, schema, role, database) values ({}, {}, {}, current_database()) \
                     on conflict (name, schema) do update set role = excluded.role, database = excluded.database",
                    literal(word),
                    literal(schema),
                    literal(&role)
                );
                self.step_in(schema, format!("let {} carry the scope {word} of {schema}", identifier(&role)), sql);
            }
        }
        self.schemas = wanted.into_iter().collect();
        Ok(())
    }

    /// What was said before, what is said now; what is not there any more goes.
    async fn wanted_schemas(&mut self, schemas: &Schemas) -> Result<BTreeSet<String>, Error> {
        const KNOWN: &str = "select distinct schema::text from portreeve.scope
            where schema <> '' and database = current_database()";
        let candidates: BTreeSet<String> = self.texts(CANDIDATES, &[]).await?.into_iter().collect();
        let mut wanted: BTreeSet<String> = BTreeSet::new();
        if self.has_schemas().await? {
            for schema in self.texts(KNOWN, &[]).await? {
                if candidates.contains(&schema) {
                    wanted.insert(schema);
                } else {
                    self.forget(&schema).await?;
                }
            }
        }
        for schema in &schemas.named {
            match check_schema(schema) {
                Err(fault) => self.plan.blockers.push(fault.to_string()),
                Ok(()) if candidates.contains(schema) => drop(wanted.insert(schema.clone())),
                Ok(()) => self.plan.blockers.push(format!("there is no schema {}", identifier(schema))),
            }
        }
        if schemas.all {
            wanted.extend(candidates);
        }
        if wanted.is_empty() {
            self.plan.blockers.push("no schema is named: say --schema NAME for each, or --all-schemas".to_owned());
        }
        Ok(wanted)
    }

    /// A schema that was fenced is gone: so are its roles.
    async fn forget(&mut self, schema: &str) -> Result<(), Error> {
        let roles = "select role::text from portreeve.scope where schema = $1 and database = current_database()";
        for role in self.texts(roles, &[schema]).await? {
            let sql = format!(
                "delete from portreeve.scope where role = {}; drop owned by {1}; drop role {1}",
                literal(&role),
                identifier(&role)
            );
            self.step_in(schema, format!("drop role {}: schema {schema} is gone", identifier(&role)), sql);
        }
        Ok(())
    }

    /// The role by which all schemas' roles may connect.
    async fn gate_role(&mut self) -> Result<(), Error> {
        const MEMBER: &str = "select 'yes' from pg_auth_members m join pg_roles g on g.oid = m.roleid
            join pg_roles r on r.oid = m.member where g.rolname = 'portreeve_staff' and r.rolname = $1";
        let name = schemas_role(self.database);
        let role = identifier(&name);
        if !self.exists(&name).await? {
            self.step(format!("create role {role}"), format!("create role {role} nologin"), None);
        }
        if self.texts(MEMBER, &[&name]).await?.is_empty() {
            let sql = format!("grant portreeve_staff to {role}");
            self.step(format!("make {role} a member of portreeve_staff"), sql, None);
        }
        Ok(())
    }

    async fn has_schemas(&self) -> Result<bool, Error> {
        const SQL: &str = "select 'yes' from pg_attribute where attrelid = to_regclass('portreeve.scope')
            and attname = 'schema' and not attisdropped";
        Ok(!self.texts(SQL, &[]).await?.is_empty())
    }

    async fn known_scopes(&self) -> Result<BTreeSet<Vec<String>>, Error> {
        const SQL: &str = "select name, schema::text, role::text from portreeve.scope
            where schema <> '' and database = current_database()";
        if !self.has_schemas().await? {
            return Ok(BTreeSet::new());
        }
        Ok(self.rows(SQL, &[]).await?.into_iter().collect())
    }

    fn lacking(&mut self, row: &[String], gate: &str) {
        let [_, schema, kind, role, list, name] = row else {
            return;
        };
        let role = identifier(role);
        match kind.as_str() {
            "role" => self.step_in(schema, format!("create role {role}"), format!("create role {role} nologin")),
            "member" => {
                let what = format!("make {role} a member of {gate}");
                self.step_in(schema, what, format!("grant {gate} to {role}"));
            }
            _ => {
                let sql = format!("grant {list} on {kind} {name} to {role}");
                self.step_in(schema, sql.clone(), sql);
            }
        }
    }
}
