// Carries out one step of the connection plan.
import { type Attachment, exportAt } from '../../api/attachment.ts';
import { LUN } from '../../api/names.ts';
import type { KeptKey } from '../chap.ts';
import { problemOf, ReportedProblem } from '../problems.ts';
import { Busy, DeviceInUse, Mismatch } from '../roles/errors.ts';
import type { Connection, Identity, Locator } from '../roles/initiator.ts';
import type { Instance } from '../roles/vmm.ts';
import type { ConnectionStep, ConnectionWorld } from './plan.ts';
import { grantUUIDOf, type HostVisit, type HypervisorDeps, initiatorOf } from './visit.ts';

/** More than there are workers: each time one of the others has come first. */
const DEVICE_NAMES_TRIED = 10;

type OutsideStep = Exclude<ConnectionStep, { readonly kind: 'detach' }>;

export async function actOnConnection(
  visit: HostVisit,
  world: ConnectionWorld,
  step: OutsideStep,
): Promise<void> {
  const { deps } = visit;
  const { volumeID = '', epoch = 0 } = world.attachment.status ?? {};
  switch (step.kind) {
    case 'remember':
      await deps.memories.put(step.memory.attachmentUID, step.memory);
      return;
    case 'attach':
      await attach(visit, world, step.instance);
      return;
    case 'resize':
      await resize(visit, world, step.instance);
      return;
    case 'cancel':
      await deps.vmm.cancel(step.instance, volumeID, visit.signal);
      return;
    case 'disconnect':
      await disconnect(visit, volumeID, epoch);
  }
}

/** Secrets in the VMM, and what the host itself keeps of the grant. A withdrawn export names no target any more: none is needed. */
export async function disconnect(
  { deps, signal }: HostVisit,
  volumeID: string,
  epoch: number,
): Promise<void> {
  const grantUUID = grantUUIDOf(volumeID, epoch);
  await deps.vmm.cleanResidue(grantUUID, signal);
  await deps.initiator.disconnect({ volumeID, grantUUID }, signal);
}

function keptKey({ memories }: HypervisorDeps, uid: string, epoch: number): KeptKey {
  const before = memories.get(uid);
  return {
    key: before?.epoch === epoch ? before.key : undefined,
    keep: async (key) => {
      const memory = memories.get(uid);
      if (memory?.epoch === epoch) {
        await memories.put(uid, { ...memory, key });
      }
    },
  };
}

async function connectionOf(
  { deps, signal }: HostVisit,
  { attachment }: ConnectionWorld,
): Promise<Connection> {
  const { volumeID = '', epoch = 0, server = '' } = attachment.status ?? {};
  const { iqn, lun = LUN, portals } = exportAt(attachment, epoch) ?? {};
  const [portal] = portals ?? [];
  if (iqn === undefined || portal === undefined) {
    throw new ReportedProblem('NotExported', 'the volume server names no target or no portal');
  }
  const grant = { server, hypervisor: deps.host, volumeID, epoch };
  const chap = await deps.chapOf(grant, signal, keptKey(deps, attachment.metadata.uid, epoch));
  const grantUUID = grantUUIDOf(volumeID, epoch);
  return { volumeID, grantUUID, iqn, lun, portal, initiator: initiatorOf(deps), chap };
}

/**
 * A VMM that logs in itself stops the whole VM while it closes a disk whose target does not answer: it is asked only when the
 * target does. Throws TargetAway.
 */
export async function expectAnswer(visit: HostVisit, world: ConnectionWorld): Promise<void> {
  const { initiator } = visit.deps;
  if (!world.vmmLogsIn) {
    return;
  }
  try {
    await initiator.verify(await connectionOf(visit, world), visit.signal);
  } catch (error) {
    const problem = problemOf(error);
    if (problem === undefined) {
      throw error;
    }
    throw new ReportedProblem(
      'TargetAway',
      `the disk stays in the VM until its target answers, since the VM would stand still meanwhile; bring the volume server back, or fence this hypervisor and restart the VM. ${problem.message}`,
    );
  }
}

/** Why this device is not the one that its server has promised; undefined when it is. */
function mismatchOf(
  { iqn, volumeID }: Connection,
  { serial, sizeBytes }: Identity,
  promised: string | undefined,
): Mismatch | undefined {
  return serial === volumeID && sizeBytes.toString() === promised
    ? undefined
    : new Mismatch(iqn, `${volumeID} of ${promised} bytes`, `${serial} of ${sizeBytes} bytes`);
}

/** Asks the device itself first, which is how the kernel of this host comes to know of its new size. */
async function resize(visit: HostVisit, world: ConnectionWorld, instance: Instance): Promise<void> {
  const { deps, signal } = visit;
  const { volumeID = '', epoch = 0 } = world.attachment.status ?? {};
  const connection = await connectionOf(visit, world);
  const identity = await deps.initiator.verify(connection, signal);
  const mismatch = mismatchOf(connection, identity, exportAt(world.attachment, epoch)?.sizeBytes);
  if (mismatch !== undefined) {
    throw mismatch;
  }
  await deps.vmm.resize(instance, volumeID, identity.sizeBytes, signal);
  deps.resizedAtMs.set(volumeID, deps.clock.monotonicMs());
}

/** Log in, check who answers, and only then give the disk to the VM. */
async function attach(visit: HostVisit, world: ConnectionWorld, instance: Instance): Promise<void> {
  const { deps, signal } = visit;
  const { attachment } = world;
  const { volumeID = '', epoch = 0 } = attachment.status ?? {};
  const connection = await connectionOf(visit, world);
  const locator = await deps.initiator.connect(connection, signal);
  const identity = await deps.initiator.verify(connection, signal);
  const mismatch = mismatchOf(connection, identity, exportAt(attachment, epoch)?.sizeBytes);
  if (mismatch !== undefined) {
    await deps.initiator.disconnect(connection, signal);
    throw mismatch;
  }
  if (await plugIn(visit, attachment, { instance, locator, tries: DEVICE_NAMES_TRIED })) {
    deps.seenBytes.set(volumeID, identity.sizeBytes);
  }
}

interface Plugging {
  readonly instance: Instance;
  readonly locator: Locator;
  readonly tries: number;
}

/** Whether the disk was not there before. A name that we chose may be taken meanwhile by another disk: then the next free one. */
async function plugIn(visit: HostVisit, attachment: Attachment, to: Plugging): Promise<boolean> {
  const { deps, signal } = visit;
  const { spec, status: { volumeID = '', epoch = 0 } = {} } = attachment;
  const { instance, locator, tries } = to;
  const disks = await deps.vmm.disks(instance, signal);
  const present = disks.find((disk) => disk.volumeID === volumeID && disk.state !== 'pending');
  const request = {
    volumeID,
    device: present?.device ?? deps.vmm.freeDevice(instance, disks, spec.device),
    readOnly: spec.readOnly === true,
    locator,
    grantUUID: grantUUIDOf(volumeID, epoch),
  };
  try {
    await deps.vmm.attach(instance, request, signal);
  } catch (error) {
    if (!(error instanceof DeviceInUse) || spec.device !== undefined) {
      throw error;
    }
    if (tries === 1) {
      throw new Busy(instance.name, error.message);
    }
    return await plugIn(visit, attachment, { ...to, tries: tries - 1 });
  }
  return present === undefined;
}
