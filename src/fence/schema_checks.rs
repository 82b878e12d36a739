//! What the self-test asks besides where each customer has a schema: can a grant reach anything in another schema?
//! Not here: what is asked of every layout (`checks.rs`). Design section 9; `access.md` section 6 has what breaks out.

use super::checks::{Check, For, Weight};

/// All questions; `$4` is the customer's schema. They may use the names that [`super::checks::PREAMBLE`] gives.
pub(super) const SCHEMA_CHECKS: &[Check] = &[
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'no-schema', format('there is no schema %I', $4::text)
                where not exists (select from pg_namespace where nspname = $4)",
        hint: "Run portreeve fence apply for this database: the customer's schema was dropped or has another name.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'schema:' || n.nspname, format('role %I may use schema %I, which is another customer''s',
                    s.rolname, n.nspname)
                from subject s, pg_namespace n
                where n.nspname <> $4 and has_schema_privilege(s.oid, n.oid, 'usage')
                  and n.nspname in (select portreeve.fenced_schemas())",
        hint: "REVOKE USAGE ON SCHEMA … FROM PUBLIC (or from the role it came by).",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Every,
        query: "select 'outside:' || r.name, format('%s can be reached and is not in the customer''s schema', r.name)
                from reachable r where r.nspname <> $4
                  and exists (select from subject s where has_schema_privilege(s.oid, r.nspname::text, 'usage'))",
        hint: "REVOKE it from PUBLIC (or from the role it came by), or accept it if its rows are no customer's.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Every,
        query: "select distinct 'view:' || v.name, format('%s %s shows what is in schema %I with its owner''s rights',
                    case r.relkind when 'm' then 'materialised view' else 'view' end, v.name, n.nspname)
                from shown v join reachable r on r.oid = v.view join pg_class c on c.oid = v.oid
                join pg_namespace n on n.oid = c.relnamespace
                where v.oid <> v.view and n.nspname <> $4 and n.nspname <> v.nspname
                  and n.nspname not in ('pg_catalog', 'information_schema')",
        hint: "ALTER VIEW … SET (security_invoker = true), REVOKE SELECT, or accept it if it shows no other customer's rows.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'child:' || c.oid::regclass, format('table %s is read through its parent %s', c.oid::regclass, h.name)
                from heirs h join pg_class c on c.oid = h.oid join pg_namespace n on n.oid = c.relnamespace
                where h.oid <> h.parent and n.nspname <> h.nspname",
        hint: "ALTER TABLE … NO INHERIT: a parent shows its children's rows whoever may read them.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Every,
        query: "select 'large-object', format('large object %s can be read by every customer''s staff', l.oid)
                from pg_largeobject_metadata l, aclexplode(l.lomacl) a
                where a.privilege_type = 'SELECT' and (a.grantee = 0 or a.grantee in (select oid from reach))
                  and l.lomowner not in (select oid from reach)",
        hint: "REVOKE SELECT ON LARGE OBJECT … FROM PUBLIC: large objects lie in no schema.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Writers,
        query: "select distinct 'fk:' || format('%I.%I.%I', f.nspname, t.relname, k.conname), format('a writer who changes %s
                    changes rows of %s in another schema', a.name, k.conrelid::regclass)
                from acted a join pg_constraint k on k.oid = a.key join pg_class c on c.oid = k.conrelid
                join pg_namespace n on n.oid = c.relnamespace join pg_class t on t.oid = k.confrelid
                join pg_namespace f on f.oid = t.relnamespace
                where n.nspname <> a.nspname",
        hint: "Make it ON DELETE NO ACTION, or accept it if that table is no customer's.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Writers,
        query: "select 'trigger:' || r.name || '.' || t.tgname, format('trigger %I on %s runs %s with its owner''s rights',
                    t.tgname, r.name, p.oid::regprocedure)
                from reachable r join pg_trigger t on t.tgrelid in (
                    select r.oid union select i.relid from pg_partition_tree(r.oid) i)
                join pg_proc p on p.oid = t.tgfoid
                where r.is_writable and not t.tgisinternal and t.tgenabled <> 'D' and p.prosecdef
                  -- retention's write fence; what is in this schema is a superuser's, as 'install' sees to
                  and p.oid is distinct from to_regprocedure('portreeve.refuse_tombstoned()')
                union all
                select 'rule:' || r.name || '.' || w.rulename, format('rule %I on %s runs with its owner''s rights',
                    w.rulename, r.name)
                from reachable r join pg_rewrite w on w.ev_class = r.oid
                where r.is_writable and w.ev_type <> '1' and w.ev_enabled <> 'D'",
        hint: "Make the function SECURITY INVOKER, or accept it once you have read that it keeps to one customer.",
    },
    Check {
        weight: Weight::Remark,
        scopes: For::Every,
        query: "values ('catalogs', 'names of all schemas, tables and columns, and how many rows each has, show in the
                    catalogs')",
        hint: "Give customers databases of their own where that matters; name schemas by numbers, not by customers.",
    },
    Check {
        weight: Weight::Remark,
        scopes: For::Writers,
        query: "select 'fk-oracle', 'a writer may refer to another schema''s row, and so learn that there is one: '
                    || string_agg(format('%s.%I', r.name, k.conname), ', ' order by r.name, k.conname)
                from pg_constraint k join reachable r on r.oid = k.conrelid and r.is_writable
                join pg_class c on c.oid = k.confrelid join pg_namespace n on n.oid = c.relnamespace
                where k.contype = 'f' and k.conparentid = 0 and n.nspname <> r.nspname
                having count(*) > 0",
        hint: "Keys that stay within the schema tell nothing.",
    },
    Check {
        weight: Weight::Remark,
        scopes: For::Every,
        query: "select 'ungranted', count(*) || ' tables or views of the schema are not readable under this scope, such as '
                    || min(r.name)
                from subject s, relations r
                where r.relkind in ('r', 'p', 'v', 'm') and r.nspname = $4
                  and not has_any_column_privilege(s.oid, r.oid, 'select')
                having count(*) > 0",
        hint: "New tables are granted to nobody: run portreeve fence apply.",
    },
];
