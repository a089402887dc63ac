//! Whether the servers' own settings would make a statement another one, or its answers differ.

use futures_util::future::try_join_all;

use super::query::refuse;
use crate::error::{Error, Result};
use crate::mysql::{Servers, query, scratch};
use crate::query::modes;

/// Refuses a statement that the servers' clients and this tool would not mean the same by, or that
/// the servers would not answer alike.
///
/// # Errors
/// A server cannot be asked; the servers differ in a setting that this statement's answer depends
/// on; or a mode makes it another statement.
pub async fn check(servers: &Servers, sql: &str) -> Result<()> {
    let found = try_join_all(servers.iter().map(|server| async move {
        let mut conn = server.conn().await?;
        let modes = query::modes(server, &mut conn).await?;
        let settings = scratch::settings(server, &mut conn, false).await?;
        server.give_back(conn);
        Ok::<_, Error>((server.place(), modes::that_matter(&modes), settings))
    }))
    .await?;
    let Some((first_place, first, known)) = found.first() else {
        return Ok(());
    };
    for (place, own, settings) in &found[1..] {
        let differ = |what: &str, own: &str, first: &str| {
            Err(Error::usage(
                "the shards are not set up alike, so no one server answers as they do",
            )
            .at(place)
            .cause(format!("{what} {own} there and {first} on {first_place}"))
            .next("set it alike on all instances"))
        };
        if own != first {
            let named = |modes: &[&str]| match modes.is_empty() {
                true => "none".to_owned(),
                false => modes.join(", "),
            };
            return differ(
                "of the sql_mode that a statement's meaning depends on",
                &named(own),
                &named(first),
            );
        }
        for (name, value) in known {
            let own = settings.get(name).map_or("nothing", String::as_str);
            if own != value && modes::depends(sql, name) {
                return differ(&format!("{name} is"), own, value);
            }
        }
    }
    modes::refuse(first, sql).map_err(|refusal| refuse(&refusal))
}
