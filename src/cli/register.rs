//! `portreeve register prepare`: the register's tables and its role in a database of PostgreSQL, as a superuser.
//! Not here: what is made (`register/postgres/prepare.sql`), and whether it can be used (`portreeve doctor`).

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::{Context, Exit, Failure, Table};
use crate::{config, register};

/// What can be done with the register itself.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the register's tables and its role in the database that [register] names, as a superuser; again at any time
    Prepare {
        /// File with a connection string of a superuser of that server: host=… port=… user=… [password=…]
        #[arg(long, value_name = "FILE", visible_alias = "superuser-dsn-file")]
        dsn_file: PathBuf,
    },
}

/// Does what `command` says.
///
/// # Errors
/// If the configuration names no server, or the server refuses it.
pub async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    let Command::Prepare { dsn_file } = command;
    let Some(server) = &context.config.register.server else {
        return Err(Failure::usage(
            "the register is a file, which is made when it is first opened; set engine = \"postgresql\" in [register] to \
             keep it on a server",
        ));
    };
    let dsn = config::read_secret_line(&dsn_file)?;
    register::prepare(&dsn, server).await?;
    let mut table = Table::new(&["what", "says"]);
    table.row([json!("register"), json!(register::At::from(&context.config.register).place().to_string())]);
    table.row([json!("role"), json!(format!("{} is there; give it a password or a certificate", server.role))]);
    context.show(&table)?;
    Ok(Exit::Done)
}
