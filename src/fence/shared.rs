//! Plans the row-level fence of a database whose tables several customers share: each table is declared (a customer's
//! own rows by a tenant column, everybody's, or nobody's), fenced by a policy, and opened to the scopes.
//! Not here: what goes for every layout (`planner.rs`) and the test of it (`shared_checks.rs`). Design section 9.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Error;
use super::name::{identifier, literal, scope_role};
use super::plan::{Loss, Shared};
use super::planner::{Planner, SCOPES};
use crate::grant::Scope;

/// Types a tenant column may have, and what the key is cast to, once for each statement; text needs no cast.
const TYPES: [(&str, Option<&str>); 6] = [
    ("smallint", Some("smallint")),
    ("integer", Some("integer")),
    ("bigint", Some("bigint")),
    ("uuid", Some("uuid")),
    ("text", None),
    ("character varying", None),
];

const REMEMBERED: &str = "select s.relation::oid as oid, s.class, s.tenant_column::text as col, s.row_security, s.fence
    from portreeve.shared_tables s";
const NOT_YET: &str = "select null::oid as oid, null::text as class, null::text as col, null::text as row_security,
    null::text as fence where false";

/// `$1` what the operator said of tables, as JSON; `tables` are those that can be declared: neither partitions nor an
/// extension's.
const SAID: &str = "
with said as (
    select g ->> 'table' as name, g ->> 'class' as class, g ->> 'column' as col,
           coalesce(to_regclass(g ->> 'table'), to_regclass('public.' || (g ->> 'table')))::oid as oid
    from jsonb_array_elements($1::text::jsonb) g),
tables as (
    select c.oid, format('%I.%I', n.nspname, c.relname) as name, c.relrowsecurity, c.relowner
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and not c.relispartition and n.nspname !~ '^pg_'
      and n.nspname not in ('information_schema', 'portreeve')
      and not exists (select from pg_depend d
          where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'))";

const SAID_WRONGLY: &str = "
select format('there is no table %s; name it as schema.table', name) from said where oid is null
union all
select format('table %s is declared twice', min(name)) from said where oid is not null group by oid having count(*) > 1
union all
select format('%s cannot be declared: it is a view, a partition (declare its parent) or part of an extension', name)
from said where oid is not null and oid not in (select oid from tables)";

/// `$2` the default tenant column, `$3` the provisioner. One row for each table, see [`Table`].
const JUDGED: &str = "
select t.name, coalesce(s.class, r.class, case when d.attname is not null then 'own' end, ''),
       coalesce(case when s.oid is not null then s.col when r.oid is not null then r.col else d.attname::text end, ''),
       coalesce(format_type(a.atttypid, null), ''), (not coalesce(l.collisdeterministic, true))::text,
       coalesce(r.class, ''), coalesce(r.col, ''), coalesce(r.row_security, ''),
       t.relrowsecurity::text,
       (exists (select from pg_policy p where p.polrelid = t.oid and p.polname !~ '^portreeve_'))::text,
       (exists (select from pg_policy p where p.polrelid = t.oid and p.polname = 'portreeve_fence' and not p.polpermissive
            and p.polcmd = '*' and p.polroles = array(select oid from pg_roles where rolname = 'portreeve_staff')
            and pg_get_expr(p.polqual, p.polrelid) = r.fence and pg_get_expr(p.polwithcheck, p.polrelid) = r.fence))::text,
       coalesce((select case when p.polroles = '{0}' then 'public' else 'portreeve_staff' end from pg_policy p
            where p.polrelid = t.oid and p.polname = 'portreeve_others' and p.polpermissive and p.polcmd = '*'
              and pg_get_expr(p.polqual, p.polrelid) = 'true' and pg_get_expr(p.polwithcheck, p.polrelid) = 'true'), ''),
       coalesce((select string_agg(format('%I.%I', n.nspname, c.relname), E'\\n') from pg_inherits i
            join pg_class c on c.oid = i.inhparent join pg_namespace n on n.oid = c.relnamespace
            where i.inhrelid = t.oid), ''),
       coalesce((select string_agg(o.rolname, E'\\n' order by o.rolname) from pg_roles o
            where o.rolcanlogin and not o.rolsuper and not o.rolbypassrls and o.rolname !~ '^pr_g_' and o.rolname <> $3
              and not pg_has_role(o.oid, t.relowner, 'usage') and has_table_privilege(o.oid, t.oid, 'insert')), '')
from tables t left join said s on s.oid = t.oid left join remembered r on r.oid = t.oid
left join pg_attribute d on d.attrelid = t.oid and d.attname = $2 and d.attnum > 0 and not d.attisdropped
left join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
    and a.attname = case when s.oid is not null then s.col when r.oid is not null then r.col else d.attname::text end
left join pg_collation l on l.oid = a.attcollation
order by t.name";

/// `$1` the scope's role, `$2` and `$3` its privileges on own tables and on sequences, `$4` each table's class.
const PRIVILEGES: &str = "
with role as (select oid from pg_roles where rolname = $1),
classes as (select k as name, v as class from jsonb_each_text($4::text::jsonb) e(k, v)),
relations as (
    select c.oid, c.relkind, c.relacl, c.reloptions, format('%I.%I', n.nspname, c.relname) as name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname !~ '^pg_'
      and n.nspname not in ('information_schema', 'portreeve') and not exists (select from pg_depend d
          where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')),
wanted as (
    select 0 as ord, 'schema' as kind, format('%I', n.nspname) as name, n.nspacl as acl, array['USAGE'] as list
    from pg_namespace n where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'portreeve')
      and exists (select from pg_class c where c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'S'))
    union all
    select 1, case r.relkind when 'S' then 'sequence' else 'table' end, r.name, r.relacl, case
        when r.relkind in ('r', 'p') and c.class = 'own' then string_to_array($2, ',')
        when r.relkind in ('r', 'p') and c.class = 'everybody' then array['SELECT']
        when r.relkind = 'v' and r.reloptions && array['security_invoker=true', 'security_invoker=on',
            'security_invoker=1', 'security_invoker=yes'] then string_to_array($2, ',')
        when r.relkind = 'S' and not exists (select from pg_depend d join relations t on t.oid = d.refobjid
            left join classes k on k.name = t.name where d.classid = 'pg_class'::regclass and d.objid = r.oid
              and d.refclassid = 'pg_class'::regclass and k.class is distinct from 'own')
            then string_to_array($3, ',')
        else '{}' end
    from relations r left join classes c on c.name = r.name),
held as (
    select w.*, array(select a.privilege_type from aclexplode(w.acl) a join role on a.grantee = role.oid) as has
    from wanted w)
select d.verb, lower(array_to_string(d.list, ', ')), h.kind, h.name from held h cross join lateral (values
    ('revoke', array(select p from unnest(h.has) p where h.kind <> 'schema' and p <> all (h.list) order by p)),
    ('grant', array(select p from unnest(h.list) p where p <> all (h.has)))) d(verb, list)
where d.list <> '{}' order by h.ord, h.kind, h.name, d.verb desc";

/// Views that are not opened to anybody, with why.
const CLOSED_VIEWS: &str = "
select case c.relkind
    when 'm' then format('materialised view %I.%I holds everybody''s rows: nobody may read it', n.nspname, c.relname)
    else format('view %I.%I reads with its owner''s rights: nobody may read it until ALTER VIEW … SET
        (security_invoker = true)', n.nspname, c.relname) end
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where (c.relkind = 'm' or c.relkind = 'v' and not coalesce(c.reloptions && array['security_invoker=true',
    'security_invoker=on', 'security_invoker=1', 'security_invoker=yes'], false))
  and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'portreeve') and not exists (
      select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by 1";

/// One table, as it is and as it is wanted.
struct Table {
    name: String,
    class: String,
    column: String,
    kind: String,
    is_fuzzy: bool,
    known_class: String,
    known_column: String,
    known_row_security: String,
    has_row_security: bool,
    has_own_policies: bool,
    is_fenced: bool,
    others: String,
    parents: Vec<String>,
    copying: Vec<String>,
}

impl Table {
    fn of(row: Vec<String>) -> Option<Table> {
        let row: [String; 14] = row.try_into().ok()?;
        let [
            name,
            class,
            column,
            kind,
            fuzzy,
            known_class,
            known_column,
            known,
            row_security,
            own,
            fenced,
            others,
            parents,
            copying,
        ] = row;
        let lines = |text: String| text.lines().map(str::to_owned).collect();
        Some(Table {
            name,
            class,
            column,
            kind,
            is_fuzzy: fuzzy == "true",
            known_class,
            known_column,
            known_row_security: known,
            has_row_security: row_security == "true",
            has_own_policies: own == "true",
            is_fenced: fenced == "true",
            others,
            parents: lines(parents),
            copying: lines(copying),
        })
    }

    /// What stands in the way of fencing it.
    fn fault(&self, classes: &BTreeMap<&str, &str>) -> Option<String> {
        let Table { name, column, kind, .. } = self;
        match self.class.as_str() {
            "own" => {}
            "" => {
                return Some(format!(
                    "table {name} has no tenant column: declare it with --table {name}=COLUMN, --everybody {name} (all \
                     customers' staff may read it) or --nobody {name}"
                ));
            }
            _ => return None,
        }
        if kind.is_empty() {
            return Some(format!("table {name} has no column {column}: declare it with --table {name}=COLUMN"));
        }
        if cast_of(kind).is_none() {
            return Some(format!(
                "column {column} of table {name} is of type {kind}: a tenant column is smallint, integer, bigint, uuid, \
                 text or varchar"
            ));
        }
        if self.is_fuzzy {
            return Some(format!(
                "column {column} of table {name} has a collation that takes different texts for equal: give it another"
            ));
        }
        if !self.has_row_security && self.has_own_policies {
            return Some(format!(
                "table {name} has row policies that are switched off, and the fence would wake them: drop them, or ALTER \
                 TABLE {name} ENABLE ROW LEVEL SECURITY first"
            ));
        }
        let open = self.parents.iter().find(|parent| classes.get(parent.as_str()) == Some(&"everybody"))?;
        Some(format!(
            "table {name} inherits from {open}, which everybody reads with its rows: declare {open} otherwise"
        ))
    }
}

/// What to cast the key to; `None`: not a type for a tenant column.
fn cast_of(kind: &str) -> Option<Option<&'static str>> {
    TYPES.iter().find(|(known, _)| *known == kind).map(|(_, cast)| *cast)
}

impl Planner<'_> {
    /// Declares and fences every table; answers each one's class.
    pub(super) async fn shared_tables(&mut self, shared: &Shared) -> Result<Value, Error> {
        let said = said(shared);
        let wrong = format!("{SAID}{SAID_WRONGLY}");
        let wrong = self.texts(&wrong, &[&said]).await?;
        self.plan.blockers.extend(wrong);
        let remembered = if self.installed("portreeve.shared_tables").await? { REMEMBERED } else { NOT_YET };
        let judged = format!("{SAID},\nremembered as ({remembered}){JUDGED}");
        let column = shared.tenant_column.as_deref().unwrap_or_default();
        let rows = self.rows(&judged, &[&said, column, &self.wanted.provisioner]).await?;
        let tables: Vec<Table> = rows.into_iter().filter_map(Table::of).collect();
        let classes: BTreeMap<&str, &str> =
            tables.iter().map(|table| (table.name.as_str(), table.class.as_str())).collect();
        for table in &tables {
            match table.fault(&classes) {
                Some(fault) => self.plan.blockers.push(fault),
                None if table.class == "own" => self.own(table, shared),
                None => self.not_own(table),
            }
        }
        let classes = json!(classes);
        self.shared_privileges(&classes).await?;
        let closed = self.texts(CLOSED_VIEWS, &[]).await?;
        self.plan.notes.extend(closed);
        Ok(classes)
    }

    /// A table with customers' own rows.
    fn own(&mut self, table: &Table, shared: &Shared) {
        let Table { name, column, .. } = table;
        // Where row security was off before us, everybody else goes on seeing every row; where the application has
        // policies of its own, they stay what they were.
        let is_ours = !table.has_row_security || table.known_row_security == "ours" && !table.has_own_policies;
        let (row_security, others) = if is_ours { ("ours", "public") } else { ("theirs", "portreeve_staff") };
        let known = (table.known_class.as_str(), table.known_column.as_str(), table.known_row_security.as_str());
        if known != ("own", column, row_security) {
            self.declare(name, "own", Some(column), Some(row_security));
        }
        if table.others != others {
            let sql = format!(
                "drop policy if exists portreeve_others on {name}; create policy portreeve_others on {name} \
                 as permissive for all to {others} using (true) with check (true)"
            );
            self.step(format!("let {others} through row security on {name} as before"), sql, None);
        }
        if !table.is_fenced || table.known_column != *column {
            let cast = cast_of(&table.kind).flatten().map_or(String::new(), |cast| format!("::{cast}"));
            let expression = format!("{} = (select portreeve.customer(){cast})", identifier(column));
            let sql = format!(
                "drop policy if exists portreeve_fence on {name}; create policy portreeve_fence on {name} \
                 as restrictive for all to portreeve_staff using ({expression}) with check ({expression}); \
                 update portreeve.shared_tables s set fence = pg_get_expr(p.polqual, p.polrelid) from pg_policy p \
                 where s.relation = p.polrelid and p.polname = 'portreeve_fence' and p.polrelid = {}::regclass",
                literal(name)
            );
            self.step(format!("fence {name} by {column}"), sql, None);
        }
        if !table.has_row_security {
            self.step(
                format!("switch row security on for {name}"),
                format!("alter table {name} enable row level security"),
                None,
            );
            let losing = table.copying.iter().filter(|role| !shared.without_copy.contains(role)).cloned().collect();
            self.lose_copy(losing, name);
        }
    }

    /// A table that everybody reads whole, or nobody.
    fn not_own(&mut self, table: &Table) {
        let Table { name, class, .. } = table;
        if table.known_class != *class {
            self.declare(name, class, None, None);
        }
        if table.known_class == "own" {
            let mut sql = format!(
                "drop policy if exists portreeve_fence on {name}; drop policy if exists portreeve_others on {name}"
            );
            if table.known_row_security == "ours" && !table.has_own_policies {
                sql.push_str(&format!("; alter table {name} disable row level security"));
            }
            self.step(format!("take the fence from {name}"), sql, None);
        }
    }

    fn declare(&mut self, name: &str, class: &str, column: Option<&str>, row_security: Option<&str>) {
        let text = |value: Option<&str>| value.map_or("null".to_owned(), literal);
        let sql = format!(
            "insert into portreeve.shared_tables (relation, class, tenant_column, row_security) \
             values ({}::regclass, {}, {}, {}) on conflict (relation) do update set class = excluded.class, \
             tenant_column = excluded.tenant_column, row_security = excluded.row_security",
            literal(name),
            literal(class),
            text(column),
            text(row_security)
        );
        let by = column.map_or(String::new(), |column| format!(" by {column}"));
        let whose = if class == "own" { "each customer's own" } else { class };
        self.step(format!("declare {name}: {whose}{by}"), sql, None);
    }

    /// PostgreSQL has no COPY … FROM under row security: who writes a table that is not theirs would notice.
    fn lose_copy(&mut self, roles: Vec<String>, table: &str) {
        for role in roles {
            let what = format!(
                "COPY FROM into {table} (ALTER ROLE {} BYPASSRLS keeps it, --without-copy {role} lets it go)",
                identifier(&role)
            );
            match self.plan.losses.iter_mut().find(|loss| loss.role == role) {
                Some(loss) => loss.loses.push(what),
                None => self.plan.losses.push(Loss { role, loses: vec![what] }),
            }
        }
    }

    /// What the scopes may do, no more: everybody's tables are read only, a sequence shows nobody how many there are.
    async fn shared_privileges(&mut self, classes: &Value) -> Result<(), Error> {
        let classes = classes.to_string();
        for scope in SCOPES {
            let (own, sequences) = match scope {
                Scope::Metadata => continue,
                Scope::Read => ("SELECT", ""),
                Scope::Write => ("SELECT,INSERT,UPDATE,DELETE", "USAGE"),
            };
            let role = scope_role(self.database, scope);
            for row in self.rows(PRIVILEGES, &[&role, own, sequences, &classes]).await? {
                let [verb, list, kind, name] = row.as_slice() else {
                    continue;
                };
                let end = if verb == "revoke" { "from" } else { "to" };
                let what = format!("{verb} {list} on {kind} {name}");
                self.step(what.clone(), format!("{what} {end} {}", identifier(&role)), None);
            }
        }
        Ok(())
    }
}

/// What the operator said of tables, for [`SAID`].
fn said(shared: &Shared) -> String {
    let own = shared.own.iter().map(|(table, column)| json!({ "table": table, "class": "own", "column": column }));
    let everybody = shared.everybody.iter().map(|table| json!({ "table": table, "class": "everybody" }));
    let nobody = shared.nobody.iter().map(|table| json!({ "table": table, "class": "nobody" }));
    own.chain(everybody).chain(nobody).collect::<Value>().to_string()
}
