//! A registry that gives out what it holds: the reading half of the OCI distribution specification, on a port of this
//! machine.

use std::{
    collections::HashMap,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{Blob, Image, Index};

/// A client that asks nothing for so long is left.
const IDLE: Duration = Duration::from_mins(1);
const NOT_FOUND: &[u8] = br#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#;
/// First byte of a client that speaks TLS (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 22;
/// Bytes of a line of a request.
const LINE: u64 = 8 << 10;

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    blobs: HashMap<String, Blob>,
    /// `repository:tag` to digest.
    tags: HashMap<String, String>,
    closed: bool,
}

impl Registry {
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for a registry")?;
        let address = listener.local_addr()?;
        let held = Arc::new(Mutex::new(Held::default()));
        let shared = Arc::clone(&held);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if lock(&shared).closed {
                    return;
                }
                let (Ok(stream), shared) = (stream, Arc::clone(&shared)) else { continue };
                // A client that went away in the middle is its own affair.
                thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        Ok(Self { address, held })
    }

    /// Puts an image under a tag, which may have meant another one; the reference to ask for.
    pub fn push(&self, repository: &str, tag: &str, image: &Image) -> String {
        let mut held = lock(&self.held);
        held.add(image.blobs());
        held.tags.insert(format!("{repository}:{tag}"), image.manifest.digest.clone());
        format!("{}/{repository}:{tag}", self.address)
    }

    /// Puts images of several platforms under a tag.
    pub fn push_index(&self, repository: &str, tag: &str, index: &Index) -> String {
        let mut held = lock(&self.held);
        held.add(index.images.iter().flat_map(Image::blobs));
        held.add([&index.blob]);
        held.tags.insert(format!("{repository}:{tag}"), index.blob.digest.clone());
        format!("{}/{repository}:{tag}", self.address)
    }

    /// `address/repository`
    pub fn repository(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        lock(&self.held).closed = true;
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

impl Held {
    fn add<'a>(&mut self, blobs: impl IntoIterator<Item = &'a Blob>) {
        for blob in blobs {
            self.blobs.insert(blob.digest.clone(), blob.clone());
        }
    }

    /// What stands at a path: `/v2/NAME/blobs/DIGEST` or `/v2/NAME/manifests/REFERENCE`.
    fn find(&self, path: &str) -> Option<&Blob> {
        let path = path.strip_prefix("/v2/")?;
        if let Some((_, digest)) = path.split_once("/blobs/") {
            return self.blobs.get(digest);
        }
        let (name, reference) = path.split_once("/manifests/")?;
        let digest = self.tags.get(&format!("{name}:{reference}")).map_or(reference, String::as_str);
        self.blobs.get(digest)
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &TcpStream, held: &Mutex<Held>) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    let mut requests = BufReader::new(stream);
    // Clients that try TLS first go on without it when they are told so in plain words.
    if requests.fill_buf()?.first() == Some(&TLS_HANDSHAKE) {
        return answer(stream, "400 Bad Request", None, b"{}", false);
    }
    while let Some((method, path)) = request(&mut requests)? {
        let head = method == "HEAD";
        let path = path.split('?').next().unwrap_or_default();
        let found = lock(held).find(path).cloned();
        let answered = match found {
            Some(blob) => answer(stream, "200 OK", Some(&blob), &blob.bytes, head),
            None if path == "/v2/" => answer(stream, "200 OK", None, b"{}", head),
            None => answer(stream, "404 Not Found", None, NOT_FOUND, head),
        };
        answered?;
    }
    Ok(())
}

/// Method and path of the next request; its headers and body change nothing here.
fn request(from: &mut BufReader<&TcpStream>) -> io::Result<Option<(String, String)>> {
    let mut first = None;
    loop {
        let mut line = String::new();
        if io::Read::take(&mut *from, LINE).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match (line.trim_end(), &first) {
            ("", Some(_)) => return Ok(first),
            (line, None) => {
                let mut words = line.split(' ').map(str::to_owned);
                first = words.next().zip(words.next());
            }
            _ => {}
        }
    }
}

fn answer(
    mut stream: &TcpStream,
    status: &str,
    blob: Option<&Blob>,
    body: &[u8],
    head: bool,
) -> io::Result<()> {
    let of_body = match blob {
        Some(Blob { media_type, digest, .. }) => {
            format!("Content-Type: {media_type}\r\nDocker-Content-Digest: {digest}\r\n")
        }
        None => "Content-Type: application/json\r\n".to_owned(),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nDocker-Distribution-Api-Version: registry/2.0\r\n{of_body}Content-Length: {}\r\n\r\n",
        body.len()
    )?;
    if !head {
        stream.write_all(body)?;
    }
    stream.flush()
}
