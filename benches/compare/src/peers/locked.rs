//! A lock around logs that only one thread may write. A thread that is alone goes around it.

use parking_lot::Mutex;

use crate::harness::Outcome;
use crate::payload::{Found, Values};
use crate::peer::Log;

/// As [`Log`], for one thread at a time.
pub(crate) trait Single: Send {
    fn append(&mut self, value: &[u8]) -> Outcome;

    fn append_batch(&mut self, values: &[&[u8]]) -> Outcome;

    fn finish(&mut self) -> Outcome {
        Ok(())
    }

    fn prepare_read(&mut self) -> Outcome {
        Ok(())
    }

    fn read_all(&mut self) -> Outcome<Found>;

    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome;

    fn read_run(&mut self, numbers: &[usize]) -> Outcome<Found> {
        let mut found = Found::default();
        numbers.iter().try_for_each(|number| self.read_at(*number, &mut found))?;
        Ok(found)
    }

    fn append_run(&mut self, values: &Values) -> Outcome {
        if values.batch == 1 {
            values.each().try_for_each(|value| self.append(value))
        } else {
            values.in_batches(|batch| self.append_batch(batch))
        }
    }
}

pub(crate) struct Locked<S>(Mutex<S>);

impl<S> Locked<S> {
    pub(crate) fn new(log: S) -> Self {
        Self(Mutex::new(log))
    }
}

impl<S: Single> Log for Locked<S> {
    fn append(&self, _thread: usize, value: &[u8]) -> Outcome {
        self.0.lock().append(value)
    }

    fn append_batch(&self, _thread: usize, values: &[&[u8]]) -> Outcome {
        self.0.lock().append_batch(values)
    }

    fn finish(&mut self) -> Outcome {
        self.0.get_mut().finish()
    }

    fn prepare_read(&mut self) -> Outcome {
        self.0.get_mut().prepare_read()
    }

    fn read_all(&mut self) -> Outcome<Found> {
        self.0.get_mut().read_all()
    }

    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome {
        self.0.get_mut().read_at(number, found)
    }

    fn read_run(&mut self, numbers: &[usize]) -> Outcome<Found> {
        self.0.get_mut().read_run(numbers)
    }

    fn append_run(&mut self, values: &Values) -> Outcome {
        self.0.get_mut().append_run(values)
    }
}
