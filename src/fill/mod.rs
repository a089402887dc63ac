//! Generated rows for trials and load tests.
//!
//! Rows are a pure function of a seed and a number, so that they can be generated in any order, by
//! any number of threads, and again.

pub mod members;
