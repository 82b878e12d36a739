-- What is not in the schema and would go with it, or break without it. First what is the schema's: what stands in it, and
-- what belongs to that and has no schema of its own (constraints, defaults, triggers, rules, policies, toast, statistics).
-- Then everything that depends on one of these and is none of them, and everything of which one of these is a part.
with recursive standing(class, oid) as (
    select 'pg_namespace'::regclass, $oid
    union all select 'pg_class'::regclass, oid from pg_class where relnamespace = $oid
    union all select 'pg_proc'::regclass, oid from pg_proc where pronamespace = $oid
    union all select 'pg_type'::regclass, oid from pg_type where typnamespace = $oid
    union all select 'pg_operator'::regclass, oid from pg_operator where oprnamespace = $oid
    union all select 'pg_opclass'::regclass, oid from pg_opclass where opcnamespace = $oid
    union all select 'pg_opfamily'::regclass, oid from pg_opfamily where opfnamespace = $oid
    union all select 'pg_amop'::regclass, a.oid from pg_amop a join pg_opfamily f on f.oid = a.amopfamily
    where f.opfnamespace = $oid
    union all select 'pg_amproc'::regclass, a.oid from pg_amproc a join pg_opfamily f on f.oid = a.amprocfamily
    where f.opfnamespace = $oid
    union all select 'pg_collation'::regclass, oid from pg_collation where collnamespace = $oid
    union all select 'pg_conversion'::regclass, oid from pg_conversion where connamespace = $oid
    union all select 'pg_ts_parser'::regclass, oid from pg_ts_parser where prsnamespace = $oid
    union all select 'pg_ts_dict'::regclass, oid from pg_ts_dict where dictnamespace = $oid
    union all select 'pg_ts_template'::regclass, oid from pg_ts_template where tmplnamespace = $oid
    union all select 'pg_ts_config'::regclass, oid from pg_ts_config where cfgnamespace = $oid
    union all select 'pg_statistic_ext'::regclass, oid from pg_statistic_ext where stxnamespace = $oid
    -- a cast from or to one of its types is of no use without it
    union all select 'pg_cast'::regclass, c.oid from pg_cast c where exists (select from pg_type t
        where t.typnamespace = $oid and t.oid in (c.castsource, c.casttarget))),
inside(class, oid) as (
    select class, oid from standing
    union
    select d.classid::regclass, d.objid from inside i
    join pg_depend d on d.refclassid = i.class and d.refobjid = i.oid and d.deptype in ('i', 'a', 'P', 'S')
    where case
        -- what has a schema of its own is another's, whatever it belongs to
        when d.classid = 'pg_class'::regclass
            then exists (select from pg_class c where c.oid = d.objid and c.relnamespace = 'pg_toast'::regnamespace)
        else d.classid not in ('pg_proc'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass, 'pg_opclass'::regclass,
            'pg_opfamily'::regclass, 'pg_amop'::regclass, 'pg_amproc'::regclass, 'pg_collation'::regclass,
            'pg_conversion'::regclass, 'pg_ts_parser'::regclass, 'pg_ts_dict'::regclass, 'pg_ts_template'::regclass,
            'pg_ts_config'::regclass, 'pg_extension'::regclass)
        end),
outside(class, oid, part) as (
    select d.classid, d.objid, d.objsubid from pg_depend d join inside i on d.refclassid = i.class and d.refobjid = i.oid
    where not exists (select from inside j where j.class = d.classid and j.oid = d.objid)
    union
    -- what one of these is a part of, as of an extension, goes with it
    select d.refclassid, d.refobjid, d.refobjsubid from pg_depend d join inside i on d.classid = i.class and d.objid = i.oid
    where d.deptype in ('i', 'e')
      and not exists (select from inside j where j.class = d.refclassid and j.oid = d.refobjid))
select distinct case
    when o.class = 'pg_constraint'::regclass and exists (select from pg_constraint c where c.oid = o.oid and c.contype = 'f')
        then (select format('foreign key %s of %s', c.conname, c.conrelid::regclass) from pg_constraint c where c.oid = o.oid)
    when o.class = 'pg_constraint'::regclass and exists (select from pg_constraint c where c.oid = o.oid and c.contypid <> 0)
        then (select format('constraint %s of %s', c.conname, c.contypid::regtype) from pg_constraint c where c.oid = o.oid)
    when o.class = 'pg_rewrite'::regclass and exists (select from pg_rewrite w where w.oid = o.oid and w.rulename = '_RETURN')
        then (select format('view %s', w.ev_class::regclass) from pg_rewrite w where w.oid = o.oid)
    else pg_describe_object(o.class, o.oid, o.part) end
from outside o order by 1
