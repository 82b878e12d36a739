//! Staff who come back from the identity provider: whom it means, and whether that is who it meant before.
//! Not here: asking it (`provider`), whether its token holds (`id_token`), and the password they get (`staff`).

use std::net::IpAddr;

use axum::http::{HeaderMap, header};

use super::flow::FLOW_WITHIN;
use super::id_token::Identity;
use super::provider::{self, Trouble};
use super::{Back, Handed, Shown, denied, way_there};
use crate::grant::{ShownBy, Staff, State};
use crate::portal::Portal;
use crate::portal::error::Error;

impl Portal {
    pub(super) async fn by_provider(&self, headers: &HeaderMap, back: Back, address: IpAddr) -> Result<Handed, Error> {
        let (handing, provider) = self.provider()?;
        self.admit(address, &address.to_string())?;
        let now = self.now();
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let Some(flow) = handing.flows.resume(cookies, &back.state, now) else {
            let minutes = FLOW_WITHIN.as_secs() / 60;
            let message = format!("this sign-in was not begun in this browser within the last {minutes} minutes");
            return Err(self.refuse("foreign-flow", message, None, address).await);
        };
        if let Some(word) = back.error {
            let trouble = Trouble::Refuses(provider::plain(&word));
            return Err(self.refuse("provider-refused", trouble.to_string(), None, address).await);
        }
        let identity = match provider.identity(&flow, (&back.code, back.iss.as_deref()), now).await {
            Ok(identity) => identity,
            Err(trouble @ Trouble::Away(_)) => return Err(denied(trouble)),
            Err(trouble @ Trouble::Refuses(_)) => {
                return Err(self.refuse("provider-refused", trouble.to_string(), None, address).await);
            }
            Err(trouble @ Trouble::Rejected(_)) => {
                return Err(self.refuse("id-token", trouble.to_string(), None, address).await);
            }
        };
        for name in [address.to_string(), way_there(address)] {
            self.succeeded(address, &name, now);
        }
        let state = self.newest_state().await;
        let shown = ShownBy::Subject(identity.digest);
        let how = format!("identity provider: {} by {}", identity.subject, identity.methods.join(", "));
        let staff = self.known_by(&state, &identity, address).await?;
        self.hand_out(&state, Shown { staff, by: shown, how }, address).await
    }

    /// The staff member whom the provider means. It says so by a name, which it may change or give to somebody else: from
    /// their first sign-in on, only the same subject is them.
    async fn known_by(&self, state: &State, identity: &Identity, address: IpAddr) -> Result<Staff, Error> {
        let Identity { name, digest, .. } = identity;
        let found = state.staff_named(name);
        let Some(staff) = found.filter(|staff| staff.active) else {
            let message = format!("no member of staff here is called \"{name}\"");
            return Err(self.refuse("staff-unknown", message, Some((name, found)), address).await);
        };
        let (code, message) = if !staff.works() {
            ("staff-suspended", format!("the staff account \"{name}\" is suspended"))
        } else if staff.standing.subject.is_some_and(|subject| subject != *digest) {
            ("subject-changed", format!("the identity provider knew \"{name}\" as somebody else before"))
        } else if state.staff_of_subject(*digest).is_some_and(|other| other.id != staff.id) {
            (
                "subject-elsewhere",
                format!("the identity provider knows whoever calls themselves \"{name}\" by another name"),
            )
        } else {
            return Ok(staff.clone());
        };
        Err(self.refuse(code, message, Some((name, Some(staff))), address).await)
    }
}
