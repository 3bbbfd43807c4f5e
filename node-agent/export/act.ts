// Carries out one step of the export plan.
import { chapFor } from '../../api/ids.ts';
import type { Grant } from '../../api/volume.ts';
import type { ServerVisit } from '../volume/visit.ts';
import type { ExportStep, ExportWorld } from './plan.ts';

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
      await dropAccounts(visit);
      await target.close(volumeID, signal);
  }
}

/** Also of grants that were given up before their initiators were let in: their accounts are seen at no target. */
const dropAccounts = async ({ deps, volumeID, signal }: ServerVisit): Promise<void> => {
  const { items = [], keys = [] } = deps.memories.get(volumeID) ?? {};
  for (const { initiator, epoch } of items) {
    const key = keys.find((one) => one.epoch === epoch)?.key;
    if (key !== undefined) {
      const { user } = chapFor(Buffer.from(key, 'base64'), volumeID, epoch);
      await deps.target.deny(volumeID, initiator, user, signal);
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
