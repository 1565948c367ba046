//! Order by key over states that were without it.

use crate::format::{DeliveryState, StateBatch};
use crate::share::lanes::Fresh;
use crate::share::share_partition::SharePartition;

/// Three messages of one key, each out twice when an earlier life ended.
fn out_twice(limit: i16, is_searched_first: bool) -> SharePartition {
    let mut state = SharePartition::new(0);
    state.restore(None, &[StateBatch { first: 0, last: 2, state: DeliveryState::Available, count: 2 }]);
    if is_searched_first {
        state.suspect_of(limit);
    }
    state.keep_order((0..3).map(|offset| Fresh { offset, key: Some(7) }));
    if !is_searched_first {
        state.suspect_of(limit);
    }
    state
}

#[test]
fn what_may_have_ended_a_process_is_tried_alone_also_where_it_had_to_wait_for_its_key() {
    for is_searched_first in [false, true] {
        let mut state = out_twice(5, is_searched_first);
        for offset in 0..3 {
            assert!(state.is_suspect(offset), "{offset} of {state:?}");
            assert!(offset == 2 || !state.is_suspect(offset + 1), "it waits for its key: {state:?}");
            state.finish(offset, offset, DeliveryState::Acknowledged);
            state.check();
        }
        let mut without = out_twice(5, is_searched_first);
        without.forget_order();
        assert!((0..3).all(|offset| without.is_suspect(offset)), "{without:?}");
    }
}
