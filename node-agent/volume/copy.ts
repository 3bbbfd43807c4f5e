// Copies the bytes of a volume or snapshot from its source, and zeroes space that holds what others left, a chunk a visit, in a queue of
// its own: the visits that look after targets never wait for it. Each chunk is read back and compared before it counts, and what
// counts is on this host's disk, so that a crash costs one chunk.
import { sameJson } from '../../api/equal.ts';
import type { Source, Stored } from '../../api/volume.ts';
import type { Reconcile, Result } from '../../runtime/loop.ts';
import { type ByteRange, errorCode, type Files, nextRange } from '../exec/files.ts';
import { problemOf, ReportedProblem } from '../problems.ts';
import { Mismatch } from '../roles/errors.ts';
import type { Backing } from '../roles/pool.ts';
import type { Reader } from '../roles/reader.ts';
import { type Filling, fillingOf, isFilled, percentOf, withDone } from './filling.ts';
import type { ServerMemory } from './memory.ts';
import { backingOf, type Origin, openOrigin } from './origin.ts';
import type { Problem } from './plan.ts';
import { poolFor, type ServerDeps, type ServerVisit, storedOf } from './visit.ts';

const CHUNK_BYTES = 64n * 1024n * 1024n;
/** From another server: what a visit has the time for, also over a slow network. */
const REMOTE_CHUNK_BYTES = 16n * 1024n * 1024n;
/** The more at once, the less the commands around it weigh where the disk zeroes by itself; and a slow one must end within a visit. */
const ZERO_CHUNK_BYTES = 128n * 1024n * 1024n;
const RETRY_MS = 5_000;
/** How soon to look whether the other server has opened its target, and for how long that is nothing to speak of. */
const OPENING_MS = 500;
const OPENING_LIMIT_MS = 10_000;

export interface CopyWork {
  readonly deps: ServerDeps;
  readonly files: Pick<Files, 'copyRange' | 'hashRange' | 'isZero' | 'unlink'>;
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
      forget(work, id);
      return {};
    }
    try {
      const written = await writeChunk(work, visit, job);
      if (written === 'not open') {
        return notOpen(work, id, job);
      }
      failures.delete(id);
      return counted(work, id, written);
    } catch (error) {
      const problem = problemOf(error);
      if (problem === undefined) {
        throw error;
      }
      log.warn({ volumeID: id, err: error }, 'A chunk could not be written');
      work.origins.delete(id);
      deps.ready.delete(id);
      failures.set(id, fromWhere(visit, job, problem));
      wake(id);
      return { requeueAfterMs: RETRY_MS };
    }
  };
}

function forget({ deps, origins, waitingSinceMs }: CopyWork, id: string): void {
  origins.delete(id);
  deps.ready.delete(id);
  waitingSinceMs.delete(id);
}

/** A problem says where it lies, since this host is not alone in it. */
function fromWhere({ deps }: ServerVisit, { source }: Job, { reason, message }: Problem): Problem {
  return source === undefined || source.server === deps.host
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
    message: `${source?.server} has not opened ${source?.kind} ${source?.name} to this server yet; see whether its agent and its target daemon run`,
  });
  wake(id);
  return { requeueAfterMs: RETRY_MS };
}

interface Written {
  readonly before: Filling | undefined;
  readonly now: Filling | undefined;
}

/** After a chunk: the next one, or the end. */
function counted(work: CopyWork, id: string, { before, now }: Written): Result {
  const isWhole = now === undefined || isFilled(now);
  if (isWhole) {
    forget(work, id);
  }
  if (isWhole || before === undefined || percentOf(before) !== percentOf(now)) {
    work.wake(id);
  }
  return isWhole ? {} : { requeueAfterMs: 0 };
}

interface Job {
  readonly stored: Stored;
  /** Undefined: all that is written is zero. */
  readonly source: Source | undefined;
  readonly memory: ServerMemory;
}

/** Undefined: nothing is to be written (any more). */
function jobOf(visit: ServerVisit): Job | undefined {
  const stored = storedOf(visit);
  const memory = visit.deps.memories.get(visit.volumeID);
  if (stored === undefined || memory === undefined) {
    return undefined;
  }
  const { order, source } = stored.status ?? {};
  if (memory.everProvisioned) {
    return order === 'Remove' ? undefined : { stored, source: undefined, memory };
  }
  const { copy } = memory;
  if (order !== 'Keep') {
    return undefined;
  }
  if (copy?.how === 'Zero') {
    return { stored, source: undefined, memory };
  }
  return copy?.how === 'Copy' && source !== undefined && copy.sourceID === source.id
    ? { stored, source, memory }
    : undefined;
}

/** Throws Mismatch when there is no backing to be written to, or what was written does not read back. */
async function writeChunk(work: CopyWork, visit: ServerVisit, job: Job): Promise<Written | 'not open'> {
  const { stored, memory, source } = job;
  const backing = await backingFor(visit, job);
  const zeroes = poolFor(visit, stored)?.can.zeroes === true;
  const before = backing && fillingOf({ memory, backing, source, zeroes });
  if (backing === undefined || before === undefined || isFilled(before)) {
    return { before, now: before };
  }
  const range = await (before.doneBytes < before.copiedUntil
    ? copyNext(work, visit, { job, backing, filling: before })
    : zeroNext(work, visit, { job, backing, filling: before }));
  if (range === undefined) {
    return 'not open';
  }
  const now = { ...before, doneBytes: range.offset + range.length };
  await remember(visit, job, now);
  return { before, now };
}

/** A whole volume that does not grow (any more) has none. */
async function backingFor(visit: ServerVisit, { stored, memory }: Job): Promise<Backing | undefined> {
  const pool = stored.status?.pool ?? '';
  if (!memory.everProvisioned) {
    return backingOf(visit, pool, visit.volumeID, 'provisional');
  }
  const { backings } = await visit.deps.lookAtPool(pool);
  return backings.find(
    ({ id, state, foreign }) => id === visit.volumeID && state === 'growing' && foreign !== true,
  );
}

async function remember({ deps, volumeID }: ServerVisit, { memory }: Job, filling: Filling): Promise<void> {
  const now = deps.memories.get(volumeID);
  // Meanwhile the backing may have gone, and all that was written to it.
  const isSame = now !== undefined && sameJson(now.copy, memory.copy) && sameJson(now.growth, memory.growth);
  if (isSame) {
    await deps.memories.put(volumeID, withDone(now, filling, filling.doneBytes));
  }
}

interface Next {
  readonly job: Job;
  readonly backing: Backing;
  readonly filling: Filling;
}

/** Undefined when the source cannot be read yet. */
async function copyNext(
  work: CopyWork,
  visit: ServerVisit,
  { job: { stored, source }, backing, filling: { doneBytes, copiedUntil } }: Next,
): Promise<ByteRange | undefined> {
  const origin = source && (await originOf(work, visit, { stored, source }));
  if (source === undefined || origin === undefined) {
    return undefined;
  }
  await makeReady(visit, stored, backing);
  const most = source.server === visit.deps.host ? CHUNK_BYTES : REMOTE_CHUNK_BYTES;
  const range = nextRange(doneBytes, copiedUntil, most);
  const { wanted, found } = await copied(
    { files: work.files, origin, to: backing.path, range },
    visit.signal,
  );
  if (found !== wanted) {
    throw new Mismatch(`${backing.path} from byte ${range.offset} on`, `SHA-256 ${wanted}`, found);
  }
  return range;
}

async function zeroNext(
  work: CopyWork,
  visit: ServerVisit,
  { job: { stored }, backing, filling: { doneBytes, wholeBytes } }: Next,
): Promise<ByteRange> {
  const { signal, volumeID } = visit;
  await makeReady(visit, stored, backing);
  const range = nextRange(doneBytes, wholeBytes, ZERO_CHUNK_BYTES);
  await poolFor(visit, stored)?.zero(volumeID, range, signal);
  const isZero = await work.files
    .isZero(backing.path, range, signal)
    .catch((error) => copyFailed(range, error));
  if (!isZero) {
    throw new Mismatch(`${backing.path} from byte ${range.offset} on`, 'zeroes', 'other bytes');
  }
  return range;
}

async function makeReady(
  { deps, signal }: ServerVisit,
  { metadata: { namespace = '', name }, status }: Stored,
  { id, state, sizeBytes }: Backing,
): Promise<void> {
  if (state === 'provisional' && !deps.ready.has(id)) {
    const owner = { clusterID: deps.clusterID, namespace, name };
    await deps.pools.get(status?.pool ?? '')?.create(id, sizeBytes, owner, signal);
    deps.ready.add(id);
  }
}

async function originOf(
  work: CopyWork,
  visit: ServerVisit,
  copying: Parameters<typeof openOrigin>[2],
): Promise<Origin | undefined> {
  const id = visit.volumeID;
  const origin = work.origins.get(id) ?? (await openOrigin(work, visit, copying));
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
    return copyFailed(range, error);
  }
}

function copyFailed({ offset }: ByteRange, error: unknown): never {
  if (errorCode(error) === undefined) {
    throw error;
  }
  throw new ReportedProblem(
    'CopyFailed',
    `from byte ${offset} on: ${(error as Error).message}`.slice(0, 900),
  );
}
