//! How staff prove who they are where a stored password is not enough: an identity provider, or a second factor, the
//! portal's short-lived password, and the gate that takes it; all of them real, driven as a browser and psql would.
//! Not here: what an ID token must say (`src/portal/staff`), and what the register makes of it (`src/grant`).

mod browser;
mod ground;
mod made_up;
mod over;
mod provider;
mod second_factor;
