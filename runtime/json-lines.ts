/**
 * Decodes JSON values, one a line, from chunks that may end anywhere, even inside a character. The caller gets each
 * value as soon as its line is complete, and the event loop gets its turn between chunks. A last line that was cut
 * off is dropped: the connection broke, and the server sends the value again. Throws SyntaxError on garbage.
 */
export async function* jsonLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let pending: string[] = [];
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
  }
}
