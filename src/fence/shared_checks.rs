//! What the self-test asks besides where customers share tables: can a grant reach a row that is not its customer's?
//! Not here: what is asked of every layout (`checks.rs`). Design section 9; `access.md` section 6 has what breaks out.

use super::checks::{Check, For, Weight};

/// All questions; they may use the names that [`super::checks::PREAMBLE`] gives.
pub(super) const SHARED_CHECKS: &[Check] = &[
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'undeclared:' || name, format('table %s can be reached, and nobody declared whose rows it holds',
                    name)
                from reachable where relkind in ('r', 'p') and not relispartition and class is null",
        hint: "portreeve fence apply --layout shared with --table TABLE=COLUMN (its tenant column), --everybody TABLE or
            --nobody TABLE.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'nobody:' || name, format('table %s is declared nobody''s and can be reached', name)
                from reachable where class = 'nobody'",
        hint: "REVOKE it from PUBLIC (or from the role it came by), or run portreeve fence apply again.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'partition:' || name, format('partition %s can be reached past its parent''s policy', name)
                from reachable where relispartition",
        hint: "REVOKE it from PUBLIC (or from the role it came by): a partition is read through its parent.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'child:' || d.name, format('table %s is read through its parent %s, which is everybody''s', d.name,
                    h.name)
                from declared d join heirs h on h.oid = d.relation and h.oid <> h.parent
                where d.class in ('own', 'nobody') and h.class = 'everybody'",
        hint: "Declare the parent with its tenant column (--table) or as --nobody.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Writers,
        query: "select 'write-everybody:' || name, format('a writer may change %s, which is everybody''s', name)
                from reachable where class = 'everybody' and is_writable",
        hint: "REVOKE it from PUBLIC (or from the role it came by), or run portreeve fence apply again.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Every,
        query: "select 'view:' || name, format('view %s reads with its owner''s rights, past the policies', name)
                from reachable where relkind = 'v' and not coalesce(reloptions && array['security_invoker=true',
                    'security_invoker=on', 'security_invoker=1', 'security_invoker=yes'], false)
                union all
                select 'matview:' || name, format('materialised view %s has no row security', name)
                from reachable where relkind = 'm'",
        hint: "ALTER VIEW … SET (security_invoker = true); of a materialised view, REVOKE SELECT.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Every,
        query: "select 'large-object', format('large object %s can be read by every customer''s staff', l.oid)
                from pg_largeobject_metadata l, aclexplode(l.lomacl) a
                where a.privilege_type = 'SELECT' and (a.grantee = 0 or a.grantee in (select oid from reach))
                  and l.lomowner not in (select oid from reach)",
        hint: "REVOKE SELECT ON LARGE OBJECT … FROM PUBLIC: large objects have no tenant column.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Writers,
        query: "select distinct 'fk:' || format('%I.%I.%I', f.nspname, t.relname, k.conname), format('a writer who changes %s
                    changes rows of %s that may be another customer''s', a.name, k.conrelid::regclass)
                from acted a join reachable r on r.oid = a.origin and r.class = 'own'
                join pg_constraint k on k.oid = a.key join pg_class t on t.oid = k.confrelid
                join pg_namespace f on f.oid = t.relnamespace
                left join declared d on d.relation = k.conrelid left join declared e on e.relation = k.confrelid
                where not exists (select from unnest(k.conkey, k.confkey) c(here, there)
                    where d.class = 'own' and e.class = 'own' and c.here = d.attnum and c.there = e.attnum)",
        hint: "Put the tenant column into the foreign key: FOREIGN KEY (tenant, …) REFERENCES … (tenant, …); or make it
            ON DELETE NO ACTION.",
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
        query: "select 'nullable:' || r.name, format('column %I of table %s may be NULL: such rows are nobody''s', a.attname,
                    r.name)
                from reachable r join pg_attribute a on a.attrelid = r.oid and a.attnum = r.attnum
                where r.class = 'own' and not a.attnotnull",
        hint: "Give each row its customer, then ALTER TABLE … ALTER COLUMN … SET NOT NULL.",
    },
    Check {
        weight: Weight::Remark,
        scopes: For::Every,
        query: "select 'counts', 'how many rows all customers have together shows in EXPLAIN ANALYZE, pg_class and sizes'
                where exists (select from reachable where class = 'own')",
        hint: "Give customers databases of their own where that matters.",
    },
    Check {
        weight: Weight::Remark,
        scopes: For::Writers,
        query: "select 'unique-oracle', 'a writer learns from a duplicate key that some customer has a value: '
                    || string_agg(x.indexrelid::regclass::text, ', ' order by x.indexrelid::regclass::text)
                from pg_index x join reachable r on r.oid = x.indrelid
                where x.indisunique and r.class = 'own' and r.is_writable and not r.attnum = any (x.indkey::int2[])
                having count(*) > 0
                union all
                select 'fk-oracle', 'a writer may refer to another customer''s row, and so learn that there is one: '
                    || string_agg(format('%s.%I', r.name, k.conname), ', ' order by r.name, k.conname)
                from pg_constraint k join reachable r on r.oid = k.conrelid and r.is_writable and r.class = 'own'
                join declared d on d.relation = k.confrelid and d.class = 'own'
                where k.contype = 'f' and k.conparentid = 0 and not exists (
                    select from unnest(k.conkey, k.confkey) c(here, there)
                    where c.here = r.attnum and c.there = d.attnum)
                having count(*) > 0",
        hint: "Keys that begin with the tenant column tell nothing.",
    },
    Check {
        weight: Weight::Remark,
        scopes: For::Every,
        query: "select 'ungranted', count(*) || ' tables are not declared, or declared and not readable under this scope,
                    such as ' || min(r.name)
                from subject s, relations r join pg_class c using (oid) left join declared d on d.relation = r.oid
                where r.relkind in ('r', 'p') and not c.relispartition and r.nspname !~ '^pg_'
                  and r.nspname not in ('information_schema', 'portreeve') and d.class is distinct from 'nobody'
                  and not has_any_column_privilege(s.oid, r.oid, 'select')
                having count(*) > 0",
        hint: "New tables are granted to nobody: declare them and run portreeve fence apply.",
    },
];

/// What is asked besides of the policies that `fence apply` made.
pub(super) const OWN_POLICIES: &[Check] = &[
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'inherit', format('role %I does not inherit from portreeve_staff, for which the policies are',
                    r.rolname)
                from pg_roles r where r.rolname in ($1, $2)
                  and not pg_has_role(r.oid, (select oid from pg_roles where rolname = 'portreeve_staff'), 'usage')",
        hint: "ALTER ROLE … INHERIT, or run portreeve fence apply and open the grant again.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'unfenced:' || r.name, format('table %s can be reached, and %s', r.name, case
                    when r.attnum is null then 'its tenant column is gone'
                    when not r.relrowsecurity then 'row security is off'
                    else 'policy portreeve_fence is not the one that was applied' end)
                from reachable r where r.class = 'own' and (r.attnum is null or not r.relrowsecurity or not exists (
                    select from pg_policy p where p.polrelid = r.oid and p.polname = 'portreeve_fence'
                      and not p.polpermissive and p.polcmd = '*'
                      and p.polroles = array(select oid from pg_roles where rolname = 'portreeve_staff')
                      and pg_get_expr(p.polqual, p.polrelid) = r.fence
                      and pg_get_expr(p.polwithcheck, p.polrelid) = r.fence))",
        hint: "Run portreeve fence apply for this database.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query:
            "select 'overridden:' || d.name, format('the fence''s USING (true) for PUBLIC on %s overrides policies that
                    the application made later', d.name)
                from declared d join pg_policy o on o.polrelid = d.relation and o.polname = 'portreeve_others'
                    and o.polroles = '{0}'
                where exists (select from pg_policy p where p.polrelid = d.relation and p.polname !~ '^portreeve_')",
        hint: "Run portreeve fence apply for this database: it then leaves the application's own policies alone.",
    },
];
