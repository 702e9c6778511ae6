//! Tests of the marker.
