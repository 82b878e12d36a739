//! What is next for a closed account: the stage that the facts allow, what to do now, and what is waited for.
//! Not here: doing it. An act is told again each time until its fact is there, so whoever acts may die at any point.

use std::fmt;
use std::time::Duration;

use super::transitions::{Need, TRANSITIONS};
use super::{Closure, LEAD, Stage};
use crate::clock::Timestamp;
use crate::retention::certificate::Part;

const DAY: Duration = Duration::from_secs(86_400);

/// What was confirmed so far, and how things stand now. Each moment is when it was confirmed, not when it was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Access is off, sessions are ended.
    pub access_off: Option<Timestamp>,
    /// The archive was read back.
    pub archive_verified: Option<Timestamp>,
    /// The owners were told of their choice.
    pub owners_told: Option<Timestamp>,
    /// The purge's plan was fixed.
    pub planned: Option<Timestamp>,
    /// That plan's digest.
    pub plan: Option<[u8; 32]>,
    /// That plan was begun.
    pub begun: Option<Timestamp>,
    /// Whether people must approve it, and did.
    pub approval: Approval,
    /// The purge is committed, verified, and replayed on each replica. A purge of rows that came back moves it.
    pub live_clean: Option<Timestamp>,
    /// Checks after `live_clean` that found nothing.
    pub checked: Vec<Timestamp>,
    /// Snapshots that began before `live_clean` and are not confirmed absent; none if that is not known.
    pub dirty_snapshots: Option<u64>,
    /// The archive and its key are confirmed gone.
    pub archive_gone: Option<Timestamp>,
    /// The keys of the audit log's values are confirmed destroyed in every listed copy.
    pub values_gone: Option<Timestamp>,
    /// The same for its skeleton.
    pub skeleton_gone: Option<Timestamp>,
    /// The application's logs were confirmed past their age.
    pub application_logs_gone: Option<Timestamp>,
    /// Parts of the certificate that are signed.
    pub certified: Vec<Part>,
    /// The clocks disagree: nothing is deleted.
    pub is_frozen: bool,
    /// There is a verified snapshot that is young enough.
    pub has_good_snapshot: bool,
    /// When purges may run next: now or earlier if they may now; none if never.
    pub window_opens: Option<Timestamp>,
}

/// Whether people approved a purge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Approval {
    /// Nobody did; below the cap nobody must.
    #[default]
    Unasked,
    /// It is held until they do.
    Waits,
    /// They did; or its rows came back, and it was purged before.
    Given,
}

/// Something to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Turn access off and end sessions.
    TurnAccessOff,
    /// Write the archive and read it back.
    Archive,
    /// Tell the owners what they may choose.
    TellOwners,
    /// Fix what will be purged.
    MakePlan,
    /// Purge, or go on with it, and verify.
    Purge,
    /// Look whether rows came back.
    CheckAgain,
    /// Destroy the archive and its key.
    DestroyArchive,
    /// Destroy the keys of the audit log's values.
    DestroyValues,
    /// Destroy the keys of its skeleton.
    DestroySkeleton,
    /// Confirm that the application's logs are gone.
    ConfirmApplicationLogs,
    /// Sign that part.
    Certify(Part),
}

/// Why an account does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its day has not come.
    Date,
    /// Purges may not run at this hour.
    Window,
    /// The window never opens again.
    NoWindow,
    /// The clocks disagree.
    Frozen,
    /// No verified snapshot is young enough.
    NoGoodSnapshot,
    /// So many snapshots that hold the rows are not confirmed absent.
    Snapshots(u64),
    /// Nobody has counted them.
    SnapshotsUnknown,
    /// It is held.
    Held,
    /// More is due than goes without people's approval.
    People,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Date => f.write_str("its day has not come"),
            Why::Window => f.write_str("purges may not run at this hour"),
            Why::NoWindow => f.write_str("the window of purges never opens again; change [retention] window"),
            Why::Frozen => f.write_str("the clocks disagree; run \"portreeve retention status\""),
            Why::NoGoodSnapshot => f.write_str("no verified snapshot is young enough to go back to"),
            Why::Snapshots(count) => write!(f, "{count} snapshots that hold its rows are not confirmed absent"),
            Why::SnapshotsUnknown => f.write_str("it is not known which snapshots hold its rows"),
            Why::Held => f.write_str("it is held"),
            Why::People => f.write_str(
                "more accounts are due than purge_max; look with \"portreeve retention plan\", apply it with a second person",
            ),
        }
    }
}

/// Something that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What must become true.
    pub need: Need,
    /// Why it is not.
    pub why: Why,
    /// When it may be; none if only somebody's act can say.
    pub until: Option<Timestamp>,
}

/// What is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The stage that the facts allow.
    pub stage: Stage,
    /// What to do now. All of it may be done in any order.
    pub acts: Vec<Act>,
    /// What is waited for.
    pub waits: Vec<Wait>,
}

/// How one need stands.
enum Stand {
    Met,
    Do(Act),
    Wait(Why, Option<Timestamp>),
}

/// What is next for `closure` at `now`, given the facts. What must be destroyed on its day is destroyed then, even if
/// an earlier stage is stuck.
pub fn next(closure: &Closure, facts: &Facts, now: Timestamp) -> Step {
    let mut step = Step { stage: closure.stage, acts: Vec::new(), waits: Vec::new() };
    if closure.stage == Stage::Active {
        return step;
    }
    while let Some(transition) = TRANSITIONS.iter().find(|transition| transition.from == step.stage) {
        let open = transition.needs.iter().find(|need| !step.judge(**need, closure, facts, now));
        if open.is_some() {
            break;
        }
        step.stage = transition.to;
    }
    for need in [Need::ArchiveGone, Need::ValuesGone, Need::SkeletonGone] {
        step.judge(need, closure, facts, now);
    }
    step
}

impl Step {
    /// Whether the need is met; if not, notes once what that means.
    fn judge(&mut self, need: Need, closure: &Closure, facts: &Facts, now: Timestamp) -> bool {
        match stand(need, closure, facts, now) {
            Stand::Met => return true,
            Stand::Do(act) if !self.acts.contains(&act) => self.acts.push(act),
            Stand::Wait(why, until) if !self.waits.iter().any(|wait| wait.need == need) => {
                self.waits.push(Wait { need, why, until });
            }
            Stand::Do(_) | Stand::Wait(..) => {}
        }
        false
    }
}

fn stand(need: Need, closure: &Closure, facts: &Facts, now: Timestamp) -> Stand {
    let dates = &closure.dates;
    let at_the_latest = now >= dates.purge_latest;
    match need {
        Need::AccessOff => done(facts.access_off, Act::TurnAccessOff),
        Need::ArchiveVerified => done(facts.archive_verified, Act::Archive),
        Need::OwnersTold => done(facts.owners_told, Act::TellOwners),
        Need::ChoiceOver if closure.is_removed_now() => Stand::Met,
        Need::ChoiceOver => reached(dates.choice_until, now),
        Need::PlanMade => done(facts.planned, Act::MakePlan),
        Need::PurgeDue if closure.is_removed_now() => Stand::Met,
        Need::PurgeDue => reached(dates.purge_from, now),
        Need::ClocksAgree if facts.is_frozen => Stand::Wait(Why::Frozen, None),
        Need::ClocksAgree => Stand::Met,
        Need::GoodSnapshot if facts.has_good_snapshot || at_the_latest => Stand::Met,
        Need::GoodSnapshot => Stand::Wait(Why::NoGoodSnapshot, Some(dates.purge_latest)),
        Need::WindowOpen => window(closure, facts, now),
        Need::Approved => match facts.approval {
            Approval::Unasked | Approval::Given => Stand::Met,
            Approval::Waits if facts.begun.is_some() || facts.live_clean.is_some() => Stand::Met,
            Approval::Waits => Stand::Wait(Why::People, None),
        },
        Need::LiveClean if facts.live_clean.is_some() => Stand::Met,
        Need::LiveClean if facts.is_frozen => Stand::Wait(Why::Frozen, None),
        Need::LiveClean => in_window(closure, facts, now),
        Need::CheckedAfterDay => checked(closure, facts, DAY, now),
        Need::CheckedAfterWeek => checked(closure, facts, 7 * DAY, now),
        Need::SnapshotsGone => snapshots(closure, facts),
        Need::ArchiveGone | Need::ValuesGone | Need::SkeletonGone => destroyed(need, closure, facts, now),
        Need::ApplicationLogsGone if facts.application_logs_gone.is_some() => Stand::Met,
        Need::ApplicationLogsGone if now < dates.logs_by => Stand::Wait(Why::Date, Some(dates.logs_by)),
        Need::ApplicationLogsGone => Stand::Do(Act::ConfirmApplicationLogs),
        Need::Certified(part) if facts.certified.contains(&part) => Stand::Met,
        Need::Certified(part) => Stand::Do(Act::Certify(part)),
    }
}

fn done(fact: Option<Timestamp>, act: Act) -> Stand {
    if fact.is_some() { Stand::Met } else { Stand::Do(act) }
}

fn reached(date: Timestamp, now: Timestamp) -> Stand {
    if now >= date { Stand::Met } else { Stand::Wait(Why::Date, Some(date)) }
}

fn window(closure: &Closure, facts: &Facts, now: Timestamp) -> Stand {
    let latest = closure.dates.purge_latest;
    match facts.window_opens {
        _ if closure.is_removed_now() || now >= latest => Stand::Met,
        Some(opens) if opens <= now => Stand::Met,
        Some(opens) => Stand::Wait(Why::Window, Some(opens.min(latest))),
        None => Stand::Wait(Why::NoWindow, Some(latest)),
    }
}

/// Purge, or go on with it, once the window is open: it stops when that closes.
fn in_window(closure: &Closure, facts: &Facts, now: Timestamp) -> Stand {
    match window(closure, facts, now) {
        Stand::Met => Stand::Do(Act::Purge),
        wait => wait,
    }
}

fn checked(closure: &Closure, facts: &Facts, after: Duration, now: Timestamp) -> Stand {
    let Some(from) = facts.live_clean.map(|clean| clean.plus(after)) else {
        return in_window(closure, facts, now);
    };
    match facts.checked.iter().any(|checked| *checked >= from) {
        true => Stand::Met,
        false if now < from => Stand::Wait(Why::Date, Some(from)),
        false => Stand::Do(Act::CheckAgain),
    }
}

fn snapshots(closure: &Closure, facts: &Facts) -> Stand {
    let until = facts.live_clean.map(|clean| clean.plus(closure.dates.snapshot_max_age));
    match facts.dirty_snapshots {
        Some(0) => Stand::Met,
        Some(left) => Stand::Wait(Why::Snapshots(left), until),
        None => Stand::Wait(Why::SnapshotsUnknown, until),
    }
}

/// What a hold keeps, and otherwise goes on its day. Immediate removal destroys the archive and the values once no live
/// row is left; the skeleton stays its time, for it says who deleted what.
fn destroyed(need: Need, closure: &Closure, facts: &Facts, now: Timestamp) -> Stand {
    let dates = &closure.dates;
    let (gone, act, day) = match need {
        Need::ArchiveGone => (facts.archive_gone, Act::DestroyArchive, dates.gone_by),
        Need::ValuesGone => (facts.values_gone, Act::DestroyValues, dates.gone_by),
        _ => (facts.skeleton_gone, Act::DestroySkeleton, dates.skeleton_by),
    };
    let latest = Timestamp(day.0.saturating_sub(i64::try_from(LEAD.as_micros()).unwrap_or(0)));
    let at_once = facts.live_clean.filter(|_| closure.is_removed_now() && act != Act::DestroySkeleton);
    let begin = at_once.map_or(latest, |clean| clean.min(latest));
    if gone.is_some() {
        Stand::Met
    } else if closure.is_held() {
        Stand::Wait(Why::Held, closure.review())
    } else if now < begin {
        Stand::Wait(Why::Date, Some(begin))
    } else if facts.is_frozen {
        Stand::Wait(Why::Frozen, None)
    } else {
        Stand::Do(act)
    }
}
