//! The functions that clients call by number (FunctionCall): those of libpq's and pgjdbc's large object interfaces.
//! Their numbers and arguments are fixed in PostgreSQL's `pg_proc.dat`. Not here: any other function, as its number
//! says nothing about it outside its database.

/// A function of the server with a fixed number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its OID.
    pub oid: u32,
    /// Its name in `pg_catalog`.
    pub name: &'static str,
    /// OIDs of its arguments' types.
    pub types: &'static [u32],
}

const BYTEA: u32 = 17;
const INT8: u32 = 20;
const INT4: u32 = 23;
const OID: u32 = 26;

const KNOWN: [Function; 14] = [
    Function { oid: 715, name: "lo_create", types: &[OID] },
    Function { oid: 952, name: "lo_open", types: &[OID, INT4] },
    Function { oid: 953, name: "lo_close", types: &[INT4] },
    Function { oid: 954, name: "loread", types: &[INT4, INT4] },
    Function { oid: 955, name: "lowrite", types: &[INT4, BYTEA] },
    Function { oid: 956, name: "lo_lseek", types: &[INT4, INT4, INT4] },
    Function { oid: 957, name: "lo_creat", types: &[INT4] },
    Function { oid: 958, name: "lo_tell", types: &[INT4] },
    Function { oid: 964, name: "lo_unlink", types: &[OID] },
    Function { oid: 1004, name: "lo_truncate", types: &[INT4, INT4] },
    Function { oid: 3170, name: "lo_lseek64", types: &[INT4, INT8, INT4] },
    Function { oid: 3171, name: "lo_tell64", types: &[INT4] },
    Function { oid: 3172, name: "lo_truncate64", types: &[INT4, INT8] },
    Function { oid: 3457, name: "lo_from_bytea", types: &[OID, BYTEA] },
];

/// The function with that number, if it has the same in every database.
pub fn known(oid: u32) -> Option<Function> {
    KNOWN.into_iter().find(|function| function.oid == oid)
}

/// `lo_open`, or `function 16400` where the number says nothing.
pub fn display(oid: u32) -> String {
    known(oid).map_or_else(|| format!("function {oid}"), |function| function.name.to_owned())
}

#[cfg(test)]
#[path = "function_tests.rs"]
mod tests;
