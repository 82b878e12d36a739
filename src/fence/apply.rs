//! Putting the fence up and taking it down: a superuser's connection, one transaction each.
//! Not here: what is to be done (`plan.rs`).

use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::checks::OF_PRIMARY;
use super::connection::{refusal, words};
use super::name::{identifier, literal, schemas_role};
use super::plan::{Keep, Plan, Wanted};
use super::planner::plan;
use super::self_test::{Accepted, Report, Subject, examine};
use super::{Error, Fence, Place};
use crate::grant::Scope;
use crate::net::tls_connect::VerifiedTls;
use crate::secret::Secret;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const SETTINGS: &str =
    "-c search_path=pg_catalog -c lock_timeout=2s -c statement_timeout=60s -c client_min_messages=warning";

/// How many customers' schemas are fenced in one transaction.
const SCHEMAS_TOGETHER: usize = 100;
/// How many roles one transaction deals with, each of which takes locks that are few.
const LOCKS_MAX: usize = 200;

const NOT_A_DSN: &str = "cannot read the superuser's connection string; expected \"host=… port=… user=…\" without \
                         sslmode=verify-full";
const CARRIERS: &str = "select s.role from portreeve.scope s join pg_roles r on r.rolname = s.role
    where s.database = current_database()";

/// A superuser's connection to one database.
pub struct Superuser {
    client: Client,
    database: String,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// In words, in order; empty when the fence stood already.
    pub steps: Vec<String>,
    /// Worth knowing.
    pub notes: Vec<String>,
}

/// What was taken down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// What PUBLIC has again: the statements that were run.
    pub given_back: Vec<String>,
    /// What could not be given back, and why.
    pub left: Vec<String>,
}

impl Superuser {
    /// Connects by a libpq-style `dsn` (`host=… user=…` or `postgresql://…`) to `database`. Over a socket as it is;
    /// over the network only with `tls`.
    pub async fn connect(dsn: &Secret<String>, database: &str, tls: Option<VerifiedTls>) -> Result<Superuser, Error> {
        let unreachable = |error: tokio_postgres::Error| match refusal(database, &error) {
            Error::NotInstalled { database, message } => {
                Error::Unreachable { database, place: "its server".to_owned(), reason: message }
            }
            other => other,
        };
        // the parser's message may repeat a part of the text, which may hold a password
        let mut config: Config = dsn.expose().parse().map_err(|_| Error::Blocked(NOT_A_DSN.to_owned()))?;
        config.dbname(database).options(SETTINGS).application_name("portreeve fence").connect_timeout(CONNECT_WITHIN);
        let socket = |host: &Host| matches!(host, Host::Unix(_));
        let client = if config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(socket) {
            let (client, connection) = config.connect(NoTls).await.map_err(unreachable)?;
            drive(connection);
            client
        } else {
            let tls = tls.ok_or_else(|| {
                Error::Blocked("connecting over the network needs the server's CA file; none was given".to_owned())
            })?;
            config.ssl_mode(SslMode::Require);
            let (client, connection) = config.connect(tls).await.map_err(unreachable)?;
            drive(connection);
            client
        };
        Ok(Superuser { client, database: database.to_owned() })
    }

    /// What [`Superuser::apply`] would do.
    pub async fn plan(&self, wanted: &Wanted) -> Result<Plan, Error> {
        plan(&self.client, &self.database, wanted).await
    }

    /// Puts the fence up, or brings it up to date, in one transaction; of very many schemas a hundred each. Refused when
    /// somebody would lose something that the operator has not decided about.
    pub async fn apply(&mut self, wanted: &Wanted) -> Result<Applied, Error> {
        let plan = self.plan(wanted).await?;
        if !plan.blockers.is_empty() {
            return Err(Error::Blocked(plan.blockers.join("; ")));
        }
        if wanted.others == Keep::Ask && !plan.losses.is_empty() {
            let losses: Vec<String> = plan
                .losses
                .iter()
                .map(|loss| format!("{} loses {}", identifier(&loss.role), loss.loses.join(", ")))
                .collect();
            return Err(Error::Blocked(format!(
                "nothing was changed: {}; name each with --keep, or say --cut-others",
                losses.join("; ")
            )));
        }
        let database = &self.database;
        let refused = |error| refusal(database, &error);
        let mut transaction = self.client.transaction().await.map_err(refused)?;
        let mut steps = Vec::with_capacity(plan.steps.len());
        let (mut schema, mut together, mut kept) = (None, 0, "nothing was changed".to_owned());
        for step in plan.steps {
            if step.schema.is_some() && step.schema != schema {
                together += 1;
                if together > SCHEMAS_TOGETHER {
                    transaction.commit().await.map_err(refused)?;
                    transaction = self.client.transaction().await.map_err(refused)?;
                    together = 1;
                    kept =
                        format!("the first {} steps were taken and stay; apply again goes on from there", steps.len());
                }
                schema.clone_from(&step.schema);
            }
            transaction
                .batch_execute(&step.sql)
                .await
                .map_err(|error| Error::Blocked(format!("{kept}: cannot {}: {}", step.what, words(&error))))?;
            if let Some(undo) = &step.undo {
                let remember =
                    format!("insert into portreeve.undo (statement) values ({}) on conflict do nothing", literal(undo));
                transaction.batch_execute(&remember).await.map_err(refused)?;
            }
            steps.push(step.what);
        }
        transaction.commit().await.map_err(refused)?;
        Ok(Applied { steps, notes: plan.notes })
    }

    /// Examines the role that carries `scope`, in a customer's own schema if one is named: what every grant of that scope
    /// will have.
    pub async fn check(
        &self,
        schema: Option<&str>,
        scope: Scope,
        provisioner: &str,
        accepted: &[Accepted],
    ) -> Result<Report, Error> {
        let place = Place { database: &self.database, tenant: schema };
        let subject = Subject { role: None, place, scope, provisioner, server: OF_PRIMARY };
        let mut report = examine(&self.client, subject, accepted).await?;
        for remark in report.remarks.iter_mut().filter(|remark| remark.word.starts_with("nullable:")) {
            if let Some(count) = self.rows_without_tenant(&remark.word).await? {
                remark.found.push_str(&format!("; there are {count}"));
            }
        }
        Ok(report)
    }

    /// What there is to examine: each scope that is set up, with the customer's schema where each has one.
    pub async fn scopes(&self) -> Result<Vec<(Option<String>, Scope)>, Error> {
        const SQL: &str =
            "select s.schema || ' ' || s.name from portreeve.scope s where s.database = current_database()
            and (s.schema <> '') = (portreeve.laid_out() = 'schema') order by s.schema, s.name";
        let scope = |line: String| {
            let (schema, word) = line.rsplit_once(' ')?;
            Some((Some(schema.to_owned()).filter(|schema| !schema.is_empty()), word.parse().ok()?))
        };
        Ok(self.texts(SQL).await?.into_iter().filter_map(scope).collect())
    }

    /// How many rows of the table that the finding `nullable:<table>` names are nobody's. It reads the table.
    async fn rows_without_tenant(&self, word: &str) -> Result<Option<String>, Error> {
        let table = word.trim_start_matches("nullable:");
        let column = format!(
            "select format('%I', s.tenant_column) from portreeve.shared_tables s where s.relation = to_regclass({})",
            literal(table)
        );
        let Some(column) = self.texts(&column).await?.pop() else { return Ok(None) };
        Ok(self.texts(&format!("select count(*) from {table} where {column} is null")).await?.pop())
    }

    /// Takes the fence down, in one transaction: PUBLIC gets back what was taken, roles and schema go. Refused while
    /// grants are open.
    pub async fn remove(&mut self, provisioner: &str) -> Result<Removed, Error> {
        let open = self.texts("select role from portreeve.grants").await?;
        if !open.is_empty() {
            let roles = open.join(", ");
            return Err(Error::Blocked(format!("grants are open ({roles}); revoke them or stop the proxy first")));
        }
        self.no_tombstones().await?;
        let mut undo = self.unfence().await?;
        undo.extend(self.texts("select statement from portreeve.undo order by position desc").await?);
        let gate = literal(&schemas_role(&self.database));
        let gate = self.texts(&format!("select rolname from pg_roles where rolname = {gate}")).await?;
        let carriers = self.few_carriers().await?;
        let database = &self.database;
        let refused = |error| refusal(database, &error);
        let mut transaction = self.client.transaction().await.map_err(refused)?;
        let mut removed = Removed { given_back: Vec::new(), left: Vec::new() };
        for statement in undo {
            let attempt = transaction.savepoint("undo").await.map_err(refused)?;
            match attempt.batch_execute(&statement).await {
                Ok(()) => {
                    attempt.commit().await.map_err(refused)?;
                    removed.given_back.push(statement);
                }
                Err(error) => {
                    attempt.rollback().await.map_err(refused)?;
                    removed.left.push(format!("{statement}: {}", words(&error)));
                }
            }
        }
        let place = identifier(database);
        let mut last: Vec<String> = carriers
            .iter()
            .chain(&gate)
            .map(|role| identifier(role))
            .map(|role| format!("drop owned by {role}; drop role {role}"))
            .collect();
        last.push(format!("revoke connect on database {place} from {}", identifier(provisioner)));
        last.push("drop schema portreeve cascade".to_owned());
        last.push(
            "do $$ begin if not exists (select from pg_auth_members m join pg_roles r on r.oid = m.roleid \
             where r.rolname = 'portreeve_staff') then drop role if exists portreeve_staff; end if; end $$"
                .to_owned(),
        );
        for statement in last {
            transaction
                .batch_execute(&statement)
                .await
                .map_err(|error| Error::Blocked(format!("nothing was changed: {statement}: {}", words(&error))))?;
        }
        transaction.commit().await.map_err(refused)?;
        Ok(removed)
    }

    /// The roles that carry scopes. Of thousands, most are dropped at once: each takes a lock, and a transaction has few.
    async fn few_carriers(&mut self) -> Result<Vec<String>, Error> {
        let mut carriers = self.texts(CARRIERS).await?;
        while carriers.len() > LOCKS_MAX {
            let roles = carriers.split_off(carriers.len() - LOCKS_MAX);
            let mut sql = String::from("begin;");
            for role in roles {
                let (name, role) = (literal(&role), identifier(&role));
                sql.push_str(&format!(
                    "delete from portreeve.scope where role = {name}; drop owned by {role}; drop role {role};"
                ));
            }
            sql.push_str("commit");
            self.client.batch_execute(&sql).await.map_err(|error| refusal(&self.database, &error))?;
        }
        Ok(carriers)
    }

    /// The schema is also where retention keeps purged customers from coming back: that must not go unnoticed.
    async fn no_tombstones(&self) -> Result<(), Error> {
        if self.texts("select 'there' where to_regclass('portreeve.tombstones') is not null").await?.is_empty() {
            return Ok(());
        }
        match self.texts("select count(*)::text from portreeve.tombstones having count(*) > 0").await?.pop() {
            None => Ok(()),
            Some(number) => Err(Error::Blocked(format!(
                "schema portreeve keeps {number} purged customers from coming back; if they may, first: delete from \
                 portreeve.tombstones"
            ))),
        }
    }

    /// What takes our policies from shared tables. Row security stays on where the application has policies by now.
    async fn unfence(&self) -> Result<Vec<String>, Error> {
        const SHARED: &str = "select 'yes' where to_regclass('portreeve.shared_tables') is not null";
        const SQL: &str = "
            select format('drop policy if exists portreeve_fence on %1$s; drop policy if exists portreeve_others on %1$s'
                || case when s.row_security = 'ours' and not exists (select from pg_policy p where p.polrelid = c.oid
                    and p.polname !~ '^portreeve_') then '; alter table %1$s disable row level security' else '' end,
                format('%I.%I', n.nspname, c.relname))
            from portreeve.shared_tables s join pg_class c on c.oid = s.relation
            join pg_namespace n on n.oid = c.relnamespace where s.class = 'own' order by 1";
        if self.texts(SHARED).await?.is_empty() { Ok(Vec::new()) } else { self.texts(SQL).await }
    }

    /// The first column of each row.
    async fn texts(&self, sql: &str) -> Result<Vec<String>, Error> {
        let answer = self.client.simple_query(sql).await.map_err(|error| refusal(&self.database, &error))?;
        let text = |message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        Ok(answer.into_iter().filter_map(text).collect())
    }
}

fn drive<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(error = %words(&error), "a superuser's connection broke");
        }
    });
}

/// The fence shows where it leads, never a password.
impl std::fmt::Debug for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fence").field("upstream", &self.0.upstream).finish_non_exhaustive()
    }
}
