//! Positions of groups are committed.

use annals::{Durability, Offset, Result, TopicPartition};

use crate::power_cut::scenes::World;

impl World {
    pub(crate) fn commit(
        &mut self,
        group: &str,
        (place, offset): (&TopicPartition, Offset),
        durability: Durability,
    ) -> Result<()> {
        let id = (group.to_owned(), place.clone());
        self.attempt(&format!("commit {offset} at {durability:?}"), |promises| {
            promises.commits.entry(id.clone()).or_insert_with(|| vec![None]).push(Some(offset));
        });
        let builder = self.store().consumer_builder().group(group).commit_durability(durability);
        let commit = || {
            let mut consumer = builder.build()?;
            consumer.assign([place.clone()])?;
            consumer.commit_offsets([(place.clone(), offset)])
        };
        if !self.bear(commit())? {
            return Ok(());
        }
        self.promise(|promises| {
            if durability == Durability::Disk {
                promises.commits.insert(id, vec![Some(offset)]);
            }
        });
        Ok(())
    }
}
