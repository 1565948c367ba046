//! A disk that has so many bytes: what compaction takes of it, and closing where there are none.

#[cfg(test)]
mod closing;
#[cfg(test)]
mod compaction;
#[cfg(test)]
mod disk;
