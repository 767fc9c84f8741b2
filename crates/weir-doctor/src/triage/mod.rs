//! Reads what people paste: logs, tracebacks, HAR, curl output, prose. Redacts first, then finds facts, then judges.
