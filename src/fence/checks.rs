//! What the self-test asks the catalogs, as data: one row per question. Each row a query returns is a finding: its word
//! (what `[fence] accept` names) and what was found.
//! Not here: pg_hba.conf (`hba.rs`), poolers (`announced.rs`) and what follows from a finding (`self_test.rs`).

/// How heavy a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// The fence does not hold: no statement is let through.
    Refuse,
    /// The same, unless the operator accepted it in writing.
    RefuseUnlessAccepted,
    /// A reader can still change something other than rows: records come first (strict), unless accepted.
    StrictUnlessAccepted,
    /// Worth knowing.
    Remark,
}

/// For which scopes a question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    Every,
    Readers,
    Metadata,
    Writers,
}

/// One question.
#[derive(Debug)]
pub(super) struct Check {
    pub weight: Weight,
    pub scopes: For,
    /// A query of (word, found); it may use the names that [`PREAMBLE`] gives.
    pub query: &'static str,
    /// What to do about it.
    pub hint: &'static str,
}

/// Extensions that give no way out: judged by what their functions do.
macro_rules! harmless_extensions {
    () => {
        "'plpgsql', 'bloom', 'btree_gin', 'btree_gist', 'citext', 'cube', 'dict_int', 'dict_xsyn', 'earthdistance', \
         'fuzzystrmatch', 'hstore', 'intarray', 'isn', 'ltree', 'moddatetime', 'pg_buffercache', 'pg_freespacemap', \
         'pg_stat_statements', 'pg_trgm', 'pg_visibility', 'pgcrypto', 'pgrowlocks', 'pgstattuple', 'seg', \
         'tablefunc', 'tsm_system_rows', 'tsm_system_time', 'unaccent', 'uuid-ossp', 'vector'"
    };
}

/// Extensions that reach other databases, machines, files or times.
macro_rules! dangerous_extensions {
    () => {
        "'adminpack', 'dblink', 'file_fdw', 'http', 'mongo_fdw', 'mysql_fdw', 'ogr_fdw', 'oracle_fdw', 'pageinspect', \
         'pg_background', 'pg_cron', 'pg_net', 'pg_surgery', 'plproxy', 'plsh', 'postgres_fdw', 'sqlite_fdw',
             'tds_fdw'"
    };
}

/// What lies in a session's temporary schema is no other session's, and gives its own no right that it has not.
///
/// `$1` the role that is examined, `$2` the role that carries its scope's privileges (empty: somebody else manages
/// `$1`), `$3` the provisioner; `$4` the customer's schema, and `$5` the role by which all schemas' roles connect, both
/// empty where there is none.
/// `reach`: the role and all it is a member of, inherited or by SET ROLE. `relations`: tables, views, sequences,
/// with the system's own, which nobody may write either; `pg_settings` is no table, writing it means SET. `shown`: what a
/// reachable view reads with an owner's rights, through further views and children; a security_invoker view stops that,
/// unless a materialised view stored what it showed. `heirs`: what is read through a reachable table as its child.
/// `acted`: what changes when a reachable table's rows are deleted or updated, by which foreign key.
pub(super) const PREAMBLE: &str = concat!(
    "
with recursive
subject as (select oid, rolname from pg_roles where rolname = $1),
reach(oid) as (select oid from subject union select m.roleid from pg_auth_members m join reach r on m.member = r.oid),
here as (select oid, datname from pg_database where datname = current_database()),
relations as (
    select c.oid, c.relkind, format('%I.%I', n.nspname, c.relname) as name, n.nspname
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.oid <> 'pg_settings'::regclass and c.relpersistence <> 't'),
declared as (
    select d.*, a.attnum, format('%I.%I', n.nspname, c.relname) as name
    from portreeve.shared_report() d join pg_class c on c.oid = d.relation join pg_namespace n on n.oid = c.relnamespace
    left join pg_attribute a on a.attrelid = d.relation and a.attname = d.tenant_column and not a.attisdropped),
reachable as (
    select r.*, c.reloptions, c.relispartition, c.relrowsecurity, d.class, d.attnum, d.fence, d.row_security,
        has_table_privilege(s.oid, r.oid, 'insert, update, delete')
        or has_any_column_privilege(s.oid, r.oid, 'insert, update') as is_writable
    from subject s, relations r join pg_class c using (oid) left join declared d on d.relation = r.oid
    where r.relkind in ('r', 'p', 'v', 'm') and r.nspname !~ '^pg_' and r.nspname <> 'information_schema'
      and (has_table_privilege(s.oid, r.oid, 'select, insert, update, delete')
           or has_any_column_privilege(s.oid, r.oid, 'select, insert, update'))
      and not exists (select from pg_depend p join pg_extension e on e.oid = p.refobjid
          where p.classid = 'pg_class'::regclass and p.objid = r.oid and p.refclassid = 'pg_extension'::regclass
            and p.deptype = 'e' and e.extname in (",
    harmless_extensions!(),
    "))),
shown(view, name, nspname, is_stored, oid, relkind, reloptions) as (
    select r.oid, r.name, r.nspname, r.relkind = 'm', r.oid, r.relkind, r.reloptions from reachable r
    where r.relkind in ('v', 'm')
    union
    select v.view, v.name, v.nspname, v.is_stored or c.relkind = 'm', c.oid, c.relkind, c.reloptions
    from shown v cross join lateral (
        select d.refobjid as oid from pg_rewrite w join pg_depend d on d.classid = 'pg_rewrite'::regclass
            and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
        where w.ev_class = v.oid and v.relkind in ('v', 'm') and (v.is_stored or not coalesce(v.reloptions
            && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1', 'security_invoker=yes'], false))
        union all
        select i.inhrelid from pg_inherits i where i.inhparent = v.oid) x
    join pg_class c on c.oid = x.oid),
heirs(parent, name, nspname, class, oid) as (
    select r.oid, r.name, r.nspname, r.class, r.oid from reachable r where r.relkind in ('r', 'p')
    union
    select h.parent, h.name, h.nspname, h.class, i.inhrelid from heirs h join pg_inherits i on i.inhparent = h.oid),
acted(origin, name, nspname, oid, is_deleted, key) as (
    select r.oid, r.name, r.nspname, r.oid, d, null::oid
    from reachable r cross join unnest(array[true, false]) d where r.is_writable and r.relkind in ('r', 'p')
    union
    select a.origin, a.name, a.nspname, k.conrelid, a.is_deleted and k.confdeltype = 'c', k.oid
    from acted a join pg_constraint k on k.confrelid = a.oid and k.contype = 'f' and k.conparentid = 0
        and case when a.is_deleted then k.confdeltype else k.confupdtype end in ('c', 'n', 'd')),
callable as (
    select p.oid, p.prosecdef, p.provolatile, l.lanname, l.lanpltrusted, p.pronamespace, p.proname
    from subject s, pg_proc p join pg_language l on l.oid = p.prolang
    where has_function_privilege(s.oid, p.oid, 'execute') and p.oid <> 'portreeve.customer()'::regprocedure
      and not 'internal'::regtype = any (p.proargtypes)
      and p.pronamespace not in (select n.oid from pg_namespace n where n.nspname ~ '^pg_temp_')
      and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype, 'language_handler'::regtype,
                               'fdw_handler'::regtype, 'index_am_handler'::regtype, 'table_am_handler'::regtype,
                               'tsm_handler'::regtype))
"
);

macro_rules! table_privileges {
    ($first:literal) => {
        concat!("(select array_agg(p) from unnest(string_to_array('", $first, ",TRUNCATE,REFERENCES,TRIGGER' \
                 || case when current_setting('server_version_num')::integer >= 170000 then ',MAINTAIN' else '' end, ',')) p \
                 where p <> '' and (has_table_privilege(s.oid, r.oid, p) or p in ('INSERT', 'UPDATE', 'REFERENCES') \
                 and has_any_column_privilege(s.oid, r.oid, p)))")
    };
}

/// What is asked of a server that grants are opened at.
pub(super) const OF_PRIMARY: &[Check] = &[Check {
    weight: Weight::Refuse,
    scopes: For::Every,
    query: "select 'standby', 'the server is a standby: roles cannot be closed there' where pg_is_in_recovery()",
    hint: "Point the cluster's host at the primary.",
}];

/// What is asked of a replica. What else makes it one is compared with its primary (`replica.rs`).
pub(super) const OF_REPLICA: &[Check] = &[Check {
    weight: Weight::Refuse,
    scopes: For::Every,
    query: "select 'promoted', 'the server takes changes: it is no replica any more' where not pg_is_in_recovery()",
    hint: "Take it out of [clusters.NAME.replicas.NAME], or make it a replica again.",
}];

/// All questions.
pub(super) const CHECKS: &[Check] = &[
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'missing', format('there is no role %I', $1) where not exists (select from subject)",
        hint: "Close the grant and open it again.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'version', 'PostgreSQL ' || current_setting('server_version') || ' is older than 15'
                where current_setting('server_version_num')::integer < 150000",
        hint: "Upgrade the server: older ones are not supported and were not tried.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select a.word, format('role %I has %s', r.rolname, upper(a.word))
                from pg_roles r join reach using (oid) cross join lateral (values
                    ('superuser', rolsuper), ('createrole', rolcreaterole), ('createdb', rolcreatedb),
                    ('replication', rolreplication), ('bypassrls', rolbypassrls)) a(word, has) where a.has",
        hint: "Take the attribute away with ALTER ROLE.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'membership:' || r.rolname, format('role %I is a member of %I', $1, r.rolname)
                from reach join pg_roles r using (oid) where r.rolname not in ($1, $2, 'portreeve_staff', $5)",
        hint: "Take it away with REVOKE … FROM; see pg_auth_members.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'membership:admin', format('role %I may hand on its membership of %I', g.rolname, r.rolname)
                from pg_auth_members m join reach on reach.oid = m.member join pg_roles r on r.oid = m.roleid
                join pg_roles g on g.oid = m.member where m.admin_option",
        hint: "Take it away with REVOKE ADMIN OPTION FOR … FROM.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'scope', format('role %I is not a member of %I', $1, e.name)
                from subject, (values ($2), ('portreeve_staff')) e(name)
                where $2 <> '' and not exists (select from reach join pg_roles r using (oid) where r.rolname = e.name)",
        hint: "Run portreeve fence apply for this database, then close the grant and open it again.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'owner', format('role %I owns %s', r.rolname,
                       case when d.dbid = 0 then 'a shared object' else pg_describe_object(d.classid, d.objid,
                           d.objsubid) end)
                from pg_shdepend d join reach on d.refobjid = reach.oid join pg_roles r on r.oid = reach.oid
                where d.refclassid = 'pg_authid'::regclass and d.deptype = 'o'
                    and d.classid <> 'pg_largeobject'::regclass
                  and d.dbid in (0, (select oid from here))
                  -- what a session makes for itself alone, and what would hold for objects it cannot make
                  and not (d.refobjid = (select oid from subject) and case when d.dbid = 0 then false
                      when d.classid = 'pg_default_acl'::regclass then true else coalesce((pg_identify_object(d.classid,
                          d.objid, d.objsubid)).schema ~ '^pg_(toast_)?temp', false) end)",
        hint: "Give it to another role with ALTER … OWNER TO: an owner can do anything to its object.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Every,
        query: "select 'connect:' || d.datname, format('role %I may connect to database %I', s.rolname, d.datname)
                from subject s, pg_database d
                where d.datallowconn and d.datname <> current_database() and has_database_privilege(s.oid, d.oid,
                    'connect')",
        hint: "Run portreeve fence apply for that database, or REVOKE CONNECT ON DATABASE … FROM PUBLIC.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'create:' || n.nspname, format('role %I may create objects in schema %I', s.rolname, n.nspname)
                from subject s, pg_namespace n where has_schema_privilege(s.oid, n.oid, 'create')
                union all
                select 'create', format('role %I may create schemas', s.rolname)
                from subject s, here where has_database_privilege(s.oid, here.oid, 'create')",
        hint: "REVOKE CREATE ON SCHEMA … FROM PUBLIC (or from the role it came by).",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Readers,
        query: concat!(
            "select 'write:' || r.name, format('a reader may %s %s', lower(array_to_string(p.list, ', ')), r.name)
             from subject s, relations r, lateral (select case r.relkind when 'S' then
                 (select array_agg(p) from unnest(array['USAGE', 'UPDATE']) p where has_sequence_privilege(s.oid,
                     r.oid, p))
                 else ",
            table_privileges!("INSERT,UPDATE,DELETE"),
            " end as list) p where p.list is not null"
        ),
        hint: "REVOKE it from PUBLIC (or from the role it came by), or run portreeve fence apply again.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Writers,
        query: concat!(
            "select 'beyond-write:' || r.name, format('a writer may %s %s', lower(array_to_string(p.list, ', ')),
                r.name)
             from subject s, relations r, lateral (select case r.relkind when 'S' then
                 (select array_agg(p) from unnest(array['UPDATE']) p where has_sequence_privilege(s.oid, r.oid, p))
                 else ",
            table_privileges!(""),
            " end as list) p where p.list is not null"
        ),
        hint: "REVOKE it from PUBLIC (or from the role it came by): TRUNCATE ignores row policies.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Metadata,
        query: "select 'personal:' || r.name, format('under the scope metadata every column of %s can be read', r.name)
                from subject s, reachable r where has_table_privilege(s.oid, r.oid, 'select')
                union all
                select 'personal:' || r.name || '.' || a.attname, format('column %I of %s can be read, and not by the data
                    map', a.attname, r.name)
                from reachable r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
                    and a.attacl is not null and $2 <> '', aclexplode(a.attacl) x
                where x.privilege_type = 'SELECT' and (x.grantee = 0 or x.grantee in (
                    select oid from reach join pg_roles c using (oid) where c.rolname <> $2))",
        hint: "REVOKE it from PUBLIC (or from the role it came by), or run portreeve fence apply with the data map.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Metadata,
        query: "select 'personal:large-object', format('under the scope metadata %s large objects can be read, such as %s',
                    count(*), min(oid))
                from (select distinct l.oid from pg_largeobject_metadata l,
                        aclexplode(coalesce(l.lomacl, acldefault('L', l.lomowner))) a
                    where a.privilege_type = 'SELECT' and (a.grantee = 0 or a.grantee in (select oid from reach))
                      and l.lomowner not in (select oid from subject)) o
                having count(*) > 0",
        hint: "REVOKE SELECT ON LARGE OBJECT … FROM PUBLIC (or from the role it came by): no data map tells what is in them.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Readers,
        query: "select 'write:large-object', format('a reader may change large object %s', l.oid)
                from pg_largeobject_metadata l, aclexplode(l.lomacl) a
                where a.privilege_type = 'UPDATE' and (a.grantee = 0 or a.grantee in (select oid from reach))
                  and l.lomowner not in (select oid from reach)",
        hint: "REVOKE UPDATE ON LARGE OBJECT … FROM PUBLIC.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Every,
        query: "select 'stats-ext:' || v, format('%s shows everybody what is common in columns (CVE-2024-4317), and there
                    are extended statistics', v)
                from subject s, unnest(array['pg_stats_ext', 'pg_stats_ext_exprs']) v
                where has_table_privilege(s.oid, 'pg_catalog.' || v, 'select') and exists (select from pg_statistic_ext)
                  -- the views themselves, for an upgrade does not mend those of a cluster that was there before
                  and pg_get_viewdef(('pg_catalog.' || v)::regclass) !~ 'pg_has_role'",
        hint: "As superuser run fix-CVE-2024-4317.sql, which releases from 15.7 and 16.3 on bring in their share folder, in
            every database.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'lo-compat', 'lo_compat_privileges is on: large objects have no privileges'
                where current_setting('lo_compat_privileges')::boolean",
        hint: "Set lo_compat_privileges = off.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Every,
        query: "select 'parameter:' || p.parname, format('role %I may change %s', s.rolname, p.parname)
                from subject s, pg_parameter_acl p
                where has_parameter_privilege(s.oid, p.parname, 'set') or has_parameter_privilege(s.oid,
                    p.parname, 'alter system')",
        hint: "REVOKE SET, ALTER SYSTEM ON PARAMETER … FROM PUBLIC.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Every,
        query: "select 'definer:' || oid::regprocedure, format('%s runs with its owner''s rights',
            oid::regprocedure) from callable where prosecdef",
        hint: "REVOKE EXECUTE ON FUNCTION … FROM PUBLIC, or accept it once you have read it.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Every,
        query: "select 'untrusted:' || oid::regprocedure,
                       format('%s is written in %s, which no privilege holds', oid::regprocedure, lanname)
                from callable where not lanpltrusted and lanname not in ('internal', 'c')",
        hint: "REVOKE EXECUTE ON FUNCTION … FROM PUBLIC, or accept it once you have read it.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Every,
        query: concat!(
            "select 'extension:' || extname, format('extension %I reaches outside this database', extname)
                from pg_extension where extname in (",
            dangerous_extensions!(),
            ")"
        ),
        hint: "DROP EXTENSION, or close its functions and accept it.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Every,
        query: "select 'server:' || f.srvname, format('role %I may use foreign server %I', s.rolname, f.srvname)
                from subject s, pg_foreign_server f where has_server_privilege(s.oid, f.oid, 'usage')
                union all
                select 'fdw:' || w.fdwname, format('role %I may use foreign-data wrapper %I', s.rolname, w.fdwname)
                from subject s, pg_foreign_data_wrapper w where has_foreign_data_wrapper_privilege(s.oid, w.oid,
                    'usage')
                union all
                select 'user-mapping:' || m.srvname, format('server %I has a user mapping for %s', m.srvname,
                    m.usename)
                from pg_user_mappings m where m.umuser = 0 or m.umuser in (select oid from reach)
                union all
                select 'foreign-table:' || r.name, format('role %I may read foreign table %s', s.rolname, r.name)
                from subject s, relations r where r.relkind = 'f'
                 and (has_table_privilege(s.oid, r.oid, 'select') or has_any_column_privilege(s.oid, r.oid,
                     'select'))",
        hint: "REVOKE it from PUBLIC, or accept it: what lies behind is not this customer's database.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Every,
        query: "select 'prepared-transactions', 'max_prepared_transactions is '
            || current_setting('max_prepared_transactions')
                       || ': a prepared transaction outlives the session that is ended'
                where current_setting('max_prepared_transactions')::integer > 0",
        hint: "Set max_prepared_transactions = 0 and restart.",
    },
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Every,
        query: "select 'provisioner:' || a.word, format('the provisioner %I has %s', r.rolname, upper(a.word))
                from pg_roles r cross join lateral (values
                    ('superuser', rolsuper), ('createrole', rolcreaterole), ('createdb', rolcreatedb),
                    ('replication', rolreplication), ('bypassrls', rolbypassrls)) a(word, has)
                where r.rolname = $3 and a.has
                union all
                select 'provisioner:' || g.rolname, format('the provisioner %I is a member of %I', p.rolname,
                    g.rolname)
                from pg_auth_members m join pg_roles p on p.oid = m.member join pg_roles g on g.oid = m.roleid
                where p.rolname = $3",
        hint: "Take it away: the provisioner needs EXECUTE on the portreeve functions and nothing else.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'install', format('schema portreeve belongs to %I, not to a superuser', r.rolname)
                from pg_namespace n join pg_roles r on r.oid = n.nspowner where n.nspname = 'portreeve'
                    and not r.rolsuper
                union all
                select 'install', format('function %s belongs to %I, not to a superuser', p.oid::regprocedure,
                    r.rolname)
                from pg_proc p join pg_roles r on r.oid = p.proowner
                where p.pronamespace = to_regnamespace('portreeve') and not r.rolsuper",
        hint: "Run portreeve fence remove and apply as superuser.",
    },
    Check {
        weight: Weight::StrictUnlessAccepted,
        scopes: For::Readers,
        query: "values ('notify', 'a reader may NOTIFY: PostgreSQL has no privilege for it'),
                       ('alter-self', 'a reader may change its own role''s password and settings')",
        hint: "It cannot be revoked: accept it if nothing in this database acts on notifications or
            on these settings.",
    },
    Check {
        weight: Weight::StrictUnlessAccepted,
        scopes: For::Readers,
        query: "select 'advisory-locks', 'a reader may take advisory locks' where exists (
                    select from callable where pronamespace = 'pg_catalog'::regnamespace
                        and proname ~ '^pg_(try_)?advisory_(xact_)?lock')
                union all
                select 'large-objects', 'a reader may create large objects' where exists (
                    select from callable where pronamespace = 'pg_catalog'::regnamespace and proname
                        in ('lo_creat', 'lo_create', 'lo_from_bytea'))
                union all
                select 'logical-messages', 'a reader may write messages into the WAL' where exists (
                    select from callable where pronamespace = 'pg_catalog'::regnamespace
                        and proname = 'pg_logical_emit_message')
                union all
                select 'temp', 'a reader may create temporary tables' from subject s, here
                where has_database_privilege(s.oid, here.oid, 'temporary')",
        hint: "Name it in [fence] revoke_public and run portreeve fence apply, or accept it.",
    },
    Check {
        weight: Weight::StrictUnlessAccepted,
        scopes: For::Readers,
        query: concat!(
            "select 'public-functions', 'a reader may run compiled functions that nobody has judged: '
                    || string_agg(oid::regprocedure::text, ', ' order by oid)
                from callable where lanname in ('internal', 'c') and provolatile = 'v' and not prosecdef
                    and oid >= 16384
                 and not exists (select from pg_depend d join pg_extension e on e.oid = d.refobjid
                     where d.classid = 'pg_proc'::regclass and d.objid = callable.oid
                         and d.refclassid = 'pg_extension'::regclass
                       and d.deptype = 'e' and e.extname in (",
            harmless_extensions!(),
            "))
                having count(*) > 0"
        ),
        hint: "REVOKE EXECUTE ON FUNCTION … FROM PUBLIC, or accept them.",
    },
    Check {
        weight: Weight::Remark,
        scopes: For::Every,
        query: concat!(
            "select 'extension:' || extname, format('nobody has judged extension %I', extname)
            from pg_extension
                where extname not in (",
            harmless_extensions!(),
            ", ",
            dangerous_extensions!(),
            ")"
        ),
        hint: "Look at what its functions can do for a reader.",
    },
];

/// What is said of tables a scope does not reach, where one customer has the whole database.
pub(super) const UNGRANTED: &[Check] = &[Check {
    weight: Weight::Remark,
    scopes: For::Every,
    query: "select 'ungranted', count(*) || ' tables or views are not readable under this scope, such as '
            || min(r.name)
                from subject s, relations r
                where r.relkind in ('r', 'p', 'v', 'm') and r.nspname !~ '^pg_' and r.nspname not
                    in ('information_schema', 'portreeve')
                  and not has_any_column_privilege(s.oid, r.oid, 'select')
                having count(*) > 0",
    hint: "New tables are granted to nobody: run portreeve fence apply.",
}];
