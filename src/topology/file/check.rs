//! The section `check:` of a topology file: what `shardctl check` holds the fleet to.
//!
//! ```yaml
//! check:
//!   horizon: 12mo             # what warn and fail are where they are left out
//!   warn: 18mo                # what is full sooner is warned of
//!   fail: 6mo                 # what is full sooner is a failure
//!   rows_per_table: 5M
//!   bytes_per_instance: 500G
//! ```

use std::fmt::{Display, Write as _};
use std::str::FromStr;

use super::scalar::Scalar;
use super::{Checker, Placed};
use crate::topology::capacity::Thresholds;
use crate::topology::plan::quantity::{Count, Size};

#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckEntry {
    horizon: Scalar,
    warn: Scalar,
    fail: Scalar,
    rows_per_table: Scalar,
    bytes_per_instance: Scalar,
}

impl Checker {
    /// The thresholds of the file; what is wrong in them is said with its place.
    pub(super) fn thresholds(&mut self, entry: &CheckEntry) -> Thresholds {
        let found = Thresholds {
            horizon: self.value("horizon", &entry.horizon),
            warn: self.value("warn", &entry.warn),
            fail: self.value("fail", &entry.fail),
            rows_per_table: self
                .value::<Count>("rows_per_table", &entry.rows_per_table)
                .map(|rows| rows.0),
            bytes_per_instance: self
                .value::<Size>("bytes_per_instance", &entry.bytes_per_instance)
                .map(|size| size.0),
        };
        for (name, entry, amount) in [
            (
                "rows_per_table",
                &entry.rows_per_table,
                found.rows_per_table,
            ),
            (
                "bytes_per_instance",
                &entry.bytes_per_instance,
                found.bytes_per_instance,
            ),
        ] {
            if let (Some(entry), Some(0)) = (entry, amount) {
                self.wrong(entry.at(), format!("{name}: a limit of 0 lets nothing in"));
            }
        }
        if let Err(fault) = found.limits() {
            let at = [&entry.warn, &entry.fail].into_iter().flatten().next();
            self.wrong(at.map(Placed::at).unwrap_or_default(), fault.to_string());
        }
        found
    }

    fn value<T: FromStr<Err: Display>>(&mut self, name: &str, value: &Scalar) -> Option<T> {
        let value = value.as_ref()?;
        match value.value.0.parse() {
            Ok(read) => Some(read),
            Err(fault) => {
                self.wrong(value.at(), format!("{name}: {fault}"));
                None
            }
        }
    }
}

/// The section as it reads back; nothing where nothing is said.
pub(super) fn render(out: &mut String, check: &Thresholds) {
    if *check == Thresholds::default() {
        return;
    }
    let _ = writeln!(out, "check:");
    for (name, time) in [
        ("horizon", check.horizon),
        ("warn", check.warn),
        ("fail", check.fail),
    ] {
        if let Some(time) = time {
            let _ = writeln!(out, "  {name}: \"{time}\"");
        }
    }
    for (name, amount) in [
        ("rows_per_table", check.rows_per_table),
        ("bytes_per_instance", check.bytes_per_instance),
    ] {
        if let Some(amount) = amount {
            let _ = writeln!(out, "  {name}: {amount}");
        }
    }
}
