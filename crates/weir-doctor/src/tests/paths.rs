//! Two ways to the same API: the doctor names the hop that breaks the stream.

use weir_core::{Lang, Verdict};
use weir_sim::{Scenario, Sim, SimSettings};

use super::{Bench, codes::agrees, order};
use crate::{
    probe::{Order, ProbeId},
    report::Layout,
};

fn edge(scenario: &str) -> Bench {
    let settings = SimSettings { always: Scenario::parse(scenario).unwrap(), ..SimSettings::default() };
    Bench { edge: Some(Sim::new(settings)), ..Bench::new() }
}

fn through_edge(model: &str) -> Order {
    Order { base_url: "http://edge.example.com/v1".to_owned(), direct: Some("http://api.example.com/v1".to_owned()), ..order(model) }
}

#[tokio::test(start_paused = true)]
async fn r23_a_hop_that_breaks_the_stream_is_named_by_going_around_it() {
    for scenario in ["sim:buffered", "sim:no_data", "sim:cut_after=5", "sim:wrong_type=json", "sim:gzip_buffered"] {
        let report = edge(scenario).report(through_edge("sim:tokens=30,interval=40ms")).await;
        assert_eq!(report.primary, Verdict::HopBreaksStream, "{scenario}: {}", report.text(Lang::En, Layout::default()));
        agrees(&report, scenario);
        assert!(report.text(Lang::En, Layout::default()).contains("around edge.example.com it is good"), "{scenario}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_is_there_on_both_ways_is_not_the_hops() {
    let report = edge("sim:ok").report(through_edge("sim:no_done")).await;
    assert_eq!(report.primary, Verdict::EndMarkerMissing);
    agrees(&report, "both");
    let well = edge("sim:ok").report(through_edge("sim:tokens=30,interval=40ms")).await;
    assert_eq!(well.primary, Verdict::Ok);
    assert!(well.checks.iter().any(|check| check.id == ProbeId::P7));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_breaks_the_stream_is_named_by_going_through_it() {
    let via = |model: &str| Order { via: Some("http://edge.example.com:3128".to_owned()), ..order(model) };
    let report = edge("sim:buffered").report(via("sim:tokens=30,interval=40ms")).await;
    assert_eq!(report.primary, Verdict::HopBreaksStream, "{}", report.text(Lang::En, Layout::default()));
    agrees(&report, "via");
    let well = edge("sim:ok").report(via("sim:tokens=30,interval=40ms")).await;
    assert_eq!(well.primary, Verdict::Ok);
}
