//! Telling the program what happens.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::error::Result;
use crate::figures::{Event, Figures};
use crate::io::{Deadline, caught};
use crate::store::caretaker::Caretaker;
use crate::upkeep::{Agenda, Chore, Reason};

/// What is called with each event.
pub(super) type OnEvent = Arc<dyn Fn(&Event) + Send + Sync>;

/// Takes events and hands them out, as a chore: without any lock of those who noted them.
pub(super) struct Teller {
    figures: Arc<Figures>,
    care: Arc<Caretaker>,
    tell: Option<OnEvent>,
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Teller").field(&self.figures.events).finish()
    }
}

impl Teller {
    /// One that nobody calls where nobody wants to be told.
    pub(super) fn new(
        tell: Option<OnEvent>,
        care: &Arc<Caretaker>,
        figures: &Arc<Figures>,
        agenda: &Arc<Agenda>,
    ) -> Arc<Self> {
        let is_wanted = tell.is_some() || cfg!(feature = "tracing");
        let teller = Arc::new(Self { figures: Arc::clone(figures), care: Arc::clone(care), tell });
        if is_wanted {
            // Neither keeps the other alive: the store holds both.
            let (weak, agenda): (Weak<Self>, _) = (Arc::downgrade(&teller), Arc::downgrade(agenda));
            figures.events.want(move || {
                if let (Some(teller), Some(agenda)) = (weak.upgrade(), agenda.upgrade()) {
                    agenda.add_timer(&teller, Deadline::after(Duration::ZERO));
                }
            });
        }
        teller
    }

    fn tell(&self, event: &Event) {
        #[cfg(feature = "tracing")]
        crate::store::traces::trace(event);
        let Some(tell) = &self.tell else { return };
        // Without a lock: it may panic, close the store, drop it, or call any of it.
        let told = caught(|| {
            tell(event);
            Ok(())
        });
        if let Err(panic) = told {
            self.care.failures.note_panic(&panic);
        }
    }
}

impl Chore for Teller {
    fn run(self: Arc<Self>, _: Reason) -> Result<()> {
        // One of the calls may close the store, and nothing is told after that.
        while self.care.topics.check_open().is_ok()
            && let Some(event) = self.figures.events.take()
        {
            self.tell(&event);
        }
        Ok(())
    }
}
