//! Hashing that is the same on every machine and in every release.
