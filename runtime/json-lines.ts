import { setImmediate as nextTurn } from 'node:timers/promises';

/** A burst is decoded in slices of about this length: leases and health checks must not wait for it. */
const LONGEST_SLICE_MS = 5;

/**
 * Decodes JSON values, one a line, from chunks that may end anywhere, even inside a character. The caller gets each
 * value as soon as its line is complete, and the event loop gets its turn again and again. A last line that was cut
 * off is dropped: the connection broke, and the server sends the value again. Throws SyntaxError on garbage.
 */
export async function* jsonLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let pending: string[] = [];
  let sliceBeganMs = performance.now();
  for await (const chunk of chunks) {
    const text = decoder.decode(chunk, { stream: true });
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      pending.push(text.slice(start, end));
      const line = pending.join('');
      pending = [];
      start = end + 1;
      if (line.trim() !== '') {
        yield JSON.parse(line);
      }
    }
    pending.push(text.slice(start));
    // Chunks that have arrived already come without a turn of the event loop in between.
    if (performance.now() - sliceBeganMs > LONGEST_SLICE_MS) {
      await nextTurn();
      sliceBeganMs = performance.now();
    }
  }
}
