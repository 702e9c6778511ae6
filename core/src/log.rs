//! The tail of the log that is kept in memory.
