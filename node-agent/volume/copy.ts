// Copies the bytes of a volume or snapshot from its source, a chunk a visit, in a queue of its own: the visits that look after
// targets never wait for it. Each chunk is read back and compared before it counts, and what counts is on this host's disk, so
// that a crash costs one chunk.
import { sameJson } from '../../api/equal.ts';
import { idOf, type Source, type Stored } from '../../api/volume.ts';
import type { Reconcile, Result } from '../../runtime/loop.ts';
import { type ByteRange, errorCode, type Files } from '../exec/files.ts';
import { problemOf, ReportedProblem } from '../problems.ts';
import { Mismatch } from '../roles/errors.ts';
import type { Reader } from '../roles/reader.ts';
import type { ServerMemory } from './memory.ts';
import { backingOf, type Origin, openOrigin } from './origin.ts';
import type { Problem } from './plan.ts';
import { type ServerDeps, type ServerVisit, storedOf } from './visit.ts';

const CHUNK_BYTES = 64n * 1024n * 1024n;
/** From another server: what a visit has the time for, also over a slow network. */
const REMOTE_CHUNK_BYTES = 16n * 1024n * 1024n;
const RETRY_MS = 5_000;
/** How soon to look whether the other server has opened its target, and for how long that is nothing to speak of. */
const OPENING_MS = 500;
const OPENING_LIMIT_MS = 10_000;

export interface CopyWork {
  readonly deps: ServerDeps;
  readonly files: Pick<Files, 'copyRange' | 'hashRange' | 'unlink'>;
  readonly reader: Reader | undefined;
  /** For what is on its way. */
  readonly directory: string;
  /** By ID of the copy: opened by this process, which has seen the pin. */
  readonly origins: Map<string, Origin>;
  /** By ID of the copy: since when the other server has not opened its target. */
  readonly waitingSinceMs: Map<string, number>;
  /** Kept for the other visits to tell. */
  readonly failures: Map<string, Problem>;
  /** Asks for a visit: something is to be told, or the copy is whole. */
  readonly wake: (id: string) => void;
}

/** One chunk of one copy. */
export function copyVisitor(work: CopyWork): Reconcile {
  return async (id, { log, signal }) => {
    const { deps, failures, wake } = work;
    const visit: ServerVisit = { deps, volumeID: id, log, signal };
    const job = jobOf(visit);
    if (job === undefined) {
      failures.delete(id);
      work.origins.delete(id);
      work.waitingSinceMs.delete(id);
      return {};
    }
    try {
      const done = await copyChunk(work, visit, job);
      if (done === undefined) {
        return notOpen(work, id, job);
      }
      failures.delete(id);
      return counted(work, job, done);
    } catch (error) {
      const problem = problemOf(error);
      if (problem === undefined) {
        throw error;
      }
      log.warn({ volumeID: id, err: error }, 'A chunk could not be copied');
      work.origins.delete(id);
      failures.set(id, fromWhere(visit, job, problem));
      wake(id);
      return { requeueAfterMs: RETRY_MS };
    }
  };
}

/** A problem says where it lies, since this host is not alone in it. */
function fromWhere({ deps }: ServerVisit, { source }: Job, { reason, message }: Problem): Problem {
  return source.server === deps.host
    ? { reason, message }
    : { reason, message: `copying from ${source.server}: ${message}`.slice(0, 1_000) };
}

/** The other server opens its target within a moment, or something is wrong there. */
function notOpen({ deps, failures, waitingSinceMs, wake }: CopyWork, id: string, { source }: Job): Result {
  const now = deps.now().getTime();
  const since = waitingSinceMs.get(id) ?? now;
  waitingSinceMs.set(id, since);
  if (now - since < OPENING_LIMIT_MS) {
    return { requeueAfterMs: OPENING_MS };
  }
  failures.set(id, {
    reason: 'WaitingForSource',
    message: `${source.server} has not opened ${source.kind} ${source.name} to this server yet; see whether its agent and its target daemon run`,
  });
  wake(id);
  return { requeueAfterMs: RETRY_MS };
}

/** After a chunk: the next one, or the end. */
function counted({ origins, wake }: CopyWork, job: Job, done: bigint): Result {
  const { stored, source } = job;
  const isWhole = done >= BigInt(source.sizeBytes);
  if (isWhole) {
    origins.delete(idOf(stored) ?? '');
  }
  if (isWhole || isNews(job, done)) {
    wake(idOf(stored) ?? '');
  }
  return isWhole ? {} : { requeueAfterMs: 0 };
}

interface Job {
  readonly stored: Stored;
  readonly source: Source;
  readonly memory: ServerMemory;
  readonly copiedBytes: bigint;
}

/** Undefined: nothing is to be copied (any more). */
function jobOf(visit: ServerVisit): Job | undefined {
  const stored = storedOf(visit);
  const source = stored?.status?.source;
  const memory = visit.deps.memories.get(visit.volumeID);
  const copy = memory?.copy;
  if (stored === undefined || source === undefined || memory === undefined || copy?.how !== 'Copy') {
    return undefined;
  }
  const isWanted = stored.status?.order === 'Keep' && copy.sourceID === source.id && !memory.everProvisioned;
  return isWanted ? { stored, source, memory, copiedBytes: BigInt(copy.copiedBytes) } : undefined;
}

const percent = (bytes: bigint, of: bigint): bigint => (bytes * 20n) / of;

const isNews = ({ copiedBytes, source }: Job, now: bigint): boolean =>
  percent(copiedBytes, BigInt(source.sizeBytes)) !== percent(now, BigInt(source.sizeBytes));

/**
 * Answers how many bytes count now; undefined when the source cannot be read yet. Throws Mismatch when what was written does not
 * read back.
 */
async function copyChunk(work: CopyWork, visit: ServerVisit, job: Job): Promise<bigint | undefined> {
  const { deps, files } = work;
  const { stored, source, memory, copiedBytes } = job;
  const { signal, volumeID } = visit;
  const left = BigInt(source.sizeBytes) - copiedBytes;
  if (left <= 0n) {
    return copiedBytes;
  }
  const origin = await originOf(work, visit, job);
  if (origin === undefined) {
    return undefined;
  }
  const to = await backingOf(visit, stored.status?.pool ?? '', idOf(stored) ?? '', 'provisional');
  const most = source.server === deps.host ? CHUNK_BYTES : REMOTE_CHUNK_BYTES;
  const range = { offset: copiedBytes, length: left < most ? left : most };
  const { wanted, found } = await copied({ files, origin, to: to.path, range }, signal);
  if (found !== wanted) {
    throw new Mismatch(`${to.path} from byte ${range.offset} on`, `SHA-256 ${wanted}`, found);
  }
  const done = copiedBytes + range.length;
  const { copy } = memory;
  const now = deps.memories.get(volumeID);
  // Meanwhile the backing may have gone, and all that was copied into it.
  if (copy !== undefined && sameJson(now?.copy, copy) && now !== undefined) {
    await deps.memories.put(volumeID, { ...now, copy: { ...copy, copiedBytes: done.toString() } });
  }
  return done;
}

async function originOf(work: CopyWork, visit: ServerVisit, job: Job): Promise<Origin | undefined> {
  const id = visit.volumeID;
  const origin = work.origins.get(id) ?? (await openOrigin(work, visit, job));
  if (origin !== undefined) {
    work.origins.set(id, origin);
    work.waitingSinceMs.delete(id);
  }
  return origin;
}

interface Chunk {
  readonly files: Pick<Files, 'hashRange'>;
  readonly origin: Origin;
  readonly to: string;
  readonly range: ByteRange;
}

/** What was read, and what reads back. Throws CopyFailed for what the file system or the device says. */
async function copied(
  { files, origin, to, range }: Chunk,
  signal: AbortSignal,
): Promise<{ readonly wanted: string; readonly found: string }> {
  try {
    const wanted = await origin.copyTo(to, range, signal);
    return { wanted, found: await files.hashRange(to, range, signal) };
  } catch (error) {
    if (errorCode(error) === undefined) {
      throw error;
    }
    throw new ReportedProblem(
      'CopyFailed',
      `from byte ${range.offset} on: ${(error as Error).message}`.slice(0, 900),
    );
  }
}
