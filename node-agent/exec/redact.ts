/** Puts `***` in the place of every secret. Empty secrets hide nothing. */
export const redact = (text: string, secrets: readonly string[] = []): string =>
  secrets
    .filter((secret) => secret !== '')
    .toSorted((a, b) => b.length - a.length)
    .reduce((left, secret) => left.replaceAll(secret, '***'), text);

/** What a status message may quote of a tool's words: one line, at most 1 KiB. */
export const quote = (text: string): string => {
  const line = text.trim().replaceAll(/\s+/g, ' ');
  return line.length > 1024 ? `${line.slice(0, 1024)}…` : line;
};
