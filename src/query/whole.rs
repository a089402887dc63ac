//! Rows that each lie whole in one place: rows of tables, distinct rows and groups that name the
//! shard key. The servers compute them; here they are passed on, or merged in order.

use super::Refusal;
use super::items::{Cut, Item, Part, What, is_position};
use super::merge::{Key, Merge};
use super::scatter::{Frame, Scattered, comparable};
use crate::rows::cell::{Column, Kind};

#[derive(Debug, Clone)]
pub(super) struct Whole {
    items: Vec<Item>,
    order: Vec<Order>,
    /// Expressions fetched beside the items: keys that are not among them.
    extra: Vec<String>,
    /// Sums that must not be of floating point numbers, for those depend on the order of the rows.
    sums: Vec<String>,
    distinct: bool,
    /// `GROUP BY ... HAVING ...` as written.
    tail: String,
}

/// What an ORDER BY entry is.
#[derive(Debug, Clone)]
struct Order {
    key: OrderKey,
    descending: bool,
    /// The expression as it was written: the shards understand it as one server would.
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrderKey {
    Item(usize),
    Extra(usize),
}

impl Whole {
    pub fn new(
        cut: &Cut<'_>,
        items: &[Item],
        group: &[Part],
        having: Option<&Part>,
        order: &[(bool, Part)],
        distinct: bool,
    ) -> Result<Self, Refusal> {
        let inexact = Refusal::Inexact;
        let wildcard = items.iter().any(|item| item.what == What::Wildcard);
        let grouped = !group.is_empty();
        let mut sums = Vec::new();
        if grouped {
            if wildcard {
                return Err(inexact(
                    "name the columns: * cannot be grouped over shards".to_owned(),
                ));
            }
            sums = check_groups(cut, items, group, having, order)?;
        }
        let mut extra = Vec::new();
        let order = order
            .iter()
            .map(|(descending, part)| {
                if is_position(&part.expr) && wildcard {
                    return Err(inexact(
                        "ORDER BY a position behind * is not merged; name the column".to_owned(),
                    ));
                }
                let key = match cut.find_item(part, items) {
                    // Behind a wildcard an item's number is not its column's.
                    Some(index) if wildcard => {
                        let text = items[index].part.as_ref().map(|part| part.text.clone());
                        extra.extend(text);
                        OrderKey::Extra(extra.len().saturating_sub(1))
                    }
                    Some(index) => OrderKey::Item(index),
                    None if is_position(&part.expr) => {
                        return Err(Refusal::Unknown(format!(
                            "there is no column {} to order by",
                            part.text
                        )));
                    }
                    // With all columns selected a further one makes no more rows.
                    None if distinct && !items.iter().any(|item| item.text == "*") => {
                        return Err(inexact(format!("ORDER BY {}: select it", part.text)));
                    }
                    None => {
                        extra.push(cut.without_aliases(part, items)?);
                        OrderKey::Extra(extra.len() - 1)
                    }
                };
                let meant = match key {
                    OrderKey::Item(index) => items[index].part.as_ref().unwrap_or(part),
                    OrderKey::Extra(_) => part,
                };
                refuse_least_enum(cut, meant)?;
                Ok(Order {
                    key,
                    descending: *descending,
                    text: part.text.clone(),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut tail = String::new();
        if grouped {
            let list: Vec<&str> = group.iter().map(|part| part.text.as_str()).collect();
            tail.push_str(&format!(" GROUP BY {}", list.join(", ")));
        }
        if let Some(having) = having {
            tail.push_str(&format!(" HAVING {}", having.text));
        }
        Ok(Self {
            items: items.to_vec(),
            order,
            extra,
            sums,
            distinct,
            tail,
        })
    }

    pub fn is_ordered(&self) -> bool {
        !self.order.is_empty()
    }

    /// What the probe asks beside the items.
    pub fn probed(&self) -> Vec<String> {
        self.extra.iter().chain(&self.sums).cloned().collect()
    }

    pub fn probe_tail(&self) -> String {
        self.tail.clone()
    }

    pub fn finish(
        &self,
        frame: &Frame,
        probed: &[Column],
        visible: usize,
    ) -> Result<Scattered, Refusal> {
        let behind = visible + self.extra.len();
        for (text, column) in self.sums.iter().zip(&probed[behind..]) {
            if matches!(column.kind, Kind::Float | Kind::Double) {
                return Err(Refusal::Inexact(format!(
                    "{text} adds floating point numbers, whose sum depends on their order"
                )));
            }
        }
        let mut list: Vec<String> = self.items.iter().map(|item| item.text.clone()).collect();
        if self.distinct
            && let Some(first) = list.first_mut()
        {
            first.insert_str(0, "DISTINCT ");
        }
        let mut keys = Vec::new();
        let mut order = Vec::new();
        for entry in &self.order {
            let (expression, column) = match entry.key {
                OrderKey::Item(index) => (
                    self.items[index]
                        .part
                        .as_ref()
                        .map_or("", |part| part.text.as_str()),
                    &probed[index],
                ),
                OrderKey::Extra(index) => (self.extra[index].as_str(), &probed[visible + index]),
            };
            let (text, kind) = comparable(expression, column, true)?;
            // Named apart, so that no name in ORDER BY can mean it.
            list.push(format!("{text} AS _shardctl_key_{}", keys.len()));
            keys.push(Key {
                cell: visible + keys.len(),
                kind,
                descending: entry.descending,
            });
            order.push(format!(
                "{}{}",
                entry.text,
                if entry.descending { " DESC" } else { "" }
            ));
        }
        let mut tail = self.tail.clone();
        if !order.is_empty() {
            tail.push_str(&format!(" ORDER BY {}", order.join(", ")));
        }
        if let Some(limit) = frame.limit {
            tail.push_str(&format!(" LIMIT {}", limit.saturating_add(frame.offset)));
        }
        Ok(Scattered {
            statement: frame.statement(&list, &tail),
            merge: Merge::Rows {
                keys,
                visible,
                limit: frame.limit,
                offset: frame.offset,
            },
            columns: probed[..visible].to_vec(),
        })
    }
}

/// Groups that the servers compute: nothing may be any row's of a group. Gives the sums whose kind
/// is to be looked at.
fn check_groups(
    cut: &Cut<'_>,
    items: &[Item],
    group: &[Part],
    having: Option<&Part>,
    order: &[(bool, Part)],
) -> Result<Vec<String>, Refusal> {
    // Positions and aliases of GROUP BY stand for items.
    let meant: Vec<Part> = group
        .iter()
        .map(|part| match cut.is_own_column(part) {
            true => part.clone(),
            false => cut
                .find_item(part, items)
                .and_then(|index| items[index].part.clone())
                .unwrap_or_else(|| part.clone()),
        })
        .collect();
    let parts = items
        .iter()
        .filter_map(|item| item.part.as_ref())
        .chain(having)
        .chain(order.iter().map(|(_, part)| part));
    let mut sums = Vec::new();
    for part in parts {
        if !cut.hangs_on(part, &meant, items) {
            return Err(Refusal::Inexact(format!(
                "`{}` is neither grouped by nor an aggregate; it is any row's of the group",
                part.text
            )));
        }
        for call in cut.calls(&part.range) {
            let text = cut.text(&call.range);
            match call.name.as_str() {
                "sum" | "avg" => sums.push(text),
                "any_value" => {
                    return Err(Refusal::Inexact(format!(
                        "{text} is any row's of the group"
                    )));
                }
                name if name.starts_with("std") || name.starts_with("var") => {
                    return Err(Refusal::Inexact(format!(
                        "{text} is a floating point number that depends on the order of the rows"
                    )));
                }
                _ => {}
            }
        }
    }
    Ok(sums)
}

/// The servers find the least and the greatest ENUM or SET by its text, and order them by number.
pub(super) fn refuse_least_enum(cut: &Cut<'_>, part: &Part) -> Result<(), Refusal> {
    let calls = cut.calls(&part.range);
    let extreme = calls
        .iter()
        .any(|call| ["min", "max"].contains(&call.name.as_str()));
    if extreme && cut.has_enum(&part.expr) {
        return Err(Refusal::Inexact(format!(
            "ORDER BY {}: the servers find the least and the greatest ENUM or SET by its text, \
             and order them by number",
            part.text
        )));
    }
    Ok(())
}
