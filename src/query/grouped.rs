//! Groups that lie over several places: the shards group their rows, and the groups are put
//! together here.

use super::Refusal;
use super::aggregate::{Call, Fetched};
use super::compute::{Input, Sketch};
use super::items::{Cut, Item, Part, What, is_position};
use super::merge::{Merge, Output};
use super::scatter::{Frame, Scattered, comparable};
use super::whole::refuse_least_enum;
use crate::rows::cell::{Column, Kind};

#[derive(Debug, Clone)]
pub(super) struct Grouped {
    /// One expression of the groups each.
    pub slots: Vec<Slot>,
    pub calls: Vec<Call>,
    outputs: Vec<Value>,
    order: Vec<(Value, bool)>,
    having: Option<usize>,
    /// Expressions over groups and aggregates.
    sketches: Vec<Sketch>,
    /// Expressions of the groups that are no items.
    extra: Vec<String>,
    items: usize,
}

/// An expression that rows are grouped by.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub text: String,
    pub canonical: String,
    /// Its column in the probe: of an item, or one behind them.
    probe: Probe,
}

#[derive(Debug, Clone, Copy)]
enum Probe {
    Item(usize),
    Extra(usize),
}

/// What an item, or an entry of ORDER BY, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Slot(usize),
    Call(usize),
    Sketch(usize),
}

impl Grouped {
    pub fn new(
        cut: &Cut<'_>,
        items: &[Item],
        group: &[Part],
        having: Option<&Part>,
        order: &[(bool, Part)],
    ) -> Result<Self, Refusal> {
        let mut grouped = Self {
            slots: Vec::new(),
            calls: Vec::new(),
            outputs: Vec::new(),
            order: Vec::new(),
            having: None,
            sketches: Vec::new(),
            extra: Vec::new(),
            items: items.len(),
        };
        let distinct = group.is_empty() && items.iter().all(|item| item.what == What::Plain);
        let plain = |index: usize| {
            let part = items[index]
                .part
                .as_ref()
                .filter(|_| items[index].what == What::Plain);
            part.ok_or_else(|| Refusal::Inexact("GROUP BY an aggregate is not MySQL".to_owned()))
        };
        if distinct {
            for index in 0..items.len() {
                grouped.slot(cut, plain(index)?, Some(index));
            }
        }
        for part in group {
            let found = match cut.is_own_column(part) {
                true => cut.same_expression(part, items),
                false => cut.find_item(part, items),
            };
            match found {
                Some(index) => grouped.slot(cut, plain(index)?, Some(index)),
                None if is_position(&part.expr) => {
                    return Err(Refusal::Unknown(format!(
                        "there is no column {} to group by",
                        part.text
                    )));
                }
                None => {
                    let named = Part {
                        text: cut.without_aliases(part, items)?,
                        ..part.clone()
                    };
                    grouped.slot(cut, &named, None);
                }
            }
        }
        for item in items {
            let part = item.part.as_ref().ok_or_else(|| {
                Refusal::Inexact("name the columns: * cannot be grouped over shards".to_owned())
            })?;
            let value = match grouped.known(cut, part) {
                Some(value) => value,
                None if item.what == What::Aggregate => grouped.call(cut, part)?,
                None => grouped.sketch(cut, part, items)?,
            };
            grouped.outputs.push(value);
        }
        for (descending, part) in order {
            let value = match cut.find_item(part, items) {
                Some(index) => {
                    refuse_least_enum(cut, items[index].part.as_ref().unwrap_or(part))?;
                    grouped.outputs[index]
                }
                None if is_position(&part.expr) => {
                    return Err(Refusal::Unknown(format!(
                        "there is no column {} to order by",
                        part.text
                    )));
                }
                None if distinct => {
                    return Err(Refusal::Inexact(format!(
                        "ORDER BY {}: select it",
                        part.text
                    )));
                }
                None => {
                    refuse_least_enum(cut, part)?;
                    match grouped.known(cut, part) {
                        Some(value) => value,
                        None if cut
                            .calls(&part.range)
                            .iter()
                            .any(|call| call.range == part.range) =>
                        {
                            grouped.call(cut, part)?
                        }
                        None => grouped.sketch(cut, part, items)?,
                    }
                }
            };
            grouped.order.push((value, *descending));
        }
        if let Some(having) = having {
            let Value::Sketch(index) = grouped.sketch(cut, having, items)? else {
                return Err(Refusal::Inexact("HAVING cannot be told".to_owned()));
            };
            grouped.having = Some(index);
        }
        Call::add_up(&mut grouped.calls);
        Ok(grouped)
    }

    fn slot(&mut self, cut: &Cut<'_>, part: &Part, item: Option<usize>) {
        let canonical = cut.canonical(part);
        if self.slots.iter().any(|slot| slot.canonical == canonical) {
            return;
        }
        let probe = match item {
            Some(index) => Probe::Item(index),
            None => {
                self.extra.push(part.text.clone());
                Probe::Extra(self.extra.len() - 1)
            }
        };
        self.slots.push(Slot {
            text: part.text.clone(),
            canonical,
            probe,
        });
    }

    fn known(&self, cut: &Cut<'_>, part: &Part) -> Option<Value> {
        let canonical = cut.canonical(part);
        self.slots
            .iter()
            .position(|slot| slot.canonical == canonical)
            .map(Value::Slot)
    }

    fn call(&mut self, cut: &Cut<'_>, part: &Part) -> Result<Value, Refusal> {
        let calls = cut.calls(&part.range);
        let raw = calls
            .first()
            .ok_or_else(|| Refusal::Inexact(format!("`{}` cannot be told", part.text)))?;
        Ok(Value::Call(self.add_call(Call::new(cut, raw)?)))
    }

    pub fn add_call(&mut self, call: Call) -> usize {
        match self.calls.iter().position(|known| *known == call) {
            Some(index) => index,
            None => {
                self.calls.push(call);
                self.calls.len() - 1
            }
        }
    }

    fn sketch(&mut self, cut: &Cut<'_>, part: &Part, items: &[Item]) -> Result<Value, Refusal> {
        let sketch = Sketch::new(cut, self, part, items)?;
        self.sketches.push(sketch);
        Ok(Value::Sketch(self.sketches.len() - 1))
    }

    /// What the probe asks beside the items.
    pub fn probed(&self) -> Vec<String> {
        let calls = self.calls.iter().map(|call| call.text.clone());
        let distinct = self.distinct().map(str::to_owned);
        self.extra
            .iter()
            .cloned()
            .chain(calls)
            .chain(distinct)
            .collect()
    }

    /// The arguments of DISTINCT, of all aggregates.
    fn distinct(&self) -> impl Iterator<Item = &str> {
        self.calls
            .iter()
            .flat_map(|call| call.distinct.iter().flatten())
            .map(String::as_str)
    }

    pub fn probe_tail(&self) -> String {
        // By position: a name could be a column's as well as an alias.
        let positions: Vec<String> = self
            .slots
            .iter()
            .map(|slot| match slot.probe {
                Probe::Item(index) => (index + 1).to_string(),
                Probe::Extra(index) => (self.items + index + 1).to_string(),
            })
            .collect();
        match positions.is_empty() {
            true => String::new(),
            false => format!(" GROUP BY {}", positions.join(", ")),
        }
    }

    pub fn finish(
        &self,
        frame: &Frame,
        probed: &[Column],
        visible: usize,
    ) -> Result<Scattered, Refusal> {
        let calls_at = visible + self.extra.len();
        let distinct_at = calls_at + self.calls.len();
        let slot_column = |slot: &Slot| match slot.probe {
            Probe::Item(index) => &probed[index],
            Probe::Extra(index) => &probed[visible + index],
        };
        let mut list: Vec<String> = Vec::new();
        let mut positions = Vec::new();
        let mut key_cells = Vec::new();
        let mut fetch = |text: &str, column: &Column| -> Result<Fetched, Refusal> {
            let (compared, kind) = comparable(text, column, false)?;
            list.push(text.to_owned());
            let value = list.len() - 1;
            // By position: a constant would be taken for one.
            positions.push(list.len().to_string());
            let key = match compared == text {
                true => value,
                false => {
                    list.push(compared);
                    list.len() - 1
                }
            };
            Ok(Fetched { value, key, kind })
        };
        let mut slots = Vec::new();
        for slot in &self.slots {
            let cells = fetch(&slot.text, slot_column(slot))?;
            key_cells.push((cells.key, cells.kind));
            slots.push(cells);
        }
        let one_group = slots.is_empty();
        let mut distinct = Vec::new();
        for (number, text) in self.distinct().enumerate() {
            distinct.push(fetch(text, &probed[distinct_at + number])?);
        }
        let mut distinct = distinct.as_slice();
        let mut aggregates = Vec::new();
        for (call, column) in self.calls.iter().zip(&probed[calls_at..distinct_at]) {
            let own = call.distinct.as_ref().map_or(0, Vec::len);
            let (cells, rest) = distinct.split_at(own);
            distinct = rest;
            aggregates.push(call.merge(column, &mut list, cells)?);
        }
        let output = |value: &Value| match value {
            Value::Slot(index) => Output::Group {
                cell: slots[*index].value,
            },
            Value::Call(index) => Output::Aggregate { index: *index },
            Value::Sketch(index) => Output::Computed { index: *index },
        };
        let outputs: Vec<Output> = self.outputs.iter().map(output).collect();
        let order = self
            .order
            .iter()
            .map(|(value, descending)| {
                let (source, kind) = match value {
                    Value::Slot(index) => {
                        let Fetched { key, kind, .. } = slots[*index];
                        (Output::Group { cell: key }, kind)
                    }
                    Value::Call(index) => {
                        let kind = match probed[calls_at + index].kind {
                            // Compared by the weights that were fetched beside it.
                            Kind::Text => Kind::Binary,
                            kind => kind,
                        };
                        (output(value), kind)
                    }
                    // Known when it is computed.
                    Value::Sketch(_) => (output(value), Kind::Null),
                };
                (source, kind, *descending)
            })
            .collect();
        let column_of = |input: &Input| match input {
            Input::Slot(index) => slot_column(&self.slots[*index]),
            Input::Call(index) | Input::Average(index) => &probed[calls_at + index],
        };
        let computed = match self.sketches.is_empty() {
            true => None,
            false => {
                let shown = self
                    .outputs
                    .iter()
                    .zip(probed)
                    .filter_map(|(value, column)| match value {
                        Value::Sketch(index) => Some((*index, column.clone())),
                        _ => None,
                    })
                    .collect();
                Some(Sketch::finish(
                    &self.sketches,
                    self.having,
                    shown,
                    column_of,
                    |slot| slots[slot].value,
                    |slot| self.slots[slot].text.clone(),
                )?)
            }
        };
        let tail = match positions.is_empty() {
            true => String::new(),
            false => format!(" GROUP BY {}", positions.join(", ")),
        };
        Ok(Scattered {
            statement: frame.statement(&list, &tail),
            merge: Merge::Grouped {
                one_group,
                keys: key_cells,
                aggregates,
                outputs,
                order,
                computed,
                limit: frame.limit,
                offset: frame.offset,
            },
            columns: probed[..visible].to_vec(),
        })
    }
}
