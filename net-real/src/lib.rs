//! The real world for the core.

pub mod config;
pub mod storage;
