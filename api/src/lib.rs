//! Library of this binary.
