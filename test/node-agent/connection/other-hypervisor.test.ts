// One file says which hypervisor a host has. The agent's own code and configuration, its real reconciler and the shipped profiles
// attach and detach a volume by Xen's xl; that one file is replaced and the agent started again; the same by Proxmox's qm.
// xl and qm are stand-ins (test/fakes).

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Attachment } from '../../../api/attachment.ts';
import { keyOf } from '../../../api/object.ts';
import { ATTACHMENTS } from '../../../api/resources.ts';
import { binder } from '../../../node-agent/bindings.ts';
import { loadAgentConfig } from '../../../node-agent/config.ts';
import type { ConnectionMemory } from '../../../node-agent/connection/memory.ts';
import { connectionReconciler } from '../../../node-agent/connection/reconcile.ts';
import { grantUUIDOf, type HypervisorDeps } from '../../../node-agent/connection/visit.ts';
import { createRunCommand, type RunCommand } from '../../../node-agent/exec/command.ts';
import { hostFiles } from '../../../node-agent/exec/files.ts';
import { ProfileError } from '../../../node-agent/profiles/problems.ts';
import type { Initiator } from '../../../node-agent/roles/initiator.ts';
import { profiledVmm } from '../../../node-agent/roles/profiled-vmm.ts';
import { RecordStore } from '../../../node-agent/store.ts';
import { silentLog } from '../../../runtime/log.ts';
import { Metrics } from '../../../runtime/metrics.ts';
import { admitted, anAttachment, exportedAt, VOLUME_ID } from '../../builders/objects.ts';
import { FakeClock } from '../../fakes/clock.ts';
import { MemoryApi } from '../../fakes/memory-api.ts';
import { configsIn, type ProxmoxState, qm, saveProxmox } from '../../fakes/proxmox/qm.ts';
import { XenHost } from '../../fakes/xen/xl.ts';

const UUID = '37fb0f81-6847-4703-8154-d110fb9fe130';
const RESYNC_MS = 60_000;
const { signal } = new AbortController();

/** A host with both tools on it, and what its administrator wrote. */
class Machine {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'vbs-agent-'));
  readonly file = path.join(this.directory, 'agent.yaml');
  readonly xen = new XenHost();
  readonly proxmox: ProxmoxState = { vms: {}, lockTimeouts: 0, calls: [] };
  readonly clock = new FakeClock();
  readonly memory = new MemoryApi();
  readonly sessions = new Set<string>();
  /** Of the present Attachment. */
  epoch = 0;

  constructor() {
    mkdirSync(path.join(this.directory, 'tmp'));
    this.xen.add('vm-a', UUID);
    this.proxmox.vms['105'] = {
      name: 'vm-a',
      status: 'running',
      config: { scsi0: 'local-lvm:vm-105-disk-0,size=32G', smbios1: `uuid=${UUID}` },
      pending: {},
      deletes: [],
      held: [],
    };
  }

  configure(vmm: string): void {
    writeFileSync(
      this.file,
      `host: h1
kubeconfig: /none
stateDir: ${this.directory}
hypervisor:
  initiator: { profile: open-iscsi }
  vmm: ${vmm}
`,
    );
  }

  readonly run: RunCommand = async (command, commandSignal) => {
    switch (command.file) {
      case 'xl':
      case 'xenstore-ls':
        return this.xen.run(command);
      case 'qm': {
        const said = qm(this.proxmox, command.args);
        saveProxmox(this.directory, this.proxmox);
        return said;
      }
      default:
        saveProxmox(this.directory, this.proxmox);
        return createRunCommand(this.directory)(command, commandSignal);
    }
  };

  targetBytes = 1_073_741_824n;
  /** How often the device was asked, or made to look again. */
  asked = 0;

  /** Of the kernel: a session and a link for each grant. */
  get initiator(): Initiator {
    return {
      kind: 'block',
      connect: async ({ volumeID }) => {
        this.sessions.add(volumeID);
        return { kind: 'block', path: `/dev/vbs/${volumeID}.${grantUUIDOf(volumeID, this.epoch)}` };
      },
      verify: async ({ volumeID }) => {
        this.asked += 1;
        return { serial: volumeID, sizeBytes: this.targetBytes };
      },
      disconnect: async ({ volumeID }) => {
        this.sessions.delete(volumeID);
      },
      observe: async () => [...this.sessions].map((volumeID) => ({ volumeID })),
    };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }
}

/** The agent as its configuration says; what it keeps is on the disk. */
async function startAgent(machine: Machine) {
  const { clock, memory } = machine;
  const config = await loadAgentConfig(machine.file);
  const bindRole = binder({
    config,
    files: hostFiles,
    log: silentLog,
    metrics: new Metrics(),
    run: machine.run,
  });
  const role = config.hypervisor?.vmm;
  assert.ok(role);
  const vmm = profiledVmm(await bindRole('vmm', role));
  const ref = { namespace: 'ns', name: 'att' };
  const current = () => memory.find(ATTACHMENTS, ref) as unknown as Attachment | undefined;
  const deps = {
    api: memory.door().api,
    host: config.host,
    bootID: 'boot-h1',
    iqnPrefix: config.iqnPrefix,
    attachments: { get: current, list: () => [current()], written: () => undefined },
    memories: await RecordStore.open<ConnectionMemory>(
      hostFiles,
      path.join(machine.directory, 'attachments'),
    ),
    vmm,
    lookAtInstances: () => vmm.instances(signal),
    initiator: machine.initiator,
    chapOf: async () => ({ user: 'u', password: 'p' }),
    clock,
    resyncMs: RESYNC_MS,
    askedAtMs: new Map(),
    connectingSinceMs: new Map(),
    resizedAtMs: new Map(),
    seenBytes: new Map(),
  } as unknown as HypervisorDeps;
  const reconcile = connectionReconciler(deps);
  /** As the loop does: until nothing more is to come soon, at most so long. */
  const settle = async (limitMs = 20_000): Promise<NonNullable<Attachment['status']>['connection']> => {
    for (let passed = 0; passed < limitMs; ) {
      const { requeueAfterMs = RESYNC_MS } = await reconcile(keyOf({ metadata: ref }), {
        log: silentLog,
        signal,
      });
      if (requeueAfterMs >= RESYNC_MS) {
        break;
      }
      await clock.advance(requeueAfterMs);
      passed += requeueAfterMs;
    }
    return current()?.status?.connection;
  };
  return { settle };
}

/** A granted and exported Attachment of the VM, and the end of it. Each is another object under another grant. */
const order = (
  machine: Machine,
  instance: Attachment['spec']['instance'] = { name: 'vm-a' },
  spec: Partial<Attachment['spec']> = {},
): void => {
  machine.epoch += 1;
  const { epoch } = machine;
  const attachment = anAttachment({
    metadata: { uid: `uid-att-${epoch}` },
    spec: { instance, ...spec },
    status: { ...admitted, epoch, export: exportedAt(epoch) },
  });
  machine.memory.objects.set('attachments ns/att', attachment as never);
};
const orderEnd = (machine: Machine): void => {
  const stored = machine.memory.objects.get('attachments ns/att');
  assert.ok(stored);
  const metadata = { ...stored.metadata, deletionTimestamp: '2026-11-23T12:00:00Z' };
  machine.memory.objects.set('attachments ns/att', { ...stored, metadata });
};
const XEN = '{ profile: xen-xl }';
const proxmoxOf = (machine: Machine): string =>
  `{ profile: proxmox-qm, params: { configs: "${configsIn(machine.directory)}" } }`;
const vm105 = ({ proxmox }: Machine) => {
  const vm = proxmox.vms['105'];
  assert.ok(vm);
  return vm;
};

const test = suite('another hypervisor');
let machine: Machine;
test.before.each(() => {
  machine = new Machine();
});
test.after.each(() => {
  machine.remove();
});

test('one file replaced and the agent started again: Xen first, Proxmox then', async () => {
  machine.configure(XEN);
  order(machine);
  const onXen = await (await startAgent(machine)).settle();
  assert.equal([onXen?.state, onXen?.device], ['Attached', 'xvdb']);
  assert.ok(machine.xen.xenstore.size > 0);
  orderEnd(machine);
  assert.is((await (await startAgent(machine)).settle())?.state, 'Released');
  assert.is(machine.xen.xenstore.size, 0);
  assert.is(machine.sessions.size, 0);
  const xenCalls = machine.xen.calls.length;

  machine.configure(proxmoxOf(machine));
  order(machine);
  const onProxmox = await (await startAgent(machine)).settle();
  assert.equal([onProxmox?.state, onProxmox?.device], ['Attached', 'scsi1']);
  assert.match(vm105(machine).config.scsi1 ?? '', `serial=${VOLUME_ID}`);
  orderEnd(machine);
  assert.is((await (await startAgent(machine)).settle())?.state, 'Released');
  assert.not.match(JSON.stringify(machine.proxmox.vms), '/dev/vbs/');
  assert.is(machine.sessions.size, 0);
  assert.is(machine.xen.calls.length, xenCalls, 'nobody asks xl any more');
});

/** The volume grew: its target is larger, and its server has told so, or is about to. */
const grow = (grown: Machine, told: bigint): void => {
  grown.targetBytes = 2n * GI;
  const stored = grown.memory.objects.get('attachments ns/att') as unknown as Attachment;
  const status = { ...stored.status, export: { ...exportedAt(grown.epoch), sizeBytes: String(told) } };
  grown.memory.objects.set('attachments ns/att', { ...stored, status } as never);
};
const GI = 1n << 30n;
const SECTORS = '/local/domain/0/backend/vbd/1/51728/sectors';

/** An agent whose disk of 1 GiB is in a running domain. */
const onXen = async () => {
  machine.configure(XEN);
  machine.xen.sectors = Number(GI / 512n);
  order(machine);
  const agent = await startAgent(machine);
  await agent.settle();
  return agent;
};

test('a volume that grows is larger in the running domain as soon as blkback has seen it', async () => {
  const agent = await onXen();
  const before = await agent.settle();
  assert.equal([before?.sizeBytes, before?.growsOnline], [String(GI), true]);
  const { asked } = machine;
  grow(machine, 2n * GI);
  const waiting = await agent.settle(5_000);
  assert.equal(
    [waiting?.state, waiting?.sizeBytes, waiting?.problem?.reason],
    ['Attached', String(GI), 'Resizing'],
  );
  assert.is(machine.asked, asked + 1, 'the device is made to look again, and not all the time');
  machine.xen.xenstore.set(SECTORS, String((2n * GI) / 512n));
  const after = await agent.settle();
  assert.equal([after?.state, after?.sizeBytes, after?.problem], ['Attached', String(2n * GI), undefined]);
  assert.not.ok(machine.xen.calls.some((call) => call.includes('block-detach')));
});

test('a device of another size than the server says is not shown to the domain, and stays where it is', async () => {
  const agent = await onXen();
  grow(machine, 3n * GI);
  const fact = await agent.settle(5_000);
  assert.equal([fact?.state, fact?.sizeBytes, fact?.problem?.reason], ['Attached', String(GI), 'Mismatch']);
  assert.is(machine.sessions.size, 1);
});

test('where the hypervisor cannot, it says nothing of growth, and tells no size which the VM does not have', async () => {
  machine.configure(proxmoxOf(machine));
  order(machine);
  const agent = await startAgent(machine);
  assert.is((await agent.settle())?.growsOnline, undefined);
  grow(machine, 2n * GI);
  const { asked } = machine;
  for (const one of [agent, await startAgent(machine)]) {
    const fact = await one.settle();
    assert.equal([fact?.state, fact?.sizeBytes, fact?.problem], ['Attached', String(GI), undefined]);
  }
  assert.is(machine.asked, asked, 'nothing was tried');
});

test('a disk that may only be read follows where nobody has to be asked', async () => {
  machine.configure(XEN);
  order(machine, { name: 'vm-a' }, { readOnly: true });
  assert.is((await (await startAgent(machine)).settle())?.growsOnline, true);
});

test('a VM that was restarted meanwhile has the new size, and that is what is told', async () => {
  const agent = await onXen();
  grow(machine, 2n * GI);
  machine.xen.sectors = Number((2n * GI) / 512n);
  machine.xen.restart('vm-a');
  const fact = await agent.settle();
  assert.equal([fact?.state, fact?.sizeBytes, fact?.problem], ['Attached', String(2n * GI), undefined]);
});

test('an agent does not start with a version which its profile forbids', async () => {
  machine.configure(XEN);
  machine.xen.version = '4.14.6';
  const error = await startAgent(machine).catch((refused: unknown) => refused);
  assert.instance(error, ProfileError);
  assert.match(String(error), 'xen-xl cannot be used with version 4.14.6: before Xen 4.15');
});

test('a restarted domain gets its disk again', async () => {
  machine.configure(XEN);
  order(machine);
  const agent = await startAgent(machine);
  await agent.settle();
  machine.xen.restart('vm-a');
  assert.is((await agent.settle())?.state, 'Attached');
  assert.ok(machine.xen.calls.some((call) => call.startsWith('xl block-attach 2 ')));
});

test('a guest that is only starting takes its disk when it can; meanwhile it is not called attached', async () => {
  machine.configure(XEN);
  machine.xen.domain('vm-a').takes = false;
  order(machine);
  const agent = await startAgent(machine);
  const early = await agent.settle(1_500);
  assert.is(early, undefined, 'nothing is told of a moment');
  const waiting = await agent.settle(5_000);
  assert.equal([waiting?.state, waiting?.problem?.reason], [undefined, 'Connecting']);
  machine.xen.boot('vm-a');
  assert.is((await agent.settle())?.state, 'Attached');
  assert.not.ok(machine.xen.calls.some((call) => call.includes('--force')));
});

test('a disk that nobody takes is asked for anew after a minute', async () => {
  machine.configure(XEN);
  machine.xen.domain('vm-a').takes = false;
  order(machine);
  const agent = await startAgent(machine);
  await agent.settle(70_000);
  const changes = machine.xen.calls.filter((call) => call.includes('block-'));
  assert.equal(
    changes.map((call) => call.split(' ').slice(0, 3).join(' ')),
    ['xl block-attach 1', 'xl block-detach --force', 'xl block-attach 1'],
  );
});

test('a Proxmox VM is found by its number; stopped it keeps nothing of ours, started it gets it again', async () => {
  machine.configure(proxmoxOf(machine));
  order(machine, { vmid: 105 });
  const agent = await startAgent(machine);
  assert.is((await agent.settle())?.state, 'Attached');
  qm(machine.proxmox, ['stop', '105']);
  const stopped = await agent.settle(3_000);
  assert.equal([stopped?.state, stopped?.problem?.reason], [undefined, 'InstanceNotRunning']);
  assert.not.match(JSON.stringify(machine.proxmox.vms), '/dev/vbs/');
  qm(machine.proxmox, ['start', '105']);
  assert.is((await agent.settle())?.state, 'Attached');
});

test('a VM that takes disks at its start only is told what helps, and left alone for a while', async () => {
  machine.configure(proxmoxOf(machine));
  vm105(machine).config.hotplug = 'network,usb';
  order(machine);
  const agent = await startAgent(machine);
  const refused = await agent.settle(25_000);
  assert.is(refused?.problem?.reason, 'Unsupported');
  assert.match(refused?.problem?.message ?? '', 'let disks of this VM be hot-plugged');
  const sets = machine.proxmox.calls.filter((call) => call.startsWith('set '));
  assert.equal(
    sets.map((call) => call.split(' ')[2]),
    ['--scsi1', '--revert'],
  );
  vm105(machine).config.hotplug = 'network,disk,usb';
  assert.is((await agent.settle(60_000))?.state, 'Attached');
});

test('released in a stopped Proxmox VM means out of its saved configuration', async () => {
  machine.configure(proxmoxOf(machine));
  order(machine);
  await (await startAgent(machine)).settle();
  qm(machine.proxmox, ['stop', '105']);
  vm105(machine).lock = 'backup';
  orderEnd(machine);
  const agent = await startAgent(machine);
  assert.is((await agent.settle(3_000))?.problem?.reason, 'Busy');
  delete vm105(machine).lock;
  assert.is((await agent.settle(30_000))?.state, 'Released');
  assert.not.match(JSON.stringify(machine.proxmox.vms), '/dev/vbs/');
});

test('a VM that lost its UUID may still have the disk: nothing is released before it has it again', async () => {
  machine.configure(proxmoxOf(machine));
  order(machine);
  await (await startAgent(machine)).settle();
  const { config } = vm105(machine);
  const { smbios1 = '' } = config;
  config.smbios1 = '';
  orderEnd(machine);
  const agent = await startAgent(machine);
  const told = await agent.settle(20_000);
  assert.equal([told?.state, told?.problem?.reason], [undefined, 'InstanceUnidentified']);
  assert.match(told?.problem?.message ?? '', '(105)');
  assert.match(JSON.stringify(machine.proxmox.vms), '/dev/vbs/');
  config.smbios1 = smbios1;
  assert.is((await agent.settle(30_000))?.state, 'Released');
});

test('a guest that keeps its disk is told about', async () => {
  machine.configure(proxmoxOf(machine));
  order(machine);
  const agent = await startAgent(machine);
  await agent.settle();
  vm105(machine).held = ['scsi1'];
  orderEnd(machine);
  assert.is((await agent.settle())?.problem?.reason, 'DetachBlockedByGuest');
  vm105(machine).held = [];
  assert.is((await agent.settle())?.state, 'Released');
});

test.run();
