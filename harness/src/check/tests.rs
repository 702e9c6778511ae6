//! Checkers can fail.
