//! As much of HTTP/1.1 as a test client needs, over a plain socket: what is sent is exactly what stands here.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any answer takes; a test that hits it fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Connection(BufReader<TcpStream>);

pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// One request over a connection of its own.
pub(crate) fn exchange(address: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<Reply> {
    Connection::to(address).exchange(method, path, body)
}

impl Connection {
    pub(crate) fn to(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the service accepts connections");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Connection(BufReader::new(stream))
    }

    pub(crate) fn exchange(&mut self, method: &str, path: &str, body: &str) -> io::Result<Reply> {
        self.send(method, path, body)?;
        self.next()
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, body: &str) -> io::Result<()> {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len());
        self.0.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat())
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The answer to what was sent before.
    pub(crate) fn read(mut self) -> io::Result<Reply> {
        self.next()
    }

    fn next(&mut self) -> io::Result<Reply> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in {first:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut reply = Reply { status, headers, body: String::new() };
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        reply.body = String::from_utf8(body).unwrap();
        Ok(reply)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e} in {:?}", self.body))
    }

    /// The field that a refusal names.
    pub(crate) fn field(&self) -> String {
        self.json()["field"].as_str().unwrap_or("none").to_owned()
    }
}
