//! Requests of many clients, each with a connection that stays: for `make bench-agent`.
//!
//! `load ADDRESS FILE CLIENTS SECONDS RATE`: posts the file as JSON, RATE times a second by all
//! together, or, when it is 0, as often as it is answered. Each `##########` in the file becomes
//! another number, so that no reading is sent twice. Prints JSON: requests answered with 200, others,
//! and the latencies in milliseconds.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// That share the clients.
const THREADS: usize = 4;
const PLACE: &[u8] = b"##########";
static NEXT: AtomicU64 = AtomicU64::new(0);

struct Client {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
    /// Where numbers stand in it.
    places: Vec<usize>,
    line: String,
    rest: Vec<u8>,
}

impl Client {
    fn new(address: &str, body: &[u8]) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        let mut request = format!(
            "POST /v1/readings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        let places = request.windows(PLACE.len()).enumerate();
        let places = places.filter(|(_, part)| *part == PLACE).map(|(place, _)| place).collect();
        let stream = BufReader::new(stream);
        Self { stream, request, places, line: String::new(), rest: Vec::new() }
    }

    fn send(&mut self) -> std::io::Result<()> {
        let next = NEXT.fetch_add(self.places.len() as u64, Ordering::Relaxed);
        for (mut number, place) in (next..).zip(&self.places) {
            for digit in self.request[*place..place + PLACE.len()].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        self.stream.get_mut().write_all(&self.request)
    }

    /// Reads the answer; says whether it is 200.
    fn receive(&mut self) -> std::io::Result<bool> {
        let mut length = 0;
        let mut fine = None;
        loop {
            self.line.clear();
            if self.stream.read_line(&mut self.line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = self.line.trim_end();
            if line.is_empty() {
                break;
            }
            fine = fine.or(Some(line.starts_with("HTTP/1.1 200")));
            if let Some((name, value)) = line.split_once(':') {
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().expect("a length");
                }
            }
        }
        self.rest.resize(length, 0);
        self.stream.read_exact(&mut self.rest)?;
        Ok(fine == Some(true))
    }
}

/// Latencies in microseconds, and how many answers were others than 200.
type Found = (Vec<u64>, u64);

fn note(client: &mut Client, sent: Instant, found: &mut Found) {
    match client.receive().expect("an answer") {
        true => found.0.push(sent.elapsed().as_micros() as u64),
        false => found.1 += 1,
    }
}

/// Keeps one request of each client under way. To be woken for each answer would cost the server
/// more than the answer, since both are on this machine.
fn as_often_as_answered(clients: &mut [(Client, Instant)], end: Instant) -> Found {
    let mut found = Found::default();
    while Instant::now() < end {
        let sent: Vec<Instant> = clients
            .iter_mut()
            .map(|(client, _)| {
                client.send().expect("a connection");
                Instant::now()
            })
            .collect();
        for ((client, _), sent) in clients.iter_mut().zip(sent) {
            note(client, sent, &mut found);
        }
    }
    found
}

/// Sends for each client when it is due. What waits for an earlier answer counts as well.
fn paced(clients: &mut [(Client, Instant)], pause: Duration, end: Instant) -> Found {
    let mut found = Found::default();
    loop {
        let next = clients.iter().map(|(_, due)| *due).min().expect("a client");
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let now = Instant::now();
        if now >= end {
            return found;
        }
        let mut due: Vec<_> = clients.iter_mut().filter(|(_, due)| *due <= now).collect();
        for (client, _) in &mut due {
            client.send().expect("a connection");
        }
        for (client, due) in due {
            note(client, *due, &mut found);
            *due += pause;
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |place: usize| arguments[place].parse::<f64>().expect("a number");
    let (address, clients, rate) = (arguments[1].clone(), number(3) as usize, number(5));
    let body = std::fs::read(&arguments[2]).expect("the body");
    // Numbers of a run that begins later are higher: none sends ten million readings a second.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock");
    NEXT.store((now.as_nanos() / 100) as u64, Ordering::Relaxed);
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(number(4));
    let pause = (rate > 0.0).then(|| Duration::from_secs_f64(clients as f64 / rate));
    let mut waiting: Vec<_> = (0..clients)
        .map(|place| {
            let part = pause.unwrap_or_default().mul_f64(place as f64 / clients as f64);
            (Client::new(&address, &body), begin + part)
        })
        .collect();
    let share = clients.div_ceil(THREADS);
    let mut threads = Vec::new();
    while !waiting.is_empty() {
        let mut own = waiting.split_off(waiting.len().saturating_sub(share));
        threads.push(thread::spawn(move || match pause {
            Some(pause) => paced(&mut own, pause, end),
            None => as_often_as_answered(&mut own, end),
        }));
    }
    let (mut latencies, mut others) = (Vec::new(), 0);
    for thread in threads {
        let (more, failed) = thread.join().expect("a client");
        latencies.extend(more);
        others += failed;
    }
    let seconds = begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let part = |share: f64| {
        let place = (latencies.len() as f64 * share) as usize;
        latencies.get(place.min(latencies.len().saturating_sub(1))).copied().unwrap_or(0) as f64
            / 1e3
    };
    println!(
        "{{\"answered\":{},\"others\":{others},\"seconds\":{seconds},\"p50Ms\":{},\"p99Ms\":{}}}",
        latencies.len(),
        part(0.5),
        part(0.99)
    );
}
