/** One entry of a Status object's `details.causes`. */
export interface StatusCause {
  readonly reason?: string;
  readonly field?: string;
  readonly message?: string;
}

export interface ApiFailure {
  /** HTTP status; 0 when there was no answer at all. */
  readonly status: number;
  /** The Status object's reason, or `Timeout`, `Unreachable`, `BadAnswer` when there was no Status. */
  readonly reason: string;
  readonly causes?: readonly StatusCause[];
  /** How long the server asked us to stay away. */
  readonly retryAfterMs?: number;
}

/** The API server said no, or said nothing. Branch on the getters, never on the text. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly reason: string;
  readonly causes: readonly StatusCause[];
  readonly retryAfterMs: number | undefined;

  constructor(message: string, failure: ApiFailure, options?: ErrorOptions) {
    super(message, options);
    this.status = failure.status;
    this.reason = failure.reason;
    this.causes = failure.causes ?? [];
    this.retryAfterMs = failure.retryAfterMs;
  }

  get isNotFound(): boolean {
    return this.status === 404;
  }

  get isAlreadyExists(): boolean {
    return this.status === 409 && this.reason === 'AlreadyExists';
  }

  /**
   * Somebody else was there first: the resourceVersion or the UID no longer fits.
   * The server answers 422 with a cause on `metadata.uid`, not 409, when only the UID of a patch differs.
   */
  get isConflict(): boolean {
    return (this.status === 409 && this.reason !== 'AlreadyExists') || this.isForeignUid;
  }

  /** The resourceVersion is too old for the server: list again. */
  get isGone(): boolean {
    return this.status === 410;
  }

  get isInvalid(): boolean {
    return this.status === 422 && !this.isForeignUid;
  }

  get isForbidden(): boolean {
    return this.status === 403;
  }

  /** No answer: the request may or may not have been carried out. */
  get isUnanswered(): boolean {
    return this.status === 0;
  }

  private get isForeignUid(): boolean {
    return this.status === 422 && this.causes.some(({ field }) => field === 'metadata.uid');
  }
}

/** The configuration cannot be used. The message names file, line, key and remedy. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Trying again cannot help; only a changed object can. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError';
  /** CamelCase, as it appears in conditions and events. */
  readonly reason: string;

  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

interface StatusBody {
  readonly kind?: string;
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: { readonly causes?: readonly StatusCause[]; readonly retryAfterSeconds?: number };
}

/** What the server answered, as text or as an already parsed Status. */
export interface Refusal {
  readonly status: number;
  readonly body: unknown;
  readonly retryAfter?: string | undefined;
}

/** Reads a Status object (or whatever a proxy sent instead of one) into an error. */
export function apiErrorOf(what: string, { status, body, retryAfter }: Refusal, now: Date): ApiError {
  const parsed = statusOf(body);
  const reason = parsed.reason ?? `Http${status}`;
  const message = parsed.message ?? (typeof body === 'string' ? body.slice(0, 200) : '');
  const retryAfterMs = retryAfterMsOf(retryAfter, parsed.details?.retryAfterSeconds, now);
  return new ApiError(`${what}: ${status} ${reason}: ${message}`, {
    status,
    reason,
    causes: parsed.details?.causes ?? [],
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

function statusOf(body: unknown): StatusBody {
  if (typeof body !== 'string') {
    return typeof body === 'object' && body !== null ? body : {};
  }
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null ? parsed : {};
  } catch {
    return {};
  }
}

/** Header (seconds or HTTP date) first, then the Status body. */
function retryAfterMsOf(
  header: string | undefined,
  seconds: number | undefined,
  now: Date,
): number | undefined {
  if (header !== undefined && /^\d+$/.test(header)) {
    return Number(header) * 1000;
  }
  const date = header === undefined ? Number.NaN : Date.parse(header);
  if (!Number.isNaN(date)) {
    return Math.max(0, date - now.getTime());
  }
  return seconds === undefined || seconds <= 0 ? undefined : seconds * 1000;
}
