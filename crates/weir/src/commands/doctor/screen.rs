//! The terminal while the doctor works: lines drawn over the lines before, by a thread of its own, so that no probe waits for a slow terminal.

use std::{
    io::{self, IsTerminal, Write},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::{Builder, JoinHandle},
    time::Duration,
};

use tokio::time::Instant;
use weir_core::Lang;
use weir_doctor::{
    probe::Progress,
    report::{Layout, Live},
};

use crate::shell::Shell;

/// Progress that waits to be drawn; beyond it arrivals are not drawn.
const WAITING: usize = 4_096;
/// Between two pictures: ten a second look alive.
const PICTURE: Duration = Duration::from_millis(100);
/// Where the size of the terminal is not known.
const SIZE: (usize, usize) = (80, 24);

/// A screen that is being drawn.
#[derive(Debug)]
pub(super) struct Screen {
    progress: SyncSender<Progress>,
    drawing: JoinHandle<()>,
}

impl Screen {
    /// Begins to draw; none where nobody looks on, or where lines cannot be drawn over.
    pub(super) fn start(shell: &Shell, layout: Layout) -> Option<Self> {
        let is_plain = shell.flags.json || !io::stderr().is_terminal() || shell.variable("TERM").is_none_or(|term| term == "dumb");
        if is_plain {
            return None;
        }
        let (progress, heard) = sync_channel(WAITING);
        let lang = shell.lang;
        let drawing = Builder::new().name("doctor screen".to_owned()).spawn(move || draw(&heard, lang, layout)).ok()?;
        Some(Self { progress, drawing })
    }

    /// Where progress is told. Never waits.
    pub(super) fn teller(&self) -> SyncSender<Progress> {
        self.progress.clone()
    }

    /// Ends the drawing: what was drawn is taken away, but for the strips of the streams.
    pub(super) fn end(self) {
        drop(self.progress);
        // A panic there took only the picture with it.
        let _ = self.drawing.join();
    }
}

fn draw(heard: &Receiver<Progress>, lang: Lang, layout: Layout) {
    let mut live = Live::new(lang, layout);
    let mut begun = Instant::now();
    let mut drawn: Vec<usize> = Vec::new();
    let mut next = begun;
    loop {
        match heard.recv_timeout(PICTURE) {
            Ok(progress) => {
                if matches!(progress, Progress::Started(_)) {
                    begun = Instant::now();
                }
                live.see(&progress);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if Instant::now() >= next {
            let (columns, rows) = size();
            let lines = live.frame(begun.elapsed(), columns, rows.saturating_sub(1));
            put(&erase(&drawn, columns), &lines);
            drawn = lines.iter().map(|line| cells(line)).collect();
            next = Instant::now() + PICTURE;
        }
    }
    let (columns, _) = size();
    put(&erase(&drawn, columns), &live.strips(columns));
}

/// Back to the first drawn line, and everything below taken away. A window that became narrower has wrapped what was drawn.
fn erase(drawn: &[usize], columns: usize) -> String {
    let rows: usize = drawn.iter().map(|cells| cells.div_ceil(columns.max(1)).max(1)).sum();
    if rows == 0 { String::new() } else { format!("\u{1b}[{rows}A\r\u{1b}[J") }
}

/// Cells of a line, without its colours.
fn cells(line: &str) -> usize {
    let bare =
        line.split('\u{1b}').enumerate().map(|(i, part)| if i == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) });
    bare.map(unicode_width::UnicodeWidthStr::width).sum()
}

fn put(before: &str, lines: &[String]) {
    let text = lines.iter().fold(before.to_owned(), |text, line| text + line + "\n");
    let mut out = io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Columns and rows.
fn size() -> (usize, usize) {
    rustix::termios::tcgetwinsize(io::stderr())
        .map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)))
        .ok()
        .filter(|(columns, rows)| *columns > 0 && *rows > 0)
        .unwrap_or(SIZE)
}
