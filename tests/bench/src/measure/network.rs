//! The table far away: requests, connections and round trips.

use crate::report::{median, ms, number};
use crate::{Report, Result, Stage, Wire, function_url_event};
use bench_floor::Row;
use std::time::{Duration, Instant};

const ONE_WAY: Duration = Duration::from_millis(10);

/// Leads one after the other through a wire that takes 10 ms each way.
pub async fn measure(stage: &Stage, leads: usize) -> Result<Report> {
    let (table, state) = ("FarLeads", "FarState");
    stage.create(table).await?;
    stage.create(state).await?;
    let wire = Wire::start(stage.table.table().port(), ONE_WAY).await?;
    let mut rows = Vec::new();

    // What a round trip costs here: the bare insert over a kept connection. And what it costs over a new one each time.
    let mut bare = stage.bare(wire.port(), table)?;
    bare.insert(Row { partition_key: "bare", row_key: "first" }).await?;
    let mut kept = Vec::new();
    for n in 0..leads.min(200) {
        let since = Instant::now();
        bare.insert(Row { partition_key: "bare", row_key: &format!("kept-{n}") }).await?;
        kept.push(ms(since.elapsed()));
    }
    let round_trip = median(&kept);
    wire.forget();
    let mut anew = Vec::new();
    for n in 0..leads.min(200) {
        let since = Instant::now();
        let row_key = format!("anew-{n}");
        stage.bare(wire.port(), table)?.insert(Row { partition_key: "bare", row_key: &row_key }).await?;
        anew.push(ms(since.elapsed()));
    }
    let mut line = |name: &str, count: usize, time: f64, wire: &Wire| {
        rows.push(vec![
            name.to_owned(),
            number(count),
            number(wire.requests().len()),
            number(wire.connections()),
            format!("{:.1}", time),
            format!("{:.2}", time / round_trip),
            number(wire.bytes() / count),
        ]);
    };
    line("bare insert, a new connection each time", anew.len(), median(&anew), &wire);

    let mut ours = (0, 0, 0.0);
    for subject in stage.all("intake")? {
        wire.forget();
        let mut lambda = stage.start(&subject, wire.port(), table, state).await?;
        let mut times = Vec::new();
        for _ in 0..leads {
            let unique = jiff::Timestamp::now().as_nanosecond();
            let event = function_url_event(usize::try_from(unique).unwrap_or_default());
            times.push(ms(lambda.invoke(&event).await?.took));
        }
        line(subject.name, leads, median(&times), &wire);
        if ours.0 == 0 {
            ours = (wire.requests().len(), wire.connections(), median(&times) / round_trip);
        }
    }
    let mut report = Report::new("A table 20 ms away");
    report.say(format!(
        "Leads one after the other through a proxy that delays every byte, and the opening of a connection, by 10 ms each \
         way. One round trip, measured as the bare insert over a kept connection: {round_trip:.1} ms. The proxy speaks \
         TCP. A TLS handshake costs one more round trip (TLS 1.3) for each new connection, so that what a kept connection \
         saves is twice what stands here; the next measurement is over TLS. The Azure crate's own transport keeps no connection, like the first line."
    ));
    report.table(&["", "leads", "requests", "connections", "p50, ms", "round trips", "bytes a lead"], &rows);
    report.target(
        &format!("20 ms round trip: requests and connections for {} leads", number(leads)),
        &format!("{} and 1", number(leads)),
        format!("{} and {}", number(ours.0), ours.1),
        ours.0 == leads && ours.1 == 1,
    );
    report.target("round trips a lead", "≤ 1.1", format!("{:.2}", ours.2), ours.2 <= 1.1);
    Ok(report)
}
