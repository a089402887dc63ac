//! The answers of a UNION ALL, one after the other.

use super::held::Held;
use super::query::{Fleet, Sink, refuse};
use crate::error::Result;
use crate::query::merge::Merge;
use crate::query::plan::{Plan, Way};
use crate::query::scatter::Scattered;
use crate::query::template::Template;
use crate::query::union::{Union, columns_of};
use crate::rows::cell::{Column, Row};

/// Takes the answer of one SELECT of several: its columns are those of the union.
struct Part<'a> {
    sink: &'a mut dyn Sink,
    skip: u64,
    left: u64,
}

impl Sink for Part<'_> {
    fn columns(&mut self, _: &[Column]) -> Result<()> {
        Ok(())
    }

    fn row(&mut self, row: Row) -> Result<()> {
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(());
        }
        if self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        self.sink.row(row)
    }
}

impl Fleet<'_> {
    /// Runs each SELECT and gives their rows to the sink.
    ///
    /// # Errors
    /// A shard fails, or the columns of the SELECTs do not fit.
    pub async fn run_union(&self, union: &Union, sink: &mut dyn Sink) -> Result<()> {
        let mut decided = Vec::with_capacity(union.plans.len());
        let mut all = Vec::with_capacity(union.plans.len());
        for plan in &union.plans {
            let scattered = self.finish(plan).await?;
            all.push(self.columns(plan, scattered.as_ref()).await?);
            decided.push(scattered);
        }
        let columns = columns_of(&all).map_err(|refusal| refuse(&refusal))?;
        // Rows of the first SELECT must not be shown where a later one may still be refused.
        let late = union.plans.iter().zip(&decided).any(|(plan, scattered)| {
            match (&plan.way, scattered) {
                (Way::Union(_), _) => true,
                (_, Some(scattered)) => {
                    scattered.merge.can_refuse_late()
                        || matches!(scattered.merge, Merge::Grouped { .. })
                }
                _ => false,
            }
        });
        if !late {
            return self.run_parts(union, &decided, &columns, sink).await;
        }
        let mut held = Held::default();
        self.run_parts(union, &decided, &columns, &mut held).await?;
        held.give(sink)
    }

    async fn run_parts(
        &self,
        union: &Union,
        decided: &[Option<Scattered>],
        columns: &[Column],
        sink: &mut dyn Sink,
    ) -> Result<()> {
        sink.columns(columns)?;
        let mut part = Part {
            sink,
            skip: union.offset,
            left: union.limit.unwrap_or(u64::MAX),
        };
        for (plan, scattered) in union.plans.iter().zip(decided) {
            if part.left == 0 {
                break;
            }
            // A run can have a union in it, and so a run.
            Box::pin(self.run_decided(plan, scattered.as_ref(), &mut part)).await?;
        }
        Ok(())
    }

    /// The columns that a plan's answer will have.
    async fn columns(&self, plan: &Plan, scattered: Option<&Scattered>) -> Result<Vec<Column>> {
        if let Some(scattered) = scattered {
            return Ok(scattered.columns.clone());
        }
        match &plan.way {
            Way::One { statement } => self.probe(plan, statement).await,
            _ => Ok(Vec::new()),
        }
    }

    async fn probe(&self, plan: &Plan, statement: &Template) -> Result<Vec<Column>> {
        self.probe_first(plan, &statement.followed_by(" LIMIT 0"))
            .await
    }
}
