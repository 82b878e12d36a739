//! A refusal in words: what is missing, and the way out of each, for the person at the SQL client.
//! Not here: the decision itself. PostgreSQL's style: message lower case without full stop, detail and hint sentences.

use std::net::IpAddr;

use super::consent::{By, Mode};
use super::hours::Hours;
use super::scope::Scope;
use super::staff_condition::StaffCondition;
use super::state::{Staff, State};
use super::terms::Region;
use crate::clock::Timestamp;
use crate::ids::{CustomerId, GrantId, StaffId};

/// What stands in the way.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum Condition {
    /// What was read from the register is too old to go by.
    RegisterStale { read: Timestamp },
    /// There is no such staff member.
    StaffUnknown,
    /// The staff member was removed.
    StaffInactive,
    /// Something about the staff member themselves.
    Staff(StaffCondition),
    /// There is no such customer.
    CustomerUnknown { customer: CustomerId },
    /// The account is closed.
    CustomerClosed { customer: CustomerId, at: Timestamp },
    /// The owner's switch is off.
    ConsentOff { customer: CustomerId },
    /// The owner's switch turned itself off at its deadline.
    ConsentOver { customer: CustomerId, at: Timestamp },
    /// Staff doubted what the owners want, and none of them has answered.
    InstructionQuestioned { customer: CustomerId, at: Timestamp },
    /// The owner wants to be asked, and this grant's staff member opened it without.
    NotAsked { grant: GrantId },
    /// The owner allows other addresses only.
    AddressNotAllowed { address: IpAddr },
    /// The owner allows staff of other regions only; none: where they work is not known.
    RegionNotAllowed { region: Option<Region> },
    /// The owner allows other hours only.
    OutOfHours { opens: Option<Timestamp> },
    /// That staff member has, or has had, no such grant for that customer.
    NoGrant { staff: StaffId, customer: CustomerId },
    /// The grant was ended before its time.
    GrantEnded { grant: GrantId, at: Timestamp, by: By },
    /// The grant's time is over.
    GrantOver { grant: GrantId, at: Timestamp },
    /// The grant begins later, by this machine's clock.
    GrantNotBegun { grant: GrantId, from: Timestamp },
    /// The grant's scope does not exist yet.
    ScopeNotOffered { scope: Scope },
    /// The grant reaches further than the owner allows.
    ScopeTooWide { scope: Scope, allowed: Scope },
    /// Access was withdrawn a moment ago; the register is about to say so.
    Locked { customer: CustomerId },
    /// Too many sessions are open.
    TooManyConnections { open: usize, most: usize },
}

impl Condition {
    /// The reason code, as records name it.
    pub fn code(&self) -> &'static str {
        match self {
            Condition::RegisterStale { .. } => "register-stale",
            Condition::StaffUnknown => "staff-unknown",
            Condition::StaffInactive => "staff-inactive",
            Condition::Staff(condition) => condition.code(),
            Condition::CustomerUnknown { .. } => "customer-unknown",
            Condition::CustomerClosed { .. } => "customer-closed",
            Condition::ConsentOff { .. } => "consent-off",
            Condition::ConsentOver { .. } => "consent-over",
            Condition::InstructionQuestioned { .. } => "instruction-questioned",
            Condition::NotAsked { .. } => "not-asked",
            Condition::AddressNotAllowed { .. } => "address-not-allowed",
            Condition::RegionNotAllowed { .. } => "region-not-allowed",
            Condition::OutOfHours { .. } => "out-of-hours",
            Condition::NoGrant { .. } => "no-grant",
            Condition::GrantEnded { .. } => "grant-ended",
            Condition::GrantOver { .. } => "grant-over",
            Condition::GrantNotBegun { .. } => "grant-not-begun",
            Condition::ScopeNotOffered { .. } => "scope-not-offered",
            Condition::ScopeTooWide { .. } => "scope-too-wide",
            Condition::Locked { .. } => "locked",
            Condition::TooManyConnections { .. } => "too-many-connections",
        }
    }
}

impl Condition {
    /// Whether it stands in the way of one session only, for where its client is or for how many there are; others under the
    /// same grant may go on.
    fn is_of_one_session(&self) -> bool {
        match self {
            Condition::AddressNotAllowed { .. } | Condition::TooManyConnections { .. } => true,
            Condition::Staff(condition) => condition.is_of_one_session(),
            Condition::RegisterStale { .. }
            | Condition::StaffUnknown
            | Condition::StaffInactive
            | Condition::CustomerUnknown { .. }
            | Condition::CustomerClosed { .. }
            | Condition::ConsentOff { .. }
            | Condition::ConsentOver { .. }
            | Condition::InstructionQuestioned { .. }
            | Condition::NotAsked { .. }
            | Condition::RegionNotAllowed { .. }
            | Condition::OutOfHours { .. }
            | Condition::NoGrant { .. }
            | Condition::GrantEnded { .. }
            | Condition::GrantOver { .. }
            | Condition::GrantNotBegun { .. }
            | Condition::ScopeNotOffered { .. }
            | Condition::ScopeTooWide { .. }
            | Condition::Locked { .. } => false,
        }
    }
}

/// Every condition that failed, and the way out of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Who asked.
    pub staff: StaffId,
    /// For whose data.
    pub customer: CustomerId,
    /// What stands in the way, never empty.
    pub conditions: Vec<Condition>,
    /// Where the owner's switch is; empty: not said.
    pub portal_url: String,
}

/// The names a text speaks of.
struct Names<'a> {
    staff: &'a str,
    customer: &'a str,
    member: Option<&'a Staff>,
}

impl Refusal {
    /// Reason codes joined with `,`, such as `consent-off,no-grant`.
    pub fn code(&self) -> String {
        self.conditions.iter().map(Condition::code).collect::<Vec<_>>().join(",")
    }

    /// Whether only this one session is not allowed; others under the same grant may be.
    pub fn is_of_one_session(&self) -> bool {
        self.conditions.iter().all(Condition::is_of_one_session)
    }

    /// Primary message: lower case, no full stop, for staff; names the first condition.
    pub fn message(&self, state: &State) -> String {
        let names = self.names(state);
        let customer = names.customer;
        let why = match self.conditions.first() {
            Some(Condition::RegisterStale { .. }) => "the register of decisions cannot be read",
            Some(Condition::StaffUnknown | Condition::StaffInactive) => "your account was removed",
            Some(Condition::Staff(condition)) => condition.why(),
            Some(Condition::CustomerUnknown { .. }) => "there is no such customer",
            Some(Condition::CustomerClosed { .. }) => "customer closed",
            Some(Condition::ConsentOff { .. }) => "its account owner has support access switched off",
            Some(Condition::ConsentOver { .. }) => "its account owner's consent is over",
            Some(Condition::InstructionQuestioned { .. }) => "its owner's instruction is in doubt",
            Some(Condition::NotAsked { .. }) => "its account owner wants to be asked first",
            Some(Condition::AddressNotAllowed { .. }) => "its account owner does not allow your address",
            Some(Condition::RegionNotAllowed { .. }) => "its account owner does not allow your region",
            Some(Condition::OutOfHours { .. }) => "it is outside the hours its account owner allows",
            Some(Condition::NoGrant { .. }) => "you have no grant",
            Some(Condition::GrantEnded { by: By::Owner(_), .. }) => "its account owner ended your grant",
            Some(Condition::GrantEnded { .. }) => "your grant was ended",
            Some(Condition::GrantOver { .. }) => "your grant is over",
            Some(Condition::GrantNotBegun { .. }) => "your grant has not begun",
            Some(Condition::ScopeNotOffered { .. }) => "the grant's scope is not offered yet",
            Some(Condition::ScopeTooWide { .. }) => "your grant is wider than its account owner allows",
            Some(Condition::Locked { .. }) => "access was withdrawn a moment ago",
            Some(Condition::TooManyConnections { .. }) => "too many of your sessions are open",
            None => "the request could not be decided",
        };
        format!("no access to customer \"{customer}\": {why}")
    }

    /// What is missing, one sentence for each condition.
    pub fn detail(&self, state: &State) -> String {
        let names = self.names(state);
        self.conditions.iter().map(|condition| detail(condition, state, &names)).collect::<Vec<_>>().join(" ")
    }

    /// The way out of each, one sentence for each, none said twice.
    pub fn hint(&self, state: &State) -> String {
        let names = self.names(state);
        let mut hints: Vec<String> = Vec::new();
        for condition in &self.conditions {
            let hint = self.hint_for(condition, state, &names);
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        hints.join(" ")
    }

    fn names<'a>(&self, state: &'a State) -> Names<'a> {
        Names {
            staff: state.staff(self.staff).map_or("?", |staff| &staff.name),
            member: state.staff(self.staff),
            customer: state.customer(self.customer).map_or("?", |customer| &customer.name),
        }
    }

    fn hint_for(&self, condition: &Condition, state: &State, names: &Names<'_>) -> String {
        let type_for = |scope| hint_to_type(names, self.must_ask(state), scope, !self.consent_is_on());
        match condition {
            Condition::RegisterStale { .. } => {
                "Ask an operator to run \"portreeve doctor\" on the gate's machine, then connect again.".to_owned()
            }
            Condition::StaffUnknown | Condition::StaffInactive => {
                "Ask an operator for an account; they type: portreeve staff create NAME --password-file FILE."
                    .to_owned()
            }
            Condition::Staff(condition) => condition.hint(names.staff, names.customer),
            Condition::CustomerUnknown { .. } => {
                "Check the database name you connect to; it is the customer's name.".to_owned()
            }
            Condition::CustomerClosed { .. } => {
                self.hint_to_owner(names, "reopen the account, if it was closed by mistake,")
            }
            Condition::ConsentOff { .. } | Condition::ConsentOver { .. } => {
                self.hint_to_owner(names, "switch support access on")
            }
            Condition::NoGrant { .. }
            | Condition::GrantEnded { .. }
            | Condition::GrantOver { .. }
            | Condition::NotAsked { .. }
            | Condition::ScopeNotOffered { .. } => type_for(Scope::Read),
            Condition::InstructionQuestioned { .. } => self.hint_to_owner(names, "answer the doubt"),
            Condition::AddressNotAllowed { .. } => {
                self.hint_to_owner(names, "allow your address, or connect from one that is allowed; the list is")
            }
            Condition::RegionNotAllowed { .. } => {
                self.hint_to_owner(names, "allow your region, or hand over to a colleague elsewhere; the list is")
            }
            Condition::OutOfHours { opens: Some(opens) } => format!("Connect again from {}.", minute(*opens)),
            Condition::OutOfHours { opens: None } => self.hint_to_owner(names, "set the hours anew"),
            Condition::GrantNotBegun { .. } => {
                "Ask an operator to check this machine's clock, then connect again.".to_owned()
            }
            Condition::ScopeTooWide { allowed, .. } => type_for(*allowed),
            Condition::Locked { .. } => self.hint_to_owner(names, "say whether access may be opened again"),
            Condition::TooManyConnections { .. } => {
                "Close a session you no longer need, then connect again.".to_owned()
            }
        }
    }

    /// Whether a grant is opened by an owner's answer to a request, and not by staff themselves.
    fn must_ask(&self, state: &State) -> bool {
        let mode = state.customer(self.customer).map(|customer| customer.consent.mode);
        let not_asked = |condition: &Condition| matches!(condition, Condition::NotAsked { .. });
        mode == Some(Mode::PerRequest) || self.conditions.iter().any(not_asked)
    }

    fn consent_is_on(&self) -> bool {
        let off = |condition: &Condition| match condition {
            Condition::ConsentOff { .. } | Condition::ConsentOver { .. } | Condition::CustomerClosed { .. } => true,
            Condition::RegisterStale { .. }
            | Condition::StaffUnknown
            | Condition::StaffInactive
            | Condition::Staff(_)
            | Condition::CustomerUnknown { .. }
            | Condition::InstructionQuestioned { .. }
            | Condition::NotAsked { .. }
            | Condition::AddressNotAllowed { .. }
            | Condition::RegionNotAllowed { .. }
            | Condition::OutOfHours { .. }
            | Condition::NoGrant { .. }
            | Condition::GrantEnded { .. }
            | Condition::GrantOver { .. }
            | Condition::GrantNotBegun { .. }
            | Condition::ScopeNotOffered { .. }
            | Condition::ScopeTooWide { .. }
            | Condition::Locked { .. }
            | Condition::TooManyConnections { .. } => false,
        };
        !self.conditions.iter().any(off)
    }

    fn hint_to_owner(&self, names: &Names<'_>, what: &str) -> String {
        let customer = names.customer;
        if self.portal_url.is_empty() {
            format!("Ask the account owner of \"{customer}\" to {what} in the portal.")
        } else {
            format!("Ask the account owner of \"{customer}\" to {what} in the portal ({}).", self.portal_url)
        }
    }
}

/// The line at the gate's desk that opens a grant, or asks for one; `afterwards`: once something else is mended.
fn hint_to_type(names: &Names<'_>, must_ask: bool, scope: Scope, afterwards: bool) -> String {
    let Names { customer, .. } = names;
    let lead = if afterwards { "Then connect" } else { "Connect" };
    let verb = if must_ask { "REQUEST" } else { "OPEN" };
    let necessity = if must_ask && scope != Scope::Metadata { " NECESSITY '…'" } else { "" };
    format!(
        "{lead} with dbname=portreeve and type: {verb} {customer} SCOPE {scope} FOR '1 hour' REASON '…'{necessity} \
         TICKET '…';"
    )
}

fn detail(condition: &Condition, state: &State, names: &Names<'_>) -> String {
    let Names { staff, customer, member } = names;
    match condition {
        Condition::RegisterStale { read } => format!("The register was last read at {}.", minute(*read)),
        Condition::StaffUnknown => "There is no such staff member.".to_owned(),
        Condition::StaffInactive => format!("The staff account \"{staff}\" was removed."),
        Condition::Staff(own) => own.detail(state, *member, customer),
        Condition::CustomerUnknown { customer } => format!("There is no customer {customer}."),
        Condition::CustomerClosed { at, .. } => {
            format!("The account of \"{customer}\" was closed at {}.", minute(*at))
        }
        Condition::ConsentOff { customer: id } => match state.customer(*id).map(|customer| &customer.consent) {
            Some(consent) if matches!(consent.set_by, By::Owner(_)) => {
                let at = minute(consent.set_at);
                format!("The account owner of \"{customer}\" switched support access off at {at}.")
            }
            Some(_) | None => format!("Support access to \"{customer}\" is switched off."),
        },
        Condition::ConsentOver { at, .. } => {
            format!("The account owner of \"{customer}\" allowed support access until {}.", minute(*at))
        }
        Condition::InstructionQuestioned { at, .. } => {
            format!("Staff doubted the instructions for \"{customer}\" at {}; no owner has answered.", minute(*at))
        }
        Condition::NotAsked { grant } => {
            format!("\"{staff}\" opened grant {grant} without asking the account owner of \"{customer}\".")
        }
        Condition::AddressNotAllowed { address } => {
            format!("The account owner of \"{customer}\" does not allow access from {address}.")
        }
        Condition::RegionNotAllowed { region: Some(region) } => {
            format!("The account owner of \"{customer}\" does not allow staff who work in {region}.")
        }
        Condition::RegionNotAllowed { region: None } => format!(
            "The account owner of \"{customer}\" allows some regions only, and where \"{staff}\" works is not known."
        ),
        Condition::OutOfHours { .. } => match hours_of(state, customer) {
            Some(hours) => format!("The account owner of \"{customer}\" allows {hours}."),
            None => format!("The hours that the account owner of \"{customer}\" allowed are not known any more."),
        },
        Condition::NoGrant { .. } => format!("\"{staff}\" has no grant for \"{customer}\"."),
        Condition::GrantEnded { grant, at, by } => {
            format!("The {} ended grant {grant} at {}.", who(*by), minute(*at))
        }
        Condition::GrantOver { grant, at } => format!("Grant {grant} ended at {}.", minute(*at)),
        Condition::GrantNotBegun { grant, from } => format!("Grant {grant} begins at {}.", minute(*from)),
        Condition::ScopeNotOffered { scope } => format!("The grant's scope is {scope}."),
        Condition::ScopeTooWide { scope, allowed } => {
            format!("The grant's scope is {scope}; the account owner of \"{customer}\" allows {allowed}.")
        }
        Condition::Locked { .. } => format!("Access to \"{customer}\" was withdrawn; the register will say by whom."),
        Condition::TooManyConnections { open, most } => {
            format!("\"{staff}\" has {open} other sessions open for \"{customer}\"; at most {most} may be.")
        }
    }
}

fn hours_of(state: &State, customer: &str) -> Option<Hours> {
    state.customer_named(customer).and_then(|customer| customer.consent.terms.hours.known().copied())
}

fn who(by: By) -> &'static str {
    match by {
        By::Owner(_) => "account owner",
        By::Staff(_) => "staff member",
        By::VendorApp => "vendor's application",
        By::Operator => "vendor's operator",
        By::System => "system",
    }
}

/// A moment as people read it: `2026-11-21 14:02 UTC`.
pub(super) fn minute(at: Timestamp) -> String {
    let full = at.to_string();
    full.get(..16).map_or(full.clone(), |minute| format!("{} UTC", minute.replace('T', " ")))
}

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
