//! One account, as far as it can be led now: the stages that the facts allow are recorded, then what is to be done is done,
//! until nothing is left but to wait.
//! Not here: each act.

use super::facts::{dates, model};
use super::kept::Kept;
use super::{Error, Rows, Turned, World};
use crate::clock::Timestamp;
use crate::grant::{AccountStep, Closure, Customer, RecordPart, Stage};
use crate::ids::CustomerId;
use crate::retention::certificate::Part;
use crate::retention::closure::{Act, Step, next};
use crate::retention::plan::Rules;

/// More steps than the whole way has, some of them twice.
const ROUNDS: usize = 64;

/// One account at one moment.
pub(super) struct Case<'a> {
    pub(super) customer: &'a Customer,
    pub(super) closure: &'a Closure,
    pub(super) kept: Kept,
    pub(super) rules: &'a Rules,
    pub(super) now: Timestamp,
}

impl World {
    pub(super) async fn lead(
        &self,
        id: CustomerId,
        rows: Rows,
        rules: &Rules,
        now: Timestamp,
        turned: &mut Turned,
    ) -> Result<(), Error> {
        for _ in 0..ROUNDS {
            let state = self.state().await?;
            let customer = Self::customer(&state, id)?;
            let Some(closure) = &customer.closure else { return Ok(()) };
            if let Some(end) = closure.reached_at(Stage::LogsClean) {
                return self.forget(customer, closure, end, now).await;
            }
            let kept = self.kept(id, closure.sequence)?;
            let facts = self.facts(&state, customer, closure, &kept, now)?;
            let step = next(&model(&state, customer, closure, rules), &facts, now);
            let is_held = state.holds_on(id).next().is_some();
            let case = Case { customer, closure, kept, rules, now };
            if closure.purge.verified.is_some() && facts.live_clean.is_some() {
                self.destroy_needles(id)?;
            }
            if self.advance(&case, &step, (rows, is_held), turned).await? {
                continue;
            }
            if !self.act_on(&case, &step, rows, turned).await? {
                let waits = step.waits.iter();
                turned.waits.extend(waits.map(|wait| (id, format!("{}: {}", wait.need.told(), wait.why), wait.until)));
                return Ok(());
            }
        }
        Err(Error::Bug("an account goes round in circles"))
    }

    /// Records the next stage, if the facts allow one.
    async fn advance(
        &self,
        case: &Case<'_>,
        step: &Step,
        (rows, is_held): (Rows, bool),
        turned: &mut Turned,
    ) -> Result<bool, Error> {
        let (customer, closure) = (case.customer, case.closure);
        let following = Stage::ALL.iter().copied().find(|stage| *stage > closure.stage());
        let Some(following) = following.filter(|stage| super::deed::stage(*stage) <= step.stage) else {
            return Ok(false);
        };
        match following {
            Stage::Purging if rows == Rows::Leave => return Ok(false),
            Stage::Purging if closure.purge.begun.is_none() => {
                self.begin_purge(customer, closure, &case.kept, (case.rules, case.now)).await?;
                return Ok(true);
            }
            Stage::ArchiveDestroyed | Stage::LogsClean if is_held => return Ok(false),
            Stage::Closed
            | Stage::Archived
            | Stage::Choice
            | Stage::Planned
            | Stage::Purging
            | Stage::LiveClean
            | Stage::BackupsClean
            | Stage::ArchiveDestroyed
            | Stage::LogsClean => {}
        }
        let (digest, count) = self.shows(case, following);
        self.step(customer.id, AccountStep::Reached { stage: following, digest, count }).await?;
        turned.reached.push((customer.id, following));
        Ok(true)
    }

    /// The digest and the number that show a stage.
    fn shows(&self, case: &Case<'_>, stage: Stage) -> (Option<[u8; 32]>, Option<u64>) {
        let purge = &case.closure.purge;
        match stage {
            Stage::Planned | Stage::Purging => (purge.planned.map(|(digest, _)| digest), None),
            Stage::LiveClean => (None, purge.verified.map(|(_, rows, _)| rows)),
            Stage::Closed
            | Stage::Archived
            | Stage::Choice
            | Stage::BackupsClean
            | Stage::ArchiveDestroyed
            | Stage::LogsClean => (None, None),
        }
    }

    /// Does what is to be done. One act that fails does not keep the others back; whether any was done and none failed.
    async fn act_on(&self, case: &Case<'_>, step: &Step, rows: Rows, turned: &mut Turned) -> Result<bool, Error> {
        let (mut is_well, mut done) = (true, 0);
        for act in &step.acts {
            if *act == Act::Purge && rows == Rows::Leave {
                if !turned.due.contains(&case.customer.id) {
                    turned.due.push(case.customer.id);
                }
                continue;
            }
            done += 1;
            // what an earlier act of this round noted must not be written over
            let one = async {
                let kept = self.kept(case.customer.id, case.closure.sequence)?;
                Box::pin(self.one(&Case { kept, ..*case }, *act, turned)).await
            };
            if let Err(error) = one.await {
                is_well = false;
                self.trouble(case.customer.id, &error, turned).await;
            }
        }
        Ok(is_well && done > 0)
    }

    async fn one(&self, case: &Case<'_>, act: Act, turned: &mut Turned) -> Result<(), Error> {
        let Case { customer, closure, kept, rules, now } = case;
        match act {
            Act::TurnAccessOff => self.shut_out(customer, closure).await,
            Act::TellOwners => Err(Error::Bug("closing did that already")),
            Act::Archive => self.archive(customer, turned).await,
            Act::MakePlan => self.make_plan(customer, kept).await,
            Act::Purge => self.go_on(customer, closure, kept, (rules, *now)).await,
            Act::CheckAgain => self.check_again(customer, kept).await,
            Act::DestroyArchive => self.destroy_archives(customer, kept).await,
            Act::DestroyValues => self.destroy_keys(customer, closure, kept, RecordPart::Values).await,
            Act::DestroySkeleton => self.destroy_keys(customer, closure, kept, RecordPart::Skeleton).await,
            Act::ConfirmApplicationLogs => {
                // nobody observes them: the promise's term is over, and the certificate says that it is no more than that
                self.keep(customer.id, &Kept { application_logs: Some(now.0), ..kept.clone() })
            }
            Act::Certify(part) => {
                let kept = self.with_records(closure, kept).await?;
                self.certify(&Case { kept, ..*case }, part).await
            }
        }
    }
}

/// Parts in the order of the register's stages, for readers of the certificate's folder.
pub(super) fn due(part: Part, case: &Case<'_>) -> Timestamp {
    let dates = dates(case.closure, case.rules);
    match part {
        Part::Live => dates.purge_latest,
        Part::Backups | Part::Archive => dates.gone_by,
        Part::Logs => dates.skeleton_by.max(dates.logs_by),
    }
}
