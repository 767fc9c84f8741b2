//! What the doctor found, as a document for programs, text for people and one page to attach to a ticket.
