//! Both ends of the bench on one thread each: an upstream that answers from memory, and clients that count and time.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::load::{Delays, Requests};
use crate::Outcome;

/// A chat request of half a KiB, as a short chat is.
const PROMPT: &str = "The mill stands where the river bends, and the weir keeps the water level for it through the dry months. Explain in two sentences why a fish ladder beside it should have rest pools, and how deep they should be. The mill stands where the river bends, and the weir keeps the water level for it through the dry months.";
/// The model whose stream never ends by itself.
const OPEN: &str = "hold";

/// `upstream`, or a load: `requests ADDRESS KEY CONNECTIONS SECONDS`, `events ADDRESS KEY STREAMS EVENTS PAUSE_US`, `hold ADDRESS KEY STREAMS`.
pub(crate) fn run(arguments: &[String]) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let number = |at: usize| -> Outcome<u64> { Ok(arguments.get(at).ok_or("a number is missing")?.parse()?) };
    let text = |at: usize| arguments.get(at).cloned().ok_or("an argument is missing");
    match arguments.first().map(String::as_str) {
        Some("upstream") => Ok(runtime.block_on(upstream())?),
        Some("requests") => {
            let count = runtime.block_on(requests(text(1)?, text(2)?, number(3)?, Duration::from_secs(number(4)?)))?;
            println!("{}", serde_json::to_string(&Requests { count })?);
            Ok(())
        }
        Some("events") => {
            let delays = runtime.block_on(events(text(1)?, text(2)?, number(3)?, format!("events:{}:{}", number(4)?, number(5)?)))?;
            println!("{}", serde_json::to_string(&delays)?);
            Ok(())
        }
        Some("hold") => Ok(runtime.block_on(hold(text(1)?, text(2)?, number(3)?))?),
        _ => Err("unknown mode".into()),
    }
}

/// Nanoseconds of a clock that all processes of this machine share.
fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// One message off a connection: head and body, `content-length` framed. `None` at the end.
async fn message(io: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<(usize, usize)>> {
    loop {
        if let Some(head) = find(buffer, b"\r\n\r\n") {
            let head = head + 4;
            let length = find(&buffer[..head].to_ascii_lowercase(), b"content-length: ").map_or(0, |at| digits(&buffer[at + 16..]));
            let whole = head + usize::try_from(length).unwrap_or(0);
            if buffer.len() >= whole {
                return Ok(Some((head, whole)));
            }
        }
        if io.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn digits(bytes: &[u8]) -> u64 {
    bytes.iter().take_while(|b| b.is_ascii_digit()).fold(0, |n, b| n * 10 + u64::from(b - b'0'))
}

#[expect(clippy::disallowed_methods, reason = "the bench's upstream is a shell")]
async fn upstream() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (io, _) = listener.accept().await?;
        io.set_nodelay(true)?;
        drop(tokio::spawn(async move { serve(io).await }));
    }
}

async fn serve(mut io: TcpStream) -> io::Result<()> {
    let body = format!(
        r#"{{"id":"chatcmpl-bench","object":"chat.completion","created":1,"model":"bench","choices":[{{"index":0,"message":{{"role":"assistant","content":"{PROMPT}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":70,"completion_tokens":70,"total_tokens":140}}}}"#
    );
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut buffer = Vec::with_capacity(4096);
    while let Some((head, whole)) = message(&mut io, &mut buffer).await? {
        let request = &buffer[head..whole];
        if let Some(at) = find(request, b"events:") {
            let events = digits(&request[at + 7..]);
            let pause = find(&request[at + 7..], b":").map_or(0, |colon| digits(&request[at + 8 + colon..]));
            stream(&mut io, events, Duration::from_micros(pause)).await?;
        } else if find(request, OPEN.as_bytes()).is_some() {
            stream(&mut io, u64::MAX, Duration::from_secs(3)).await?;
        } else {
            io.write_all(answer.as_bytes()).await?;
        }
        buffer.drain(..whole);
    }
    Ok(())
}

async fn stream(io: &mut TcpStream, events: u64, pause: Duration) -> io::Result<()> {
    io.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").await?;
    let mut next = Instant::now();
    for n in 0..events {
        let finish = if n + 1 == events { r#""stop""# } else { "null" };
        let event = format!(
            "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"bench\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" river\"}},\"finish_reason\":{finish}}}],\"t\":{}}}\n\n",
            now_ns()
        );
        io.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
        next += pause;
        sleep_until(next).await;
    }
    io.write_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n").await
}

fn request(address: &str, key: &str, model: &str, stream: bool) -> Vec<u8> {
    let body = format!(r#"{{"model":"{model}","stream":{stream},"max_tokens":100,"messages":[{{"role":"user","content":"{PROMPT}"}}]}}"#);
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\nuser-agent: OpenAI/Python 2.54.0\r\naccept: application/json\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn connect(address: &str) -> io::Result<TcpStream> {
    let io = TcpStream::connect(address).await?;
    io.set_nodelay(true)?;
    Ok(io)
}

async fn requests(address: String, key: String, connections: u64, span: Duration) -> io::Result<u64> {
    let until = Instant::now() + span;
    let request = request(&address, &key, "bench", false);
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let (address, request) = (address.clone(), request.clone());
        clients.spawn(async move {
            let mut io = connect(&address).await?;
            let (mut count, mut buffer) = (0, Vec::with_capacity(4096));
            while Instant::now() < until {
                io.write_all(&request).await?;
                let Some((_, whole)) = message(&mut io, &mut buffer).await? else { break };
                if !buffer.starts_with(b"HTTP/1.1 200") {
                    return Err(io::Error::other("an answer is no 200"));
                }
                buffer.drain(..whole);
                count += 1;
            }
            Ok::<u64, io::Error>(count)
        });
    }
    let mut sum = 0;
    while let Some(count) = clients.join_next().await {
        sum += count.map_err(io::Error::other)??;
    }
    Ok(sum)
}

async fn events(address: String, key: String, streams: u64, model: String) -> io::Result<Delays> {
    let mut clients = JoinSet::new();
    let request = request(&address, &key, &model, true);
    for n in 0..streams {
        let (address, request) = (address.clone(), request.clone());
        clients.spawn(async move {
            // Spread over the pause, as real streams are.
            sleep(Duration::from_micros(n * 311)).await;
            let mut io = connect(&address).await?;
            io.write_all(&request).await?;
            let (mut delays, mut buffer) = (Vec::new(), Vec::with_capacity(16 * 1024));
            loop {
                let read = io.read_buf(&mut buffer).await?;
                let now = now_ns();
                let mut from = 0;
                while let Some(at) = find(&buffer[from..], b"\"t\":").filter(|at| buffer[from + at..].contains(&b'}')) {
                    delays.push(now.saturating_sub(digits(&buffer[from + at + 4..])));
                    from += at + 4;
                }
                if read == 0 || find(&buffer, b"[DONE]").is_some() {
                    return Ok::<_, io::Error>(delays);
                }
                buffer.drain(..from);
            }
        });
    }
    let mut all = Vec::new();
    while let Some(delays) = clients.join_next().await {
        all.extend(delays.map_err(io::Error::other)??);
    }
    all.sort_unstable();
    let at = |share: usize| all.get(all.len() * share / 100).map_or(0.0, |ns| *ns as f64 / 1000.0);
    Ok(Delays { p50_us: at(50), p99_us: at(99) })
}

/// Opens streams, says so once each has had an event, and reads on until it is ended.
async fn hold(address: String, key: String, streams: u64) -> io::Result<()> {
    let request = request(&address, &key, OPEN, true);
    let mut open = Vec::new();
    for _ in 0..streams {
        let mut io = connect(&address).await?;
        io.write_all(&request).await?;
        let mut buffer = Vec::with_capacity(2048);
        while find(&buffer, b"\"t\":").is_none() && io.read_buf(&mut buffer).await? > 0 {}
        open.push(io);
    }
    println!("{{\"open\":{}}}", open.len());
    let mut readers = JoinSet::new();
    for mut io in open {
        readers.spawn(async move {
            let mut sink = [0; 1024];
            while io.read(&mut sink).await.is_ok_and(|n| n > 0) {}
        });
    }
    while readers.join_next().await.is_some() {}
    Ok(())
}
