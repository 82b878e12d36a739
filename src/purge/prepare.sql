-- What retention needs in a customers' database; run by a superuser, again at any time. The maintenance role is a member
-- of the tables' owners, so that it may delete, vacuum and put the write fence up, and sees all rows; it is no superuser.
do $$ begin
    if not exists (select from pg_roles where rolname = 'portreeve_maintenance') then
        create role portreeve_maintenance login nosuperuser nocreatedb nocreaterole bypassrls;
    end if;
end $$;
grant pg_monitor, pg_signal_backend to portreeve_maintenance;
do $$ begin
    -- the fence takes CONNECT from PUBLIC
    execute format('grant connect on database %I to portreeve_maintenance', current_database());
end $$;
create schema if not exists portreeve;
grant usage on schema portreeve to portreeve_maintenance;

-- one row for each purge; numbers and digests only, but for the customer's key in tombstones
create table if not exists portreeve.purges (
    purge        text primary key,
    digest       text not null,
    baseline     jsonb not null default '{}',
    started_at   timestamptz not null default now(),
    finished_at  timestamptz,
    finished_xid text
);
create table if not exists portreeve.purge_steps (
    purge         text not null references portreeve.purges,
    step          int not null,
    rows          bigint not null default 0,
    large_objects bigint not null default 0,
    batches       bigint not null default 0,
    primary key (purge, step)
);
create table if not exists portreeve.tombstones (
    customer text primary key,
    purge    text not null,
    since    timestamptz not null default now()
);

-- The write fence's trigger, with the column that holds the customer's key as its argument. It belongs to a superuser, as
-- everything the fence of staff trusts does, and reads one table that nobody else may see. Every name in it says its
-- schema: no setting of a caller leads it astray. The purge itself may change rows.
create or replace function portreeve.refuse_tombstoned() returns trigger language plpgsql security definer as $$
begin
    if session_user operator(pg_catalog.<>) 'portreeve_maintenance'::pg_catalog.name and exists (
            select from portreeve.tombstones t
            where t.customer operator(pg_catalog.=) (pg_catalog.to_jsonb(new) operator(pg_catalog.->>) tg_argv[0])) then
        raise exception 'portreeve: this customer''s account is closed; its rows cannot change or come back' using errcode = '23514',
            hint = 'Stop what still writes for a closed account: queues, webhooks, imports.';
    end if;
    return new;
end $$;
revoke all on function portreeve.refuse_tombstoned() from public;
grant execute on function portreeve.refuse_tombstoned() to portreeve_maintenance;

do $$ declare thing text; begin
    foreach thing in array array['table portreeve.purges', 'table portreeve.purge_steps', 'table portreeve.tombstones'] loop
        execute format('alter %s owner to portreeve_maintenance', thing);
    end loop;
    if exists (select from pg_extension where extname = 'pg_stat_statements') then
        execute (select format('grant execute on function %s to portreeve_maintenance', p.oid::regprocedure)
                 from pg_proc p join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid
                 join pg_extension e on e.oid = d.refobjid
                 where e.extname = 'pg_stat_statements' and p.proname = 'pg_stat_statements_reset' limit 1);
    end if;
end $$;
