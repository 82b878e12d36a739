//! The part of an event's content that says what concerns the vendor's own people: teams, standing, break-glass.
//! Not here: the map itself and its numbers (`content`).

use std::time::Duration;

use super::Content;
use crate::clock::Timestamp;
use crate::grant::glass::GlassStep;
use crate::grant::scope::{Purpose, Scope};
use crate::grant::staff::{Attestation, StaffStep};
use crate::grant::team::{TeamRole, TeamStep};
use crate::ids::{CustomerId, GlassId, StaffId, TeamId};

impl Content {
    pub(super) fn fill_team(&mut self, step: TeamStep) {
        self.staff = step.staff().map(|staff| staff.0);
        self.customer = step.customer().map(|customer| customer.0);
        let (what, team) = match step {
            TeamStep::Created => (46, None),
            TeamStep::Dissolved { team } => (47, Some(team)),
            TeamStep::MemberAdded { team, role, .. } => {
                self.role = Some(role.number());
                (48, Some(team))
            }
            TeamStep::MemberRemoved { team, .. } => (49, Some(team)),
            TeamStep::Assigned { team, .. } => (50, Some(team)),
            TeamStep::Unassigned { team, .. } => (51, Some(team)),
        };
        (self.what, self.team) = (what, team.map(|team| team.0));
    }

    pub(super) fn fill_staff(&mut self, step: StaffStep) {
        match step {
            StaffStep::Suspended => self.what = 52,
            StaffStep::Resumed => self.what = 53,
            StaffStep::Attested { kind, version, until } => {
                (self.what, self.attestation, self.version) = (54, Some(kind.number()), Some(version));
                self.until = Some(until.0);
            }
            StaffStep::Limited => self.what = 55,
            StaffStep::Excepted { until } => (self.what, self.until) = (56, Some(until.0)),
            StaffStep::TokenIssued { until, code } => {
                (self.what, self.until, self.count) = (66, Some(until.0), code);
            }
            StaffStep::SecondFactorSet => self.what = 67,
            StaffStep::SecondFactorRemoved => self.what = 68,
            StaffStep::SubjectForgotten => self.what = 69,
        }
    }

    pub(super) fn fill_glass(&mut self, step: GlassStep) {
        match step {
            GlassStep::Asked { staff, customer, scope, lasting, purpose } => {
                (self.what, self.staff, self.customer) = (57, Some(staff.0), Some(customer.0));
                (self.scope, self.purpose) = (Some(scope.number()), Some(purpose.number()));
                self.lasting = Some(lasting.as_secs());
            }
            GlassStep::Confirmed { glass } => (self.what, self.glass) = (58, Some(glass.0)),
        }
    }

    pub(super) fn team_step(&self) -> Option<TeamStep> {
        let (team, customer) = (self.team.map(TeamId), self.customer.map(CustomerId));
        let staff = self.staff.map(StaffId);
        Some(match self.what {
            46 => TeamStep::Created,
            47 => TeamStep::Dissolved { team: team? },
            48 => TeamStep::MemberAdded { team: team?, staff: staff?, role: TeamRole::from_number(self.role?)? },
            49 => TeamStep::MemberRemoved { team: team?, staff: staff? },
            50 => TeamStep::Assigned { team: team?, customer: customer? },
            51 => TeamStep::Unassigned { team: team?, customer: customer? },
            _ => return None,
        })
    }

    pub(super) fn staff_step(&self) -> Option<StaffStep> {
        let until = self.until.map(Timestamp);
        Some(match self.what {
            52 => StaffStep::Suspended,
            53 => StaffStep::Resumed,
            54 => StaffStep::Attested {
                kind: Attestation::from_number(self.attestation?)?,
                version: self.version?,
                until: until?,
            },
            55 => StaffStep::Limited,
            56 => StaffStep::Excepted { until: until? },
            66 => StaffStep::TokenIssued { until: until?, code: self.count },
            67 => StaffStep::SecondFactorSet,
            68 => StaffStep::SecondFactorRemoved,
            69 => StaffStep::SubjectForgotten,
            _ => return None,
        })
    }

    pub(super) fn glass_step(&self) -> Option<GlassStep> {
        Some(match self.what {
            57 => GlassStep::Asked {
                staff: StaffId(self.staff?),
                customer: CustomerId(self.customer?),
                scope: Scope::from_number(self.scope?)?,
                lasting: Duration::from_secs(self.lasting?),
                purpose: Purpose::from_number(self.purpose?)?,
            },
            58 => GlassStep::Confirmed { glass: GlassId(self.glass?) },
            _ => return None,
        })
    }
}
