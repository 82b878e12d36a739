//! What the desk says, in pgwire's messages: descriptions, rows, tags, and the steps of the extended protocol.
//! Not here: errors and notices, which the gate words everywhere alike (`wire/response.rs`).

use bytes::{BufMut, Bytes, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::data::{DataRow, FieldDescription, NoData, ParameterDescription, RowDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse};

use crate::wire::backend::TransactionStatus;
use crate::wire::response::{Report, error_response, note, notice, ready_for_query};

/// The type of every column and parameter.
pub(super) const TEXT: u32 = 25;

/// The columns of an answer.
pub(super) type Columns = &'static [&'static str];

/// What a line comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The rows, as many values each as there are columns; without columns there are none.
    pub(super) rows: Vec<Vec<Option<String>>>,
    /// The command tag.
    pub(super) tag: String,
    /// What else is worth saying.
    pub(super) notices: Vec<String>,
}

impl Answer {
    pub(super) fn tagged(tag: &str) -> Answer {
        Answer { tag: tag.to_owned(), ..Answer::default() }
    }
}

/// What is said but not sent yet.
#[derive(Debug, Default)]
pub(super) struct Answers {
    bytes: BytesMut,
}

impl Answers {
    /// How many bytes are not sent yet.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }

    /// None of these is larger than a message may be; if one were, nothing of it must be sent.
    fn put(&mut self, message: &impl Message) {
        let mut bytes = BytesMut::new();
        match message.encode(&mut bytes) {
            Ok(()) => self.bytes.put_slice(&bytes),
            Err(error) => tracing::error!(%error, "bug: a message of the desk cannot be encoded"),
        }
    }

    pub(super) fn parsed(&mut self) {
        self.put(&ParseComplete::new());
    }

    pub(super) fn bound(&mut self) {
        self.put(&BindComplete::new());
    }

    pub(super) fn closed(&mut self) {
        self.put(&CloseComplete::new());
    }

    pub(super) fn suspended(&mut self) {
        self.put(&PortalSuspended::new());
    }

    pub(super) fn empty(&mut self) {
        self.put(&EmptyQueryResponse::new());
    }

    pub(super) fn complete(&mut self, tag: &str) {
        self.put(&CommandComplete::new(tag.to_owned()));
    }

    pub(super) fn parameters(&mut self, types: &[u32]) {
        self.put(&ParameterDescription::new(types.to_vec()));
    }

    /// Columns in the formats asked for: none, one for all, or one each. A text is the same bytes in both.
    pub(super) fn columns(&mut self, columns: Option<Columns>, formats: &[u16]) {
        let Some(columns) = columns else { return self.put(&NoData::new()) };
        let format = |index: usize| {
            let asked = if formats.len() == 1 { formats.first() } else { formats.get(index) };
            i16::from(asked == Some(&1))
        };
        let field = |(index, name): (usize, &&str)| {
            FieldDescription::new((*name).to_owned(), 0, 0, TEXT, -1, -1, format(index))
        };
        self.put(&RowDescription::new(columns.iter().enumerate().map(field).collect()));
    }

    pub(super) fn row(&mut self, values: &[Option<String>]) {
        let mut data = BytesMut::new();
        for value in values {
            match value {
                None => data.put_i32(-1),
                Some(text) => {
                    data.put_i32(i32::try_from(text.len()).unwrap_or(i32::MAX));
                    data.put_slice(text.as_bytes());
                }
            }
        }
        self.put(&DataRow::new(data, i16::try_from(values.len()).unwrap_or(i16::MAX)));
    }

    pub(super) fn error(&mut self, report: &Report) {
        self.bytes.put_slice(&error_response(report));
    }

    pub(super) fn notice(&mut self, text: &str) {
        self.bytes.put_slice(&notice(&note(text)));
    }

    pub(super) fn ready(&mut self, status: TransactionStatus) {
        self.bytes.put_slice(&ready_for_query(status));
    }
}
