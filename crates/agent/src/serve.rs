//! The loop of a worker: a request, its answer, and meanwhile what children write.
use crate::exec::{self, Job};
use crate::inbox::{Gone, Inbox};
use crate::kind::{self, HEADER, MOST_FRAME};
use crate::request::{Request, answered};
use crate::wire::{self, Malformed};

/// An answer on its way: what does not fit into one frame goes ahead in parts.
#[derive(Debug)]
pub struct Out<'a> {
    inbox: &'a mut Inbox,
    id: u32,
    /// The next frame, with room for its header.
    frame: Vec<u8>,
    gone: Option<Gone>,
}

impl<'a> Out<'a> {
    #[must_use]
    pub fn new(inbox: &'a mut Inbox, id: u32) -> Self {
        let mut frame = Vec::with_capacity(256);
        frame.resize(HEADER, 0);
        Self {
            inbox,
            id,
            frame,
            gone: None,
        }
    }

    fn flush(&mut self, kind: u8) {
        let header = wire::header(kind, self.id, self.frame.len() - HEADER);
        if let Some(place) = self.frame.first_chunk_mut() {
            *place = header;
        }
        if self.gone.is_none() {
            self.gone = self.inbox.write(&self.frame).err();
        }
        self.frame.truncate(HEADER);
    }

    /// The next bytes of the answer.
    pub fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.frame.len() == MOST_FRAME {
                self.flush(kind::PART);
            }
            let room = (MOST_FRAME - self.frame.len()).min(bytes.len());
            let (now, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.frame.extend_from_slice(now);
            bytes = rest;
        }
    }

    fn only(mut self, kind: u8, body: &[u8]) -> Result<(), Gone> {
        self.frame.truncate(HEADER);
        let most = MOST_FRAME - HEADER;
        self.frame
            .extend_from_slice(body.get(..most).unwrap_or(body));
        self.flush(kind);
        self.gone.map_or(Ok(()), Err)
    }

    /// What was put is the whole answer.
    ///
    /// # Errors
    /// The channel is gone, as for all that end an answer.
    pub fn done(mut self) -> Result<(), Gone> {
        self.flush(kind::DONE);
        self.gone.map_or(Ok(()), Err)
    }

    /// What was put does not count.
    pub fn error(self, errno: i32, text: &str) -> Result<(), Gone> {
        let mut body = wire::Body::new();
        body.i32(errno).raw(text.as_bytes());
        self.only(kind::ERROR, &body.0)
    }

    pub fn unreadable(self, why: Malformed) -> Result<(), Gone> {
        self.only(kind::UNREADABLE, why.0.as_bytes())
    }

    pub fn too_large(self, limit: usize) -> Result<(), Gone> {
        self.only(kind::TOO_LARGE, &(limit as u64).to_le_bytes())
    }
}

/// Does requests; children it starts go into the list.
pub trait Hands {
    /// # Errors
    /// The channel is gone.
    fn work(&mut self, request: Request<'_>, out: Out<'_>, jobs: &mut Vec<Job>)
    -> Result<(), Gone>;
}

/// Serves until the channel is gone.
///
/// `limit`: bytes of the longest body that is taken.
pub fn serve(inbox: &mut Inbox, limit: usize, hands: &mut dyn Hands) -> Gone {
    let mut jobs = Vec::new();
    match inbox
        .skip()
        .and_then(|()| round(inbox, limit, hands, &mut jobs))
    {
        Ok(()) => Gone(0),
        Err(gone) => gone,
    }
}

fn round(
    inbox: &mut Inbox,
    limit: usize,
    hands: &mut dyn Hands,
    jobs: &mut Vec<Job>,
) -> Result<(), Gone> {
    loop {
        inbox.set_id(0);
        if !jobs.is_empty() {
            let heard = inbox.has_more() || exec::wait(inbox.fd(), jobs);
            exec::pump(inbox, jobs)?;
            if !heard {
                continue;
            }
        }
        let (kind, length, id) = match wire::parse(inbox.header()?) {
            Ok(told) => told,
            // Whoever writes this is no host of ours; where the next frame begins cannot be known.
            Err(why) => {
                return Out::new(inbox, 0)
                    .unreadable(why)
                    .and(Err(Gone(libc::EPROTO)));
            }
        };
        inbox.begin(id, length);
        if length > limit {
            inbox.skip()?;
            Out::new(inbox, id).too_large(limit)?;
            continue;
        }
        let body = inbox.body()?;
        match Request::parse(kind, &body) {
            Ok(request) => hands.work(request, Out::new(inbox, id), jobs)?,
            Err(why) if answered(kind) => Out::new(inbox, id).unreadable(why)?,
            Err(_) => {}
        }
    }
}

impl Out<'_> {
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    #[must_use]
    pub fn generation(&self) -> u32 {
        self.inbox.generation()
    }
}
