//! Secrets and table over TLS and far away: round trips to the first answer. And what TLS costs a warm lead.

use super::intake::check;
use crate::report::{median, ms, number, ratios, spread};
use crate::{
    Authority, Door, Lambda, Report, Result, Ssm, Stage, Subject, Wire, function_url_event, leads, sequential,
};
use bench_floor::Row;
use std::time::{Duration, Instant};

const ONE_WAY: Duration = Duration::from_millis(10);
const TABLE: &str = "SecretLeads";
const STATE: &str = "SecretState";
const STORAGE: &str = "/leads/storage";
const KEYS: &str = "/leads/keys";

/// The way to a service: what a subject sees is counted and delayed, then TLS ends, if there is any, then requests are
/// counted.
struct Way {
    outer: Wire,
    inner: Wire,
    door: Option<Door>,
}

impl Way {
    async fn to(service: u16, one_way: Duration, authority: Option<&Authority>) -> Result<Self> {
        let inner = Wire::start(service, Duration::ZERO).await?;
        let door = match authority {
            Some(authority) => Some(Door::start(inner.port(), authority).await?),
            None => None,
        };
        let outer = Wire::start(door.as_ref().map_or(inner.port(), Door::port), one_way).await?;
        Ok(Self { outer, inner, door })
    }

    fn scheme(&self) -> &'static str {
        if self.door.is_some() { "https" } else { "http" }
    }

    fn address(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme(), self.outer.port())
    }

    fn forget(&self) {
        self.outer.forget();
        self.inner.forget();
    }
}

/// SSM with the secrets and the table, each at the end of its own way.
struct World {
    ssm: Way,
    table: Way,
    environment: Vec<(String, String)>,
    _store: Ssm,
}

impl World {
    async fn new(stage: &Stage, one_way: Duration, authority: Option<&Authority>) -> Result<Self> {
        let store = Ssm::start().await?;
        let ssm = Way::to(store.port(), one_way, authority).await?;
        let table = Way::to(stage.table.table().port(), one_way, authority).await?;
        let connection =
            stage.connection_string(table.outer.port()).replace("http://", &format!("{}://", table.scheme()));
        store.set(STORAGE, &connection);
        store.set(KEYS, leads::KEY);
        let mut environment = stage.environment(table.outer.port(), TABLE, STATE);
        environment
            .retain(|(name, _)| !["LEADS_STORAGE_CONNECTION_STRING", "LEADS_INTAKE_KEYS"].contains(&name.as_str()));
        for (name, value) in [
            ("LEADS_STORAGE_CONNECTION_STRING_PARAMETER", STORAGE),
            ("LEADS_INTAKE_KEYS_PARAMETER", KEYS),
            ("AWS_ENDPOINT_URL_SSM", &ssm.address()),
        ] {
            environment.push((name.to_owned(), value.to_owned()));
        }
        environment.extend(authority.map(Authority::environment).unwrap_or_default());
        Ok(Self { ssm, table, environment, _store: store })
    }

    async fn start(&self, subject: &Subject, names_endpoint: bool) -> Result<Lambda> {
        let mut environment = self.environment.clone();
        if names_endpoint {
            environment.push(("LEADS_STORAGE_ENDPOINT".to_owned(), self.table.address()));
        }
        Lambda::start(subject, &environment).await
    }

    /// A start with its first lead.
    async fn first(&self, subject: &Subject, names_endpoint: bool) -> Result<First> {
        self.ssm.forget();
        self.table.forget();
        let mut lambda = self.start(subject, names_endpoint).await?;
        let outcome = lambda.first(&event()).await?;
        check(&outcome.body)?;
        let (secrets, table) = (self.ssm.outer.trips(), self.table.outer.trips());
        Ok(First {
            took: outcome.took,
            connections: [self.ssm.outer.connections(), self.table.outer.connections()],
            requests: [self.ssm.inner.requests().len(), self.table.inner.requests().len()],
            trips: [secrets.len(), table.len()],
            is_opened_before_secrets: table.first().zip(secrets.last()).is_some_and(|(open, last)| open.0 < last.1),
            sequential: sequential([secrets, table].concat()),
        })
    }
}

/// A lead that was not there before.
fn event() -> String {
    function_url_event(usize::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default())
}

/// What a start with its first lead took.
#[derive(Debug)]
pub struct First {
    took: Duration,
    /// To SSM and to the table.
    pub connections: [usize; 2],
    /// The same.
    pub requests: [usize; 2],
    /// The same: round trips, the opening of connections included.
    pub trips: [usize; 2],
    /// Whether the connection to the table was begun before the secrets were there.
    pub is_opened_before_secrets: bool,
    /// Round trips of both of which no two were under way at the same time. Means nothing where they take no time.
    sequential: usize,
}

/// One start of a subject with its first lead, over TCP and without delay.
pub async fn count(stage: &Stage, subject: &Subject, names_endpoint: bool) -> Result<First> {
    // They may be there already.
    let _ = (stage.create(TABLE).await, stage.create(STATE).await);
    World::new(stage, Duration::ZERO, None).await?.first(subject, names_endpoint).await
}

/// First answers in `rounds`; warm leads in `blocks` of 50.
pub async fn measure(stage: &Stage, rounds: usize, blocks: usize) -> Result<Report> {
    stage.create(TABLE).await?;
    stage.create(STATE).await?;
    let authority = Authority::kept()?;
    let ours = stage.ours_trusting(&authority).await?;
    let mut report = Report::new("TLS, and secrets in SSM");
    cold(stage, &ours, &authority, rounds, &mut report).await?;
    warm(stage, &ours, &authority, blocks, &mut report).await?;
    Ok(report)
}

async fn cold(stage: &Stage, ours: &Subject, authority: &Authority, rounds: usize, report: &mut Report) -> Result<()> {
    let worlds =
        [World::new(stage, Duration::ZERO, Some(authority)).await?, World::new(stage, ONE_WAY, Some(authority)).await?];
    let subjects = [
        ("Rust (this project), endpoint named", ours.clone(), true),
        ("Rust (this project)", ours.clone(), false),
        ("Node.js, endpoint named", stage.node("intake"), true),
        ("Python, endpoint named", stage.python("intake"), true),
    ];
    let round_trip = round_trip(stage).await?;
    let mut times = vec![[Vec::new(), Vec::new()]; subjects.len()];
    let mut last: Vec<Option<First>> = subjects.iter().map(|_| None).collect();
    let mut most = vec![0; subjects.len()];
    // The first round warms the page cache.
    for round in 0..=rounds {
        for (number, (_, subject, names_endpoint)) in subjects.iter().enumerate() {
            for (distance, world) in worlds.iter().enumerate() {
                let first = world.first(subject, *names_endpoint).await?;
                if round > 0 {
                    times[number][distance].push(ms(first.took));
                }
                if distance == 1 {
                    most[number] = most[number].max(first.sequential);
                    last[number] = Some(first);
                }
            }
        }
    }
    let mut rows = Vec::new();
    let mut clock = Vec::new();
    for (number, (name, ..)) in subjects.iter().enumerate() {
        let [near, far] = &times[number];
        clock.push(median(&differences(far, near)) / round_trip);
        let Some(last) = &last[number] else { continue };
        let both = |counts: [usize; 2]| format!("{} + {}", counts[0], counts[1]);
        rows.push(vec![
            (*name).to_owned(),
            spread(near, 1),
            spread(far, 1),
            crate::report::number(most[number]),
            format!("{:.1}", clock[number]),
            both(last.connections),
            both(last.requests),
            both(last.trips),
        ]);
    }
    report.say(format!(
        "From the start of the process to the first answer, which holds the first insert; the connection string and the keys \
         are in SSM, and all who need them read them with one request before they ask for an event. SSM and the table are \
         reached over TLS 1.3 through proxies that delay every byte, and the opening of a connection, by 0 or 10 ms each way; \
         the certificates are an authority's of our own. Ours is the same code with that authority compiled in \
         (`tests/bench/tls-build`). Where the endpoint is named, a connection to the table is opened while SSM is asked, by the \
         peers too. Median and range of {rounds} starts each, taken in turns, in milliseconds. Sequential round trips: counted \
         on the wire (the most of which no two were under way at the same time; the highest of all starts), and by the clock \
         (the median of what the delay adds to a start, in round trips of {round_trip:.1} ms, which is what it adds to a bare \
         insert). An interpreter still loads its libraries while the connection to the table is opened: those round trips \
         count on the wire, although nobody waits for them, and the time that loading takes differs by more than a round \
         trip from start to start. Connections, \
         requests, and round trips with the opening of connections: SSM's and the table's."
    ));
    report.table(
        &[
            "first answer",
            "no delay",
            "20 ms away",
            "sequential round trips",
            "by the clock",
            "connections",
            "requests",
            "round trips",
        ],
        &rows,
    );
    report.say(
        "Four is the least that can be had where the secrets are not known before: TCP, TLS, the request for the secrets, and \
         then the insert over a connection that is open by then.",
    );
    report.target(
        "cold start with secrets over TLS, 20 ms away: sequential round trips to the first answer",
        "≤ 4",
        format!(
            "{} with the endpoint named ({:.1} by the clock), {} without; Node.js {} ({:.1}), Python {} ({:.1})",
            most[0], clock[0], most[1], most[2], clock[2], most[3], clock[3]
        ),
        most[0] <= 4,
    );
    Ok(())
}

/// What is left of each round of one series without that of another.
fn differences(of: &[f64], without: &[f64]) -> Vec<f64> {
    of.iter().zip(without).map(|(of, without)| of - without).collect()
}

/// What the delay adds to a bare insert over a kept connection, in milliseconds.
async fn round_trip(stage: &Stage) -> Result<f64> {
    let mut medians = Vec::new();
    for one_way in [Duration::ZERO, ONE_WAY] {
        let way = Way::to(stage.table.table().port(), one_way, None).await?;
        let mut bare = stage.bare(way.outer.port(), TABLE)?;
        let mut times = Vec::new();
        for n in 0..50 {
            let row_key = format!("{}-{n}", one_way.as_millis());
            let since = Instant::now();
            bare.insert(Row { partition_key: "bare", row_key: &row_key }).await?;
            times.push(ms(since.elapsed()));
        }
        medians.push(median(&times));
    }
    Ok(medians[1] - medians[0])
}

async fn warm(stage: &Stage, ours: &Subject, authority: &Authority, blocks: usize, report: &mut Report) -> Result<()> {
    const BLOCK: usize = 50;
    let worlds =
        [World::new(stage, Duration::ZERO, None).await?, World::new(stage, Duration::ZERO, Some(authority)).await?];
    let mut lambdas = Vec::new();
    for world in &worlds {
        let mut lambda = world.start(ours, true).await?;
        for _ in 0..300 {
            check(&lambda.invoke(&event()).await?.body)?;
        }
        // What is counted are leads alone, over the connection that is there.
        world.table.inner.forget();
        lambdas.push(lambda);
    }
    let before = worlds.each_ref().map(|world| world.table.outer.bytes());
    let (mut p50, mut cpu) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..blocks {
        for (number, lambda) in lambdas.iter_mut().enumerate() {
            let used = lambda.usage()?.cpu;
            let mut block = Vec::new();
            for _ in 0..BLOCK {
                let outcome = lambda.invoke(&event()).await?;
                check(&outcome.body)?;
                block.push(ms(outcome.took));
            }
            cpu[number].push(ms(lambda.usage()?.cpu - used) * 1e3 / BLOCK as f64);
            p50[number].push(median(&block));
        }
    }
    let leads = blocks * BLOCK;
    let mut rows = Vec::new();
    for (n, name) in ["TCP", "TLS 1.3"].into_iter().enumerate() {
        let world = &worlds[n];
        rows.push(vec![
            name.to_owned(),
            number(leads),
            number(world.table.inner.requests().len()),
            number(world.table.outer.connections()),
            spread(&p50[n], 3),
            spread(&cpu[n], 0),
            number((world.table.outer.bytes() - before[n]) / leads),
        ]);
    }
    report.say(
        "What TLS costs a warm lead: the same program over TCP and over TLS, each through the same two proxies without delay, in \
         blocks of 50 that alternate. The connections are all since the start, the requests those of the leads.",
    );
    report.table(&["", "leads", "requests", "connections", "p50, ms", "CPU, µs a lead", "bytes a lead"], &rows);
    let (requests, connections) = (worlds[1].table.inner.requests().len(), worlds[1].table.outer.connections());
    report.target(
        &format!("over TLS: requests and connections for {} leads", number(leads)),
        &format!("{} and 1", number(leads)),
        format!(
            "{} and {connections}; TLS adds {:+.0} µs of CPU a lead, p50 is {}× of TCP's",
            number(requests),
            median(&differences(&cpu[1], &cpu[0])),
            spread(&ratios(&p50[1], &p50[0]), 2)
        ),
        requests == leads && connections == 1,
    );
    Ok(())
}
