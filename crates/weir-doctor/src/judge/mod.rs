//! The rules: from what the probes saw to findings and one primary verdict, in the order of the table.
