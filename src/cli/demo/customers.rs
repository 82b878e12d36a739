//! The customers of the stage: two with a database each, two whose rows lie in the same tables of a third.
//! Not here: what runs (`stage.rs`), and their owners' switches, which are off.

use super::cluster::APPLICATION;
use super::stage::{Error, Stage, owner, password};

/// The customers with a database of the same name each.
pub const CUSTOMERS: [&str; 2] = ["acme", "globex"];
/// The customers that share the tables of [`SHARED_DATABASE`], each with its tenant key.
pub const TENANTS: [(&str, &str); 2] = [("initech", "7"), ("umbrella", "8")];
/// The database of [`TENANTS`].
pub const SHARED_DATABASE: &str = "shared";

const SHARED_DATA: &str = include_str!("shared_data.sql");
/// The databases every grant must be kept out of.
const CLOSED: [&str; 4] = ["--close", "postgres", "--close", "template1"];

impl Stage {
    /// Creates, fences and registers them all.
    pub(super) async fn add_customers(&self) -> Result<(), Error> {
        for customer in CUSTOMERS {
            self.cluster.create_database(customer).await?;
            if self.has_rows() {
                self.cluster.seed(customer).await?;
            }
            self.fence(customer, &[])?;
            self.register(customer, &["--database", customer])?;
        }
        self.cluster.create_database(SHARED_DATABASE).await?;
        self.cluster.run_sql(SHARED_DATABASE, SHARED_DATA).await?;
        self.fence(
            SHARED_DATABASE,
            &["--layout", "shared", "--tenant-column", "tenant_id", "--everybody", "public.countries"],
        )?;
        for (customer, tenant) in TENANTS {
            self.register(customer, &["--database", SHARED_DATABASE, "--tenant", tenant])?;
        }
        Ok(())
    }

    /// Puts the fence of a database up, with these options more.
    pub fn fence(&self, database: &str, layout: &[&str]) -> Result<(), Error> {
        let dsn = self.write_secret(&format!("{database}.dsn"), &self.cluster.superuser_dsn(database))?;
        let dsn = dsn.to_string_lossy();
        let apply = ["fence", "apply", "--database", database, "--superuser-dsn-file", &dsn, "--keep", APPLICATION];
        self.run(&[&apply[..], &CLOSED[..], layout].concat()).map(drop)
    }

    /// Registers a customer and its first owner, `owner@<name>`, with a password and a token in files.
    pub fn register(&self, customer: &str, place: &[&str]) -> Result<(), Error> {
        self.run(&[&["customer", "create", customer, "--cluster", "main"], place].concat())?;
        let secret = self.write_secret(&format!("owner-{customer}.password"), &password())?;
        let token = self.path(&format!("owner-{customer}.token"));
        self.run(&[
            "owner",
            "create",
            &owner(customer),
            "--customer",
            customer,
            "--password-file",
            &secret.to_string_lossy(),
            "--token-file",
            &token.to_string_lossy(),
        ])
        .map(drop)
    }
}
