use annals::{Offset, TopicPartition};

use super::{Known, Standing, id_text};
use crate::cluster::{Commit, Ends};
use crate::error::{Error, Result};
use crate::offset_map::{Changes, Noted, Run, Translated, value};
use crate::source::Bounds;

/// Of the topic that is mirrored.
const ID: u128 = 7;

/// Notes with these runs: source, source next, target, target next.
fn noted(id: u128, runs: &[[Offset; 4]]) -> Noted {
    let mut noted = Noted::default();
    for [source, source_next, target, target_next] in runs.iter().copied() {
        let run = Run { source, source_next, target, target_next, is_coarse: false };
        noted.replay(source, Some(value(&run, id).as_bytes()), ID);
    }
    noted
}

/// Where it goes on, with `commit`, in a source from `start` to 2000 and a target up to `end`.
fn standing(commit: Option<Offset>, noted: &Noted, (start, end): (Offset, Offset)) -> Result<Standing> {
    let commit = commit.map(|offset| Commit { offset, metadata: id_text(ID) });
    let known = Known {
        place: &TopicPartition::new("orders", 0),
        topic_id: ID,
        commit: commit.as_ref(),
        noted,
        source: Bounds { start, stable: 2000, durable: 2000 },
        target: Ends { start: 0, end },
    };
    known.standing(false)
}

fn position(standing: &Result<Standing>) -> Offset {
    standing.as_ref().unwrap().position
}

/// The notes with what the standing changes.
fn changed(noted: &Noted, standing: &Standing) -> crate::offset_map::OffsetMap {
    let mut map = noted.map.clone();
    map.apply(&standing.changes);
    map
}

#[test]
fn the_first_time_it_begins_at_the_start() {
    let found = standing(None, &Noted::default(), (10, 0)).unwrap();
    assert_eq!(found, Standing { position: 10, changes: Changes::default() });
}

#[test]
fn a_group_that_the_cluster_has_forgotten_leaves_the_position_to_the_map() {
    let notes = noted(ID, &[[0, 1000, 0, 1000]]);
    let found = standing(None, &notes, (0, 1001)).unwrap();
    assert_eq!(found, Standing { position: 1000, changes: Changes::default() });
    // What was deleted since is told as with a commit.
    assert!(matches!(standing(None, &notes, (1001, 1001)), Err(Error::Deleted { position: 1000, .. })));
}

#[test]
fn a_forgotten_group_of_another_topic_of_that_name_is_no_first_time() {
    let notes = noted(ID + 1, &[[0, 1000, 0, 1000]]);
    assert!(matches!(standing(None, &notes, (0, 1001)), Err(Error::Diverged { position: 1000, .. })));
    // Where the target was made again as well, nothing comes twice; the runs of the old ones go.
    let found = standing(None, &notes, (0, 0)).unwrap();
    assert_eq!((found.position, found.changes.removed), (0, vec![0]));
}

#[test]
fn a_stretch_that_was_mirrored_without_a_run_repeats_and_is_not_skipped() {
    let found = standing(Some(1000), &Noted::default(), (0, 1001)).unwrap();
    let mut map = changed(&Noted::default(), &found);
    assert_eq!(found.position, 1000);
    assert_eq!(map.translate(500, 1000), Translated::Before(0));
    // The next step follows.
    let mut runs = crate::offset_map::Runs::default();
    (1000..1010).for_each(|offset| runs.push(offset, offset + 1));
    map.apply(&map.with(&runs));
    assert_eq!(map.translate(500, 1010), Translated::Before(0));
    assert_eq!(map.translate(1005, 1010), Translated::Exactly(1006));

    // The same behind what has runs, as where only a part of the map could be read.
    let notes = noted(ID, &[[0, 400, 0, 400]]);
    let found = standing(Some(1000), &notes, (0, 1003)).unwrap();
    let map = changed(&notes, &found);
    assert_eq!(map.translate(399, 1000), Translated::Exactly(399));
    assert_eq!(map.translate(400, 1000), Translated::Exactly(400));
    assert_eq!(map.translate(500, 1000), Translated::Before(400));
    assert_eq!(map.translate(1000, 1000), Translated::Exactly(1003));
}

#[test]
fn marks_at_the_end_of_the_source_need_no_run() {
    let notes = noted(ID, &[[0, 400, 0, 400]]);
    let found = standing(Some(403), &notes, (0, 401)).unwrap();
    assert_eq!(found, Standing { position: 403, changes: Changes::default() });
    assert_eq!(changed(&notes, &found).translate(403, 403), Translated::Exactly(400));
}

#[test]
fn runs_of_a_target_that_was_made_again_are_removed() {
    let notes = noted(ID, &[[0, 400, 0, 400], [500, 900, 450, 850]]);
    // The cluster has forgotten the group's offsets together with the topic.
    let found = standing(None, &notes, (0, 0)).unwrap();
    assert_eq!((found.position, changed(&notes, &found).runs()), (0, 0));
    // A step of another partition has committed the start of this one since.
    let found = standing(Some(0), &notes, (0, 0)).unwrap();
    assert_eq!((found.position, changed(&notes, &found).runs()), (0, 0));
}

#[test]
fn offsets_that_were_set_back_leave_no_run_that_leads_ahead() {
    let notes = noted(ID, &[[0, 400, 0, 400], [500, 900, 450, 850]]);
    let found = standing(Some(600), &notes, (0, 851)).unwrap();
    let map = changed(&notes, &found);
    assert_eq!((found.position, map.runs()), (600, 1));
    assert_eq!(map.translate(550, 600), Translated::Before(0));
}

#[test]
fn a_target_that_has_lost_records_is_told() {
    let notes = noted(ID, &[[0, 400, 0, 400]]);
    let told = standing(Some(400), &notes, (0, 300));
    assert!(told.unwrap_err().to_string().contains("went up to 400, and they end at 300"));
}

#[test]
fn a_commit_of_another_history_is_told() {
    assert!(matches!(standing(Some(2001), &Noted::default(), (0, 0)), Err(Error::Diverged { .. })));
    assert_eq!(position(&standing(Some(2000), &Noted::default(), (0, 3000))), 2000);
    let notes = noted(ID + 1, &[]);
    let known = Known {
        place: &TopicPartition::new("orders", 0),
        topic_id: ID + 1,
        commit: Some(&Commit { offset: 5, metadata: id_text(ID) }),
        noted: &notes,
        source: Bounds { start: 0, stable: 2000, durable: 2000 },
        target: Ends { start: 0, end: 5 },
    };
    assert!(known.standing(true).unwrap_err().to_string().contains("another topic of that name"));
}
