import { type Dispatcher, request } from 'undici';
import type { Resource } from '../api/object.ts';
import type { Clock } from './clock.ts';
import type { Access, Credentials } from './credentials.ts';
import { type Deadline, startDeadline } from './deadline.ts';
import { ApiError, apiErrorOf, ConfigError } from './errors.ts';
import { jsonLines } from './json-lines.ts';

export type ApiVerb = 'get' | 'list' | 'create' | 'patch' | 'delete' | 'watch';

/** One request as it went over the wire: retries one by one, a watch when its headers have arrived. */
export interface RequestSeen {
  readonly verb: ApiVerb;
  /** The plural. */
  readonly resource: string;
  /** Empty for the object itself. */
  readonly subresource: string;
  /** HTTP status; 0 without an answer. */
  readonly code: number;
  readonly durationMs: number;
}

export interface Call {
  readonly verb: ApiVerb;
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly resource: Resource;
  readonly path: string;
  readonly subresource?: string | undefined;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

export interface DoorOptions {
  readonly credentials: Pick<Credentials, 'current' | 'invalidate'>;
  readonly clock: Clock;
  readonly userAgent: string;
  readonly onRequest: (request: RequestSeen) => void;
  readonly deadlineMs: number;
  readonly watchHeadersMs: number;
  readonly silenceMs: number;
}

type Response = Dispatcher.ResponseData;

const MOST_ATTEMPTS = 4;
const FIRST_PAUSE_MS = 250;

/** The one place where requests leave: credentials, deadlines, retries, accounting. */
export class Door {
  readonly #options: DoorOptions;

  constructor(options: DoorOptions) {
    this.#options = options;
  }

  /**
   * One request and its JSON answer, within the deadline, retries included. Reads are tried again after a broken
   * connection; anything after 429, and 503 with Retry-After, which the server sends before it has done anything.
   * A write that was not answered is never repeated: it may have happened.
   */
  async send(call: Call): Promise<unknown> {
    const { clock, deadlineMs } = this.#options;
    const endMs = clock.monotonicMs() + deadlineMs;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(call, endMs - clock.monotonicMs());
      } catch (error) {
        const pauseMs = pauseBefore(call, error, attempt);
        if (pauseMs === undefined || clock.monotonicMs() + pauseMs >= endMs) {
          throw error;
        }
        this.#distrustCredentialsAfter(error);
        await clock.sleep(pauseMs, call.signal);
      }
    }
  }

  /** A 200 whose body is JSON values, one a line, as they arrive. Leaving the loop closes the connection. */
  async *stream(call: Call, onOpen?: () => void): AsyncGenerator<unknown> {
    const { clock, watchHeadersMs, silenceMs } = this.#options;
    const deadline = startDeadline(clock, watchHeadersMs, `accepting ${nameOf(call)}`, call.signal);
    try {
      const response = await this.#request(call, deadline, silenceMs);
      deadline.stopTimer();
      onOpen?.();
      yield* jsonLines(response.body);
    } catch (error) {
      this.#distrustCredentialsAfter(error);
      throw this.#explained(call, error, deadline);
    } finally {
      deadline.release();
    }
  }

  async #attempt(call: Call, remainingMs: number): Promise<unknown> {
    const deadline = startDeadline(this.#options.clock, Math.max(1, remainingMs), nameOf(call), call.signal);
    try {
      const response = await this.#request(call, deadline, 0);
      return await response.body.json();
    } catch (error) {
      throw this.#explained(call, error, deadline);
    } finally {
      deadline.release();
    }
  }

  /** Sends and lets only 2xx through. */
  async #request(call: Call, { signal }: Deadline, bodyTimeout: number): Promise<Response> {
    const { credentials, clock } = this.#options;
    signal.throwIfAborted();
    const access = await credentials.current();
    const startedMs = clock.monotonicMs();
    let code = 0;
    try {
      const response = await request(access.server + call.path, {
        ...this.#requestOptions(call, access),
        signal,
        headersTimeout: 0,
        bodyTimeout,
      });
      code = response.statusCode;
      if (code >= 200 && code < 300) {
        return response;
      }
      const body = await response.body.text();
      const retryAfter = headerOf(response, 'retry-after');
      throw apiErrorOf(nameOf(call), { status: code, body, retryAfter }, clock.now());
    } finally {
      this.#account(call, code, clock.monotonicMs() - startedMs);
    }
  }

  #requestOptions(call: Call, { dispatcher, headers }: Access) {
    const contentType = call.method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    return {
      dispatcher,
      method: call.method,
      headers: {
        ...headers,
        accept: 'application/json',
        'user-agent': this.#options.userAgent,
        ...(call.body === undefined ? {} : { 'content-type': contentType }),
      },
      body: call.body === undefined ? null : JSON.stringify(call.body),
    };
  }

  #account({ verb, resource, subresource = '' }: Call, code: number, durationMs: number): void {
    this.#options.onRequest({ verb, resource: resource.plural, subresource, code, durationMs });
  }

  #distrustCredentialsAfter(error: unknown): void {
    if (error instanceof ApiError && error.status === 401) {
      this.#options.credentials.invalidate();
    }
  }

  /** Every failure leaves as an ApiError, except the caller's own abort. */
  #explained(call: Call, error: unknown, deadline: Deadline): unknown {
    if (error instanceof ApiError || error instanceof ConfigError) {
      return error;
    }
    if (deadline.expired()) {
      return new ApiError(
        `${nameOf(call)}: no answer in time`,
        { status: 0, reason: 'Timeout' },
        { cause: error },
      );
    }
    if (call.signal?.aborted) {
      return call.signal.reason;
    }
    const reason = error instanceof SyntaxError ? 'BadAnswer' : 'Unreachable';
    const text = error instanceof Error ? error.message : String(error);
    return new ApiError(`${nameOf(call)}: ${text}`, { status: 0, reason }, { cause: error });
  }
}

/** How long to wait before the next attempt; undefined: do not try again. */
function pauseBefore(call: Call, error: unknown, attempt: number): number | undefined {
  if (!(error instanceof ApiError) || attempt >= MOST_ATTEMPTS) {
    return undefined;
  }
  if (error.status === 401) {
    return attempt === 1 ? 0 : undefined;
  }
  const turnedAway = error.status === 429 || (error.status === 503 && error.retryAfterMs !== undefined);
  if (turnedAway) {
    return error.retryAfterMs ?? FIRST_PAUSE_MS * 2 ** attempt;
  }
  const mayRepeat = call.method === 'GET' && (error.reason === 'Unreachable' || error.status === 503);
  return mayRepeat ? FIRST_PAUSE_MS * 2 ** (attempt - 1) : undefined;
}

function nameOf({ verb, path }: Call): string {
  return `${verb} ${path.split('?')[0]}`;
}

function headerOf({ headers }: Response, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}
