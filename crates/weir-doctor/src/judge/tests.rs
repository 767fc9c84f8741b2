//! The rules by table: what was seen, what it comes to.
