//! What two or more of the binaries need.
