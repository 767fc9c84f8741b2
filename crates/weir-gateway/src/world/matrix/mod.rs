//! The fault matrix: every fault × stream or not × scenario, each cell produced by a call through the real gateway in simulated time.
//!
//! `docs/fault-matrix.md` is this table. A cell that changes fails the test below until the page is made anew:
//! `cargo xtask gen --simulated`.

mod cell;
mod faults;
mod laws;
mod own;
mod page;

use weir_core::Scenario;

use super::{Sabotage, docs, rig::Order};
use cell::Cell;
use faults::{Class, Fault, Scene};

/// The scenarios that a chat may be asked in.
const SCENARIOS: [Scenario; 2] = [Scenario::ShortChat, Scenario::Batch];

/// One fault and what its calls came to.
struct Row {
    fault: Fault,
    /// By stream flag (off, on), then by scenario.
    cells: [[Cell; 2]; 2],
}

fn rows() -> Vec<Row> {
    let faults = faults::of_the_upstream().into_iter().chain(own::faults());
    let mut rows: Vec<Row> = faults
        .map(|fault| {
            let cells = [false, true].map(|stream| SCENARIOS.map(|scenario| cell::run(&fault, stream, scenario)));
            Row { fault, cells }
        })
        .collect();
    rows.sort_by_key(|row| row.fault.class);
    rows
}

#[test]
fn every_cell_of_the_fault_matrix_is_what_the_docs_say() {
    let rows = rows();
    let mut broken = Vec::new();
    for row in &rows {
        for (stream, cells) in row.cells.iter().enumerate() {
            for (scenario, cell) in cells.iter().enumerate() {
                if let Err(law) = laws::hold(cell) {
                    broken.push(format!("{} (stream {}, {:?}): {law}", row.fault.name, stream == 1, SCENARIOS[scenario]));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    docs::is_there("fault-matrix.md", &page::of(&rows));
}

#[test]
fn a_broken_gateway_breaks_the_laws_of_its_cells() {
    let broken = |order: fn(&mut Order), law: &str| {
        let scene = Scene { order, ..Scene::of("sim:tokens=8,cut_after=5") };
        let fault = Fault { class: Class::Stream, name: String::new(), what: String::new(), word: None, scene };
        let found = laws::hold(&cell::run(&fault, true, Scenario::ShortChat));
        assert!(found.as_ref().is_err_and(|found| found.contains(law)), "{found:?}");
    };
    broken(|order| order.sabotage = Sabotage::ForgedDone, "end marker");
    broken(|order| order.sabotage = Sabotage::DoubleSettle, "costs");
    broken(|order| order.sabotage = Sabotage::DroppedRecord, "rows");
}

#[test]
fn every_word_of_the_catalogue_that_spoils_an_answer_has_a_row() {
    let faults = faults::of_the_upstream();
    for entry in weir_sim::catalog::CATALOG {
        let rows = faults.iter().filter(|fault| fault.word == Some(entry.term)).count();
        assert_eq!(rows > 0, faults::concerns_an_answer(entry), "{}", entry.name);
    }
}
