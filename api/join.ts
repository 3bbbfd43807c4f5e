/** What a host needs to be enrolled, as one text that can be pasted, piped and broken into lines. It is a secret for as long as its token lives. */

export interface Join {
  /** The URL of the API server. */
  readonly server: string;
  /** PEM. */
  readonly ca: string;
  /** Short-lived. */
  readonly token: string;
}

const LINE = /.{1,76}/g;

/** Lines of base64, without an end of line after the last. */
export const joinText = ({ server, ca, token }: Join): string =>
  Buffer.from(JSON.stringify({ server, ca, token })).toString('base64').match(LINE)?.join('\n') ?? '';

/** Undefined: no text that {@link joinText} made, or not all of it. White space does not count. */
export function parseJoin(text: string): Join | undefined {
  try {
    const found = JSON.parse(Buffer.from(text.replaceAll(/\s/g, ''), 'base64').toString('utf8')) as unknown;
    return isJoin(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

const isJoin = (value: unknown): value is Join =>
  typeof value === 'object' &&
  value !== null &&
  (['server', 'ca', 'token'] as const).every(
    (key) => key in value && typeof (value as Record<string, unknown>)[key] === 'string',
  );
