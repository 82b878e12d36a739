//! How a customer's rows lie in the database: a database or a schema of its own, or rows among others' in shared tables.
//! Not here: how the database keeps them apart (`fence/`).

use std::fmt;
use std::str::FromStr;

use super::personal::{self, Personal, TextFault};
use super::rule::Rule;
use super::scope::{NotAWord, words};
use super::state::{Customer, State};

words! {
    /// Where a customer's rows are.
    Layout {
        /// In a database of its own.
        Database = 0, "database";
        /// In tables that hold several customers' rows, told apart by a tenant column.
        Shared = 1, "shared";
        /// In a schema of its own, beside other customers' in the same database.
        Schema = 2, "schema";
    }
}

impl State {
    /// Whether a customer may lie there. Else whoever makes a second customer of the same rows, and its first owner,
    /// could let themselves in.
    pub(super) fn check_place(&self, layout: Layout, personal: &Personal) -> Result<(), Rule> {
        let cluster = personal.cluster.as_deref().ok_or(TextFault::Missing("cluster"))?;
        let database = personal.database.as_deref().ok_or(TextFault::Missing("database"))?;
        personal::check_place(cluster, "cluster")?;
        personal::check_place(database, "database")?;
        let tenant = personal.tenant.as_deref();
        match (layout, tenant) {
            (Layout::Database, None) => {}
            (Layout::Database, Some(_)) => return Err(TextFault::TenantOfNothing.into()),
            (Layout::Shared, None) => return Err(TextFault::Missing("tenant").into()),
            (Layout::Schema, None) => return Err(TextFault::Missing("schema").into()),
            (Layout::Shared, Some(tenant)) => personal::check_tenant(tenant)?,
            (Layout::Schema, Some(schema)) => personal::check_schema(schema)?,
        }
        let place = (cluster.to_owned(), database.to_owned());
        let Some(there) = self.places.get(&place) else { return Ok(()) };
        // Whoever is there first says how all lie there.
        let first = there.values().next().and_then(|id| self.customer(*id));
        let alone = |other: &&Customer| tenant.is_none() || other.layout != layout;
        let twin = || there.get(&personal.tenant).and_then(|id| self.customer(*id));
        let Some(other) = first.filter(alone).or_else(twin) else { return Ok(()) };
        let ((cluster, database), holder) = (place, other.id);
        Err(match (tenant, layout) {
            (Some(tenant), Layout::Shared) if other.layout == layout => {
                Rule::TenantTaken { cluster, database, tenant: tenant.to_owned(), holder }
            }
            (Some(schema), Layout::Schema) if other.layout == layout => {
                Rule::SchemaTaken { cluster, database, schema: schema.to_owned(), holder }
            }
            (Some(_) | None, Layout::Database | Layout::Shared | Layout::Schema) => {
                Rule::DatabaseTaken { cluster, database, holder }
            }
        })
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
