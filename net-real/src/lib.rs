//! The real world for the core.
