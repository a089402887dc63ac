//! The history of capacity: measurements kept on the control instance, or in a file of JSON lines.

use crate::error::{Error, Result};
use crate::mysql::Server;
use crate::mysql::history::{self, Kept};
use crate::topology::capacity::{FORMAT, Snapshot, Taken};

/// A measurement as text, on one line.
///
/// # Errors
/// Never for what this tool measures.
pub fn encode(snapshot: &Snapshot) -> Result<String> {
    serde_json::to_string(snapshot)
        .map_err(|cause| Error::unknown("the measurement has no record").cause(cause))
}

/// The measurement of a text.
///
/// # Errors
/// In words, why it is none.
pub fn decode(text: &str) -> std::result::Result<Snapshot, String> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    let version: Version = serde_json::from_str(text).map_err(|cause| cause.to_string())?;
    if version.format != FORMAT {
        return Err(format!(
            "it has format {}, and this shardctl knows {FORMAT}",
            version.format
        ));
    }
    serde_json::from_str(text).map_err(|cause| cause.to_string())
}

/// The measurements in a file of JSON lines that are of this cluster; several may share a file. A
/// last line that was cut off in the writing is passed over.
///
/// # Errors
/// A line is no measurement.
pub fn decode_lines(text: &str, cluster: &str, path: &str) -> Result<Vec<Snapshot>> {
    let mut found = Vec::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match decode(line) {
            Ok(snapshot) if snapshot.cluster == cluster => found.push(snapshot),
            Ok(_) => {}
            Err(_) if !line.ends_with('\n') => {}
            Err(why) => {
                return Err(Error::usage("a line of the history is no measurement")
                    .at(format!("{path}:{}", index + 1))
                    .cause(why)
                    .next(
                        "name a file that `shardctl check --history` has written, or a new one",
                    ));
            }
        }
    }
    Ok(found)
}

/// The measurements kept on the control instance; `None` where none was ever kept.
///
/// # Errors
/// The control instance cannot be asked, or holds something else.
pub async fn kept(control: &Server, cluster: &str) -> Result<Option<Vec<(u64, Taken)>>> {
    let mut conn = control.conn().await?;
    let Some(rows) = history::kept(control, &mut conn, cluster).await? else {
        return Ok(None);
    };
    rows.into_iter()
        .map(|row| {
            let at = row.taken_at.parse().map_err(|cause| {
                Error::unknown(format!("measurement {} has no time", row.id))
                    .at(control.place())
                    .cause(cause)
            })?;
            let exact = row.exact;
            Ok((row.id, Taken { at, exact }))
        })
        .collect::<Result<Vec<_>>>()
        .map(Some)
}

/// One of them.
///
/// # Errors
/// As [`kept`].
pub async fn load(control: &Server, id: u64) -> Result<Snapshot> {
    let mut conn = control.conn().await?;
    let broken = |cause: String| {
        Error::unknown(format!("measurement {id} cannot be read"))
            .at(control.place())
            .cause(cause)
    };
    let record = history::record(control, &mut conn, id)
        .await?
        .ok_or_else(|| broken("it is gone".to_owned()))?;
    decode(&record).map_err(broken)
}

/// Keeps a measurement on the control instance.
///
/// # Errors
/// The control instance refuses.
pub async fn keep(control: &Server, snapshot: &Snapshot) -> Result<()> {
    let mut conn = control.conn().await?;
    let row = Kept {
        id: 0,
        cluster: snapshot.cluster.clone(),
        taken_at: snapshot.taken_at.to_string(),
        exact: snapshot.exact,
    };
    history::keep(
        control,
        &mut conn,
        &row,
        snapshot.format,
        &encode(snapshot)?,
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_line_by_line_and_what_is_no_measurement_is_named() {
        let line = |cluster: &str| {
            format!(
                r#"{{"format":1,"cluster":"{cluster}","taken_at":"2026-01-02T03:04:05Z","exact":true,"tables":{{"s":{{"t":{{"rows":5,"bytes":6}}}}}}}}"#
            )
        };
        let check = |text: &str, expected: std::result::Result<usize, &str>| {
            let found = decode_lines(text, "a", "h.jsonl").map(|found| found.len());
            assert_eq!(
                found.map_err(|error| error.to_string().replace('\n', " ")),
                expected.map_err(str::to_owned)
            );
        };
        check("", Ok(0));
        check(
            &format!("{}\n{}\n\n{}\n", line("a"), line("b"), line("a")),
            Ok(2),
        );
        check(&format!("{}\n{{\"format\":1,\"clu", line("a")), Ok(1));
        let error = decode_lines(
            &format!(
                "{}\n{}\n",
                line("a"),
                line("a").replace("\"format\":1", "\"format\":2")
            ),
            "a",
            "h.jsonl",
        )
        .unwrap_err();
        insta::assert_snapshot!(error, @r"
        a line of the history is no measurement
          where:  h.jsonl:2
          cause:  it has format 2, and this shardctl knows 1
          next:   name a file that `shardctl check --history` has written, or a new one
        ");
        let snapshot = decode(&line("a")).unwrap();
        assert_eq!(encode(&snapshot).unwrap(), line("a"));
        assert!(decode(&line("a").replace("\"exact\"", "\"exactly\"")).is_err());
    }
}
