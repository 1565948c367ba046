//! zstd frames. The first is written with its content size; several in a row are read.

use zstd::zstd_safe::{
    self, CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, ResetDirective,
    zstd_sys::ZSTD_EndDirective,
};

use super::decompressor::Bounded;
use crate::format::Malformed;

const DEFAULT_LEVEL: i32 = 3;
/// Kafka's reader takes windows up to this; a larger one would be that much memory on the word of a stream.
const WINDOW_LOG_MAX: u32 = 27;
/// How far the first allocation trusts a frame's content size; beyond it, memory follows what was produced.
const TRUSTED_RATIO: usize = 32;
const GROWTH: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Encoder {
    context: Option<CCtx<'static>>,
    /// The level that `context` is set to.
    level: Option<i32>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Encoder {
    pub(super) fn encode(
        &mut self,
        level: Option<i32>,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        let level = level.unwrap_or(DEFAULT_LEVEL);
        if self.context.is_none() {
            self.context = CCtx::try_create();
            self.level = None;
        }
        let Some(context) = &mut self.context else {
            return Err(out_of_memory());
        };
        if self.level != Some(level) {
            context.set_parameter(CParameter::CompressionLevel(level)).map_err(|code| named(code, 0))?;
            self.level = Some(level);
        }
        let result = compress_frame(context, input, out);
        if result.is_err() {
            // Otherwise the next frame would begin with what is left of this one.
            self.context = None;
        }
        result
    }
}

fn compress_frame(context: &mut CCtx<'static>, input: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.reserve(zstd_safe::compress_bound(input.len()));
    let mut source = InBuffer::around(input);
    loop {
        let before = out.len();
        let mut target = OutBuffer::around_pos(&mut *out, before);
        let left = context
            .compress_stream2(&mut target, &mut source, ZSTD_EndDirective::ZSTD_e_end)
            .map_err(|code| named(code, 0))?;
        if left == 0 {
            return Ok(());
        }
        out.reserve(left);
    }
}

#[derive(Default)]
pub(super) struct Decoder {
    context: Option<DCtx<'static>>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("context", &self.context.is_some()).finish()
    }
}

impl Decoder {
    pub(super) fn decode(&mut self, input: &[u8], bounded: &mut Bounded<'_>) -> Result<(), Malformed> {
        if self.context.is_none() {
            let mut context = DCtx::try_create().ok_or_else(out_of_memory)?;
            context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(|code| named(code, 0))?;
            self.context = Some(context);
        }
        let Some(context) = &mut self.context else {
            return Err(out_of_memory());
        };
        context.reset(ResetDirective::SessionOnly).map_err(|code| named(code, 0))?;
        expand(context, input, bounded)
    }
}

fn expand(context: &mut DCtx<'static>, input: &[u8], bounded: &mut Bounded<'_>) -> Result<(), Malformed> {
    if let Ok(Some(claimed)) = zstd_safe::get_frame_content_size(input) {
        // With room for a whole frame zstd decodes straight into it and needs no window of its own.
        let trusted = input.len().saturating_mul(TRUSTED_RATIO).max(GROWTH);
        let expected = usize::try_from(claimed).unwrap_or(usize::MAX);
        bounded.out.reserve(expected.min(trusted).min(bounded.room()));
    }
    let mut source = InBuffer::around(input);
    let mut frame = Frame::at(input, 0, bounded.out.len());
    loop {
        bounded.grow(GROWTH);
        let (read, before) = (source.pos(), bounded.out.len());
        let mut target = OutBuffer::around_pos(&mut *bounded.out, before);
        let hint =
            context.decompress_stream(&mut target, &mut source).map_err(|code| named(code, source.pos()))?;
        bounded.check(0)?;
        if hint == 0 {
            frame.check_end(source.pos(), bounded.out.len())?;
            if source.pos() == input.len() {
                return Ok(());
            }
            frame = Frame::at(input, source.pos(), bounded.out.len());
        }
        if source.pos() == read && bounded.out.len() == before {
            return Err(Malformed::invalid(source.pos(), "zstd: the stream ends early"));
        }
    }
}

/// One frame of a stream. zstd compares its content size with its content or does not, depending on how much room there
/// was for it; a stream is good or bad by itself.
struct Frame {
    claimed: Option<u64>,
    /// Where its content begins in the output.
    from: usize,
}

impl Frame {
    fn at(input: &[u8], position: usize, from: usize) -> Self {
        let bytes = input.get(position..).unwrap_or_default();
        Self { claimed: zstd_safe::get_frame_content_size(bytes).ok().flatten(), from }
    }

    fn check_end(&self, position: usize, until: usize) -> Result<(), Malformed> {
        let found = until.saturating_sub(self.from) as u64;
        match self.claimed {
            Some(claimed) if claimed != found => Err(Malformed::invalid(
                position,
                format!("zstd: a frame of {found} bytes that claims {claimed}"),
            )),
            _ => Ok(()),
        }
    }
}

#[cold]
fn named(code: zstd_safe::ErrorCode, at: usize) -> Malformed {
    Malformed::invalid(at, format!("zstd: {}", zstd_safe::get_error_name(code)))
}

#[cold]
fn out_of_memory() -> Malformed {
    Malformed::invalid(0, "zstd: no memory for its tables")
}
