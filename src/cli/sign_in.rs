//! A staff member at the command line: who shows their password may ask, answer, and give back what is theirs.
//! Not here: what they then do.

use std::path::Path;

use super::context::{Desk, customer, password};
use super::grant::{refuse, signed_in};
use super::{Context, Failure};
use crate::ids::{CustomerId, StaffId};

/// A staff member who has shown their password, ready to change something about one customer.
pub(super) struct Signed {
    pub(super) desk: Desk,
    pub(super) staff: StaffId,
    pub(super) customer: CustomerId,
}

impl Context {
    /// Asks for the password of the staff member of that name; a wrong one is recorded, with the verb that was wanted.
    ///
    /// # Errors
    /// If it is wrong, there is no such customer, or what an act needs cannot be opened.
    pub(super) async fn sign_in(
        &self,
        name: &str,
        of: &str,
        password_file: Option<&Path>,
        verb: &'static str,
    ) -> Result<Signed, Failure> {
        let register = self.register()?;
        let state = register.state()?;
        let customer = customer(&state, of)?.id;
        let password = password(password_file, name)?;
        let desk = self.desk(register, &[customer]).await?;
        match signed_in(self.config.staff.sign_in, &state, name, &password) {
            Some(staff) => Ok(Signed { desk, staff, customer }),
            None => Err(refuse(self, desk, name, verb).await?),
        }
    }
}
