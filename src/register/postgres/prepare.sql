-- The register's tables in a database of PostgreSQL; run by a superuser in one transaction, again at any time. Everything
-- belongs to whoever runs it: the role of Portreeve appends events, appends and erases side rows, notes how long logs are,
-- and can change nothing else. Its name is in "portreeve.role".
do $$ declare
    name text := current_setting('portreeve.role');
begin
    if not exists (select from pg_roles where rolname = name) then
        execute format('create role %I login nosuperuser nocreatedb nocreaterole noreplication nobypassrls', name);
    end if;
    execute format('revoke all on database %I from public, %I', current_database(), name);
    execute format('grant connect on database %I to %I', current_database(), name);
    -- What somebody else made under these names would run as whoever prepares.
    if exists (
        select from (
            select nspowner as owner from pg_namespace where nspname = 'portreeve_register'
            union all select relowner from pg_class where relnamespace = to_regnamespace('portreeve_register')
            union all select proowner from pg_proc where pronamespace = to_regnamespace('portreeve_register')
        ) as found join pg_roles on pg_roles.oid = owner where not rolsuper)
    then
        raise exception 'the schema portreeve_register, or something in it, belongs to a role that is no superuser: look '
            'at who made it, then give it to a superuser or drop it';
    end if;
end $$;
create schema if not exists portreeve_register;

create table if not exists portreeve_register.register (
    version  int not null,
    identity uuid not null default gen_random_uuid()
);
create unique index if not exists register_is_one on portreeve_register.register ((true));
insert into portreeve_register.register (version) values (1) on conflict do nothing;
do $$ begin
    if (select version from portreeve_register.register) <> 1 then
        raise exception 'the register is of version %, which a newer portreeve made: prepare it with that one',
            (select version from portreeve_register.register);
    end if;
end $$;

create table if not exists portreeve_register.event (
    sequence  bigint primary key check (sequence > 0),
    id        bytea not null unique check (octet_length(id) = 16),
    content   bytea not null,
    hash      bytea not null check (octet_length(hash) = 32),
    signature bytea check (octet_length(signature) = 64)
);
create table if not exists portreeve_register.side (
    sequence bigint primary key references portreeve_register.event,
    salt     bytea not null check (octet_length(salt) = 32),
    body     bytea not null
);
create table if not exists portreeve_register.checkpoint (
    log  text primary key,
    size bigint not null check (size >= 0),
    root bytea not null check (octet_length(root) = 32)
);
-- Ids of events of which it was said that they are not there: so they never come to be.
create table if not exists portreeve_register.abandoned (
    id bytea primary key check (octet_length(id) = 16)
);

-- Events stay, whoever asks: the triggers hold for their owner, and where replication is replayed, too.
create or replace function portreeve_register.stays() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'the register is append-only';
end $$;
create or replace trigger event_stays before update or delete on portreeve_register.event
    for each row execute function portreeve_register.stays();
create or replace trigger event_stays_whole before truncate on portreeve_register.event
    for each statement execute function portreeve_register.stays();
alter table portreeve_register.event enable always trigger event_stays, enable always trigger event_stays_whole;

-- Whoever asks whether an event was stored waits for appends under way, that of a dead process too: they share this lock.
-- One that has not even begun, since it is still on its way to the server, is refused when it does.
create or replace function portreeve_register.under_way() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_advisory_xact_lock_shared(1347572822);
    return null;
end $$;
create or replace trigger event_under_way before insert on portreeve_register.event
    for each statement execute function portreeve_register.under_way();
alter table portreeve_register.event enable always trigger event_under_way;
create or replace function portreeve_register.not_abandoned() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from portreeve_register.abandoned where id = new.id) then
        raise exception 'the event was given up before it came: whoever asked for it was told that it is not there';
    end if;
    return new;
end $$;
create or replace trigger event_is_not_abandoned before insert on portreeve_register.event
    for each row execute function portreeve_register.not_abandoned();
alter table portreeve_register.event enable always trigger event_is_not_abandoned;
create or replace function portreeve_register.settle(asked bytea) returns bigint
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    place bigint;
begin
    perform pg_advisory_xact_lock(1347572822);
    select sequence into place from portreeve_register.event where id = asked;
    if place is null then
        insert into portreeve_register.abandoned values (asked) on conflict do nothing;
    end if;
    return place;
end $$;

-- Followers are told at the commit; what they are told is nothing but that.
create or replace function portreeve_register.told() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform pg_notify('portreeve_register', '');
    return null;
end $$;
create or replace trigger event_told after insert on portreeve_register.event
    for each statement execute function portreeve_register.told();
alter table portreeve_register.event enable always trigger event_told;

-- A deleted side row stays in the table's file until that is written anew, which only its owner may do. False: somebody has
-- a snapshot in which the rows that transaction "deleted" deleted are still there, so that they would be copied; or somebody
-- is just using the table: whoever waits for it makes everybody else wait, so that this gives up soon; or the server (15) is
-- told to keep deleted rows for a number of transactions. It runs as its owner: nothing that whoever calls it made is looked
-- up before what is meant, temporary tables neither.
create or replace function portreeve_register.rewrite(deleted xid8) returns boolean
    language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '200ms' as $$
begin
    if pg_snapshot_xmin(pg_current_snapshot()) <= deleted
        or coalesce(current_setting('vacuum_defer_cleanup_age', true), '0')::int > 0
        or exists (
            select from pg_catalog.pg_stat_activity
            where pid <> pg_backend_pid() and age(backend_xmin) >= age(deleted::xid)
                and (datname is null or datname = current_database()))
        or exists (
            select from pg_catalog.pg_replication_slots where xmin is not null and age(xmin) >= age(deleted::xid))
    then
        return false;
    end if;
    cluster portreeve_register.side using side_pkey;
    return true;
exception when lock_not_available then
    return false;
end $$;

revoke all on schema portreeve_register from public;
revoke all on all tables in schema portreeve_register from public;
revoke all on all functions in schema portreeve_register from public;
do $$ declare
    name text := current_setting('portreeve.role');
begin
    execute format('revoke all on schema portreeve_register from %I', name);
    execute format('revoke all on all tables in schema portreeve_register from %I', name);
    execute format('grant usage on schema portreeve_register to %I', name);
    execute format('grant select on portreeve_register.register to %I', name);
    execute format('grant select, insert on portreeve_register.event to %I', name);
    execute format('grant select, insert, delete on portreeve_register.side to %I', name);
    execute format('grant select, insert on portreeve_register.checkpoint to %I', name);
    execute format('grant update (size, root) on portreeve_register.checkpoint to %I', name);
    execute format('grant select, insert on portreeve_register.abandoned to %I', name);
    execute format('grant execute on function portreeve_register.settle(bytea) to %I', name);
    execute format('grant execute on function portreeve_register.rewrite(xid8) to %I', name);
    -- Trigger functions need no grant: PostgreSQL asks for one when a trigger is made, not when it fires.
end $$;
