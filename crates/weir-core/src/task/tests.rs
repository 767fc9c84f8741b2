//! Laws of tasks.
