//! `/metrics`, `/healthz` and `/readyz` on a plain port of their own.
//!
//! One request per connection: a scrape every few seconds gains nothing from keep-alive, and a connection that
//! does nothing can then be closed without asking why.

#[cfg(test)]
mod tests;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{self, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{Exposition, Readiness};

const MAX_CONNECTIONS: usize = 16;
/// Bytes of request line and headers; hyper's least.
const MAX_HEAD: usize = 8192;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Histograms gather samples until they are asked to sum them up.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(10);
/// After an error of `accept` (no file descriptors left, as a rule).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(
        "cannot listen for metrics and health on {address}: {source}; choose another with --metrics-address"
    )]
    Bind { address: SocketAddr, source: io::Error },
}

/// The bound port.
#[derive(Debug)]
pub struct HealthServer {
    listener: TcpListener,
    pages: Arc<Pages>,
}

#[derive(Debug)]
struct Pages {
    readiness: Readiness,
    exposition: Exposition,
}

impl HealthServer {
    pub async fn bind(
        address: SocketAddr,
        readiness: Readiness,
        exposition: Exposition,
    ) -> Result<Self, ServerError> {
        let listener =
            TcpListener::bind(address).await.map_err(|source| ServerError::Bind { address, source })?;
        Ok(Self { listener, pages: Arc::new(Pages { readiness, exposition }) })
    }

    /// Where it listens, also when the port was left to the kernel.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut upkeep = time::interval(UPKEEP_INTERVAL);
        upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = upkeep.tick() => self.pages.exposition.upkeep(),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        // Beyond the limit a connection is closed at once.
                        if let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
                            let pages = Arc::clone(&self.pages);
                            tokio::spawn(async move {
                                serve(stream, pages).await;
                                drop(slot);
                            });
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection for metrics and health");
                        time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}

async fn serve(stream: TcpStream, pages: Arc<Pages>) {
    let service = service_fn(|request| {
        let response = pages.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    match time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection for metrics and health failed"),
        Err(_) => tracing::debug!("a connection for metrics and health took too long"),
    }
}

impl Pages {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/metrics" => page(StatusCode::OK, PROMETHEUS, self.exposition.render()),
            // Alive is whoever answers; what is wrong stands in /readyz.
            "/healthz" => page(StatusCode::OK, PLAIN, "ok\n"),
            "/readyz" => self.ready(request.uri().query().is_some_and(verbose)),
            _ => page(StatusCode::NOT_FOUND, PLAIN, "try /metrics, /healthz, /readyz or /readyz?verbose\n"),
        }
    }

    fn ready(&self, verbose: bool) -> Response<Full<Bytes>> {
        let report = self.readiness.report();
        let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        if verbose {
            return match serde_json::to_string(&report) {
                Ok(json) => page(status, JSON, json + "\n"),
                Err(error) => page(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n")),
            };
        }
        if report.ready {
            return page(status, PLAIN, "ready\n");
        }
        let why = if report.stopping {
            "not ready: stopping\n".to_owned()
        } else {
            format!("not ready: waiting for {:?}\n", report.waiting_for)
        };
        page(status, PLAIN, why)
    }
}

fn verbose(query: &str) -> bool {
    query.split('&').any(|pair| pair == "verbose" || pair.starts_with("verbose="))
}

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

fn page(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
