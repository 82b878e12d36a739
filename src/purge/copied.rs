//! COPY … TO STDOUT, a chunk at a time: nothing is gathered, whatever the size.
//! Not here: what is done with the bytes.

use std::future::poll_fn;
use std::pin::pin;

use bytes::Bytes;
use futures_util::Stream;
use tokio_postgres::Transaction;

use super::Error;

/// Gives each chunk to `take`; a chunk is whole rows, each with its line end.
pub(super) async fn copied<E: From<Error>>(
    transaction: &Transaction<'_>,
    database: &str,
    sql: &str,
    mut take: impl AsyncFnMut(Bytes) -> Result<(), E>,
) -> Result<(), E> {
    let failed = |error| E::from(Error::database(database, error));
    let mut stream = pin!(transaction.copy_out(sql).await.map_err(failed)?);
    while let Some(chunk) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
        take(chunk.map_err(failed)?).await?;
    }
    Ok(())
}
