//! The process id a server announced for a control connection (BackendKeyData). A pooler invents it, and then nothing
//! that goes by process id (kill, confirm) can be believed.
//! Not here: a cancel request that goes anywhere; tokio-postgres shows the id nowhere else, so one is written to
//! memory.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio_postgres::Client;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// An SSLRequest: length and code.
const SSL_REQUEST_BYTES: usize = 8;

/// The process id that came with BackendKeyData; `None` if the client library wrote something else than a cancel
/// request.
pub(super) async fn process_id(client: &Client) -> Option<i32> {
    let (near, mut far) = duplex(64);
    let asked = client.cancel_token();
    let write = asked.cancel_query_raw(near, InMemory);
    let read = async move {
        let mut ssl_request = [0; SSL_REQUEST_BYTES];
        far.read_exact(&mut ssl_request).await?;
        far.write_all(b"S").await?;
        let mut request = Vec::new();
        far.read_to_end(&mut request).await?;
        Ok::<_, io::Error>(request)
    };
    let (written, request) = tokio::join!(write, read);
    written.ok()?;
    // length, code 80877102, process id, secret
    let id = *request.ok()?.get(8..)?.first_chunk::<4>()?;
    Some(i32::from_be_bytes(id))
}

/// "TLS" over memory: nothing leaves this process.
struct InMemory;

struct InMemoryStream(DuplexStream);

impl TlsConnect<DuplexStream> for InMemory {
    type Stream = InMemoryStream;
    type Error = io::Error;
    type Future = Ready<Result<InMemoryStream, io::Error>>;

    fn connect(self, stream: DuplexStream) -> Self::Future {
        ready(Ok(InMemoryStream(stream)))
    }
}

impl TlsStream for InMemoryStream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for InMemoryStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for InMemoryStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
