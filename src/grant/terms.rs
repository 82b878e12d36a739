//! What an owner agrees to besides the switch: how long, at what hours, from where, by whose approval.
//! Not here: the switch itself (`consent`) and what follows for somebody who asks (`decide`).
//! Numbers stand in the event; hours, addresses and regions in its side row. What was erased fits nothing.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use super::consent::Mode;
use super::hours::{Hours, HoursFault};
use super::network::{Network, NetworkFault};
use super::personal::Personal;
use crate::clock::Timestamp;

/// How long a grant lasts at most where the owner says nothing.
pub const LONGEST_USUAL: Duration = Duration::from_secs(8 * 3600);
/// How long a grant lasts at most whatever the owner says.
pub const LONGEST_MAX: Duration = Duration::from_secs(7 * 86_400);
/// The shortest longest grant that makes sense.
const LONGEST_MIN: Duration = Duration::from_secs(60);
/// The most addresses or regions in a list.
const LISTED_MAX: usize = 256;

/// The numbers of the terms, as they stand in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long a grant lasts at most, in whole seconds.
    pub longest: Duration,
    /// How many owners must approve a request.
    pub approvals: u8,
    /// Whether two of the staff may open access in an emergency, while the switch is not off.
    pub break_glass: bool,
    /// Whether there are hours in the side row.
    pub has_hours: bool,
    /// Whether there are addresses in the side row.
    pub has_networks: bool,
    /// Whether there are regions in the side row.
    pub has_regions: bool,
}

/// Something the terms may be limited to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Limit<T> {
    /// Not limited.
    #[default]
    Free,
    /// Limited to that.
    To(T),
    /// Limited to what was erased: nothing fits.
    Erased,
}

impl<T> Limit<T> {
    fn is_limited(&self) -> bool {
        match self {
            Limit::Free => false,
            Limit::To(_) | Limit::Erased => true,
        }
    }

    /// What it is limited to, as far as that is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Limit::Free | Limit::Erased => None,
            Limit::To(limit) => Some(limit),
        }
    }
}

/// Where a member of staff works: an ISO 3166 country, two letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region([u8; 2]);

/// All terms of one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a grant lasts at most, in whole seconds.
    pub longest: Duration,
    /// How many owners must approve a request.
    pub approvals: u8,
    /// Whether two of the staff may open access in an emergency, while the switch is not off.
    pub break_glass: bool,
    /// When anybody may be in.
    pub hours: Limit<Hours>,
    /// From where.
    pub networks: Limit<Vec<Network>>,
    /// Where whoever comes in must work.
    pub regions: Limit<Vec<Region>>,
}

/// Terms that cannot be, or contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's line says what its fields are")]
pub enum TermsFault {
    /// No grant could be so short.
    #[error("the longest grant is {} s: give at least 1m, or switch off to let nobody in", .0.as_secs())]
    TooShort(Duration),
    /// Longer than anything may last.
    #[error("the longest grant is {} h: at most 7d are possible, and there is no \"indefinitely\"", .0.as_secs() / 3600)]
    TooLong(Duration),
    /// Nobody would have to approve.
    #[error("0 approvals are none: give 1 or more, or mode standing to be only told")]
    NoApproval,
    /// More owners than there are.
    #[error("{needed} owners should approve, but the account has {owners}: add owners first, or ask for {owners}")]
    TooFewOwners { needed: u8, owners: usize },
    /// Staff would let themselves in where several owners want to approve.
    #[error(
        "mode standing lets staff in without asking, so {0} approvals would never be asked for: choose per-request"
    )]
    ApprovalsOfStanding(u8),
    /// The switch turns itself off before the hours begin.
    #[error(
        "the hours {hours} next begin at {opens}, not before access ends at {until}: choose a later end, or other hours"
    )]
    NeverOpen { hours: Hours, opens: String, until: Timestamp },
    /// A list with nothing in it.
    #[error("the list of {0} is empty, so nobody could come in: leave it out to allow all, or switch off")]
    EmptyList(&'static str),
    /// A list that is too long.
    #[error("the list of {0} has more than {LISTED_MAX} entries: write wider ranges")]
    LongList(&'static str),
    /// Hours that are none.
    #[error(transparent)]
    Hours(#[from] HoursFault),
    /// An address range that is none.
    #[error(transparent)]
    Network(#[from] NetworkFault),
    /// A region that is none.
    #[error("\"{0}\" is no region: write the two letters of a country (ISO 3166), such as DE")]
    Region(String),
}

impl Default for Terms {
    fn default() -> Terms {
        Terms {
            longest: LONGEST_USUAL,
            approvals: 1,
            break_glass: false,
            hours: Limit::Free,
            networks: Limit::Free,
            regions: Limit::Free,
        }
    }
}

impl Terms {
    /// The numbers, for the event.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            longest: self.longest,
            approvals: self.approvals,
            break_glass: self.break_glass,
            has_hours: self.hours.is_limited(),
            has_networks: self.networks.is_limited(),
            has_regions: self.regions.is_limited(),
        }
    }

    /// The rest, for the side row.
    pub fn side(&self) -> Personal {
        Personal {
            hours: self.hours.known().map(Hours::to_string),
            networks: self.networks.known().map(|all| all.iter().map(Network::to_string).collect()),
            regions: self.regions.known().map(|all| all.iter().map(Region::to_string).collect()),
            ..Personal::default()
        }
    }

    /// Whether they have a side row.
    pub fn has_side(&self) -> bool {
        self.hours.is_limited() || self.networks.is_limited() || self.regions.is_limited()
    }

    /// Both together again. A limit whose side row is gone is [`Limit::Erased`].
    ///
    /// # Errors
    /// If a text of the side row is not what it should be.
    pub fn from_parts(bounds: Bounds, side: &Personal) -> Result<Terms, TermsFault> {
        let hours = side.hours.as_deref().map(str::parse).transpose()?;
        Ok(Terms {
            longest: bounds.longest,
            approvals: bounds.approvals,
            break_glass: bounds.break_glass,
            hours: limit(bounds.has_hours, hours),
            networks: limit(bounds.has_networks, list(side.networks.as_deref(), "addresses")?),
            regions: limit(bounds.has_regions, list(side.regions.as_deref(), "regions")?),
        })
    }

    /// Terms whose side row does not read: their numbers stand, and what they were limited to fits nothing.
    pub(super) fn erased(bounds: Bounds) -> Terms {
        Terms {
            longest: bounds.longest,
            approvals: bounds.approvals,
            break_glass: bounds.break_glass,
            hours: limit(bounds.has_hours, None),
            networks: limit(bounds.has_networks, None),
            regions: limit(bounds.has_regions, None),
        }
    }

    /// Whether these terms can be kept together with a switch that stands like that, by an account of so many owners.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn check(&self, mode: Mode, until: Option<Timestamp>, owners: usize, now: Timestamp) -> Result<(), TermsFault> {
        if self.longest < LONGEST_MIN {
            return Err(TermsFault::TooShort(self.longest));
        }
        if self.longest > LONGEST_MAX {
            return Err(TermsFault::TooLong(self.longest));
        }
        match (self.approvals, mode) {
            (0, _) => return Err(TermsFault::NoApproval),
            (2.., Mode::Standing) => return Err(TermsFault::ApprovalsOfStanding(self.approvals)),
            (needed, _) if usize::from(needed) > owners.max(1) => {
                return Err(TermsFault::TooFewOwners { needed, owners });
            }
            (_, Mode::Off | Mode::PerRequest | Mode::Standing) => {}
        }
        let (Some(hours), Some(until)) = (self.hours.known(), until) else { return Ok(()) };
        match hours.opens(now) {
            Some(opens) if opens < until => Ok(()),
            opens => {
                let opens = opens.map_or("no time to come".to_owned(), |opens| opens.to_string());
                Err(TermsFault::NeverOpen { hours: *hours, opens, until })
            }
        }
    }

    /// Whether somebody may come in from that address.
    pub fn admits(&self, address: IpAddr) -> bool {
        match &self.networks {
            Limit::Free => true,
            Limit::To(networks) => networks.iter().any(|network| network.contains(address)),
            Limit::Erased => false,
        }
    }

    /// Whether somebody who works there may come in; none: where they work is not known.
    pub fn admits_from(&self, region: Option<Region>) -> bool {
        match &self.regions {
            Limit::Free => true,
            Limit::To(regions) => region.is_some_and(|region| regions.contains(&region)),
            Limit::Erased => false,
        }
    }

    /// When the present hours end, [`Timestamp::NEVER`] if they are not limited; none: nobody may be in now.
    pub fn hours_end(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.hours {
            Limit::Free => Some(Timestamp::NEVER),
            Limit::To(hours) => hours.end(now),
            Limit::Erased => None,
        }
    }
}

fn limit<T>(is_limited: bool, known: Option<T>) -> Limit<T> {
    match (is_limited, known) {
        (false, _) => Limit::Free,
        (true, Some(known)) => Limit::To(known),
        (true, None) => Limit::Erased,
    }
}

/// A list of the side row; none: it was erased with it, or there is none.
fn list<T>(texts: Option<&[String]>, what: &'static str) -> Result<Option<Vec<T>>, TermsFault>
where
    T: FromStr,
    TermsFault: From<T::Err>,
{
    let Some(texts) = texts else { return Ok(None) };
    match texts.len() {
        0 => Err(TermsFault::EmptyList(what)),
        1..=LISTED_MAX => Ok(Some(texts.iter().map(|text| text.parse()).collect::<Result<_, _>>()?)),
        _ => Err(TermsFault::LongList(what)),
    }
}

/// Two letters, shown as capitals.
impl FromStr for Region {
    type Err = TermsFault;

    fn from_str(text: &str) -> Result<Region, TermsFault> {
        let upper = text.to_ascii_uppercase();
        let letters = <[u8; 2]>::try_from(upper.as_bytes()).ok();
        let letters = letters.filter(|letters| letters.iter().all(u8::is_ascii_uppercase));
        letters.map(Region).ok_or_else(|| TermsFault::Region(text.to_owned()))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Region([first, second]) = *self;
        write!(f, "{}{}", char::from(first), char::from(second))
    }
}

#[cfg(test)]
#[path = "terms_tests.rs"]
mod tests;
