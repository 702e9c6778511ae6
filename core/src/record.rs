//! Bytes of the log and of snapshots: records with checksums.
