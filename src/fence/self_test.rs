//! The self-test: does the database really hold what a scope promises? Before the first statement of a grant, and each
//! minute.
//! Not here: caching, and what a session is told.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::checks::{CHECKS, Check, For, OF_PRIMARY, OF_REPLICA, PREAMBLE, UNGRANTED, Weight};
use super::connection::{Lane, refusal};
use super::end::field;
use super::hba::{Line, holes, ways_for_provisioner};
use super::name::{schema_role, schemas_role, scope_role};
use super::schema_checks::SCHEMA_CHECKS;
use super::shared_checks::{OWN_POLICIES, SHARED_CHECKS};
use super::{Error, Fence, Place, announced};
use crate::grant::{Layout, Scope};

const HBA: &str =
    "select line, type, databases, users, address, netmask, method, options, error from portreeve.hba_report()";
const PROVISIONER_HBA: &str =
    "select line, type, databases, users, address, netmask, method, options, error from portreeve.provisioner_hba()";
/// Whether the fence was applied since it tells of the provisioner as well.
const TELLS_OF_PROVISIONER: &str = "select to_regprocedure('portreeve.provisioner_hba()') is not null";

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name, by which it can be accepted: `notify`, `connect:postgres`, `definer:public.total(integer)`.
    pub word: String,
    /// What was found, in words.
    pub found: String,
    /// What to do about it: a full sentence.
    pub hint: String,
}

/// A finding that the operator put up with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The word of a finding, or the part before its colon for all of the kind.
    pub word: String,
    /// Why.
    pub reason: String,
}

impl Accepted {
    /// An entry of `[fence] accept`: the finding's word, then the reason.
    pub fn from_entry(entry: &str) -> Accepted {
        let (word, reason) = entry.split_once(' ').unwrap_or((entry, ""));
        Accepted { word: word.to_owned(), reason: reason.trim().to_owned() }
    }
}

/// What the self-test found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The fence does not hold: no statement may pass.
    pub refusals: Vec<Finding>,
    /// What a reader could still change, though not rows: statements wait for their records (strict).
    pub strict: Vec<Finding>,
    /// Either of these, accepted, with the operator's reason.
    pub accepted: Vec<(Finding, String)>,
    /// Worth knowing: `unprotected` (pg_hba.conf lets these roles in by another road), `ungranted`, unjudged
    /// extensions.
    pub remarks: Vec<Finding>,
}

impl Report {
    /// No refusals: statements may pass.
    pub fn is_sound(&self) -> bool {
        self.refusals.is_empty()
    }

    /// A reader can change nothing that was not accepted: statements may go while their records are being written.
    pub fn may_overlap(&self) -> bool {
        self.is_sound() && self.strict.is_empty()
    }

    pub(super) fn sort_in(&mut self, finding: Finding, weight: Weight, accepted: &[Accepted]) {
        let kind = finding.word.split(':').next().unwrap_or_default().to_owned();
        let excuse = accepted.iter().find(|accepted| accepted.word == finding.word || accepted.word == kind);
        match (weight, excuse) {
            (Weight::Refuse, _) | (Weight::RefuseUnlessAccepted, None) => self.refusals.push(finding),
            (Weight::StrictUnlessAccepted, None) => self.strict.push(finding),
            (Weight::RefuseUnlessAccepted | Weight::StrictUnlessAccepted, Some(excuse)) => {
                self.accepted.push((finding, excuse.reason.clone()));
            }
            (Weight::Remark, _) => self.remarks.push(finding),
        }
    }
}

/// Whom to examine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    /// The role itself: a grant's; none: the scope's carrier.
    pub role: Option<&'a str>,
    pub place: Place<'a>,
    pub scope: Scope,
    pub provisioner: &'a str,
    /// What is asked of the server itself.
    pub server: &'static [Check],
}

impl Fence {
    /// Examines what `role`, opened in that place for `scope`, could do. An error if that could not be found out, which
    /// is a refusal too.
    pub async fn self_test<'a>(&self, place: impl Into<Place<'a>>, role: &str, scope: Scope) -> Result<Report, Error> {
        let place = place.into();
        let (client, _) = self.client(Lane::Test, place.database).await?;
        let provisioner = &self.0.upstream.provisioner;
        let subject = Subject { role: Some(role), place, scope, provisioner, server: OF_PRIMARY };
        self.bounded(place.database, examine(&client, subject, &self.0.accepted)).await
    }

    /// The same at a replica.
    pub(super) async fn examined_as_replica(
        &self,
        place: Place<'_>,
        role: &str,
        scope: Scope,
    ) -> Result<Report, Error> {
        let (client, _) = self.client(Lane::Test, place.database).await?;
        let provisioner = &self.0.upstream.provisioner;
        let subject = Subject { role: Some(role), place, scope, provisioner, server: OF_REPLICA };
        self.bounded(place.database, examine(&client, subject, &self.0.accepted)).await
    }

    /// By which lines of the server's pg_hba.conf somebody may come past the gate.
    pub(super) async fn unprotected(&self, database: &str) -> Result<Vec<Finding>, Error> {
        let (client, _) = self.client(Lane::Test, database).await?;
        self.bounded(database, ways_past(&client, database, &self.0.upstream.provisioner)).await
    }

    /// Examines what every grant of `scope` in that place will have, before there is one; none: no grant of the scope can
    /// be opened there. With `fence = "external"` the login role of the scope is examined.
    pub async fn foretell(&self, place: Place<'_>, layout: Layout, scope: Scope) -> Result<Option<Report>, Error> {
        const EXISTS: &str = "select 1 from pg_roles where rolname = $1";
        if let Some(logins) = &self.0.external {
            if !logins.iter().any(|login| login.scope == scope) {
                return Ok(None);
            }
            let Some((role, _)) = self.login(place, scope)? else { return Ok(None) };
            return self.external_test(place, layout, &role, scope).await.map(Some);
        }
        let (client, _) = self.client(Lane::Test, place.database).await?;
        let examined = async {
            let carrier = match (laid_out(&client, place.database).await?.as_str(), place.tenant) {
                ("schema", Some(schema)) => schema_role(place.database, schema, scope),
                _ => scope_role(place.database, scope),
            };
            let found = client.query_typed(EXISTS, &[(&carrier, Type::TEXT)]).await;
            if found.map_err(|error| refusal(place.database, &error))?.is_empty() {
                return Ok(None);
            }
            let provisioner = &self.0.upstream.provisioner;
            let subject = Subject { role: None, place, scope, provisioner, server: OF_PRIMARY };
            examine(&client, subject, &self.0.accepted).await.map(Some)
        };
        self.bounded(place.database, examined).await
    }
}

/// Examines over a connection to `database` as anybody who may call `portreeve.hba_report()`.
pub(super) async fn examine(client: &Client, subject: Subject<'_>, accepted: &[Accepted]) -> Result<Report, Error> {
    let Subject { place, scope, .. } = subject;
    let database = place.database;
    let mut report = Report::default();
    if let Some(finding) = pooler(client, database).await? {
        report.sort_in(finding, Weight::Refuse, accepted);
    }
    let schema = place.tenant.unwrap_or_default();
    let (further, carrier, schema, gate) = match laid_out(client, database).await?.as_str() {
        "shared" => ([SHARED_CHECKS, OWN_POLICIES], scope_role(database, scope), "", String::new()),
        "schema" => ([SCHEMA_CHECKS, &[]], schema_role(database, schema, scope), schema, schemas_role(database)),
        _ => ([UNGRANTED, &[]], scope_role(database, scope), "", String::new()),
    };
    let asked: Vec<&Check> = asked([subject.server, CHECKS].into_iter().chain(further), scope);
    let role = subject.role.unwrap_or(&carrier);
    let parameters = [role, &carrier, subject.provisioner, schema, &gate];
    for (finding, weight) in answers(client, database, &question(&asked), &asked, parameters).await? {
        report.sort_in(finding, weight, accepted);
    }
    for finding in ways_past(client, database, subject.provisioner).await? {
        report.sort_in(finding, Weight::Remark, accepted);
    }
    Ok(report)
}

/// The lines of pg_hba.conf by which somebody may come past the gate.
async fn ways_past(client: &Client, database: &str, provisioner: &str) -> Result<Vec<Finding>, Error> {
    let holes = holes(&lines(client, database, HBA).await?, database);
    let mut found: Vec<Finding> = holes.into_iter().map(unprotected).collect();
    let tells = client.query_typed(TELLS_OF_PROVISIONER, &[]).await.map_err(|error| refusal(database, &error))?;
    if tells.first().map(|row| field(database, row, 0)).transpose()?.unwrap_or(false) {
        let ways = ways_for_provisioner(&lines(client, database, PROVISIONER_HBA).await?, database);
        found.extend(ways.into_iter().map(|way| provisioner_anywhere(way, provisioner)));
    }
    Ok(found)
}

async fn lines(client: &Client, database: &str, asked: &str) -> Result<Vec<Line>, Error> {
    let rows = client.query_typed(asked, &[]).await.map_err(|error| refusal(database, &error))?;
    rows.iter().map(|row| line(database, row)).collect()
}

/// Those of the checks that are for the scope.
pub(super) fn asked(checks: impl Iterator<Item = &'static [Check]>, scope: Scope) -> Vec<&'static Check> {
    checks.flatten().filter(|check| check.is_for(scope)).collect()
}

/// What the checks found, each with its check's weight.
pub(super) async fn answers(
    client: &Client,
    database: &str,
    question: &str,
    asked: &[&Check],
    parameters: [&str; 5],
) -> Result<Vec<(Finding, Weight)>, Error> {
    let parameters = parameters.each_ref().map(|text| (text as &(dyn ToSql + Sync), Type::TEXT));
    let rows = client.query_typed(question, &parameters).await;
    let rows = rows.map_err(|error| refusal(database, &error))?;
    let answer = |row| {
        let number: i32 = field(database, row, 0)?;
        let check = usize::try_from(number).ok().and_then(|number| asked.get(number));
        let check = check.ok_or_else(|| Error::Answer {
            database: database.to_owned(),
            reason: "a check that was not asked".to_owned(),
        })?;
        let hint = check.hint.to_owned();
        Ok((Finding { word: field(database, row, 1)?, found: field(database, row, 2)?, hint }, check.weight))
    };
    rows.iter().map(answer).collect()
}

impl Check {
    fn is_for(&self, scope: Scope) -> bool {
        match (self.scopes, scope) {
            (For::Every, _) | (For::Readers, Scope::Metadata | Scope::Read) => true,
            (For::Metadata, Scope::Metadata) | (For::Writers, Scope::Write) => true,
            (For::Readers, Scope::Write) | (For::Writers, Scope::Metadata | Scope::Read) => false,
            (For::Metadata, Scope::Read | Scope::Write) => false,
        }
    }
}

/// One statement for all questions: one round trip, one snapshot.
pub(super) fn question(asked: &[&Check]) -> String {
    let parts: Vec<String> = asked
        .iter()
        .enumerate()
        .map(|(number, check)| {
            format!("select {number} as number, word::text, found::text from ({}) c{number}(word, found)", check.query)
        })
        .collect();
    format!("{PREAMBLE}{}\norder by number, word, found", parts.join("\nunion all\n"))
}

/// How customers lie in the database: `database`, `shared` or `schema`.
pub(super) async fn laid_out(client: &Client, database: &str) -> Result<String, Error> {
    let asked = client.query_typed("select portreeve.laid_out()", &[]).await;
    let rows = asked.map_err(|error| refusal(database, &error))?;
    rows.first().map_or(Ok(String::new()), |row| field(database, row, 0))
}

/// A pooler hands out process ids of its own.
pub(super) async fn pooler(client: &Client, database: &str) -> Result<Option<Finding>, Error> {
    let rows = client.query_typed("select pg_backend_pid()", &[]).await.map_err(|error| refusal(database, &error))?;
    let real: Option<i32> = rows.first().map(|row| field(database, row, 0)).transpose()?;
    let announced = announced::process_id(client).await;
    if real.is_some() && real == announced {
        return Ok(None);
    }
    let shown = |id: Option<i32>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    Ok(Some(Finding {
        word: "pooler".to_owned(),
        found: format!("the server announced process id {} and works as {}", shown(announced), shown(real)),
        hint: "Point the cluster's host at PostgreSQL itself: behind a pooler a session cannot be ended for sure."
            .to_owned(),
    }))
}

fn line(database: &str, row: &Row) -> Result<Line, Error> {
    let text = |column| field::<Option<String>>(database, row, column);
    let list = |column| field::<Option<Vec<String>>>(database, row, column).map(Option::unwrap_or_default);
    Ok(Line {
        number: field(database, row, 0)?,
        kind: text(1)?.unwrap_or_default(),
        databases: list(2)?,
        users: list(3)?,
        address: text(4)?,
        netmask: text(5)?,
        method: text(6)?.unwrap_or_default(),
        options: list(7)?,
        error: text(8)?,
    })
}

fn unprotected(found: String) -> Finding {
    let hint = "Put before it: hostssl all +portreeve_staff <proxy> scram-sha-256 clientcert=verify-ca, then host all \
                +portreeve_staff all reject, with ssl_ca_file of a CA for the proxy alone; then pg_reload_conf().";
    Finding { word: "unprotected".to_owned(), found, hint: hint.to_owned() }
}

fn provisioner_anywhere(found: String, provisioner: &str) -> Finding {
    let hint = format!(
        "Put before it: hostssl all {provisioner} <proxy> scram-sha-256 clientcert=verify-ca, then host all {provisioner} all \
         reject; then pg_reload_conf()."
    );
    Finding { word: "provisioner-anywhere".to_owned(), found, hint }
}
