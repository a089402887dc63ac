//! What a gathered statement must not do, expression by expression.

use sqlparser::ast::{BinaryOperator, Expr, SelectItem, SetExpr, Value};

use super::session::is_ask;
use super::{Compared, Walk, address};
use crate::query::Refusal;
use crate::query::functions::{Nature, nature};

impl Walk<'_> {
    pub(super) fn expression(&mut self, expr: &Expr) -> Result<(), Refusal> {
        if is_ask(expr) {
            self.asked += 1;
            return Ok(());
        }
        match expr {
            Expr::Function(function) => refuse_function(&function.name.to_string()),
            Expr::Exists { subquery, .. } => {
                if let SetExpr::Select(select) = subquery.body.as_ref() {
                    self.existence.insert(address(&**select));
                }
                Ok(())
            }
            Expr::MatchAgainst { match_value, .. } => {
                // MariaDB was seen to find other rows by a phrase on tables that were filled by
                // its bulk protocol, and each server has its own idea of what is one.
                let words = match &match_value.value {
                    Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => {
                        !text.contains(['"', '\\'])
                    }
                    _ => false,
                };
                if !words {
                    return Err(Refusal::Inexact(
                        "full-text search of phrases is not answered over shards; search for the \
                         words, and for the phrase by LIKE"
                            .to_owned(),
                    ));
                }
                self.full_text = true;
                Ok(())
            }
            Expr::Identifier(ident) if ident.quote_style.is_none() => {
                if ident.value.starts_with('@') {
                    return Err(variable(&ident.value));
                }
                Ok(())
            }
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [first, ..] if first.value.starts_with('@') => Err(variable(&first.value)),
                [schema, _, _] if schema.value != self.topology.cluster => {
                    Err(Refusal::Unknown(format!(
                        "`{}` is not the cluster; write `{}` or nothing before the table's name",
                        schema.value, self.topology.cluster
                    )))
                }
                _ => Ok(()),
            },
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
                Err(Refusal::Syntax {
                    message: "there are no parameters to put in".to_owned(),
                })
            }
            Expr::BinaryOp {
                op: BinaryOperator::Assignment,
                ..
            } => Err(Refusal::Unsafe(
                "assignments are refused: this tool reads".to_owned(),
            )),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Eq,
                right,
            } => {
                if let (Some(left), Some(right)) = (column(left), column(right)) {
                    self.compared.extend([left, right]);
                }
                Ok(())
            }
            Expr::InSubquery { expr, subquery, .. } => {
                self.compared.extend(column(expr));
                if let SetExpr::Select(select) = subquery.body.as_ref()
                    && let Some(
                        SelectItem::UnnamedExpr(item)
                        | SelectItem::ExprWithAlias { expr: item, .. },
                    ) = select.projection.first()
                {
                    self.compared.extend(column(item));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn column(expr: &Expr) -> Option<Compared> {
    match expr {
        Expr::Identifier(ident) => Some((None, ident.value.to_lowercase())),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [.., table, column] => Some((
                Some(table.value.to_lowercase()),
                column.value.to_lowercase(),
            )),
            _ => None,
        },
        Expr::Nested(inner) => column(inner),
        _ => None,
    }
}

fn variable(name: &str) -> Refusal {
    Refusal::Inexact(format!(
        "`{name}` is a variable of a session, and each statement here has a session of its own"
    ))
}

/// Refuses a function that is not the servers' own, does more than compute, or asks the session or
/// the server about itself.
pub(in crate::query) fn refuse_function(name: &str) -> Result<(), Refusal> {
    let lower = name.to_ascii_lowercase();
    match nature(name) {
        Some(Nature::Forbidden) => Err(Refusal::Unsafe(format!(
            "{name}() is refused: it sleeps, locks or reads files"
        ))),
        // Of these any value is as good as another.
        Some(Nature::Server)
            if ["rand", "random_bytes", "sysdate", "uuid", "uuid_short"]
                .contains(&lower.as_str()) =>
        {
            Ok(())
        }
        Some(Nature::Server) => Err(of_the_session(name)),
        Some(_) => Ok(()),
        None if ["charset", "coercibility", "collation"].contains(&lower.as_str()) => Ok(()),
        None if ["database", "schema"].contains(&lower.as_str()) => Err(of_the_session(name)),
        None if MORE.contains(&lower.as_str()) => Ok(()),
        None => Err(Refusal::Unsafe(format!(
            "the function {name}() is not known; it may be one of your own, and do more than read"
        ))),
    }
}

fn of_the_session(name: &str) -> Refusal {
    Refusal::Inexact(format!(
        "{name}() tells about the session or the server, and a gathered statement runs on another"
    ))
}

/// Functions of the servers that compute from their arguments only, beside those that the shards
/// can be asked ([`nature`]).
const MORE: &[&str] = &[
    "add_months",
    "aes_decrypt",
    "aes_encrypt",
    "any_value",
    "chr",
    "compress",
    "convert_tz",
    "crc32c",
    "cume_dist",
    "decode_oracle",
    "dense_rank",
    "extractvalue",
    "first_value",
    "format_bytes",
    "format_pico_time",
    "geometrycollection",
    "get_format",
    "grouping",
    "is_ipv4",
    "is_ipv4_compat",
    "is_ipv4_mapped",
    "is_ipv6",
    "is_uuid",
    "json_append",
    "json_array_append",
    "json_array_insert",
    "json_array_intersect",
    "json_compact",
    "json_detailed",
    "json_equals",
    "json_exists",
    "json_insert",
    "json_loose",
    "json_merge",
    "json_merge_patch",
    "json_merge_preserve",
    "json_normalize",
    "json_object_filter_keys",
    "json_object_to_array",
    "json_overlaps",
    "json_pretty",
    "json_query",
    "json_remove",
    "json_replace",
    "json_schema_valid",
    "json_schema_validation_report",
    "json_set",
    "json_storage_size",
    "json_table",
    "lag",
    "last_value",
    "lead",
    "length_oracle",
    "lengthb",
    "linestring",
    "make_set",
    "mbrcontains",
    "mbrcoveredby",
    "mbrcovers",
    "mbrdisjoint",
    "mbrequals",
    "mbrintersects",
    "mbroverlaps",
    "mbrtouches",
    "mbrwithin",
    "median",
    "multilinestring",
    "multipoint",
    "multipolygon",
    "natural_sort_key",
    "nth_value",
    "ntile",
    "nvl",
    "nvl2",
    "percent_rank",
    "percentile_cont",
    "percentile_disc",
    "point",
    "polygon",
    "rank",
    "regexp_instr",
    "regexp_like",
    "regexp_replace",
    "regexp_substr",
    "row",
    "row_number",
    "sformat",
    "st_area",
    "st_asbinary",
    "st_asgeojson",
    "st_astext",
    "st_aswkb",
    "st_aswkt",
    "st_buffer",
    "st_centroid",
    "st_contains",
    "st_convexhull",
    "st_crosses",
    "st_difference",
    "st_dimension",
    "st_disjoint",
    "st_distance",
    "st_distance_sphere",
    "st_endpoint",
    "st_envelope",
    "st_equals",
    "st_exteriorring",
    "st_geohash",
    "st_geometryn",
    "st_geometrytype",
    "st_geomfromgeojson",
    "st_geomfromtext",
    "st_geomfromwkb",
    "st_interiorringn",
    "st_intersection",
    "st_intersects",
    "st_isclosed",
    "st_isempty",
    "st_issimple",
    "st_isvalid",
    "st_latfromgeohash",
    "st_latitude",
    "st_length",
    "st_longfromgeohash",
    "st_longitude",
    "st_makeenvelope",
    "st_numgeometries",
    "st_numinteriorrings",
    "st_numpoints",
    "st_overlaps",
    "st_pointfromgeohash",
    "st_pointfromtext",
    "st_pointn",
    "st_polyfromtext",
    "st_simplify",
    "st_srid",
    "st_startpoint",
    "st_swapxy",
    "st_symdifference",
    "st_touches",
    "st_transform",
    "st_union",
    "st_validate",
    "st_within",
    "st_x",
    "st_y",
    "to_char",
    "uncompress",
    "uncompressed_length",
    "updatexml",
    "uuid_to_bin",
    "bin_to_uuid",
    "validate_password_strength",
];
