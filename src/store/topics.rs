//! The store's topics: created, adopted, altered, deleted.

use crate::error::{Error, Result};
use crate::io::caught;
use crate::store::store::Store;
use crate::topic::{Adoption, LogSource, Topic, TopicConfig, refuse_change};

impl Store {
    /// Creates a topic.
    ///
    /// # Errors
    /// [`TopicExists`](Error::TopicExists), also for a name that differs only in `.` and `_`;
    /// [`InvalidName`](Error::InvalidName) unless it is 1 to 249 of `[A-Za-z0-9._-]`, not `.` or `..`;
    /// [`InvalidConfig`](Error::InvalidConfig), [`Io`](Error::Io). [`Corrupt`](Error::Corrupt) where there are records under that name that the
    /// list of topics does not name and that nobody deleted, as [`recovery`](Self::recovery) reports. After these errors nothing was created.
    /// [`Poisoned`](Error::Poisoned) of the list of topics, which could not be synced: the next open of the store shows whether the topic was
    /// created.
    pub fn create_topic(&self, name: &str, config: TopicConfig) -> Result<Topic> {
        let _work = self.work()?;
        refuse_change(name)?;
        self.inner.groups.write_what_cannot_wait()?;
        let topic = self.inner.topics.create(name, &config)?;
        self.topic_changed(name);
        Ok(topic)
    }

    /// Creates several topics, all of them or none. The list of topics is written once: a thousand topics cost little more than one.
    ///
    /// # Errors
    /// As for [`create_topic`](Self::create_topic). Nothing was created.
    ///
    /// ```
    /// # use annals::{Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::open(dir.path())?;
    /// let names: Vec<_> = (0..100).map(|number| format!("customer-{number}")).collect();
    /// let topics = store.create_topics(names.iter().map(|name| (name, TopicConfig::new())))?;
    /// assert_eq!(topics.last().unwrap().name(), "customer-99");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn create_topics<N: AsRef<str>>(
        &self,
        topics: impl IntoIterator<Item = (N, TopicConfig)>,
    ) -> Result<Vec<Topic>> {
        let _work = self.work()?;
        let asked: Vec<_> = topics.into_iter().collect();
        asked.iter().try_for_each(|(name, _)| refuse_change(name.as_ref()))?;
        self.inner.groups.write_what_cannot_wait()?;
        let asked: Vec<_> = asked.iter().map(|(name, config)| (name.as_ref(), config)).collect();
        let topics = self.inner.topics.create_all(&asked)?;
        topics.iter().for_each(|topic| self.topic_changed(topic.name()));
        Ok(topics)
    }

    /// Makes a topic of logs that were written elsewhere: partitions of a Kafka broker, copies of partitions of annals, backups.
    /// `directories` has one directory for each partition, in order. Every batch stays as it is, byte for byte, at its offset, whatever
    /// wrote it; offsets may be missing. Appends continue after the last one. [`LogSource`](crate::LogSource) says where a
    /// partition is to start, and whether files may be linked instead of copied.
    ///
    /// Everything is read and checked before anything is written. When the call returns, the topic and its records are durable;
    /// after an error or a crash nothing of it is there. The directories stay as they are, and nobody may write to
    /// them meanwhile: a store that contains them cannot be opened. No other topic can be created, changed or deleted while files are copied,
    /// and a close waits.
    ///
    /// A transaction without an end in the files is aborted, durably, before anybody reads: whoever could decide it is elsewhere.
    /// [`AdoptedPartition::aborted`](crate::AdoptedPartition::aborted) counts them. A committed transaction whose end was not written yet
    /// counts among these: close the store, or stop the broker cleanly, before you take its files.
    ///
    /// The topic's settings apply to the adopted records, too: with `retention.ms` old records go soon. Offsets that groups have committed
    /// elsewhere are not adopted: set them with [`commit_offsets`](crate::Consumer::commit_offsets).
    ///
    /// # Errors
    /// [`CannotAdopt`](Error::CannotAdopt) with file, position and what to do: damage, offsets that go back or overlap, a
    /// format before Kafka 0.11, no `.log`, a directory in this store, or in another that is open, also through a link.
    /// [`BatchTooLarge`](Error::BatchTooLarge), [`InvalidConfig`](Error::InvalidConfig) when `config` has another number of partitions than
    /// there are directories; otherwise as for [`create_topic`](Self::create_topic).
    pub fn adopt_topic<S: Into<LogSource>>(
        &self,
        name: &str,
        config: TopicConfig,
        directories: impl IntoIterator<Item = S>,
    ) -> Result<Adoption> {
        let _work = self.work()?;
        refuse_change(name)?;
        self.inner.groups.write_what_cannot_wait()?;
        let sources = directories.into_iter().map(Into::into).collect();
        let adopted = self.inner.topics.adopt(name, &config, sources)?;
        self.topic_changed(name);
        Ok(adopted)
    }

    /// Returns the topic of that name. Topics that the store keeps for itself can be read like any other, once there is something in
    /// them, but only the store writes to them.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic).
    pub fn topic(&self, name: &str) -> Result<Topic> {
        self.check_open()?;
        self.inner.topics.get(name)
    }

    /// Returns the topic of that name, and creates it if there is none.
    ///
    /// # Errors
    /// [`TopicMismatch`](Error::TopicMismatch) when the topic exists and differs in anything that `config` sets:
    /// [`alter_topic`](Self::alter_topic) or [`add_partitions`](Self::add_partitions) change it. Otherwise as for
    /// [`create_topic`](Self::create_topic).
    pub fn ensure_topic(&self, name: &str, config: TopicConfig) -> Result<Topic> {
        let _work = self.work()?;
        refuse_change(name)?;
        self.inner.groups.write_what_cannot_wait()?;
        let topic = self.inner.topics.ensure(name, &config)?;
        self.topic_changed(name);
        Ok(topic)
    }

    /// Returns all topics in the order of their names, including the store's own.
    pub fn topics(&self) -> Vec<Topic> {
        self.inner.topics.all()
    }

    /// Adds partitions to a topic, so that there are `count`. From then on equal keys may go to other partitions than before. Consumers that
    /// are members of a group read the new ones from the first record, also with [`StartFrom::Latest`](crate::StartFrom::Latest).
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic), [`InvalidConfig`](Error::InvalidConfig) when there are as many already or the topic has a
    /// [`key_index`](TopicConfig::key_index),
    /// [`Io`](Error::Io). Nothing was added, except in the case that [`create_topic`](Self::create_topic) names.
    pub fn add_partitions(&self, name: &str, count: u32) -> Result<Topic> {
        let _work = self.work()?;
        refuse_change(name)?;
        let topic = self.inner.topics.add_partitions(name, count)?;
        self.topic_changed(name);
        Ok(topic)
    }

    /// Changes settings of a topic. Settings that `changes` does not give stay, and what it
    /// [unsets](TopicConfig::unset) gets its default again. The change applies to what is appended from then on.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic); [`InvalidConfig`](Error::InvalidConfig), also for a different number of partitions
    /// than there are, which [`add_partitions`](Self::add_partitions) changes; [`Io`](Error::Io). Nothing changed, except in the case
    /// that [`create_topic`](Self::create_topic) names.
    pub fn alter_topic(&self, name: &str, changes: TopicConfig) -> Result<Topic> {
        let _work = self.work()?;
        refuse_change(name)?;
        self.inner.topics.alter(name, &changes)
    }

    /// Deletes a topic, its files, and what groups have committed for it. Records that were fetched stay readable.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic). [`Io`](Error::Io): nothing has happened, the topic is still there. [`Poisoned`](Error::Poisoned) of the
    /// list of topics, which could not be synced: the next open of the store shows whether the topic is there; until then it is not.
    ///
    /// It is not an error if files of the topic cannot be removed: the topic is gone. Maintenance tries again and
    /// [reports](crate::StoreBuilder::on_maintenance_failure) its failures, under the name of the topic's first partition; so does the next open.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let _work = self.work()?;
        refuse_change(name)?;
        // A decision that misses something there is not to seem complete without it.
        drop(self.inner.transactions.write_owed());
        let deleted = self.inner.topics.delete(name);
        if matches!(self.inner.topics.get(name), Err(Error::UnknownTopic { .. })) {
            self.inner.care.failures.forget(name);
        }
        // Also after a failure, which may have come when the topic was gone already.
        self.topic_changed(name);
        // What a queue had of it is no other topic's; what fails here is done by the next deletion.
        drop(caught(|| self.inner.queues.forget_deleted()));
        deleted?;
        // It is gone. What cannot be taken back of what groups have committed for it is owed, and holds for no other topic.
        drop(caught(|| self.inner.groups.forget_deleted(name)));
        Ok(())
    }
}
