//! `weir doctor --html`: the file that is handed on, made by the real binary.

use crate::{running::Running, weir::Home};

const KEY: &str = "sk-proj-12345678abcdefgh12345678abcdefgh";

#[test]
fn the_page_has_the_verdict_and_the_stream_and_nothing_private() {
    let home = Home::new();
    let sim = Running::start(&home, &["sim", "--listen", "127.0.0.1:0", "--json"]);
    for (lang, words) in [("zh", "缓冲"), ("en", "buffer")] {
        let run = [
            "doctor",
            sim.text("base_url"),
            "--model",
            "sim:buffered,tokens=12,interval=60ms",
            "--cheap",
            "--html",
            "page.html",
            "--lang",
            lang,
        ];
        let ran = home.run_with(&[("WEIR_KEY", KEY)], &run);
        assert_eq!(ran.exit, 1, "{ran:?}");
        // Nobody looks on, so nothing was drawn.
        assert!(!ran.err.contains('\u{1b}'), "{ran:?}");
        let page = std::fs::read_to_string(home.path().join("page.html")).unwrap();
        assert!(page.contains("W-STREAM-002") && page.contains(words) && page.contains("<path d=\"M"), "{page}");
        assert!(page.contains(&format!("<html lang=\"{lang}\">")));
        for private in [&KEY[8..16], "Count from 1", "planted-cookie", "http://"] {
            assert!(!page.contains(private), "{private}");
        }
    }
    let nowhere = home.run_with(
        &[("WEIR_KEY", KEY)],
        &["doctor", sim.text("base_url"), "--model", "sim:401", "--html", "no/such/page.html", "--lang", "en"],
    );
    nowhere.failed(2, &["cannot write no/such/page.html", "mkdir -p no/such"]);
}
