//! Paths of znodes.
