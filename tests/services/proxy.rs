//! A TCP proxy on loopback that breaks what goes through it in the ways a network does, when it is told to.
//!
//! Two threads a connection carry bytes, one each way, and look at the mode before each piece they pass on. It knows nothing
//! of what the bytes mean: an answer is whatever the server sends. So a protocol in which the server speaks first (PostgreSQL at
//! its start, HTTP/2) must be past its greetings before answers are swallowed.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;

use super::free_ports;

/// The most that is passed on at once.
const PIECE_BYTES: usize = 64 << 10;

/// A proxy, which ends with its connections when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Forward,
    Stall,
    SwallowAnswers,
    Refuse,
    Ended,
}

struct State {
    facts: Mutex<Facts>,
    changed: Condvar,
}

struct Facts {
    mode: Mode,
    target: SocketAddr,
    listening: bool,
    /// Both ends of every connection that may still be open.
    ends: Vec<Weak<TcpStream>>,
    connections: usize,
    swallowed: usize,
}

impl Proxy {
    /// A proxy for what listens, or will listen, at this port on loopback.
    pub fn to(port: u16) -> Proxy {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_ports(1)));
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let facts =
            Facts { mode: Mode::Forward, target, listening: true, ends: Vec::new(), connections: 0, swallowed: 0 };
        let state = Arc::new(State { facts: Mutex::new(facts), changed: Condvar::new() });
        let listener = TcpListener::bind(address).expect("the port was free");
        let accepting = Arc::clone(&state);
        thread::spawn(move || accept(&accepting, address, Some(listener)));
        Proxy { address, state }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends new connections to another port on loopback.
    pub fn retarget(&self, port: u16) {
        self.state.lock().target.set_port(port);
    }

    /// Passes everything on: how it begins, and the end of every fault. What was held back goes out now.
    pub fn forward(&self) {
        self.set(Mode::Forward);
    }

    /// Closes every connection now, whatever is under way; new ones are as the mode says.
    pub fn cut(&self) {
        self.state.lock().cut();
    }

    /// As if the server were down: every connection is closed, and new ones are refused.
    pub fn refuse(&self) {
        self.set(Mode::Refuse);
        self.cut();
    }

    /// Accepts connections and passes nothing on, as if the network had a hole.
    pub fn stall(&self) {
        self.set(Mode::Stall);
    }

    /// Lets requests through to the server, drops what it answers, and closes the connection for the client then.
    pub fn swallow_answers(&self) {
        self.set(Mode::SwallowAnswers);
    }

    /// How many connections clients have made.
    pub fn connections(&self) -> usize {
        self.state.lock().connections
    }

    /// How many connections have lost an answer.
    pub fn swallowed(&self) -> usize {
        self.state.lock().swallowed
    }

    /// The mode holds when this returns: a port that refuses is closed, any other open.
    fn set(&self, mode: Mode) {
        let mut facts = self.state.lock();
        facts.mode = mode;
        self.state.changed.notify_all();
        if facts.listening && !mode.listens() {
            // Wakes the listener; no one else can take the last connection it accepts.
            let _ = TcpStream::connect(self.address);
        }
        let settled = self.state.changed.wait_while(facts, |facts| facts.listening != facts.mode.listens());
        drop(settled.expect("no thread has panicked"));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Mode::Ended);
        self.cut();
    }
}

impl Mode {
    fn listens(self) -> bool {
        !matches!(self, Mode::Refuse | Mode::Ended)
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().expect("no thread has panicked")
    }

    /// The facts once they are as wanted.
    fn wait_until(&self, wanted: impl Fn(&Facts) -> bool) -> MutexGuard<'_, Facts> {
        self.changed.wait_while(self.lock(), |facts| !wanted(facts)).expect("no thread has panicked")
    }
}

impl Facts {
    fn cut(&mut self) {
        for end in self.ends.drain(..).filter_map(|end| end.upgrade()) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

/// Accepts connections while the mode has a port open.
fn accept(state: &Arc<State>, address: SocketAddr, mut listener: Option<TcpListener>) {
    loop {
        let accepted = match &listener {
            Some(listener) => listener.accept(),
            None => {
                let mut facts = state.wait_until(|facts| facts.mode != Mode::Refuse);
                if facts.mode == Mode::Ended {
                    return;
                }
                listener = Some(TcpListener::bind(address).expect("nobody else has taken the port"));
                facts.listening = true;
                state.changed.notify_all();
                continue;
            }
        };
        let mut facts = state.lock();
        if !facts.mode.listens() {
            listener = None;
            facts.listening = false;
            state.changed.notify_all();
        } else if let Ok((client, _)) = accepted {
            facts.connections += 1;
            carry(state, &mut facts, client);
        }
    }
}

/// Starts to carry what comes over a new connection, which closes when there is no server for it.
fn carry(state: &Arc<State>, facts: &mut Facts, client: TcpStream) {
    let Ok(server) = TcpStream::connect(facts.target) else { return };
    let [client, server] = [client, server].map(|end| {
        end.set_nodelay(true).expect("an option of every socket");
        Arc::new(end)
    });
    facts.ends.retain(|end| end.strong_count() > 0);
    facts.ends.extend([Arc::downgrade(&client), Arc::downgrade(&server)]);
    let [requests, answers] = [Arc::clone(state), Arc::clone(state)];
    let [client_again, server_again] = [Arc::clone(&client), Arc::clone(&server)];
    thread::spawn(move || pass_requests(&requests, &client, &server));
    thread::spawn(move || pass_answers(&answers, &server_again, &client_again));
}

fn pass_requests(state: &State, client: &TcpStream, server: &TcpStream) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Some(length) = receive(state, client, &mut piece) {
        if (&mut &*server).write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

fn pass_answers(state: &State, server: &TcpStream, client: &TcpStream) {
    let mut piece = vec![0; PIECE_BYTES];
    let mut swallowed = false;
    while let Some(length) = receive(state, server, &mut piece) {
        let mut facts = state.lock();
        if facts.mode == Mode::SwallowAnswers && !swallowed {
            swallowed = true;
            facts.swallowed += 1;
            // Towards the client only: what it has sent already is still on its way to the server.
            let _ = client.shutdown(Shutdown::Write);
        }
        drop(facts);
        if !swallowed && (&mut &*client).write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Write);
}

/// What comes next from one end, once it may go on; `None` when the other end may know that there is no more.
fn receive(state: &State, mut from: &TcpStream, piece: &mut [u8]) -> Option<usize> {
    let received = from.read(piece);
    drop(state.wait_until(|facts| facts.mode != Mode::Stall));
    received.ok().filter(|length| *length > 0)
}

mod tests {
    use std::io::{BufRead, BufReader, ErrorKind};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A server that answers every line with itself, and what it has received.
    fn echo() -> (u16, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let (received, lines) = channel();
        let port = listener.local_addr().expect("it is bound").port();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let received = received.clone();
                thread::spawn(move || answer(&stream, &received));
            }
        });
        (port, lines)
    }

    fn answer(mut stream: &TcpStream, received: &Sender<String>) {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if received.send(line.clone()).is_err() || stream.write_all(format!("{line}\n").as_bytes()).is_err() {
                return;
            }
        }
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let client = TcpStream::connect(address).expect("it is accepted");
        client.set_read_timeout(Some(PATIENCE)).expect("an option of every socket");
        client
    }

    fn say(mut client: &TcpStream, line: &str) {
        // At once: its end would wait for an answer to its beginning.
        client.write_all(format!("{line}\n").as_bytes()).expect("it is sent");
    }

    /// The next line, or nothing when the connection is closed.
    fn hear(client: &TcpStream) -> String {
        let mut line = String::new();
        match BufReader::new(client).read_line(&mut line) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("neither an answer nor an end"),
            _ => line.trim().to_owned(),
        }
    }

    #[test]
    fn passes_on_both_ways_until_it_is_cut() {
        let (port, lines) = echo();
        let proxy = Proxy::to(port);
        let client = connect(proxy.address());
        say(&client, "one");
        assert_eq!(hear(&client), "one");
        assert_eq!(lines.recv_timeout(PATIENCE).as_deref(), Ok("one"));

        proxy.cut();
        assert_eq!(hear(&client), "");
        let again = connect(proxy.address());
        say(&again, "two");
        assert_eq!(hear(&again), "two");
        assert_eq!(proxy.connections(), 2);
    }

    #[test]
    fn refuses_as_a_server_that_is_down_and_comes_back_elsewhere() {
        let [(first, _first_lines), (second, lines)] = [echo(), echo()];
        let proxy = Proxy::to(first);
        let client = connect(proxy.address());
        say(&client, "one");
        assert_eq!(hear(&client), "one");

        proxy.refuse();
        assert_eq!(hear(&client), "");
        let refused = TcpStream::connect(proxy.address()).expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

        proxy.retarget(second);
        proxy.forward();
        let client = connect(proxy.address());
        say(&client, "two");
        assert_eq!(hear(&client), "two");
        assert_eq!(lines.recv_timeout(PATIENCE).as_deref(), Ok("two"));
    }

    #[test]
    fn holds_back_what_comes_while_it_stalls() {
        let (port, lines) = echo();
        let proxy = Proxy::to(port);
        let before = connect(proxy.address());
        proxy.stall();
        let after = connect(proxy.address());
        say(&before, "held");
        say(&after, "held");
        // A few rounds past the proxy, in which anything not held back would have come through.
        let direct = connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        for _ in 0..100 {
            say(&direct, "direct");
            assert_eq!(hear(&direct), "direct");
            assert_eq!(lines.recv_timeout(PATIENCE).as_deref(), Ok("direct"));
        }

        proxy.forward();
        assert_eq!([hear(&before), hear(&after)], ["held", "held"]);
    }

    #[test]
    fn lets_a_request_through_and_loses_its_answer() {
        let (port, lines) = echo();
        let proxy = Proxy::to(port);
        let client = connect(proxy.address());
        proxy.swallow_answers();
        say(&client, "one");
        assert_eq!(hear(&client), "");
        assert_eq!(lines.recv_timeout(PATIENCE).as_deref(), Ok("one"));
        assert_eq!(proxy.swallowed(), 1);
        // On its way when the client learned of the end.
        say(&client, "two");
        assert_eq!(lines.recv_timeout(PATIENCE).as_deref(), Ok("two"));

        proxy.forward();
        let again = connect(proxy.address());
        say(&again, "three");
        assert_eq!(hear(&again), "three");
    }
}
