//! A simulated world for the core.
