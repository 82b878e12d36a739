//! Plans a fence by asking the catalogs: what is there already is not planned again.
//! Not here: doing it (`apply.rs`).

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::Error;
use super::connection::refusal;
use super::end::field;
use super::layout::Laid;
use super::name::{identifier, literal, schemas_role, scope_role, scope_word};
use super::plan::{Loss, Plan, Step, Wanted};
use crate::grant::Scope;

const INSTALL: &str = include_str!("install.sql");

/// The scopes every database is fenced for; `metadata` needs a data map.
pub(super) const SCOPES: [Scope; 2] = [Scope::Read, Scope::Write];

/// What a scope may do with tables, where all of them are the customer's.
pub(super) fn tables(scope: Scope) -> &'static str {
    match scope {
        Scope::Metadata => "",
        Scope::Read => "SELECT",
        Scope::Write => "SELECT,INSERT,UPDATE,DELETE",
    }
}

/// And with sequences.
pub(super) fn sequences(scope: Scope) -> &'static str {
    match scope {
        Scope::Metadata => "",
        Scope::Read => "SELECT",
        Scope::Write => "SELECT,USAGE",
    }
}

/// What the provisioner may call.
const FUNCTIONS: &[&str] = &[
    "portreeve.open_grant(text, text, text, timestamptz, integer, text)",
    "portreeve.close_grant(text)",
    "portreeve.end_backends(text)",
    "portreeve.end_backend(text, integer)",
    "portreeve.terminate(text, integer)",
    "portreeve.standing()",
    "portreeve.backends(text)",
    "portreeve.pids(text)",
    "portreeve.left_behind(text)",
    "portreeve.open_grants(text)",
    "portreeve.connected()",
    "portreeve.hba_report()",
    "portreeve.provisioner_hba()",
    "portreeve.laid_out()",
    "portreeve.shared_report()",
    "portreeve.fenced_schemas()",
];

/// Asks the catalogs, over a superuser's connection to `database`.
pub(super) async fn plan(client: &Client, database: &str, wanted: &Wanted) -> Result<Plan, Error> {
    let scopes = SCOPES.into_iter().chain(wanted.impersonal.as_ref().map(|_| Scope::Metadata)).collect();
    let mut planner = Planner { client, database, wanted, scopes, schemas: Vec::new(), plan: Plan::default() };
    planner.blockers().await?;
    planner.install().await?;
    let Some(laid) = planner.laid_out().await? else {
        return Ok(planner.plan);
    };
    let mut classes = None;
    let may_connect = match &laid {
        Laid::Database => {
            planner.carriers().await?;
            planner.privileges().await?;
            planner.carriers_of_all()
        }
        Laid::Shared(shared) => {
            planner.carriers().await?;
            classes = Some(planner.shared_tables(shared).await?);
            planner.carriers_of_all()
        }
        Laid::Schema(schemas) => {
            planner.schemas(schemas).await?;
            vec![schemas_role(database)]
        }
    };
    planner.metadata(&laid, classes.as_ref()).await?;
    planner.databases(may_connect).await?;
    planner.functions().await?;
    Ok(planner.plan)
}

pub(super) struct Planner<'a> {
    client: &'a Client,
    pub(super) database: &'a str,
    pub(super) wanted: &'a Wanted,
    /// The scopes that are planned.
    pub(super) scopes: Vec<Scope>,
    /// The customers' schemas, where each has one.
    pub(super) schemas: Vec<String>,
    pub(super) plan: Plan,
}

impl Planner<'_> {
    /// Rows of texts.
    pub(super) async fn rows(&self, sql: &str, parameters: &[&str]) -> Result<Vec<Vec<String>>, Error> {
        let typed: Vec<_> = parameters.iter().map(|text| (text as &(dyn ToSql + Sync), Type::TEXT)).collect();
        let rows = self.client.query_typed(sql, &typed).await.map_err(|error| refusal(self.database, &error))?;
        rows.iter().map(|row| (0..row.len()).map(|at| field(self.database, row, at)).collect()).collect()
    }

    /// The first column of each row.
    pub(super) async fn texts(&self, sql: &str, parameters: &[&str]) -> Result<Vec<String>, Error> {
        Ok(self.rows(sql, parameters).await?.into_iter().flatten().collect())
    }

    pub(super) fn step(&mut self, what: impl Into<String>, sql: String, undo: Option<String>) {
        self.plan.steps.push(Step { what: what.into(), sql, undo, schema: None });
    }

    /// A step that concerns one customer's schema.
    pub(super) fn step_in(&mut self, schema: &str, what: String, sql: String) {
        self.plan.steps.push(Step { what, sql, undo: None, schema: Some(schema.to_owned()) });
    }

    async fn blockers(&mut self) -> Result<(), Error> {
        const SQL: &str = "
            select 'role ' || quote_ident(current_user) || ' is not a superuser' from pg_roles
            where rolname = current_user and not rolsuper
            union all
            select 'PostgreSQL ' || current_setting('server_version') || ' is older than 15'
            where current_setting('server_version_num')::integer < 150000
            union all
            select 'the server is a standby' where pg_is_in_recovery()
            union all
            select format('schema portreeve belongs to %I, who is no superuser; drop it if it is not ours', r.rolname)
            from pg_namespace n join pg_roles r on r.oid = n.nspowner where n.nspname = 'portreeve' and not r.rolsuper
            union all
            select format('the provisioner %I has more rights than it may, such as superuser or createrole', rolname)
            from pg_roles where rolname = $1 and (rolsuper or rolcreaterole or rolcreatedb or rolreplication
                or rolbypassrls)
            union all
            select format('role %I exists and is not a plain NOLOGIN role; rename it', rolname) from pg_roles
            where rolname in ('portreeve_staff', $2, $3, $4, $5)
              and (rolcanlogin or rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)";
        let [read, write, metadata] =
            [Scope::Read, Scope::Write, Scope::Metadata].map(|scope| scope_role(self.database, scope));
        let schemas = schemas_role(self.database);
        let found = self.texts(SQL, &[&self.wanted.provisioner, &read, &write, &metadata, &schemas]).await?;
        self.plan.blockers.extend(found);
        for role in &self.wanted.keep {
            if !self.exists(role).await? {
                self.plan.blockers.push(format!("there is no role {} to keep", identifier(role)));
            }
        }
        Ok(())
    }

    pub(super) async fn exists(&self, role: &str) -> Result<bool, Error> {
        let found = self.texts("select rolname::text from pg_roles where rolname = $1", &[role]).await?;
        Ok(!found.is_empty())
    }

    async fn install(&mut self) -> Result<(), Error> {
        let provisioner = identifier(&self.wanted.provisioner);
        if !self.exists(&self.wanted.provisioner).await? {
            match &self.wanted.provisioner_verifier {
                Some(verifier) => {
                    let sql = format!("create role {provisioner} login password {}", literal(verifier));
                    self.step(format!("create the provisioner {provisioner}"), sql, None);
                }
                None => self.plan.blockers.push(format!(
                    "there is no provisioner {provisioner}; create it with LOGIN and a password,
                        or give its password file"
                )),
            }
        }
        let digest = digest(&SHA256, INSTALL.as_bytes());
        let digest: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let mark = format!("portreeve fence {digest}");
        let callable: Vec<String> = FUNCTIONS
            .iter()
            .map(|function| {
                format!(
                    "coalesce(has_function_privilege($2, to_regprocedure({}), 'execute'), false)",
                    literal(function)
                )
            })
            .collect();
        let installed = format!(
            "select 'yes' where obj_description(to_regnamespace('portreeve'), 'pg_namespace') = $1
             and exists (select from pg_roles where rolname = $2) and ({})",
            callable.join(" and ")
        );
        // has_function_privilege fails on an unknown role, so that role is looked up first
        let known = self.exists(&self.wanted.provisioner).await?;
        if !known || self.texts(&installed, &[&mark, &self.wanted.provisioner]).await?.is_empty() {
            let sql = format!(
                "{INSTALL}\ncomment on schema portreeve is {};\ngrant usage on schema portreeve to {provisioner};\n\
                 grant execute on function {} to {provisioner}",
                literal(&mark),
                FUNCTIONS.join(", ")
            );
            self.step("install schema portreeve and its functions", sql, None);
        }
        Ok(())
    }

    fn carriers_of_all(&self) -> Vec<String> {
        self.scopes.iter().map(|scope| scope_role(self.database, *scope)).collect()
    }

    async fn carriers(&mut self) -> Result<(), Error> {
        const MEMBER: &str = "select 'yes' from pg_auth_members m join pg_roles g on g.oid = m.roleid
            join pg_roles r on r.oid = m.member where g.rolname = 'portreeve_staff' and r.rolname = $1";
        const KNOWN: &str = "select name from portreeve.scope
            where name = $1 and role = $2 and database = current_database()";
        let installed = self.installed("portreeve.scope").await?;
        for scope in self.scopes.clone() {
            let name = scope_role(self.database, scope);
            let role = identifier(&name);
            if !self.exists(&name).await? {
                self.step(format!("create role {role}"), format!("create role {role} nologin"), None);
            }
            if self.texts(MEMBER, &[&name]).await?.is_empty() {
                self.step(
                    format!("make {role} a member of portreeve_staff"),
                    format!("grant portreeve_staff to {role}"),
                    None,
                );
            }
            let word = scope_word(scope);
            let known = if installed { self.texts(KNOWN, &[word, &name]).await? } else { Vec::new() };
            if known.is_empty() {
                let sql = format!(
                    "insert into portreeve.scope (name, role, database) values ({}, {}, current_database()) \
                     on conflict (name, schema) do update set role = excluded.role, database = excluded.database",
                    literal(word),
                    literal(&name)
                );
                self.step(format!("let {role} carry the scope {word}"), sql, None);
            }
        }
        Ok(())
    }

    /// Privileges on schemas, tables, views and sequences. Foreign tables and members of extensions are left out: what
    /// lies behind them is not this customer's, or was judged by somebody else.
    async fn privileges(&mut self) -> Result<(), Error> {
        const SQL: &str = "
            with role as (select oid from pg_roles where rolname = $1),
            wanted as (
                select 0 as ord, 'schema' as kind, n.oid, format('%I', n.nspname) as name, n.nspacl as acl,
                    array['USAGE'] as list
                from pg_namespace n where exists (select from pg_class c where c.relnamespace = n.oid
                    and c.relkind in ('r', 'p', 'v', 'm', 'S'))
                union all
                select 1, case c.relkind when 'S' then 'sequence' else 'table' end, c.oid, format('%I.%I',
                    n.nspname, c.relname), c.relacl,
                       string_to_array(case when c.relkind = 'S' then $3 when c.relkind = 'm' then 'SELECT'
                           else $2 end, ',')
                from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where c.relkind in ('r', 'p', 'v', 'm', 'S') and not exists (select from pg_depend d
                    where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'))
            select format('%s on %s %s', lower(array_to_string(m.list, ', ')), w.kind, w.name)
            from wanted w cross join lateral (
                select array_agg(p) as list from unnest(w.list) p where not exists (
                    select from aclexplode(w.acl) a join role on a.grantee = role.oid where a.privilege_type = p)) m
            where m.list is not null and w.name !~ '^(pg_|information_schema|portreeve(\\.|$))'
            order by w.ord, w.kind, w.name";
        for scope in SCOPES {
            let role = scope_role(self.database, scope);
            for privilege in self.texts(SQL, &[&role, tables(scope), sequences(scope)]).await? {
                self.step(format!("grant {privilege}"), format!("grant {privilege} to {}", identifier(&role)), None);
            }
        }
        Ok(())
    }

    /// CONNECT and TEMPORARY: from PUBLIC to those who are named.
    async fn databases(&mut self, entitled: Vec<String>) -> Result<(), Error> {
        const PUBLIC: &str = "
            select d.datname::text, lower(a.privilege_type) from pg_database d, aclexplode(coalesce(d.datacl,
                acldefault('d', d.datdba))) a
            where a.grantee = 0 and a.privilege_type in ('CONNECT', 'TEMPORARY') and d.datallowconn order by 1, 2";
        let public = self.rows(PUBLIC, &[]).await?;
        let mut closed = vec![self.database.to_owned()];
        closed.extend(self.wanted.close.iter().cloned());
        for role in entitled.into_iter().chain([self.wanted.provisioner.clone()]) {
            if !self.holds(&role, self.database, "connect").await? {
                let what = format!("grant connect on database {} to {}", identifier(self.database), identifier(&role));
                self.step(what.clone(), what, None);
            }
        }
        for row in &public {
            let [database, privilege] = row.as_slice() else {
                continue;
            };
            if !closed.contains(database) {
                if privilege == "connect" {
                    self.plan.open_elsewhere.push(database.clone());
                }
                continue;
            }
            let place = identifier(database);
            for role in self.wanted.keep.clone() {
                if self.holds(&role, database, privilege).await? {
                    continue;
                }
                let sql = format!("grant {privilege} on database {place} to {}", identifier(&role));
                let undo = format!("revoke {privilege} on database {place} from {}", identifier(&role));
                self.step(sql.clone(), sql, Some(undo));
            }
            let sql = format!("revoke {privilege} on database {place} from public");
            let undo = format!("grant {privilege} on database {place} to public");
            self.step(sql.clone(), sql, Some(undo));
            self.losses_of_database(database, privilege).await?;
        }
        Ok(())
    }

    /// Whether the role was given `privilege` on `database` itself, not by PUBLIC.
    async fn holds(&self, role: &str, database: &str, privilege: &str) -> Result<bool, Error> {
        const SQL: &str = "select 'yes' from pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
            join pg_roles r on r.oid = a.grantee
            where d.datname = $1 and r.rolname = $2 and lower(a.privilege_type) = $3";
        Ok(!self.texts(SQL, &[database, role, privilege]).await?.is_empty())
    }

    /// Login roles, superusers apart, that have `privilege` on `database` by PUBLIC alone.
    async fn losses_of_database(&mut self, database: &str, privilege: &str) -> Result<(), Error> {
        const SQL: &str = "
            select r.rolname::text from pg_roles r, pg_database d
            where d.datname = $1 and r.rolcanlogin and not r.rolsuper and r.rolname !~ '^pr_g_' and r.rolname <> $2
              and not exists (select from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                  where a.grantee <> 0 and lower(a.privilege_type) = $3 and pg_has_role(r.oid, a.grantee, 'usage'))
            order by 1";
        let roles = self.texts(SQL, &[database, &self.wanted.provisioner, privilege]).await?;
        self.lose(roles, &format!("{privilege} {database}"));
        Ok(())
    }

    fn lose(&mut self, roles: Vec<String>, what: &str) {
        let kept = |role: &String| self.wanted.keep.contains(role);
        let losing: Vec<String> = roles.into_iter().filter(|role| !kept(role)).collect();
        let mut losses: BTreeMap<String, Vec<String>> =
            self.plan.losses.drain(..).map(|loss| (loss.role, loss.loses)).collect();
        for role in losing {
            losses.entry(role).or_default().push(what.to_owned());
        }
        self.plan.losses = losses.into_iter().map(|(role, loses)| Loss { role, loses }).collect();
    }

    /// EXECUTE on functions of the system: from PUBLIC to those who are kept and the database's owner.
    async fn functions(&mut self) -> Result<(), Error> {
        const PUBLIC: &str = "
            select p.oid::regprocedure::text from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f',
                p.proowner))) a
            where p.pronamespace = 'pg_catalog'::regnamespace and p.proname ~ $1 and a.grantee = 0 order by 1";
        const OWNER: &str = "select r.rolname::text from pg_database d join pg_roles r on r.oid = d.datdba
            where d.datname = current_database()";
        const OTHERS: &str = "
            select r.rolname::text from pg_roles r, pg_database d
            where d.datname = current_database() and r.rolcanlogin and not r.rolsuper and r.rolname !~ '^pr_g_'
              and r.rolname <> $1 and not pg_has_role(r.oid, d.datdba, 'usage') and has_database_privilege(r.oid,
                  d.oid, 'connect')
            order by 1";
        let owner = self.texts(OWNER, &[]).await?;
        for revocable in self.wanted.revoke_public.clone() {
            let functions = self.texts(PUBLIC, &[revocable.functions()]).await?;
            if functions.is_empty() {
                continue;
            }
            let functions = functions.join(", ");
            for role in self.wanted.keep.iter().chain(owner.iter().filter(|owner| !self.wanted.keep.contains(owner))) {
                let sql = format!("grant execute on function {functions} to {}", identifier(role));
                let undo = format!("revoke execute on function {functions} from {}", identifier(role));
                self.step(format!("let {} keep {}", identifier(role), revocable.word()), sql, Some(undo));
            }
            let undo = format!("grant execute on function {functions} to public");
            let sql = format!("revoke execute on function {functions} from public");
            self.step(format!("take {} from PUBLIC", revocable.word()), sql, Some(undo));
            let others = self.texts(OTHERS, &[&self.wanted.provisioner]).await?;
            self.lose(others, &format!("{} {}", revocable.word(), self.database));
        }
        Ok(())
    }
}
