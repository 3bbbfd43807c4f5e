// Several Attachments to one machine are worked at together: a device name that the agent chose may be taken before it comes to use it.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Attachment } from '../../../api/attachment.ts';
import { actOnConnection } from '../../../node-agent/connection/act.ts';
import { Busy, DeviceInUse } from '../../../node-agent/roles/errors.ts';
import type { AttachRequest, Instance, VmDisk, Vmm } from '../../../node-agent/roles/vmm.ts';
import { admitted, anAttachment, exportedAt, VOLUME_ID } from '../../builders/objects.ts';

const test = suite('device names');
const VM: Instance = { name: 'vm-a', uuid: 'vm-uuid', state: 'Running' };

/** Another disk takes `vdb` while this one is on its way. */
class BusyMachine {
  /** Every name is lost to another disk, and that one is gone again. */
  isHopeless = false;
  readonly disks: VmDisk[] = [];
  readonly tried: string[] = [];

  readonly vmm = {
    disks: async () => [...this.disks],
    freeDevice: (_: Instance, disks: readonly VmDisk[], wanted?: string) =>
      wanted ?? ['vdb', 'vdc'].find((name) => disks.every(({ device }) => device !== name)) ?? '',
    attach: async ({ name }: Instance, { device }: AttachRequest) => {
      this.tried.push(device);
      if (this.isHopeless) {
        throw new DeviceInUse(name, device);
      }
      if (device === 'vdb') {
        this.disks.push({ device });
        throw new DeviceInUse(name, device);
      }
      this.disks.push({ device, volumeID: VOLUME_ID });
    },
  } as Pick<Vmm, 'disks' | 'freeDevice' | 'attach'>;

  async attach(attachment: Attachment): Promise<void> {
    const deps = {
      host: 'h1',
      iqnPrefix: 'iqn.2026-11.dev.vbs',
      vmm: this.vmm,
      memories: { get: () => undefined },
      chapOf: async () => ({ user: 'u', password: 'p' }),
      seenBytes: new Map(),
      initiator: {
        connect: async () => ({ kind: 'block', path: '/dev/disk' }),
        verify: async () => ({ serial: VOLUME_ID, sizeBytes: 1073741824n }),
      },
    };
    const visit = { deps, signal: new AbortController().signal };
    await actOnConnection(visit as never, { attachment } as never, { kind: 'attach', instance: VM } as never);
  }
}

const exported = { ...admitted, export: exportedAt(1) };

test('where none was asked for, the next free one is taken', async () => {
  const machine = new BusyMachine();
  await machine.attach(anAttachment({ status: exported }));
  assert.equal(machine.tried, ['vdb', 'vdc']);
  assert.equal(machine.disks.at(-1), { device: 'vdc', volumeID: VOLUME_ID });
});

const failureOf = (work: Promise<void>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

test('one that was asked for is not changed, and says so', async () => {
  const machine = new BusyMachine();
  const wanted = anAttachment({ spec: { device: 'vdb' }, status: exported });
  assert.instance(await failureOf(machine.attach(wanted)), DeviceInUse);
  assert.equal(machine.tried, ['vdb']);
});

test('a machine where none can be had is busy, which nobody has to cure by another spec', async () => {
  const machine = new BusyMachine();
  machine.isHopeless = true;
  assert.instance(await failureOf(machine.attach(anAttachment({ status: exported }))), Busy);
  assert.ok(machine.tried.length > 1);
});

test.run();
