// Carries out one step of the export plan.
import { chapFor } from '../../api/ids.ts';
import type { Grant } from '../../api/volume.ts';
import type { ServerVisit } from '../volume/visit.ts';
import { type ExportStep, type ExportWorld, isWanted } from './plan.ts';

type OutsideStep = Exclude<ExportStep, { readonly kind: 'report' | 'report-revision' }>;

export async function actOnExport(visit: ServerVisit, world: ExportWorld, step: OutsideStep): Promise<void> {
  const { deps, volumeID, signal } = visit;
  const { target } = deps;
  switch (step.kind) {
    case 'remember':
      await deps.memories.put(volumeID, step.memory);
      return;
    case 'open':
      await target.open(
        volumeID,
        {
          path: world.backing?.path ?? '',
          serial: volumeID,
          sizeBytes: world.backing?.sizeBytes ?? 0n,
          readOnly: step.readOnly,
        },
        signal,
      );
      return;
    case 'allow': {
      const access = {
        ...(await chapOfGrant(visit, step.grant)),
        readOnly: step.grant.mode === 'ReadOnly',
      };
      await target.allow(volumeID, step.grant.initiator, access, signal);
      return;
    }
    case 'allow-reader': {
      const { server, initiator, epoch } = step.reader;
      const pair = { server: deps.host, hypervisor: server, volumeID: initiator, epoch };
      await target.allow(
        volumeID,
        initiator,
        { ...(await deps.chapOf(pair, signal)), readOnly: true },
        signal,
      );
      return;
    }
    case 'deny': {
      const user = await userOf(visit, world, step.grant);
      await target.deny(volumeID, step.initiator, user, signal);
      return;
    }
    case 'cut':
      await target.cut(volumeID, step.initiator, signal);
      return;
    case 'close':
      await dropAccounts(visit, world);
      await target.close(volumeID, signal);
  }
}

/** Of grants that were given up before their initiators were let in: no target shows these accounts. */
const dropAccounts = async (
  { deps, volumeID, signal }: ServerVisit,
  { target, attachments }: ExportWorld,
): Promise<void> => {
  const memory = deps.memories.get(volumeID);
  for (const item of memory?.items ?? []) {
    const key = memory?.keys?.find(({ epoch }) => epoch === item.epoch)?.key;
    if (memory === undefined || key === undefined || isWanted(item, memory, attachments)) {
      continue;
    }
    const { user } = chapFor(Buffer.from(key, 'base64'), volumeID, item.epoch);
    if (target?.chapUsers.includes(user) !== true) {
      await deps.target.deny(volumeID, item.initiator, user, signal);
    }
  }
};

const chapOfGrant = ({ deps, volumeID, signal }: ServerVisit, { hypervisor, epoch }: Grant) => {
  const key = deps.memories.get(volumeID)?.keys?.find((one) => one.epoch === epoch)?.key;
  const keep = async (fresh: string): Promise<void> => {
    const memory = deps.memories.get(volumeID);
    if (memory !== undefined) {
      const keys = [...(memory.keys ?? []), { epoch, key: fresh }];
      await deps.memories.put(volumeID, { ...memory, keys });
    }
  };
  return deps.chapOf({ server: deps.host, hypervisor, volumeID, epoch }, signal, { key, keep });
};

/** Access must go off even when the key, and with it the account's name, cannot be had. */
async function userOf(visit: ServerVisit, world: ExportWorld, grant: Grant | undefined): Promise<string> {
  try {
    return grant === undefined ? strangerOf(world) : (await chapOfGrant(visit, grant)).user;
  } catch (error) {
    visit.log.warn({ volumeID: visit.volumeID, err: error }, 'Denying without the name of the account');
    return strangerOf(world);
  }
}

/**
 * Nobody knows whose access it is: some account of the target goes with it, unless others use the target; the rest goes when the
 * target does.
 */
const strangerOf = ({ target, readers }: ExportWorld): string =>
  readers.length > 0 ? '' : (target?.chapUsers[0] ?? '');
