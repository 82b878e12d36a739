//! How customers lie in a database: as it was applied before, as the operator wants it now, and what lies between.
//! Not here: the fence of each layout (`planner.rs`, `shared.rs`, `schemas.rs`).

use super::Error;
use super::name::{identifier, literal, scope_role};
use super::plan::{Layout, Schemas, Shared};
use super::planner::Planner;
use crate::grant::Scope;

/// How customers lie in the database, or will.
pub(super) enum Laid {
    /// One has it whole.
    Database,
    /// Several have rows in the same tables.
    Shared(Shared),
    /// Each has a schema.
    Schema(Schemas),
}

/// As it was applied before.
enum Known {
    Database,
    Shared(String),
    Schema,
}

impl Planner<'_> {
    /// How customers lie there, and the steps and blockers on the way; none if there is no way.
    pub(super) async fn laid_out(&mut self) -> Result<Option<Laid>, Error> {
        let known = self.known_layout().await?;
        let laid = match (self.wanted.layout.clone(), known) {
            (Layout::AsItIs | Layout::Database, Known::Database) => Laid::Database,
            (Layout::AsItIs, Known::Schema) => Laid::Schema(Schemas::default()),
            (Layout::Schema(schemas), Known::Schema) => Laid::Schema(schemas),
            (Layout::AsItIs, Known::Shared(column)) => self.same_tables(Shared::default(), Some(column)),
            (Layout::Shared(shared), Known::Shared(column)) => self.same_tables(shared, Some(column)),
            (Layout::Shared(shared), Known::Database) => {
                self.no_open_grants().await?;
                self.same_tables(shared, None)
            }
            (Layout::Schema(schemas), Known::Database) => {
                self.no_open_grants().await?;
                self.drop_whole_roles().await?;
                Laid::Schema(schemas)
            }
            (Layout::Database | Layout::Schema(_), Known::Shared(_)) => {
                return Ok(self.not_otherwise("customers share this database's tables"));
            }
            (Layout::Database | Layout::Shared(_), Known::Schema) => {
                return Ok(self.not_otherwise("each customer has a schema of this database"));
            }
        };
        Ok(Some(laid))
    }

    async fn known_layout(&self) -> Result<Known, Error> {
        const SQL: &str = "select name, coalesce(tenant_column, '')::text from portreeve.layout";
        if !self.installed("portreeve.layout").await? {
            return Ok(Known::Database);
        }
        let rows = self.rows(SQL, &[]).await?;
        Ok(match rows.first().map(Vec::as_slice) {
            Some([name, column]) if name == "shared" => Known::Shared(column.clone()),
            Some([name, _]) if name == "schema" => Known::Schema,
            Some(_) | None => Known::Database,
        })
    }

    fn not_otherwise(&mut self, how: &str) -> Option<Laid> {
        self.plan.blockers.push(format!("{how}; run portreeve fence remove before they lie in it otherwise"));
        None
    }

    /// A grant for the whole database would see nothing of what it was given for, or everything.
    async fn no_open_grants(&mut self) -> Result<(), Error> {
        if !self.installed("portreeve.grants").await? {
            return Ok(());
        }
        let open = self.texts("select role::text from portreeve.grants", &[]).await?;
        if !open.is_empty() {
            let open = open.join(", ");
            self.plan.blockers.push(format!("grants for the whole database are open ({open}); end them"));
        }
        Ok(())
    }

    fn same_tables(&mut self, mut shared: Shared, known: Option<String>) -> Laid {
        shared.tenant_column = shared.tenant_column.or_else(|| known.clone().filter(|column| !column.is_empty()));
        let column = shared.tenant_column.clone().unwrap_or_default();
        if known.as_ref() != Some(&column) {
            let sql = format!(
                "insert into portreeve.layout (name, tenant_column) values ('shared', nullif({}, '')) on conflict (one) do \
                 update set name = excluded.name, tenant_column = excluded.tenant_column",
                literal(&column)
            );
            self.step("let customers share this database's tables", sql, None);
        }
        Laid::Shared(shared)
    }

    /// Roles that carry privileges in the whole database go.
    async fn drop_whole_roles(&mut self) -> Result<(), Error> {
        let sql = "insert into portreeve.layout (name) values ('schema') on conflict (one) do update \
                   set name = excluded.name, tenant_column = null";
        self.step("let each customer have a schema of this database", sql.to_owned(), None);
        for scope in Scope::ALL {
            let name = scope_role(self.database, *scope);
            if !self.exists(&name).await? {
                continue;
            }
            let role = identifier(&name);
            let sql = format!(
                "delete from portreeve.scope where schema = '' and role = {}; drop owned by {role}; drop role {role}",
                literal(&name)
            );
            self.step(format!("drop role {role}, which reaches the whole database"), sql, None);
        }
        Ok(())
    }

    /// Whether a table of ours is there.
    pub(super) async fn installed(&self, relation: &str) -> Result<bool, Error> {
        Ok(!self.texts("select 'yes' where to_regclass($1) is not null", &[relation]).await?.is_empty())
    }
}
