//! Topics are created, changed and deleted.

use annals::{Result, TopicConfig};

use crate::power_cut::promise::{LogPromise, SETTING, TopicPromise};
use crate::power_cut::scenes::World;

/// Segments of a few records.
pub(crate) fn tiny() -> TopicConfig {
    TopicConfig::new().segment_bytes(1200).index_interval_bytes(200)
}

impl World {
    pub(crate) fn create(&mut self, name: &str, config: TopicConfig) -> Result<()> {
        let count = config.partition_count().unwrap_or(1);
        let logs = vec![LogPromise::default(); usize::try_from(count).unwrap()];
        let settings = vec![config.get(SETTING).to_owned()];
        self.recorder.ask(Vec::new());
        self.attempt(&format!("create {name}"), |promises| {
            let promise = TopicPromise { is_certain: false, counts: vec![count], settings, logs };
            promises.topics.insert(name.to_owned(), promise);
        });
        self.store().create_topic(name, config)?;
        self.promise(|promises| promises.topics.get_mut(name).unwrap().is_certain = true);
        Ok(())
    }

    pub(crate) fn delete(&mut self, name: &str) -> Result<()> {
        self.recorder.ask(Vec::new());
        self.attempt(&format!("delete {name}"), |promises| {
            promises.topics.get_mut(name).unwrap().is_certain = false;
        });
        self.store().delete_topic(name)?;
        self.promise(|promises| _ = promises.topics.remove(name));
        Ok(())
    }

    pub(crate) fn add_partitions(&mut self, name: &str, count: u32) -> Result<()> {
        self.attempt(&format!("add partitions to {name}"), |promises| {
            let topic = promises.topics.get_mut(name).unwrap();
            topic.counts.push(count);
            topic.logs.resize(usize::try_from(count).unwrap(), LogPromise::default());
        });
        self.store().add_partitions(name, count)?;
        self.promise(|promises| promises.topics.get_mut(name).unwrap().counts = vec![count]);
        Ok(())
    }

    pub(crate) fn alter(&mut self, name: &str, value: u32) -> Result<()> {
        self.attempt(&format!("alter {name}"), |promises| {
            promises.topics.get_mut(name).unwrap().settings.push(value.to_string());
        });
        self.store().alter_topic(name, TopicConfig::new().max_message_bytes(value))?;
        self.promise(|promises| promises.topics.get_mut(name).unwrap().settings = vec![value.to_string()]);
        Ok(())
    }
}
