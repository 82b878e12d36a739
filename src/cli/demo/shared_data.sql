-- Rows of initech (tenant 7) and umbrella (tenant 8) in the same tables: the same each time. Run as superuser in an
-- empty database that belongs to role app, which becomes the owner of all of it.
set role app;

create table public.countries (code char(2) primary key, name text not null);
insert into public.countries values ('NL', 'Netherlands'), ('SE', 'Sweden'), ('PT', 'Portugal'), ('DE', 'Germany');

create table public.contacts (
    tenant_id int not null,
    id        int not null,
    full_name text not null,
    email     text not null,
    country   char(2) not null references public.countries,
    primary key (tenant_id, id),
    unique (tenant_id, email)
);
create table public.orders (
    tenant_id   int not null,
    id          int not null,
    contact_id  int not null,
    total_cents bigint not null,
    placed_at   timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, contact_id) references public.contacts on delete cascade
);

insert into public.contacts
select tenant, g, (array['Anna', 'Bram', 'Carla', 'Dirk', 'Eva'])[1 + g % 5] || ' ' ||
       (array['Alves', 'Berg', 'Claes', 'Dahl'])[1 + g % 4], 'p' || g || '@' || company || '.example',
       (array['NL', 'SE', 'PT', 'DE'])[1 + (g + tenant) % 4]
from (values (7, 'initech', 400), (8, 'umbrella', 600)) t(tenant, company, size), generate_series(1, size) g;

insert into public.orders
select tenant_id, id * 2 + n, id, 500 + (id * 7919 + n * 104729) % 250000, timestamptz '2025-01-01' + id * interval '1 hour'
from public.contacts, generate_series(0, 1) n;

create view public.spent with (security_invoker = true) as
select tenant_id, contact_id, sum(total_cents) as cents from public.orders group by 1, 2;
reset role;
analyze public.contacts, public.orders;
