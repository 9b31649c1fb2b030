//! Figures and pages from outside.

mod examples;
mod figures;
mod page;
