//! Laws of triage.
use super::*;
#[test]
fn leak_probe() {
    let redactor = Redactor::new([]);
    let setting = Setting {
        redactor: &redactor,
        audience: Audience::Support,
        now: Timestamp(1_760_000_000_000),
        zone: TimeZone::UTC,
        dice: 7,
        product: "weir 0.1.0",
    };
    for f in ["curl.txt", "har.json", "py.txt", "zh.txt"] {
        let text = std::fs::read_to_string(format!("/tmp/p/{f}")).unwrap();
        let red = redactor.redact(&text, Audience::Support);
        let ex = exchange::read(red.as_str());
        let facts = Facts::of(red.as_str(), &ex, None);
        let rec = records::of(red.as_str());
        let found = judge::findings(red.as_str(), &ex, &rec, &facts, setting.now);
        let mut made = Triage::of(red.as_str(), &found, &ex, facts, &setting);
        made.held_a_secret = true;
        made.replaced = red.replaced().clone();
        for t in [serde_json::to_string(&made.view(Lang::En)).unwrap(), made.text(Lang::Zh), made.text(Lang::En)] {
            if let Err(leak) = redactor.scan(&t, Audience::Support) {
                eprintln!(
                    "{f} {leak:?}: …{}⟦{}",
                    &t[t.floor_char_boundary(leak.at.saturating_sub(60))..leak.at],
                    &t[leak.at..t.floor_char_boundary(leak.at + 80)]
                );
            }
        }
    }
}
