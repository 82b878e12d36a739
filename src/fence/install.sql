-- What the fence needs inside one database, run by a superuser in one transaction; running it again changes nothing.
-- Every function is SECURITY DEFINER with a fixed search_path, checks the names it is given, and is closed to PUBLIC;
-- `apply` opens those below the line to the provisioner. Roles, scopes and grants on tables come from `plan.rs`.

do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'portreeve_staff') then
        create role portreeve_staff nologin;
    end if;
exception when duplicate_object or unique_violation then null; -- another database was faster
end $$;

create schema if not exists portreeve;
revoke all on schema portreeve from public;

-- The role that carries all privileges of a scope, in a schema of the customer's own if one is named. `database` catches copies: a database made from this one as template
-- still names this one's roles.
create table if not exists portreeve.scope (
    name     text not null check (name in ('metadata', 'read', 'write')),
    role     name not null,
    database name not null,
    schema   name not null default '',
    primary key (name, schema)
);
alter table portreeve.scope add column if not exists schema name not null default '';
do $$
begin
    if (select array_length(c.conkey, 1) from pg_catalog.pg_constraint c
            where c.conrelid = 'portreeve.scope'::regclass and c.contype = 'p') = 1 then
        alter table portreeve.scope drop constraint scope_pkey, add primary key (name, schema);
    end if;
end $$;
-- The login roles that exist now.
create table if not exists portreeve.grants (
    role   name primary key,
    scope  text not null,
    until  timestamptz not null,
    opened timestamptz not null default pg_catalog.now()
);
alter table portreeve.grants add column if not exists tenant text;
-- How customers lie in this database: one has it whole, several share tables, each has a schema. No row: the first.
create table if not exists portreeve.layout (
    one           boolean primary key default true check (one),
    name          text not null,
    tenant_column name
);
alter table portreeve.layout drop constraint if exists layout_name_check;
alter table portreeve.layout add constraint layout_name_check check (name in ('database', 'shared', 'schema'));
-- What the operator said of each table of a shared database: `own` rows are a customer's, told apart by a column;
-- `everybody` may read the table whole; `nobody` reads it. `row_security` is whose doing it is that row policies apply;
-- `fence` is our policy's expression as the server wrote it back.
create table if not exists portreeve.shared_tables (
    relation      regclass primary key,
    class         text not null check (class in ('own', 'everybody', 'nobody')),
    tenant_column name check ((tenant_column is null) = (class <> 'own')),
    row_security  text check (row_security in ('ours', 'theirs')),
    fence         text
);
-- What `remove` runs to give back what `apply` took away, latest first.
create table if not exists portreeve.undo (
    position  bigint generated always as identity primary key,
    statement text not null unique
);
revoke all on all tables in schema portreeve from public;

create or replace function portreeve.checked(role text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if role is null or role !~ '^pr_g_[a-z0-9_]+$' or octet_length(role) > 63 then
        raise exception 'not a name of a grant''s role: %', coalesce(quote_literal(role), 'null')
            using errcode = 'invalid_parameter_value',
                  hint = 'Names match ^pr_g_[a-z0-9_]+$ and have at most 63 bytes.';
    end if;
    return role;
end $$;

-- The role's row in portreeve.grants, locked until the end of the transaction: verbs about one role take turns.
-- False if neither row nor role exists; an error if the role exists but was opened elsewhere.
create or replace function portreeve.locked(role text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform from portreeve.grants g where g.role = portreeve.checked(locked.role) for update;
    if found then
        return true;
    elsif exists (select from pg_roles r where r.rolname = locked.role) then
        raise exception 'role % was not opened in database %', quote_ident(role), quote_ident(current_database())
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    return false;
end $$;

-- A 32-bit transaction id with its epoch; it may be a little newer than our snapshot.
create or replace function portreeve.with_epoch(id xid) returns xid8
language sql stable strict set search_path = pg_catalog, pg_temp as $$
    select (next - case when back >= 2147483648 then back - 4294967296 else back end)::text::xid8
    from (select next, (next - id::text::bigint) & 4294967295 as back
          from (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next) s) d
$$;

-- How customers lie in this database.
drop function if exists portreeve.is_shared();
create or replace function portreeve.laid_out() returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce((select l.name from portreeve.layout l), 'database')
$$;

-- The tenant whose rows this session may reach, as text; null, which equals nothing, for anybody without a grant. By
-- session_user, which no statement of a session changes.
create or replace function portreeve.customer() returns text
language sql stable security definer parallel restricted set search_path = pg_catalog, pg_temp as $$
    select g.tenant from portreeve.grants g where g.role = session_user
$$;

-- The tenant key as the tenant columns of this database hold it; an error if one of them cannot hold it, or would
-- write it in another way (07 and 7): one tenant must not have two names. Or the customer's schema, which is fenced.
create or replace function portreeve.checked_tenant(tenant text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    laid_out text := portreeve.laid_out();
    kind text;
    written text;
begin
    if (laid_out = 'database') <> (tenant is null) then
        raise exception '%', case when tenant is null
                then format('several customers are in database %I, and this one has no tenant key and no schema', current_database())
                else format('the tables of database %I are not fenced for several customers', current_database()) end
            using errcode = 'object_not_in_prerequisite_state', hint = case when tenant is null
                then 'Create the customer with portreeve customer create … --tenant KEY, or --schema NAME.'
                else 'Run portreeve fence apply --layout shared, or --layout schema, for this database.' end;
    end if;
    if laid_out = 'schema' then
        if not exists (select from portreeve.scope s join pg_namespace n on n.nspname = s.schema
                where s.schema = tenant::name and s.schema = tenant) then
            raise exception 'schema % of database % is not fenced, or is not there', quote_ident(tenant), quote_ident(current_database())
                using errcode = 'object_not_in_prerequisite_state',
                      hint = format('Run portreeve fence apply --layout schema --schema %s for this database.', tenant);
        end if;
        return tenant;
    end if;
    for kind in
        select distinct format_type(a.atttypid, null) from portreeve.shared_tables s
        join pg_attribute a on a.attrelid = s.relation and a.attname = s.tenant_column and not a.attisdropped
        where s.class = 'own' and tenant is not null
    loop
        begin
            execute format('select ($1::%s)::text', kind) into written using tenant;
        exception when data_exception then written := null;
        end;
        if written is distinct from tenant then
            raise exception 'tenant % is not how a column of type % writes it', quote_literal(tenant), kind
                using errcode = 'invalid_parameter_value', hint = coalesce(
                    'Create the customer with --tenant ' || quote_literal(written) || '.',
                    'Create the customer with the value that stands in the tenant columns of its rows.');
        end if;
    end loop;
    return tenant;
end $$;

-- Deals with the large objects a role owns here, so many at most, as each takes a lock; true if there may be more. A
-- writer's go to the database's owner, whom `apply` leaves creating them as well: they were put in for the application,
-- which may point to them by now and can go on reading and deleting them, while no grant's role can any more: what the
-- writer let PUBLIC or other staff do with them is taken back, or it would outlive the grant, in shared tables across
-- customers. A reader's go for good.
create or replace function portreeve.hand_over(role text, at_most integer) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    written boolean;
    heir name;
    large_object oid;
    outsider text;
    taken integer := 0;
begin
    select g.scope = 'write' into strict written from portreeve.grants g where g.role = hand_over.role;
    select r.rolname into strict heir
    from pg_database d join pg_roles r on r.oid = d.datdba where d.datname = current_database();
    for large_object in
        select o.objid from pg_shdepend o
        where o.refclassid = 'pg_authid'::regclass and o.classid = 'pg_largeobject'::regclass and o.deptype = 'o'
          and o.refobjid = (select r.oid from pg_roles r where r.rolname = hand_over.role)
          and o.dbid = (select d.oid from pg_database d where d.datname = current_database())
        limit at_most
    loop
        if written then
            execute format('alter large object %s owner to %I', large_object, heir);
            for outsider in
                with recursive staff as (
                    select r.oid from pg_roles r where r.rolname = 'portreeve_staff'
                    union select m.member from pg_auth_members m join staff s on s.oid = m.roleid)
                select distinct case a.grantee when 0 then 'public' else quote_ident(r.rolname) end
                from pg_largeobject_metadata l cross join aclexplode(l.lomacl) a left join pg_roles r on r.oid = a.grantee
                where l.oid = large_object and a.grantee <> l.lomowner
                  and (a.grantee = 0 or a.grantee in (select s.oid from staff s))
            loop
                execute format('revoke all on large object %s from %s cascade', large_object, outsider);
            end loop;
        else
            perform lo_unlink(large_object);
        end if;
        taken := taken + 1;
    end loop;
    return taken = at_most;
end $$;

revoke all on all functions in schema portreeve from public;

------------------------------------------------------------------------------------------------ for the provisioner

-- A login role for one grant in one process of the proxy; in a shared database for one tenant's rows.
drop function if exists portreeve.open_grant(text, text, text, timestamptz, integer);
create or replace function portreeve.open_grant(
    role text, scope text, verifier text, until timestamptz, connections integer, tenant text default null)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    laid_out text := portreeve.laid_out();
    carrier name;
begin
    perform portreeve.checked(role), portreeve.checked_tenant(tenant);
    select s.role into carrier from portreeve.scope s where s.name = scope and s.database = current_database()
        and s.schema = case laid_out when 'schema' then tenant else '' end;
    if carrier is null then
        raise exception 'scope % is not set up in database %', quote_literal(scope), quote_ident(current_database())
            using errcode = 'object_not_in_prerequisite_state', hint = case scope when 'metadata'
                then 'Run portreeve fence apply with a data map (--datamap): it says which columns are not personal.'
                else 'Run portreeve fence apply for this database.' end;
    end if;
    if verifier is null
       or verifier !~ '^SCRAM-SHA-256\$[1-9][0-9]*:[A-Za-z0-9+/]+={0,2}\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$' then
        raise exception 'not a SCRAM-SHA-256 verifier' using errcode = 'invalid_parameter_value';
    end if;
    if until is null or until <= now() or until > now() + interval '8 days' then
        raise exception 'a grant ends within the next 7 days, not at %', coalesce(until::text, 'null')
            using errcode = 'invalid_parameter_value';
    end if;
    if connections is null or connections not between 1 and 1000 then
        raise exception 'a grant has 1 to 1000 connections, not %', coalesce(connections::text, 'null')
            using errcode = 'invalid_parameter_value';
    end if;
    insert into portreeve.grants (role, scope, until, tenant)
    values (role, scope, until, tenant);
    execute format('create role %I login inherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls '
                   'password %L valid until %L connection limit %s', role, verifier, until, connections);
    if current_setting('server_version_num')::integer >= 160000 then
        execute format('grant %I to %I with inherit true, set false', carrier, role);
    else
        execute format('grant %I to %I', carrier, role);
    end if;
    -- convenience, not a fence: names without a schema mean the customer's tables
    if laid_out = 'schema' then
        execute format('alter role %I in database %I set search_path = %I, public', role, current_database(), tenant);
    end if;
exception when unique_violation or duplicate_object then
    raise exception 'role % exists already', quote_ident(role) using errcode = 'duplicate_object';
end $$;

-- Backends that work for a role, parallel workers included.
create or replace function portreeve.backends(role text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform portreeve.checked(role);
    return (select count(*) from pg_stat_activity a where a.usename = backends.role);
end $$;

-- The process ids of backends that work for a role. It locks nothing: whoever waits for an end asks often.
create or replace function portreeve.pids(role text) returns setof integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform portreeve.checked(role);
    return query select a.pid from pg_stat_activity a where a.usename = pids.role;
end $$;

-- Shuts a role out and tells all its backends to end; says which there were and what transaction each was in. They may
-- live a moment longer: call again until `backends` is 0. No pg_cancel_backend before: it would let the next pipelined
-- statement start, while pg_terminate_backend interrupts at the same places and lets nothing start.
create or replace function portreeve.end_backends(role text) returns table (pid integer, xid text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    backend record;
begin
    -- no wait for the disk: a crash ends all sessions, and only the proxy ever knew the password
    perform set_config('synchronous_commit', 'off', true);
    if not portreeve.locked(end_backends.role) then
        return;
    end if;
    if (select r.rolcanlogin from pg_roles r where r.rolname = end_backends.role) then
        execute format('alter role %I nologin', end_backends.role);
    end if;
    for backend in
        select a.pid, portreeve.with_epoch(a.backend_xid)::text as xid, a.backend_type
        from pg_stat_activity a where a.usename = end_backends.role
    loop
        perform pg_terminate_backend(backend.pid);
        if backend.backend_type = 'client backend' then
            pid := backend.pid;
            xid := backend.xid;
            return next;
        end if;
    end loop;
end $$;

-- The same for one backend; the role stays open.
create or replace function portreeve.end_backend(role text, pid integer) returns table (xid text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    backend record;
begin
    perform set_config('synchronous_commit', 'off', true);
    if not portreeve.locked(end_backend.role) then
        return;
    end if;
    for backend in
        select a.pid, portreeve.with_epoch(a.backend_xid)::text as xid
        from pg_stat_activity a where a.usename = end_backend.role and a.pid = end_backend.pid
    loop
        perform pg_terminate_backend(backend.pid);
        xid := backend.xid;
        return next;
    end loop;
end $$;

-- Tells the backends of a role to end, all or one, and says which there were; shuts nobody out. For a replica, which can
-- change nothing itself: call again until none is left.
create or replace function portreeve.terminate(role text, pid integer default null) returns setof integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    perform portreeve.checked(terminate.role);
    return query
        with found as materialized (
            select a.pid from pg_stat_activity a
            where a.usename = terminate.role and (terminate.pid is null or a.pid = terminate.pid))
        select f.pid from found f cross join lateral pg_terminate_backend(f.pid);
end $$;

-- Which server this is, on which timeline, and how far it is: a primary has flushed that much, a replica has replayed it,
-- the last transaction so many seconds ago.
create or replace function portreeve.standing()
returns table (system bigint, timeline bigint, is_replica boolean, reached bigint, seconds bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    select s.system_identifier into system from pg_control_system() s;
    is_replica := pg_is_in_recovery();
    if is_replica then
        -- what it streams from; unknown without a stream: its last checkpoint may be older than a failover
        timeline := (select r.received_tli from pg_stat_wal_receiver r);
        reached := pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0');
        seconds := extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp());
    else
        timeline := ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint;
        reached := pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0');
        seconds := 0;
    end if;
    return next;
end $$;

-- Removes a role with all it owns here, but for large objects: see above. Whatever else a role made, a function for
-- instance, must not become somebody's with more rights. False if there was none, null if more is left than one transaction
-- should deal with: call again. Its backends must be gone: a session would keep what it has read.
create or replace function portreeve.close_grant(role text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    existed boolean := false;
begin
    if not portreeve.locked(close_grant.role) then
        return false;
    end if;
    if exists (select from pg_roles r where r.rolname = close_grant.role) then
        if portreeve.backends(close_grant.role) > 0 then
            raise exception 'role % still has backends', quote_ident(close_grant.role)
                using errcode = 'object_in_use', hint = 'Call portreeve.end_backends first.';
        end if;
        if portreeve.hand_over(close_grant.role, 1000) then
            return null;
        end if;
        execute format('drop owned by %I', close_grant.role);
        execute format('drop role %I', close_grant.role);
        existed := true;
    end if;
    delete from portreeve.grants g where g.role = close_grant.role;
    return existed;
end $$;

-- The databases in which roles that begin with `prefix` were opened, wherever on this server, as far as the roles that
-- carry their scopes tell; null for a role that none tells of.
create or replace function portreeve.left_behind(prefix text) returns table (database name)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform portreeve.checked(prefix || 'x');
    return query
        select distinct d.datname from pg_roles r
        left join pg_auth_members m on m.member = r.oid
        left join pg_shdepend s on s.refclassid = 'pg_authid'::regclass and s.refobjid = m.roleid
            and (s.dbid <> 0 or s.classid = 'pg_database'::regclass)
        left join pg_database d on d.oid = case s.dbid when 0 then s.objid else s.dbid end
        where starts_with(r.rolname::text, prefix);
end $$;

-- The roles of this database that begin with `prefix`.
create or replace function portreeve.open_grants(prefix text) returns setof name
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    perform portreeve.checked(prefix || 'x');
    return query select g.role from portreeve.grants g where starts_with(g.role::text, prefix) order by g.role;
end $$;

-- What was declared of each table of a shared database, for the self-test.
create or replace function portreeve.shared_report()
returns table (relation oid, class text, tenant_column name, row_security text, fence text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select s.relation::oid, s.class, s.tenant_column, s.row_security, s.fence from portreeve.shared_tables s
    join pg_class c on c.oid = s.relation
$$;

-- The schemas that are customers'.
create or replace function portreeve.fenced_schemas() returns setof name
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select distinct s.schema from portreeve.scope s where s.schema <> ''
$$;

-- Everybody who is connected to this server, but for whoever asks: for the road watch. What they do there is not told. A
-- session outlives its role; one that is signing in has none yet.
create or replace function portreeve.connected()
returns table (pid integer, since timestamptz, role name, database name, address inet, application text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select a.pid, a.backend_start, coalesce(a.usename, format('dropped role %s', a.usesysid)::name), a.datname, a.client_addr,
        coalesce(left(a.application_name, 64), '')
    from pg_stat_activity a
    where a.backend_type in ('client backend', 'walsender') and a.usesysid is not null and a.pid <> pg_backend_pid()
$$;

-- The lines of pg_hba.conf that may concern a member of portreeve_staff, in order, and every line the server could not
-- read. It shows the file, which the server may not have loaded yet.
create or replace function portreeve.hba_report()
returns table (line integer, type text, databases text[], users text[], address text, netmask text, method text,
               options text[], error text)
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select h.line_number, h.type, h.database, h.user_name, h.address, h.netmask, h.auth_method, h.options, h.error
    from pg_hba_file_rules h
    where h.error is not null or exists (
        select from unnest(h.user_name) as u(name)
        where u.name = 'all' or u.name like '/%' or u.name like 'pr\_g\_%'
           or left(u.name, 1) = '+' and substr(u.name, 2) in (
               with recursive up (oid) as (
                   select r.oid from portreeve.scope s join pg_roles r on r.rolname = s.role
                   union select m.roleid from pg_auth_members m join up on up.oid = m.member)
               select r.rolname from up join pg_roles r using (oid)))
    order by coalesce((to_jsonb(h) ->> 'rule_number')::integer, h.line_number), h.line_number
$$;

-- The same for whoever may open grants: the provisioner.
create or replace function portreeve.provisioner_hba()
returns table (line integer, type text, databases text[], users text[], address text, netmask text, method text,
               options text[], error text)
language sql security definer set search_path = pg_catalog, pg_temp as $$
    with provisioners as (
        select r.oid, r.rolname from pg_proc p cross join aclexplode(p.proacl) a join pg_roles r on r.oid = a.grantee
        where p.pronamespace = 'portreeve'::regnamespace and p.proname = 'open_grant' and not r.rolsuper)
    select h.line_number, h.type, h.database, h.user_name, h.address, h.netmask, h.auth_method, h.options, h.error
    from pg_hba_file_rules h
    where h.error is null and exists (
        select from unnest(h.user_name) as u(name) cross join provisioners p
        where u.name in ('all', p.rolname) or u.name like '/%' or exists (
            select from pg_roles g where u.name = '+' || g.rolname and pg_has_role(p.oid, g.oid, 'member')))
    order by coalesce((to_jsonb(h) ->> 'rule_number')::integer, h.line_number), h.line_number
$$;

revoke all on all functions in schema portreeve from public;
grant execute on function portreeve.customer() to portreeve_staff;
