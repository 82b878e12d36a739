//! The purge of one closed account: planned with its digest, begun, run, verified, looked at again.
//! Not here: batches and checks (`purge/`). A purge has one name, so that it goes on after a kill with exact counts; one of
//! rows that came back has a name of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::{Instant, sleep, timeout};

use super::facts::dates;
use super::kept::{Found, Kept};
use super::residue::{level, report};
use super::{Error, World};
use crate::clock::Timestamp;
use crate::datamap::plan::{Action, Plan, Step, plan};
use crate::datamap::{Catalog, DataMap};
use crate::grant::{AccountStep, Closure, Customer, Layout};
use crate::keeping::people;
use crate::purge::{self as purging, Connection, Control, Event, Gone, Outcome, Purge, Road, Standby, catalog};
use crate::retention::closure::Dates;
use crate::retention::plan::Rules;

/// How often a replica that is behind is looked at.
const REPLICA_AGAIN: Duration = Duration::from_millis(250);
/// How long one has to let somebody in, to answer, and to come up.
const REPLICA_WITHIN: Duration = Duration::from_secs(10);

/// What is known of shared tables.
struct Tables {
    connection: Connection,
    map: DataMap,
    catalog: Catalog,
    plan: Plan,
}

/// What a plan was made of.
struct Fixed {
    digest: [u8; 32],
    server: String,
    database: Option<(String, u32)>,
}

impl World {
    /// Fixes what will be purged: counted, its digest in the register.
    pub(super) async fn make_plan(&self, customer: &Customer, kept: &Kept) -> Result<(), Error> {
        let fixed = self.fixed(customer).await?;
        let planned = self.counted(customer).await?.into_iter().collect();
        let another = is_another(kept, &fixed);
        let (database, server) = (fixed.database, Some(fixed.server));
        self.keep(customer.id, &Kept { planned, database, server, another, ..kept.clone() })?;
        self.step(customer.id, AccountStep::PurgePlanned { digest: fixed.digest }).await?;
        Ok(())
    }

    async fn fixed(&self, customer: &Customer) -> Result<Fixed, Error> {
        let road = &self.upstream(customer)?.road;
        match customer.layout {
            Layout::Shared => {
                let tables = self.tables(customer, road).await?;
                let server = tables.connection.server().await?;
                Ok(Fixed { digest: digest_of(&server, &tables.plan), server, database: None })
            }
            Layout::Database => {
                let connection = road.connect(&self.upstream(customer)?.maintenance_database).await?;
                let server = connection.server().await?;
                let found = purging::target(&connection, &customer.database).await?;
                let text = format!("drop database\n{server}\n{}\n{}\n{}\n", customer.cluster, found.name, found.oid);
                Ok(Fixed { digest: sha256(&text), server, database: Some((found.name, found.oid)) })
            }
            Layout::Schema => {
                let connection = road.connect(&customer.database).await?;
                let server = connection.server().await?;
                let found = purging::schema_target(&connection, schema_of(customer)?).await?;
                let place = format!("{server}\n{}\n{}\n{}", customer.cluster, customer.database, found.name);
                let digest = sha256(&format!("drop schema\n{place}\n{}\n", found.oid));
                Ok(Fixed { digest, server, database: Some((found.name, found.oid)) })
            }
        }
    }

    /// The road to the server that the purge was planned for, and to no other.
    pub(super) fn planned_road(&self, customer: &Customer, kept: &Kept) -> Result<Road, Error> {
        let road = &self.upstream(customer)?.road;
        Ok(kept.server.as_deref().map_or_else(|| road.clone(), |server| road.only(server)))
    }

    /// How many rows there are to purge, by table.
    async fn counted(&self, customer: &Customer) -> Result<BTreeMap<String, u64>, Error> {
        let counts = match customer.layout {
            Layout::Shared => {
                let tables = self.tables(customer, &self.upstream(customer)?.road).await?;
                purging::count(&tables.connection, &tables.plan).await?
            }
            Layout::Database | Layout::Schema => {
                let schema = if customer.layout == Layout::Schema { Some(schema_of(customer)?) } else { None };
                purging::count_all(&self.connect(customer, &customer.database).await?, schema).await?
            }
        };
        Ok(counts.into_iter().map(|(table, rows)| (table.to_string(), rows)).collect())
    }

    /// Takes needles and records that the purge begins. A plan that is stale by now is made anew first.
    pub(super) async fn begin_purge(
        &self,
        customer: &Customer,
        closure: &Closure,
        kept: &Kept,
        (rules, now): (&Rules, Timestamp),
    ) -> Result<(), Error> {
        let (planned, _) = closure.purge.planned.ok_or(Error::Bug("a purge is begun that was not planned"))?;
        // a database that somebody dropped is nothing to plan anew
        let is_there = self.is_there(customer, kept).await?;
        if is_there && self.fixed(customer).await?.digest != planned {
            return self.plan_again(customer, closure, kept, (rules, now)).await;
        }
        // whoever was killed before it was held left it to us
        let people = people(&self.config.retention);
        if kept.another && closure.purge.held.is_none() && !closure.purge.is_approved(people) {
            return self.hold_another(customer).await;
        }
        // until people say whose it is, it stays as open as it is
        if closure.purge.waits() {
            return Err(Error::Refused("the purge waits for people's approval; nobody is shut out before".to_owned()));
        }
        // an account that was closed by an earlier version, or to which somebody gave access again
        if is_there {
            self.shut_out(customer, closure).await?;
        }
        if customer.layout == Layout::Shared {
            let tables = self.tables(customer, &self.planned_road(customer, kept)?).await?;
            self.needles_of(customer, &tables).await?;
            let mut kept = kept.clone();
            kept.steps.insert(name(customer, closure), steps(&tables.plan));
            self.keep(customer.id, &kept)?;
        }
        self.step(customer.id, AccountStep::PurgeBegun { digest: planned }).await?;
        Ok(())
    }

    /// The plan is stale: before the first one was begun it is replaced, after that [`World::replan`] does it.
    async fn plan_again(
        &self,
        customer: &Customer,
        closure: &Closure,
        kept: &Kept,
        (rules, now): (&Rules, Timestamp),
    ) -> Result<(), Error> {
        tracing::warn!(customer = %customer.id, "the plan is stale; it is made anew");
        if closure.purge.begun.is_some() {
            return Err(Error::Refused("the plan changed again; it is made anew in the next turn".to_owned()));
        }
        self.make_plan(customer, kept).await?;
        if self.kept(customer.id, closure.sequence)?.another {
            self.hold_another(customer).await?;
        }
        self.hold_above_cap(rules, now).await
    }

    /// A database that was not there when the first plan was made: whose it is, people must say.
    async fn hold_another(&self, customer: &Customer) -> Result<(), Error> {
        let state = self.state().await?;
        let planned = Self::customer(&state, customer.id)?.closure.as_ref().and_then(|closure| closure.purge.planned);
        let (digest, _) = planned.ok_or(Error::Bug("a plan that was just made is gone"))?;
        let people = people(&self.config.retention);
        self.step(customer.id, AccountStep::PurgeHeld { digest, people }).await?;
        Ok(())
    }

    /// Goes on with a purge that was begun. Where its plan is another by now, or rows came back, the plan is made anew,
    /// on record, and begun anew: above the cap, only once people approved it.
    pub(super) async fn go_on(
        &self,
        customer: &Customer,
        closure: &Closure,
        kept: &Kept,
        (rules, now): (&Rules, Timestamp),
    ) -> Result<(), Error> {
        if self.replan(customer, closure, kept).await? {
            return self.hold_above_cap(rules, now).await;
        }
        if closure.purge.plan_begun().is_none() {
            return self.begin_purge(customer, closure, kept, (rules, now)).await;
        }
        self.purge(customer, closure, kept, &dates(closure, rules)).await
    }

    /// Makes the plan anew if what was begun is something else by now; whether it did.
    async fn replan(&self, customer: &Customer, closure: &Closure, kept: &Kept) -> Result<bool, Error> {
        let purge = &closure.purge;
        let (planned, _) = purge.planned.ok_or(Error::Bug("a purge was begun that was not planned"))?;
        let came_back = purge.came_back().filter(|at| purge.replanned.is_none_or(|replanned| replanned <= *at));
        if !self.is_there(customer, kept).await? {
            // dropped, by us before a kill or by somebody: nothing is left to plan
            return Ok(false);
        }
        let fixed = self.fixed(customer).await?;
        if came_back.is_none() && fixed.digest == planned {
            return Ok(false);
        }
        let mut found = kept.verified.clone().unwrap_or_default();
        if customer.layout == Layout::Shared {
            let connection = self.connect(customer, &customer.database).await?;
            for (run, steps) in &kept.steps {
                if !found.runs.contains_key(run) {
                    found.runs.insert(run.clone(), purging::deleted(&connection, run, steps).await?);
                }
            }
        }
        let mut planned = self.counted(customer).await?;
        for (table, _) in &kept.planned {
            *planned.entry(table.clone()).or_default() += found.deleted(table);
        }
        let digest = fixed.digest;
        let message = format!("the plan that was begun is another by now: {}", hexadecimal(&digest));
        tracing::warn!(customer = %customer.id, "{message}");
        self.record(customer.id, "purge.another-plan", message).await?;
        let planned = planned.into_iter().collect();
        let another = is_another(kept, &fixed);
        let (database, server, verified) = (fixed.database, Some(fixed.server), Some(found));
        self.keep(customer.id, &Kept { planned, database, server, another, verified, ..kept.clone() })?;
        self.step(customer.id, AccountStep::PurgeReplanned { digest }).await?;
        if another {
            self.hold_another(customer).await?;
        }
        Ok(true)
    }

    /// Whether what goes as a whole is there; rows in shared tables are no whole. That it is gone, only the server that the
    /// purge was planned for can say; what another one has is for people to judge.
    async fn is_there(&self, customer: &Customer, kept: &Kept) -> Result<bool, Error> {
        let schema = match customer.layout {
            Layout::Shared => return Ok(true),
            Layout::Database => None,
            Layout::Schema => Some(schema_of(customer)?),
        };
        let maintenance = &self.upstream(customer)?.maintenance_database;
        let database = if schema.is_some() { &customer.database } else { maintenance };
        let is_on = async |road: &Road| -> Result<bool, Error> {
            let connection = road.connect(database).await?;
            Ok(match schema {
                Some(schema) => purging::has_schema(&connection, schema).await?,
                None => purging::is_there(&connection, &customer.database).await?,
            })
        };
        Ok(is_on(&self.upstream(customer)?.road).await? || is_on(&self.planned_road(customer, kept)?).await?)
    }

    /// Purges, or goes on, until nothing is left; verifies; records it.
    async fn purge(&self, customer: &Customer, closure: &Closure, kept: &Kept, dates: &Dates) -> Result<(), Error> {
        let found = match customer.layout {
            Layout::Shared => self.purge_tables(customer, closure, kept, dates).await?,
            Layout::Database => self.purge_database(customer, closure, kept).await?,
            Layout::Schema => self.purge_schema(customer, closure, kept, dates).await?,
        };
        let (rows, level) = (found.rows(), found.level);
        let kept = self.kept(customer.id, closure.sequence)?;
        self.keep(customer.id, &Kept { verified: Some(found), ..kept })?;
        self.step(customer.id, AccountStep::PurgeVerified { rows, level }).await?;
        self.forget_shut(customer.id)?;
        self.destroy_needles(customer.id)
    }

    async fn purge_tables(
        &self,
        customer: &Customer,
        closure: &Closure,
        kept: &Kept,
        dates: &Dates,
    ) -> Result<Found, Error> {
        let road = self.planned_road(customer, kept)?;
        let tables = self.tables(customer, &road).await?;
        let (planned, _) = closure.purge.planned.ok_or(Error::Bug("a purge was begun that was not planned"))?;
        if digest_of(&tables.connection.server().await?, &tables.plan) != planned {
            let message = "the plan is stale: data map or catalog have changed since it was approved";
            return Err(Error::Refused(format!("{message}; it is made anew in the next turn")));
        }
        let id = name(customer, closure);
        let before: Vec<String> = kept.steps.keys().filter(|run| **run != id).cloned().collect();
        let named = (id.as_str(), tables.plan.digest(), before.as_slice());
        let gone = self.run(customer, closure, dates, (&road, &tables.map), named).await?;
        let Tables { mut connection, plan, .. } = tables;
        let (position, replicas) = self.replayed(customer, &connection).await?;
        let needles = self.needles(customer.id).await?;
        let verified = purging::verify(&mut connection, &plan, &id, &needles, self.scrub).await?;
        let level = level(&verified)?;
        let mut found = kept.verified.clone().unwrap_or_default();
        found.runs.insert(id, gone.iter().map(|gone| (gone.table.to_string(), gone.rows)).collect());
        (found.level, found.probed) = (level, u64::try_from(verified.probed.needles).unwrap_or(0));
        (found.position, found.replicas) = (position, replicas);
        found.report = report(&verified);
        found.unfenced = plan.unfenced.iter().map(ToString::to_string).collect();
        Ok(found)
    }

    /// The batches, with the window and the brake of the configuration.
    async fn run(
        &self,
        customer: &Customer,
        closure: &Closure,
        dates: &Dates,
        (road, map): (&Road, &DataMap),
        (id, digest, before): (&str, String, &[String]),
    ) -> Result<Vec<Gone>, Error> {
        let key = customer.tenant.clone().ok_or(Error::Bug("a customer of shared tables without a key"))?;
        let may_run = || self.may_purge(closure, dates);
        let mut tell = |event: &Event| match event {
            Event::Batch { table, rows, .. } => tracing::info!(purge = id, %table, rows, "a batch is committed"),
            Event::Step { table, .. } => tracing::info!(purge = id, %table, "no row is left"),
            Event::Pass(pass) => tracing::info!(purge = id, pass, "the purge goes through all tables"),
            Event::Paused(why) => tracing::info!(purge = id, ?why, "the purge holds back"),
        };
        let mut control = Control { may_run: &may_run, stop: self.stop.clone(), tell: &mut tell };
        let database = customer.database.as_str();
        let pace = self.pace.clone();
        let digest = digest.as_str();
        let purge = Purge { road, database, id, before, map, customer: &key, digest, pace };
        match purge.run(&mut control).await? {
            Outcome::Done(gone) => Ok(gone),
            Outcome::Stopped(_) => Err(Error::Stopped),
        }
    }

    /// Whether batches may run: in the window, or whenever it is late or was asked for at once.
    pub(super) fn may_purge(&self, closure: &Closure, dates: &Dates) -> bool {
        let now = self.acts.clock.now();
        closure.immediate.is_some() || now >= dates.purge_latest || self.config.retention.window.includes(now)
    }

    /// Waits a moment for replicas, those that the primary knows of and those that are configured; one that stays behind is
    /// told, and the next turn looks again.
    pub(super) async fn replayed(
        &self,
        customer: &Customer,
        connection: &Connection,
    ) -> Result<(String, Vec<(String, i64)>), Error> {
        let position = purging::position(connection).await?;
        let configured = self.replicas(customer, connection).await?;
        let until = Instant::now() + REPLICA_WITHIN;
        let behind = loop {
            let mut standbys = purging::standbys(connection, &position).await?;
            for (name, replica) in &configured {
                let lacks = in_time(purging::lacks(replica, &position)).await;
                let lacks = lacks.map_err(|why| unasked(name, &customer.cluster, &why))?;
                match standbys.iter_mut().find(|known| known.name == *name) {
                    Some(known) => known.lacks = lacks.or(known.lacks.take()),
                    None => standbys.push(Standby { name: name.clone(), lacks }),
                }
            }
            let told = |standby: &Standby| Some(format!("{}: {}", standby.name, standby.lacks.as_ref()?));
            let behind: Vec<_> = standbys.iter().filter_map(told).collect();
            if behind.is_empty() {
                let now = self.acts.clock.now().0;
                return Ok((position.lsn, standbys.into_iter().map(|standby| (standby.name, now)).collect()));
            }
            if Instant::now() >= until {
                break behind.join("; ");
            }
            sleep(REPLICA_AGAIN).await;
        };
        let message = format!("a replica of cluster \"{}\" has not replayed the purge yet: {behind}", customer.cluster);
        Err(Error::Refused(format!(
            "{message}; bring it back, or drop the slot of one that is no more and take it out of the configuration"
        )))
    }

    /// A connection to each replica that is configured, whether the primary knows of it or not.
    async fn replicas(&self, customer: &Customer, primary: &Connection) -> Result<Vec<(String, Connection)>, Error> {
        let (server, mut replicas) = (primary.server().await?, Vec::new());
        for (name, road) in &self.upstream(customer)?.replicas {
            let road = road.only(&server);
            let replica = in_time(road.connect(primary.database())).await;
            replicas.push((name.clone(), replica.map_err(|why| unasked(name, &customer.cluster, &why))?));
        }
        Ok(replicas)
    }

    /// Looks whether rows came back. What did is recorded and told, and the account does not count as clean.
    pub(super) async fn check_again(&self, customer: &Customer, kept: &Kept) -> Result<(), Error> {
        let (rows, what, unfenced) = match customer.layout {
            Layout::Shared => {
                let tables = self.tables(customer, &self.upstream(customer)?.road).await?;
                let seen = purging::recheck(&tables.connection, &tables.plan).await?;
                let what: Vec<String> = seen.rows_back.iter().map(|(table, rows)| format!("{table}: {rows}")).collect();
                (seen.rows_back.iter().map(|(_, rows)| rows).sum(), what.join(", "), seen.unfenced)
            }
            Layout::Database | Layout::Schema => {
                let is_there = self.is_there(customer, kept).await?;
                (u64::from(is_there), format!("its {} is there again", customer.layout.word()), Vec::new())
            }
        };
        self.step(customer.id, AccountStep::PurgeRechecked { rows }).await?;
        if rows > 0 {
            let message = format!("rows came back after the purge ({what}); they are purged again");
            tracing::error!(customer = %customer.id, alarm = true, "{message}");
            self.record(customer.id, "purge.came-back", message).await?;
        }
        if !unfenced.is_empty() {
            let message = format!("the write fence is gone from {}", unfenced.join(", "));
            tracing::error!(customer = %customer.id, alarm = true, "{message}");
            self.record(customer.id, "purge.unfenced", message).await?;
        }
        Ok(())
    }

    async fn tables(&self, customer: &Customer, road: &Road) -> Result<Tables, Error> {
        let map = self.map_of(customer)?;
        let connection = road.connect(&customer.database).await?;
        let catalog = catalog(&connection).await?;
        let key = customer.tenant.as_deref().unwrap_or_default();
        let plan = plan(&map, &catalog, key);
        let plan = plan.map_err(|why| Error::Refused(format!("the purge is refused: {}", why.join("; "))))?;
        Ok(Tables { connection, map, catalog, plan })
    }

    async fn needles_of(&self, customer: &Customer, tables: &Tables) -> Result<(), Error> {
        let Tables { connection, map, catalog, plan } = tables;
        self.take_needles(customer.id, connection, (map, catalog, plan)).await
    }
}

/// What a replica answers; else why there is no answer. One that has fallen silent holds nobody up.
async fn in_time<T>(answer: impl Future<Output = Result<T, purging::Error>>) -> Result<T, String> {
    match timeout(REPLICA_WITHIN, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("it does not answer within {REPLICA_WITHIN:?}")),
    }
}

/// A replica that cannot be asked has not replayed the purge.
fn unasked(name: &str, cluster: &str, why: &str) -> Error {
    Error::Refused(format!(
        "replica \"{name}\" of cluster \"{cluster}\" cannot be asked whether it has replayed the purge: {why}; bring it \
         back, or take it out of the configuration once it is no more"
    ))
}

/// Whether it is, or ever was since the first plan, another server, database or schema than the one that plan was of.
fn is_another(kept: &Kept, fixed: &Fixed) -> bool {
    let is_elsewhere = kept.server.as_ref().is_some_and(|server| *server != fixed.server);
    kept.another || is_elsewhere || kept.database.is_some() && kept.database != fixed.database
}

pub(super) fn schema_of(customer: &Customer) -> Result<&str, Error> {
    customer.tenant.as_deref().ok_or(Error::Bug("a customer with a schema of its own, and none is named"))
}

/// The purge's name in the database: another one for each plan that was begun.
pub(super) fn name(customer: &Customer, closure: &Closure) -> String {
    let first = format!("{}-{}", customer.id, closure.sequence.0);
    closure.purge.replanned.map_or(first.clone(), |at| format!("{first}-{}", at.0))
}

/// The table of each step that deletes rows.
fn steps(plan: &Plan) -> Vec<Option<String>> {
    let table = |step: &Step| match step.action {
        Action::Delete | Action::Together(_) => Some(step.table.to_string()),
        Action::Nullify(_) => None,
    };
    plan.steps.iter().map(table).collect()
}

/// The digest of a plan for rows in shared tables of that server.
fn digest_of(server: &str, plan: &Plan) -> [u8; 32] {
    sha256(&format!("delete rows\n{server}\n{}\n", plan.digest()))
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(text: &str) -> [u8; 32] {
    digest(&SHA256, text.as_bytes()).as_ref().try_into().expect("SHA-256 gives 32 bytes")
}
