//! Looks at a partition of which the owner changes meanwhile.

use std::cell::Cell;

use crate::share::away::in_one_life;

#[test]
fn what_an_owner_had_left_was_taken_for_what_the_next_one_showed() {
    // An owner comes in the middle of the first look, another one in that of the second.
    let (life, seen, looks) = (Cell::new(1), Cell::new(0), Cell::new(0));
    let look = || {
        seen.set(life.get());
        looks.set(looks.get() + 1);
        life.set(life.get().max(looks.get() + 1).min(3));
        Ok(())
    };
    assert_eq!(in_one_life(|| life.get(), look).unwrap(), 3);
    assert_eq!((seen.get(), looks.get()), (3, 3));
}
