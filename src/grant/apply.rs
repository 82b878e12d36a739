//! The fold's one step: an event is held to the chain, to the signature and to the rules, then changes the state.
//! Not here: reading events from anywhere. An event that does not apply leaves the state as it was.

use std::sync::Arc;
use std::time::Duration;

use super::account::check_hold_texts;
use super::asking::{Asked, check_doubt, check_request_texts, check_said, check_use_texts};
use super::closure::ClosureRule;
use super::code::Code;
use super::consent::{By, Consent, Mode};
use super::event::{Event, Stored, What};
use super::examined::{Examined, examine};
use super::layout::Layout;
use super::personal::{self, ERASED, Personal, TextFault};
use super::rule::Rule;
use super::scope::Scope;
use super::staff::Standing;
use super::state::{Customer, Given, Grant, Staff, State};
use super::terms::{Region, Terms, TermsFault};
use crate::clock::Timestamp;
use crate::ids::{CodeId, CustomerId, GrantId, Sequence, StaffId};

/// How long a grant that staff open themselves lasts at most.
pub const OWN_GRANT_MAX: Duration = Duration::from_secs(2 * 3600);

/// What the fold trusts: the portal's Ed25519 public key, without which no event widens.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The public half of the portal's signing key, raw.
    pub portal_key: [u8; 32],
}

/// Why an event does not apply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum Fault {
    /// Not the next event.
    #[error("event {found} stands where event {expected} should: events are missing or out of order")]
    Gap { expected: Sequence, found: Sequence },
    /// The hash is not that of the previous hash and the content.
    #[error("event {0} does not continue the chain: it, or one before it, was changed")]
    Chain(Sequence),
    /// The content is not an event this version knows.
    #[error("event {0} cannot be read: it was changed, or a newer version of portreeve wrote it")]
    Content(Sequence),
    /// The side row is not the one the event was made with.
    #[error("the side row of event {0} is not the one it was written with")]
    Side(Sequence),
    /// An owner's act without the portal's signature.
    #[error("event {0} claims an owner's act, the portal's, or the use of a code, and carries no signature")]
    Unsigned(Sequence),
    /// A signature, and not the portal's.
    #[error("the signature of event {0} is not the portal's, nor that of the code it speaks of")]
    Signature(Sequence),
    /// The rules forbid it.
    #[error(transparent)]
    Rule(#[from] Rule),
}

/// Folds the next event into the state.
///
/// # Errors
/// Names why it does not apply; the state is then as it was.
pub fn apply(state: &mut State, stored: &Stored, trust: &Trust) -> Result<(), Fault> {
    let examined = examine(stored, (state.sequence(), state.head()), Some(trust))?;
    apply_examined(state, examined)
}

/// The same of an event that was examined already, behind the last one that was folded.
///
/// # Errors
/// Names why it does not apply; the state is then as it was.
pub fn apply_examined(state: &mut State, examined: Examined) -> Result<(), Fault> {
    apply_where(state, examined, |_, _, _| Ok(()))
}

/// The same where something more must hold of the state before the event.
pub(super) fn apply_where(
    state: &mut State,
    examined: Examined,
    more: impl FnOnce(&State, &Event, Option<&Personal>) -> Result<(), Rule>,
) -> Result<(), Fault> {
    let (Examined { event, sequence, hash, .. }, expected) = (&examined, state.sequence().next());
    if *sequence != expected {
        return Err(Fault::Gap { expected, found: *sequence });
    }
    if examined.behind != state.head {
        return Err(Fault::Chain(*sequence));
    }
    examined.check_code(state)?;
    state.check(event, examined.personal.as_ref())?;
    more(state, event, examined.personal.as_ref())?;
    let (event, sequence, hash) = (*event, *sequence, *hash);
    state.commit(&event, sequence, examined.personal.unwrap_or_default());
    if state.events == 0 {
        state.seed = hash;
    }
    (state.events, state.head) = (sequence.0, hash);
    Ok(())
}

impl State {
    /// Whether the rules allow the event. Texts are checked while they exist.
    fn check(&self, event: &Event, personal: Option<&Personal>) -> Result<(), Rule> {
        match event.what {
            What::CustomerCreated { layout } => {
                only_operator(event)?;
                personal.map_or(Ok(()), |personal| self.check_customer(layout, personal))
            }
            What::StaffCreated => {
                only_operator(event)?;
                personal.map_or(Ok(()), |personal| self.check_staff(personal))
            }
            What::StaffRemoved { staff } => {
                only_operator(event)?;
                self.active_staff(staff).map(drop)
            }
            What::OwnerCreated { customer } => {
                self.check_owner_creator(event, customer)?;
                personal.map_or(Ok(()), |personal| self.check_owner(personal))
            }
            What::OwnerInvited { customer, ends } => self.check_invited(event, (customer, ends), personal),
            What::OwnerAccepted { invitation } => self.check_accepted(event, invitation, personal),
            What::OwnerUninvited { invitation } => self.check_uninvited(event, invitation),
            What::CustomerRenamed { customer } => self.check_renamed(event, customer, personal),
            What::OwnerRemoved { owner } => {
                let removed = self.owner(owner).filter(|owner| owner.active).ok_or(Rule::NoOwner(owner))?;
                self.check_narrower(event, removed.customer, None)
            }
            What::ConsentSet { customer, mode, scope, until } => {
                self.check_consent(event, customer, mode, scope, until)
            }
            What::GrantIssued { staff, customer, scope, ends, purpose: _ } => {
                self.check_grant(event, staff, customer, scope, ends)?;
                personal.map_or(Ok(()), check_grant_texts)
            }
            What::GrantEnded { grant } => {
                let ended = self.grant(grant).filter(|grant| grant.ended.is_none()).ok_or(Rule::NoGrant(grant))?;
                self.check_narrower(event, ended.customer, Some(ended.staff))
            }
            What::ConsentAgreed { customer, mode, scope, until, terms } => {
                self.check_consent(event, customer, mode, scope, until)?;
                let side = if event.what.has_side() { personal } else { Some(&Personal::default()) };
                self.check_agreed(event, customer, (mode, until), (terms, side))
            }
            What::RequestOpened { staff, customer, scope, lasting, start_by, purpose, channel } => {
                self.check_asked(event, &Asked { staff, customer, scope, lasting, start_by, purpose, channel })?;
                personal.map_or(Ok(()), |personal| check_request_texts(scope, personal))
            }
            What::Request { request, step } => {
                self.check_request(event, request, step)?;
                personal.map_or(Ok(()), check_said)
            }
            What::CodeCreated { customer, scope, lasting, expires, key: _ } => {
                self.check_code(event, customer, (scope, lasting, expires))?;
                personal.map_or(Ok(()), |personal| {
                    Ok(personal.salt.as_ref().map(drop).ok_or(TextFault::Missing("code's salt"))?)
                })
            }
            What::CodeRedeemed { code, staff, purpose: _ } => {
                self.check_redeemed(event, code, staff)?;
                personal.map_or(Ok(()), check_use_texts)
            }
            What::CodeMissed { code } => self.check_missed(event, code),
            What::InstructionQuestioned { customer } => {
                self.check_questioned(event, customer)?;
                personal.map_or(Ok(()), check_doubt)
            }
            What::InstructionConfirmed { customer } => self.check_confirmed(event, customer),
            What::Account { customer, step } => self.check_account(event, customer, step),
            What::Glass(step) => self.check_glass(event, step, personal),
            What::Team(step) => self.check_team(event, step, personal),
            What::Staff { staff, step } => self.check_step(event, (staff, step), personal),
            What::HoldPlaced { customer, review } => {
                self.check_hold(event, customer, review)?;
                personal.map_or(Ok(()), check_hold_texts)
            }
            What::HoldReleased { hold } => {
                self.check_release(event, hold)?;
                personal.map_or(Ok(()), check_hold_texts)
            }
            What::Snapshot { snapshot, step } => self.check_snapshot(event, snapshot, step),
        }
    }

    fn check_customer(&self, layout: Layout, personal: &Personal) -> Result<(), Rule> {
        let name = required(&personal.name, "customer's name")?;
        personal::check_name(name)?;
        personal.display.as_deref().map_or(Ok(()), personal::check_display)?;
        self.check_free(name, None)?;
        self.check_place(layout, personal)
    }

    fn check_staff(&self, personal: &Personal) -> Result<(), Rule> {
        let name = required(&personal.name, "staff member's name")?;
        personal::check_name(name)?;
        required(&personal.verifier, "password verifier")?;
        personal.region.as_deref().map(str::parse::<Region>).transpose()?;
        match self.staff_names.get(name) {
            Some(id) => Err(Rule::NameTaken { name: name.to_owned(), holder: id.to_string() }),
            None => Ok(()),
        }
    }

    fn check_consent(
        &self,
        event: &Event,
        customer: CustomerId,
        mode: Mode,
        scope: Scope,
        until: Option<Timestamp>,
    ) -> Result<(), Rule> {
        let found = self.customer(customer).ok_or(Rule::NoCustomer(customer))?;
        let current = &found.consent;
        if let (Some(closure), false) = (&found.closure, mode == Mode::Off) {
            return Err(ClosureRule::AccessClosed(closure.at).into());
        }
        if mode != Mode::Off && until.is_some_and(|until| until <= event.at) {
            return Err(Rule::AlreadyOver);
        }
        let many = current.terms.approvals;
        if mode == Mode::Standing && many > 1 && matches!(event.what, What::ConsentSet { .. }) {
            return Err(TermsFault::ApprovalsOfStanding(many).into());
        }
        if !matches!(event.by, By::Owner(_)) && current.widened_by(mode, scope, until, event.at) {
            return Err(Rule::OnlyOwnerWidens { customer });
        }
        self.check_narrower(event, customer, None)
    }

    fn check_grant(
        &self,
        event: &Event,
        staff: StaffId,
        customer: CustomerId,
        scope: Scope,
        ends: Timestamp,
    ) -> Result<(), Rule> {
        if event.by != By::Staff(staff) {
            return Err(not_yours(event));
        }
        let found = self.customer(customer).ok_or(Rule::NoCustomer(customer))?;
        self.working_for(staff, customer)?;
        if let Some(closure) = &found.closure {
            return Err(ClosureRule::AccessClosed(closure.at).into());
        }
        if let Some(questioned) = &found.questioned {
            return Err(Rule::Questioned { customer, at: questioned.at });
        }
        let consent = &found.consent;
        let mode = consent.mode_at(event.at);
        if mode != Mode::Standing {
            return Err(Rule::NoStandingConsent { customer, mode });
        }
        if scope > consent.scope {
            return Err(Rule::ScopeTooWide { asked: scope, allowed: consent.scope });
        }
        if ends <= event.at {
            return Err(Rule::AlreadyOver);
        }
        if ends > event.at.plus(OWN_GRANT_MAX) {
            return Err(Rule::TooLong);
        }
        if ends > event.at.plus(consent.terms.longest) {
            return Err(Rule::LongerThanAllowed(consent.terms.longest));
        }
        if ends > consent.deadline() { Err(Rule::BeyondConsent(consent.deadline())) } else { Ok(()) }
    }

    /// Whoever may narrow the access to that customer: its owners, the vendor, and the staff member themselves.
    fn check_narrower(&self, event: &Event, customer: CustomerId, own: Option<StaffId>) -> Result<(), Rule> {
        match event.by {
            By::Owner(owner) => self.active_owner_of(owner, customer),
            By::Staff(staff) if own == Some(staff) => Ok(()),
            By::Staff(_) => Err(not_yours(event)),
            By::VendorApp | By::Operator | By::System => Ok(()),
        }
    }

    /// Changes the state as the event says; it was checked before.
    fn commit(&mut self, event: &Event, sequence: Sequence, personal: Personal) {
        match event.what {
            What::CustomerCreated { layout } => self.add_customer(event, sequence, layout, personal),
            What::StaffCreated => self.add_staff(event, sequence, personal),
            What::StaffRemoved { staff } => {
                if let Some(staff) = self.staff.get_mut(staff) {
                    staff.active = false;
                    // Nothing of theirs opens anything any more, and it may be erased.
                    (staff.standing.token, staff.standing.second_factor) = (None, None);
                    staff.standing.subject = None;
                }
                self.teams.leave(staff);
                self.end_grants_of(event, staff);
            }
            What::OwnerCreated { customer } => self.add_owner(event, sequence, customer, personal),
            What::OwnerInvited { customer, ends } => self.invite(event, sequence, (customer, ends), personal),
            What::OwnerAccepted { invitation } => self.accept(event, invitation, personal),
            What::OwnerUninvited { invitation } => self.uninvite(event, invitation),
            What::CustomerRenamed { customer } => self.rename(event, customer, personal),
            What::OwnerRemoved { owner } => self.remove_owner(event, sequence, owner),
            What::ConsentSet { customer, mode, scope, until } => {
                let terms = self.terms_of(customer);
                let (set_at, set_by) = (event.at, event.by);
                self.set_consent(event, customer, Consent { mode, scope, until, terms, set_at, set_by, sequence });
            }
            What::ConsentAgreed { customer, mode, scope, until, terms } => {
                let terms = Terms::from_parts(terms, &personal).unwrap_or_else(|_| Terms::erased(terms));
                let (set_at, set_by) = (event.at, event.by);
                self.set_consent(event, customer, Consent { mode, scope, until, terms, set_at, set_by, sequence });
            }
            What::GrantIssued { staff, customer, scope, ends, purpose } => {
                let (id, issued, given) = (GrantId(sequence.0), event.at, Given::Own);
                let (reason, ticket, ended) = (text(personal.reason), text(personal.ticket), None);
                let grant = Grant { id, staff, customer, scope, issued, ends, purpose, given, reason, ticket, ended };
                self.replace_grant(event, grant);
            }
            What::GrantEnded { grant } => {
                let pair = self.grant(grant).map(|grant| (grant.customer, grant.staff));
                self.end_newest(event, pair.into_iter().collect(), |other| other.id == grant);
            }
            What::RequestOpened { staff, customer, scope, lasting, start_by, purpose, channel } => {
                let asked = Asked { staff, customer, scope, lasting, start_by, purpose, channel };
                self.add_request(event, sequence, asked, personal);
            }
            What::Request { request, step } => self.commit_request(event, sequence, (request, step), personal),
            What::CodeCreated { customer, scope, lasting, expires, key } => {
                let By::Owner(owner) = event.by else { return };
                let (id, created, salt) =
                    (CodeId(sequence.0), event.at, personal.salt.map(Vec::from).unwrap_or_default());
                let (misses, used) = (0, None);
                self.add_code(Code { id, customer, owner, scope, lasting, created, expires, key, salt, misses, used });
            }
            What::CodeRedeemed { code, staff, purpose } => {
                self.redeem(event, sequence, (code, staff, purpose), personal);
            }
            What::CodeMissed { code } => self.miss(code),
            What::InstructionQuestioned { customer } => self.question(event, customer, personal),
            What::InstructionConfirmed { customer } => self.settle(customer),
            What::Account { customer, step } => self.commit_account(event, sequence, customer, step),
            What::Glass(step) => self.commit_glass(event, sequence, step, personal),
            What::Team(step) => self.commit_team(event, sequence, step, personal.name),
            What::Staff { staff, step } => self.commit_step(event, sequence, (staff, step), &personal),
            What::HoldPlaced { customer, review } => self.add_hold(event, sequence, (customer, review), personal),
            What::HoldReleased { hold } => self.release_hold(event, hold),
            What::Snapshot { snapshot, step } => self.commit_snapshot(event, sequence, snapshot, step),
        }
    }

    fn add_customer(&mut self, event: &Event, sequence: Sequence, layout: Layout, personal: Personal) {
        let id = CustomerId(sequence.0);
        if let Some(name) = &personal.name {
            Arc::make_mut(&mut self.customer_names).insert(name.clone(), id);
        }
        let is_placed = personal.cluster.is_some();
        let (set_at, set_by) = (event.at, event.by);
        let terms = Terms::default();
        let consent = Consent { mode: Mode::Off, scope: Scope::Read, until: None, terms, set_at, set_by, sequence };
        let (name, cluster, database) = (text(personal.name), text(personal.cluster), text(personal.database));
        let tenant = match layout {
            Layout::Database => None,
            Layout::Shared | Layout::Schema => Some(text(personal.tenant)),
        };
        let (created, closure, questioned) = (event.at, None, None);
        let (display, former) = (personal.display, Vec::new());
        let customer = Customer {
            id,
            name,
            display,
            former,
            cluster,
            database,
            layout,
            tenant,
            consent,
            created,
            closure,
            questioned,
        };
        if is_placed {
            let place = (customer.cluster.clone(), customer.database.clone());
            Arc::make_mut(&mut self.places).entry(place).or_default().insert(customer.tenant.clone(), id);
        }
        self.customers.insert(id, customer);
        self.teams.take_on(id);
    }

    fn add_staff(&mut self, event: &Event, sequence: Sequence, personal: Personal) {
        let id = StaffId(sequence.0);
        if let Some(name) = &personal.name {
            Arc::make_mut(&mut self.staff_names).insert(name.clone(), id);
        }
        let verifier = personal.verifier.unwrap_or_default();
        let region = personal.region.and_then(|region| region.parse().ok());
        let (name, created, standing) = (text(personal.name), event.at, Standing::default());
        self.staff.insert(id, Staff { id, name, verifier, region, active: true, created, standing });
        self.teams.welcome(id);
    }
}

pub(super) fn only_operator(event: &Event) -> Result<(), Rule> {
    match event.by {
        By::Operator => Ok(()),
        By::Owner(_) | By::Staff(_) | By::VendorApp | By::System => Err(not_yours(event)),
    }
}

pub(super) fn not_yours(event: &Event) -> Rule {
    Rule::NotYours { verb: event.what.verb(), by: event.by.word() }
}

fn check_grant_texts(personal: &Personal) -> Result<(), Rule> {
    personal::check_reason(required(&personal.reason, "reason")?)?;
    Ok(personal::check_ticket(required(&personal.ticket, "ticket")?)?)
}

pub(super) fn required<'a>(text: &'a Option<String>, what: &'static str) -> Result<&'a str, TextFault> {
    text.as_deref().ok_or(TextFault::Missing(what))
}

pub(super) fn text(text: Option<String>) -> String {
    text.unwrap_or_else(|| ERASED.to_owned())
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
