//! A refusal in words: what is missing, and the way out of each, for the person at the SQL client.
//! Not here: the decision itself. PostgreSQL's style: message lower case without full stop, detail and hint sentences.

use super::consent::By;
use super::scope::Scope;
use super::state::State;
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
    /// There is no such customer.
    CustomerUnknown { customer: CustomerId },
    /// The account is closed.
    CustomerClosed { customer: CustomerId, at: Timestamp },
    /// The owner's switch is off.
    ConsentOff { customer: CustomerId },
    /// The owner's switch turned itself off at its deadline.
    ConsentOver { customer: CustomerId, at: Timestamp },
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
            Condition::CustomerUnknown { .. } => "customer-unknown",
            Condition::CustomerClosed { .. } => "customer-closed",
            Condition::ConsentOff { .. } => "consent-off",
            Condition::ConsentOver { .. } => "consent-over",
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
}

impl Refusal {
    /// Reason codes joined with `,`, such as `consent-off,no-grant`.
    pub fn code(&self) -> String {
        self.conditions.iter().map(Condition::code).collect::<Vec<_>>().join(",")
    }

    /// Primary message: lower case, no full stop, for staff; names the first condition.
    pub fn message(&self, state: &State) -> String {
        let names = self.names(state);
        let customer = names.customer;
        let why = match self.conditions.first() {
            Some(Condition::RegisterStale { .. }) => "the register of decisions cannot be read",
            Some(Condition::StaffUnknown | Condition::StaffInactive) => "your account was removed",
            Some(Condition::CustomerUnknown { .. }) => "there is no such customer",
            Some(Condition::CustomerClosed { .. }) => "customer closed",
            Some(Condition::ConsentOff { .. }) => "its account owner has support access switched off",
            Some(Condition::ConsentOver { .. }) => "its account owner's consent is over",
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
            let hint = self.hint_for(condition, &names);
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        hints.join(" ")
    }

    fn names<'a>(&self, state: &'a State) -> Names<'a> {
        Names {
            staff: state.staff(self.staff).map_or("?", |staff| &staff.name),
            customer: state.customer(self.customer).map_or("?", |customer| &customer.name),
        }
    }

    fn hint_for(&self, condition: &Condition, names: &Names<'_>) -> String {
        match condition {
            Condition::RegisterStale { .. } => {
                "Ask an operator to run \"portreeve doctor\" on the gate's machine, then connect again.".to_owned()
            }
            Condition::StaffUnknown | Condition::StaffInactive => {
                "Ask an operator for an account; they type: portreeve staff create NAME --password-file FILE."
                    .to_owned()
            }
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
            | Condition::ScopeNotOffered { .. } => hint_to_type(names, Scope::Read, !self.consent_is_on()),
            Condition::GrantNotBegun { .. } => {
                "Ask an operator to check this machine's clock, then connect again.".to_owned()
            }
            Condition::ScopeTooWide { allowed, .. } => hint_to_type(names, *allowed, !self.consent_is_on()),
            Condition::Locked { .. } => self.hint_to_owner(names, "say whether access may be opened again"),
            Condition::TooManyConnections { .. } => {
                "Close a session you no longer need, then connect again.".to_owned()
            }
        }
    }

    fn consent_is_on(&self) -> bool {
        let off = |condition: &Condition| match condition {
            Condition::ConsentOff { .. } | Condition::ConsentOver { .. } | Condition::CustomerClosed { .. } => true,
            Condition::RegisterStale { .. }
            | Condition::StaffUnknown
            | Condition::StaffInactive
            | Condition::CustomerUnknown { .. }
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

/// The command that opens a grant; `afterwards`: once something else is mended.
fn hint_to_type(names: &Names<'_>, scope: Scope, afterwards: bool) -> String {
    let Names { staff, customer } = names;
    let lead = if afterwards { "Then type" } else { "Type" };
    format!(
        "{lead}: portreeve grant create --staff {staff} --customer {customer} --scope {scope} --for 1h \
         --purpose fault --reason '…' --ticket '…'"
    )
}

fn detail(condition: &Condition, state: &State, names: &Names<'_>) -> String {
    let Names { staff, customer } = names;
    match condition {
        Condition::RegisterStale { read } => format!("The register was last read at {}.", minute(*read)),
        Condition::StaffUnknown => "There is no such staff member.".to_owned(),
        Condition::StaffInactive => format!("The staff account \"{staff}\" was removed."),
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
fn minute(at: Timestamp) -> String {
    let full = at.to_string();
    full.get(..16).map_or(full.clone(), |minute| format!("{} UTC", minute.replace('T', " ")))
}

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
