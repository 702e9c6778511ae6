//! The client wire format: pure functions between bytes and [`crate::api`].
