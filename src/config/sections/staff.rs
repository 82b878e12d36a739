//! `[staff]` and `[staff.oidc]`, checked.

use std::path::PathBuf;
use std::time::Duration;

use crate::grant::SignIn;

/// `[staff]`: what is asked of the vendor's own people.
#[derive(Clone, Debug)]
pub struct Staff {
    /// The version of the confidentiality agreement in force; none: nobody has to attest it.
    pub confidentiality_version: Option<u32>,
    /// The version of the training in force; none: nobody has to attest it.
    pub training_version: Option<u32>,
    /// The staff list of record (CSV), which somebody else keeps.
    pub list: Option<PathBuf>,
    /// Whether "staff compare" suspends whoever is here and not on that list.
    pub suspend_missing: bool,
    /// What they sign in with, at the gate and at the command line.
    pub sign_in: SignIn,
    /// How long one signs in with a short-lived password from the portal.
    pub token_lives: Duration,
    /// How long a session lasts at most after the short-lived password it was opened with was handed out.
    pub credential_lives: Duration,
    /// The identity provider that says who somebody is; none: the portal asks for the password and a second factor.
    pub oidc: Option<Oidc>,
}

/// `[staff.oidc]`: the vendor's identity provider, to which the portal sends staff (OpenID Connect).
#[derive(Clone, Debug)]
pub struct Oidc {
    /// Its issuer, exactly as its tokens name it.
    pub issuer: String,
    /// As what the portal is registered there.
    pub client_id: String,
    /// The secret that goes with it (one line, secret); none: a public client, which PKCE alone protects.
    pub client_secret_file: Option<PathBuf>,
    /// The authorities that sign its certificate (PEM).
    pub ca: PathBuf,
    /// What is asked for; `openid` among it.
    pub scopes: String,
    /// The claim that names the staff member. `email` counts only where the provider says that it is verified.
    pub claim: String,
    /// What the claim ends with after the staff member's name, such as `@vendor.example`.
    pub claim_suffix: String,
    /// One of these authentication methods must have been used; empty: none is asked for.
    pub amr: Vec<String>,
    /// One of these authentication contexts must have been reached; empty: none is asked for.
    pub acr: Vec<String>,
    /// How long ago they may have signed in there; none: it does not matter.
    pub signed_in_within: Option<Duration>,
    /// Whether the portal hands out short-lived passwords for the stored one and a second factor as well.
    pub password_too: bool,
}
