//! What stores are used for while the power fails.

use std::time::Duration;

use annals::Durability::{Disk, Memory, Os};
use annals::{CleanupPolicy, Result, TopicConfig, TopicPartition};

use crate::power_cut::explore::{
    Work, cuts, cuts_behind_kills, cuts_twice, evictions, failed_syncs, failures,
};
use crate::power_cut::promise::Entry;
use crate::power_cut::scenes::{World, tiny};
use crate::power_cut::trouble::Kind;

fn place(partition: u32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

fn begin(world: &mut World, config: TopicConfig) -> Result<()> {
    world.open()?;
    world.create("orders", config)
}

/// Batches of some records, at any level.
fn fill(world: &mut World, batches: u64) -> Result<()> {
    for _ in 0..batches {
        let level = [Os, Os, Disk, Memory][usize::try_from(world.random.below(4)).unwrap()];
        let count = 1 + world.random.below(3);
        world.append(&place(0), count, level)?;
    }
    Ok(())
}

fn appends(world: &mut World) -> Result<()> {
    begin(world, TopicConfig::new().segment_bytes(8192))?;
    for level in [Os, Disk, Memory, Os] {
        world.append(&place(0), 1, level)?;
        world.append(&place(0), 3, level)?;
    }
    world.flush(&place(0))?;
    world.send(&place(0), 3, Os)?;
    world.send(&place(0), 2, Disk)?;
    world.append_if(&place(0))?;
    fill(world, 5)
}

#[test]
fn appending() {
    cuts("appending", 12, appends);
}

fn rolls(world: &mut World) -> Result<()> {
    begin(world, tiny())?;
    fill(world, 16)?;
    world.flush(&place(0))?;
    fill(world, 4)
}

#[test]
fn rolling() {
    cuts("rolling", 10, rolls);
}

/// Rolls that fail, in a process that lives on.
fn refuses(world: &mut World) -> Result<()> {
    begin(world, tiny())?;
    for number in 0..8 {
        fill_small(world)?;
        if number % 3 < 2 {
            world.model.trouble(Kind::ONE_SYNC, "annals.state.new", 0);
        }
        let large = world.entry(1, 900);
        world.try_append(&place(0), large)?;
        world.model.heal();
        fill_small(world)?;
    }
    world.flush(&place(0))
}

fn fill_small(world: &mut World) -> Result<()> {
    for _ in 0..2 {
        let small = world.entry(0, 10);
        world.append_entries(&place(0), &[small], Disk)?;
    }
    Ok(())
}

#[test]
fn refusing() {
    cuts("refusing", 6, refuses);
}

fn closes(world: &mut World) -> Result<()> {
    begin(world, tiny().partitions(2))?;
    for _ in 0..3 {
        fill(world, 3)?;
        world.append(&place(1), 2, Os)?;
        world.close()?;
        world.open_again()?;
    }
    world.append(&place(0), 1, Os)
}

#[test]
fn closing() {
    cuts("closing", 5, closes);
}

fn changes_topics(world: &mut World) -> Result<()> {
    begin(world, tiny().partitions(2))?;
    world.append(&place(1), 2, Disk)?;
    world.create("other", TopicConfig::new())?;
    world.add_partitions("orders", 4)?;
    world.append(&place(3), 2, Disk)?;
    world.alter("orders", 5000)?;
    world.delete("other")?;
    world.create("other", tiny())?;
    world.append(&TopicPartition::new("other", 0), 1, Os)?;
    world.delete("orders")?;
    world.create("orders", TopicConfig::new())?;
    world.append(&place(0), 1, Disk)
}

#[test]
fn changing_topics() {
    cuts("changing_topics", 9, changes_topics);
}

fn commits(world: &mut World) -> Result<()> {
    begin(world, TopicConfig::new())?;
    world.append(&place(0), 3, Os)?;
    world.commit("billing", (&place(0), 2), Os)?;
    world.commit("billing", (&place(0), 3), Disk)?;
    world.append(&place(0), 2, Disk)?;
    world.append(&place(0), 2, Os)?;
    world.commit("billing", (&place(0), 6), Disk)?;
    world.commit("audit", (&place(0), 7), Os)?;
    world.commit("audit", (&place(0), 1), Disk)?;
    world.append(&place(0), 2, Disk)?;
    world.commit("billing", (&place(0), 8), Os)
}

#[test]
fn committing() {
    cuts("committing", 9, commits);
}

fn retains(world: &mut World) -> Result<()> {
    begin(world, tiny().retention_records(6))?;
    fill(world, 12)?;
    world.apply_retention()?;
    fill(world, 4)?;
    let end = world.partition(&place(0))?.end();
    world.delete_records(&place(0), end - 3)?;
    world.append(&place(0), 2, Os)?;
    world.apply_retention()?;
    world.delete_records(&place(0), end)?;
    fill(world, 3)
}

#[test]
fn retaining() {
    cuts("retaining", 9, retains);
}

fn compacted() -> TopicConfig {
    tiny().cleanup_policy(CleanupPolicy::Compact)
}

fn compacts(world: &mut World) -> Result<()> {
    begin(world, compacted())?;
    fill(world, 12)?;
    let gone = Entry { key: b"key 1".into(), value: None, ends_batch: true };
    world.append_entries(&place(0), &[gone], Os)?;
    world.compact("orders")?;
    fill(world, 8)?;
    world.compact("orders")?;
    world.erase("orders", b"key 2")?;
    world.append(&place(0), 1, Os)?;
    world.clock.advance(Duration::from_secs(3 * 86_400));
    world.compact("orders")?;
    fill(world, 2)
}

#[test]
fn compacting() {
    cuts("compacting", 10, compacts);
}

fn maintains(world: &mut World) -> Result<()> {
    begin(world, TopicConfig::new().partitions(2).segment_bytes(4096))?;
    for _ in 0..4 {
        fill(world, 3)?;
        world.append(&place(1), 1, Os)?;
        world.maintain()?;
    }
    Ok(())
}

#[test]
fn maintaining() {
    cuts("maintaining", 8, maintains);
}

/// Enough of everything, for lives that begin after a crash.
fn uses(world: &mut World) -> Result<()> {
    begin(world, compacted())?;
    fill(world, 8)?;
    world.commit("billing", (&place(0), 3), Os)?;
    world.compact("orders")?;
    let end = world.partition(&place(0))?.end();
    world.commit("billing", (&place(0), end), Disk)?;
    world.delete_records(&place(0), 2)?;
    fill(world, 3)
}

fn goes_on(world: &mut World) -> Result<()> {
    if world.store().topic("orders").is_err() {
        return Ok(());
    }
    fill(world, 2)?;
    world.append(&place(0), 1, Disk)?;
    if world.random.below(2) == 0 {
        world.compact("orders")?;
    }
    world.close()
}

#[test]
fn recovering() {
    cuts_twice("recovering", 14, (uses, goes_on));
}

fn stays_up(world: &mut World) -> Result<()> {
    if world.store().topic("orders").is_err() {
        return Ok(());
    }
    for _ in 0..3 {
        world.append(&place(0), 1, Disk)?;
    }
    fill(world, 2)?;
    world.append(&place(0), 2, Disk)
}

#[test]
fn failing_syncs() {
    failed_syncs("failing_syncs", 8, (uses, stays_up));
}

#[test]
fn evicted_pages() {
    evictions("evicted_pages", 5, (uses, stays_up));
}

fn retains_compacted(world: &mut World) -> Result<()> {
    begin(world, tiny().cleanup_policy(CleanupPolicy::CompactDelete).retention_records(6))?;
    fill(world, 10)?;
    world.compact("orders")?;
    world.apply_retention()?;
    fill(world, 6)
}

/// What is sealed goes while there is no room for a copy of the tail, and then that goes, too.
fn frees(world: &mut World) -> Result<()> {
    if world.store().topic("orders").is_err() {
        return Ok(());
    }
    world.bears = true;
    world.model.trouble(Kind::NO_ROOM, ".log.new", 0);
    world.apply_retention()?;
    let (start, end) = (world.partition(&place(0))?.start(), world.partition(&place(0))?.end());
    world.delete_records(&place(0), start + (end - start) / 2)?;
    world.delete_records(&place(0), end)?;
    world.model.heal();
    world.bears = false;
    world.append(&place(0), 2, Os)?;
    world.apply_retention()?;
    world.append(&place(0), 1, Disk)
}

#[test]
fn freeing_without_room_for_the_tail() {
    cuts_behind_kills("freeing_without_room_for_the_tail", 4, (retains_compacted, frees));
}

#[test]
fn freeing_after_a_failed_sync() {
    failed_syncs("freeing_after_a_failed_sync", 3, (retains_compacted, frees));
}

/// As many as have no factor in common with the kinds of failures: every kind comes to every workload.
const FAILING: [Work; 9] =
    [appends, rolls, closes, changes_topics, commits, retains, compacts, maintains, uses];

#[test]
fn failing_calls() {
    failures("failing_calls", 10, &FAILING, stays_up);
}
