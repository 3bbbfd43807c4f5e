// Where the bytes of a copy come from: this server's own pools, or the export of another server.
import { uuidFrom } from '../../api/ids.ts';
import { backendOf, pinsOf, type Source, type Stored } from '../../api/volume.ts';
import type { ByteRange, Files } from '../exec/files.ts';
import { ReportedProblem } from '../problems.ts';
import { Busy, Mismatch } from '../roles/errors.ts';
import type { Connection } from '../roles/initiator.ts';
import type { Backing } from '../roles/pool.ts';
import type { Reader } from '../roles/reader.ts';
import { expectPinned } from './reconcile.ts';
import type { ServerVisit } from './visit.ts';

export interface Origin {
  /** Copies a range to the same range of a file or device that exists. Answers the SHA-256 (hex) of what was read. */
  copyTo(path: string, range: ByteRange, signal: AbortSignal): Promise<string>;
}

export interface OriginDeps {
  readonly files: Pick<Files, 'copyRange' | 'unlink'>;
  /** Undefined: this server does not copy from others. */
  readonly reader: Reader | undefined;
  /** A directory for chunks on their way; only root may enter it. */
  readonly directory: string;
}

export interface Copying {
  readonly stored: Stored;
  readonly source: Source;
}

/** Undefined: the other server has not opened its target yet. Throws SourceNotPinned, Mismatch, Denied, Busy. */
export async function openOrigin(
  deps: OriginDeps,
  visit: ServerVisit,
  copying: Copying,
): Promise<Origin | undefined> {
  const live = await expectPinned(visit, copying.stored, true);
  const { source } = copying;
  if (source.server !== visit.deps.host) {
    return openRemote(deps, visit, copying, live);
  }
  return {
    copyTo: async (path, range, signal) => {
      const from = await backingOf(visit, source.pool, source.id, 'complete');
      return deps.files.copyRange(from.path, path, range, signal);
    },
  };
}

/** Throws Busy while it grows, Mismatch when it is not there in that state (the visits of the data see to that), and DataLost. */
export async function backingOf(
  { deps }: ServerVisit,
  pool: string,
  id: string,
  state: Backing['state'],
): Promise<Backing> {
  const view = await deps.lookAtPool(pool);
  const found = view.backings.find((backing) => backing.id === id && backing.state === state);
  if (found === undefined && view.backings.some((one) => one.id === id && one.state === 'growing')) {
    throw new Busy(id, 'it is growing');
  }
  if (found === undefined || found.foreign === true) {
    throw new Mismatch(`pool ${pool}`, `${id}, ${state}`, 'none of ours');
  }
  if (found.fault !== undefined) {
    throw new ReportedProblem('DataLost', `${id}: ${found.fault}`);
  }
  return found;
}

async function openRemote(
  { files, reader, directory }: OriginDeps,
  visit: ServerVisit,
  { stored, source }: Copying,
  live: Stored,
): Promise<Origin | undefined> {
  if (reader === undefined) {
    throw new ReportedProblem(
      'Unsupported',
      `${source.kind} ${source.name} is on ${source.server}, and this server copies from no other; set volumeServer.initiator in the configuration of its agent`,
    );
  }
  const connection = await connectionTo(visit, stored, source, live);
  if (connection === undefined) {
    return undefined;
  }
  const { serial, sizeBytes } = await reader.verify(connection, visit.signal);
  if (serial !== source.id || sizeBytes < BigInt(source.sizeBytes)) {
    throw new Mismatch(
      connection.iqn,
      `${source.id} of ${source.sizeBytes} bytes`,
      `${serial} of ${sizeBytes} bytes`,
    );
  }
  const chunk = `${directory}/chunk-${visit.volumeID}`;
  return {
    copyTo: async (path, range, signal) => {
      try {
        await reader.read(connection, range, chunk, signal);
        return await files.copyRange(chunk, path, { ...range, fromOffset: 0n }, signal);
      } finally {
        await files.unlink(chunk).catch(() => undefined);
      }
    },
  };
}

/** How the target is reached which the source's server says is open to this copy; undefined while it says none. */
async function connectionTo(
  { deps, signal }: ServerVisit,
  stored: Stored,
  source: Source,
  live: Stored,
): Promise<Connection | undefined> {
  const pin = pinsOf(live).find(({ uid }) => uid === stored.metadata.uid);
  const { reader } = pin ?? {};
  const shared = backendOf(live)?.export;
  const [portal] = shared?.portals ?? [];
  const isOurs = reader?.server === deps.host && reader.epoch === stored.status?.placement?.epoch;
  if (reader === undefined || !isOurs || shared === undefined || portal === undefined) {
    return undefined;
  }
  const { initiator, epoch } = reader;
  if (!shared.initiators.includes(initiator)) {
    return undefined;
  }
  const pair = { server: source.server, hypervisor: deps.host, volumeID: initiator, epoch };
  const { iqn, lun } = shared;
  const chap = await deps.chapOf(pair, signal);
  return { volumeID: source.id, grantUUID: uuidFrom(initiator), iqn, lun, portal, initiator, chap };
}
