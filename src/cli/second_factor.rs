//! `portreeve staff second-factor`: the secret that a staff member's authenticator shares with the portal.
//! Not here: checking its codes (`grant/token.rs`). The secret goes into a file of its own and into the register, nowhere
//! else; the file is for the staff member and goes once their authenticator has it. Google's Key URI Format.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::context::staff;
use super::staff::operate;
use super::{Context, Exit, Failure};
use crate::entropy::{OsEntropy, random};
use crate::grant::{Personal, SECRET_BYTES, StaffStep, base32};
use crate::secret::Secret;

/// Whose second factor, and what becomes of it.
#[derive(Debug, Args)]
pub struct SecondFactor {
    /// Their name or id.
    staff: String,
    /// A file that does not exist yet, for the address that their authenticator takes (otpauth://…), as a QR code if you like;
    /// it is kept nowhere else. What they had before counts no more.
    #[arg(long, value_name = "PATH", required_unless_present = "remove")]
    file: Option<PathBuf>,
    /// Take it from them instead.
    #[arg(long, conflicts_with = "file")]
    remove: bool,
}

/// Does what `wanted` says.
///
/// # Errors
/// If the file exists already, or the register refuses it, or cannot be used.
pub(super) async fn run(wanted: SecondFactor, context: &Context) -> Result<Exit, Failure> {
    let SecondFactor { staff: name, file, .. } = wanted;
    let Some(file) = file else {
        return operate(context, &name, StaffStep::SecondFactorRemoved, |_| None).await;
    };
    let secret = Secret::new(random::<SECRET_BYTES>(&OsEntropy));
    let whose = staff(context.state()?.as_ref(), &name)?.name.clone();
    write(&file, &whose, &secret)?;
    let personal = || Personal { second_factor: Some(secret.expose().to_vec().into()), ..Personal::default() };
    let given = operate(context, &name, StaffStep::SecondFactorSet, |_| Some(personal())).await;
    if given.is_err() {
        // It belongs to nobody.
        fs::remove_file(&file)?;
    }
    given
}

fn write(path: &Path, whose: &str, secret: &Secret<[u8; SECRET_BYTES]>) -> Result<(), Failure> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|fault| {
        let path = path.display();
        Failure::failed(format!("cannot write the secret to {path}: {fault}; name a file that does not exist"))
    })?;
    let secret = Secret::new(base32(secret.expose()));
    writeln!(file, "otpauth://totp/Portreeve:{whose}?secret={}&issuer=Portreeve", secret.expose())?;
    Ok(file.sync_all()?)
}
