//! Deadlines, in one table.
