//! The SQLSTATE codes we send ourselves, under PostgreSQL's names for them.
//! Not here: codes that the server sends; those pass unread.
//! From <https://www.postgresql.org/docs/current/errcodes-appendix.html>.

/// 00000, for notices.
pub const SUCCESSFUL_COMPLETION: &str = "00000";
/// 08004: the server is reached, and does not take the connection.
pub const CONNECTION_REJECTED: &str = "08004";
/// 08006: the upstream connection failed.
pub const CONNECTION_FAILURE: &str = "08006";
/// 08007: what was wanted may be done, or not.
pub const TRANSACTION_RESOLUTION_UNKNOWN: &str = "08007";
/// 08P01: a message is not what the protocol says.
pub const PROTOCOL_VIOLATION: &str = "08P01";
/// 0A000: understood, and not done here.
pub const FEATURE_NOT_SUPPORTED: &str = "0A000";
/// 42P02: a parameter that nobody gave.
pub const UNDEFINED_PARAMETER: &str = "42P02";
/// 22021: bytes that are not text in the expected encoding.
pub const CHARACTER_NOT_IN_REPERTOIRE: &str = "22021";
/// 22023: a parameter's value makes no sense.
pub const INVALID_PARAMETER_VALUE: &str = "22023";
/// 28000: not allowed in; most refusals of the gate.
pub const INVALID_AUTHORIZATION_SPECIFICATION: &str = "28000";
/// 28P01: wrong password, or unknown user; nobody can tell which.
pub const INVALID_PASSWORD: &str = "28P01";
/// 3D000: no such database (customer).
pub const INVALID_CATALOG_NAME: &str = "3D000";
/// 42501: a privilege is missing.
pub const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// 26000: no prepared statement of that name.
pub const INVALID_SQL_STATEMENT_NAME: &str = "26000";
/// 34000: no portal of that name.
pub const INVALID_CURSOR_NAME: &str = "34000";
/// 42601: not a line of the desk.
pub const SYNTAX_ERROR: &str = "42601";
/// 42704: no object of that name.
pub const UNDEFINED_OBJECT: &str = "42704";
/// 42P05: a prepared statement of that name is there already.
pub const DUPLICATE_PREPARED_STATEMENT: &str = "42P05";
/// 40001: somebody else was faster.
pub const SERIALIZATION_FAILURE: &str = "40001";
/// 53100: the disk of the audit log is full.
pub const DISK_FULL: &str = "53100";
/// 54000: larger than a limit.
pub const PROGRAM_LIMIT_EXCEEDED: &str = "54000";
/// 55000: not in the state for it.
pub const OBJECT_NOT_IN_PREREQUISITE_STATE: &str = "55000";
/// 57014: cancelled on request.
pub const QUERY_CANCELED: &str = "57014";
/// 57P05: idle for too long.
pub const IDLE_SESSION_TIMEOUT: &str = "57P05";
/// 57P01: ended by an administrator's (or owner's) command.
pub const ADMIN_SHUTDOWN: &str = "57P01";
/// 57P03: not now.
pub const CANNOT_CONNECT_NOW: &str = "57P03";
/// 58030: a file could not be read or written.
pub const IO_ERROR: &str = "58030";
/// XX000: our own fault.
pub const INTERNAL_ERROR: &str = "XX000";
