//! `portreeve witness`: what a customer or an auditor types to run one; it needs no configuration file.
//! Not here: the witness itself (`witness/`), which `main.rs` starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// A witness of the vendor's logs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a witness's folder and its key, and print the verifier key that the vendor puts into its configuration.
    Init {
        /// The folder to make.
        #[arg(long, value_name = "PATH")]
        state: PathBuf,
        /// The witness's name, such as witness.example.com/portreeve.
        #[arg(long, value_name = "NAME")]
        name: String,
    },
    /// Run it until it is told to stop. It watches the logs whose verifier keys are in the folder `logs` (read again on SIGHUP).
    Run(Running),
}

/// How it runs.
#[derive(Debug, Args)]
pub struct Running {
    /// Its folder, which "witness init" made.
    #[arg(long, value_name = "PATH")]
    pub state: PathBuf,
    /// Address and port, HTTPS only.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8444")]
    pub listen: SocketAddr,
    /// Its certificate chain (PEM).
    #[arg(long, value_name = "PATH")]
    pub certificate: PathBuf,
    /// That certificate's private key (PEM).
    #[arg(long, value_name = "PATH")]
    pub key: PathBuf,
}
