//! The engine of the edge program: CSV in; clean rows, rejected rows and features out.

#[cfg(feature = "agent")]
pub mod agent;
pub mod blocks;
pub mod buckets;
pub mod calendar;
pub mod cells;
pub mod chain;
pub mod clean;
pub mod column;
pub mod content;
mod counts;
pub mod crew;
pub mod delivered;
pub mod discovery;
pub mod engine;
pub mod exact;
pub mod finish;
pub mod format;
pub mod glob;
pub mod history;
pub mod kll;
pub mod lines;
pub mod nulls;
pub mod number;
pub mod order;
pub mod pages;
pub mod pattern;
pub mod places;
pub mod plan;
pub mod ranges;
pub mod reader;
pub mod reading;
pub mod reason;
pub mod recent;
pub mod rejects;
pub mod rows;
pub mod runs;
pub mod scan;
pub mod seen;
pub mod shown;
pub mod sink;
pub mod source;
pub mod strings;
pub mod summary;
pub mod table;
pub mod text;
pub mod thrift;
pub mod timestamp;
pub mod windows;
pub mod zone;

#[cfg(feature = "python")]
mod python;
