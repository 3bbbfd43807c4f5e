// What a story of the lab does with its volumes: as a user would, by kubectl and in the guest; and what it looks at outside of both.

import * as assert from 'uvu/assert';
import { waitFor } from '../process.ts';
import type { LabGuest } from './guest.ts';
import { type HostName, type Lab, POOLS } from './lab.ts';
import { table } from './times.ts';

export const MIB = 1024 ** 2;
/** Ends what hangs. No measure: emulation is slow, and many times slower beside other work. */
const WAIT = '--timeout=900s';
export const WAIT_MS = 960_000;

export class LabStory {
  readonly lab: Lab;

  constructor(lab: Lab) {
    this.lab = lab;
  }

  log(line: string): void {
    this.lab.log(line);
  }

  async kubectl(args: readonly string[], stdin?: string): Promise<string> {
    return await this.lab.controlPlane.kubectl(args, stdin, WAIT_MS);
  }

  /** Runs one step, tells how long it took and which commands the agents of these hosts ran for it. */
  async timed<T>(name: string, hosts: readonly HostName[], work: () => Promise<T>): Promise<T> {
    const { lab } = this;
    await Promise.all(hosts.map(async (host) => await lab.agent(host).steps()));
    const startedAt = performance.now();
    const answer = await work();
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    this.log(`${name}: ${seconds} s; commands meanwhile (number, median, longest, sum in seconds):`);
    for (const host of hosts) {
      for (const line of table(await lab.agent(host).steps())) {
        this.log(`  ${host.padEnd(13)} ${line}`);
      }
    }
    return answer;
  }

  /** Runs a command that waits; when that is in vain, shows how the objects stand. */
  async waited(refs: readonly string[], args: readonly string[]): Promise<void> {
    try {
      await this.kubectl([...args, WAIT, ...refs]);
    } catch (error) {
      this.log(await this.kubectl(['get', ...refs, '-o', 'yaml']).catch(String));
      throw error;
    }
  }

  async apply(...objects: readonly object[]): Promise<void> {
    await this.kubectl(['apply', '-f', '-'], objects.map((one) => JSON.stringify(one)).join('\n'));
  }

  async ready(...refs: readonly string[]): Promise<void> {
    await this.waited(refs, ['wait', '--for=condition=Ready']);
  }

  async delete(...refs: readonly string[]): Promise<void> {
    await this.waited(refs, ['delete']);
  }

  async fieldOf(ref: string, field: string): Promise<string> {
    return await this.kubectl(['get', ref, '-o', `jsonpath={${field}}`]);
  }

  async idOf(volume: string): Promise<string> {
    return await this.fieldOf(`vbsvol/${volume}`, '.status.volumeID');
  }

  /** Waits until a condition of the object has this reason; answers its message. */
  async reasonOf(ref: string, type: string, reason: string): Promise<string> {
    const condition = `.status.conditions[?(@.type=="${type}")]`;
    await this.waited([ref], ['wait', `--for=jsonpath={${condition}.reason}=${reason}`]);
    return await this.fieldOf(ref, `${condition}.message`);
  }

  /** Attaches the volumes and answers the guest's names for their disks, once the guest has them all. */
  async plugIn(guest: LabGuest, ...names: readonly string[]): Promise<readonly string[]> {
    const before = await guest.disks();
    await this.apply(...names.map((name) => attachment(name, guest.name)));
    const refs = names.map((name) => attachmentRef(name, guest.name));
    await this.ready(...refs);
    await waitFor(
      { what: `${names.length} more disks in ${guest.name}`, timeoutMs: 300_000 },
      async () => (await guest.disks()).length === before.length + names.length,
    );
    const devices: string[] = [];
    for (const name of names) {
      devices.push(await this.deviceOf(guest, name));
    }
    return devices;
  }

  /** The guest's own name of the disk: a virtio disk is known by its serial, one of Xen by its name. */
  async deviceOf(guest: LabGuest, volume: string): Promise<string> {
    const device = await this.fieldOf(attachmentRef(volume, guest.name), '.status.connection.device');
    const serial = await this.idOf(volume);
    const found = await guest.run(`grep -slx ${serial} /sys/block/*/serial || true`);
    return /^\/sys\/block\/(\w+)\/serial$/m.exec(found)?.[1] ?? device;
  }

  /** Waits until the guest has so many disks. */
  async hasDisks(guest: LabGuest, count: number): Promise<void> {
    const limits = { what: `${guest.name} to have ${count} disks`, timeoutMs: WAIT_MS, intervalMs: 1_000 };
    await waitFor(limits, async () => (await guest.disks()).length === count);
  }

  async unplug(guest: LabGuest, ...names: readonly string[]): Promise<void> {
    const before = await guest.disks();
    await this.delete(...names.map((name) => attachmentRef(name, guest.name)));
    const left = (await guest.disks()).length;
    assert.is(left, before.length - names.length, 'no disk is in the guest when its Attachment is gone');
  }

  /** Raises the size of a volume that is in the guest, until the guest sees it and all hosts say so. */
  async grow(guest: LabGuest, name: string, device: string, mebibytes: number): Promise<void> {
    await this.resize(name, mebibytes);
    const limits = { what: `${mebibytes} MiB in the guest`, timeoutMs: WAIT_MS, intervalMs: 500 };
    // The guest asks its disk for nothing meanwhile: its driver is told.
    await waitFor(limits, async () => (await guest.sizeBytes(device)) === mebibytes * MIB);
    const told = `--for=jsonpath={.status.connection.sizeBytes}=${mebibytes * MIB}`;
    await this.waited([attachmentRef(name, guest.name)], ['wait', told]);
    await this.waited([`vbsvol/${name}`], ['wait', `--for=jsonpath={.status.capacity}=${mebibytes}Mi`]);
  }

  async resize(name: string, mebibytes: number): Promise<void> {
    const patch = JSON.stringify({ spec: { size: `${mebibytes}Mi` } });
    await this.kubectl(['patch', `vbsvol/${name}`, '--type=merge', `--patch=${patch}`]);
  }

  /** The text at the start of a logical volume, on the volume server. */
  async onLogicalVolume(server: HostName, id: string, vg: string = POOLS.thin.vg): Promise<string> {
    // Past the server's cache, which LIO's writes go past as well.
    const dd = `dd if=/dev/${vg}/${id} bs=512 count=1 iflag=direct status=none`;
    return (await this.lab.machine(server).ssh.succeed(dd)).replaceAll('\0', '').trim();
  }

  async nothingLeft(): Promise<void> {
    const limits = { what: 'nothing to be left', timeoutMs: 600_000, intervalMs: 1_000 };
    await waitFor(limits, async () => {
      const left = await this.lab.remains();
      if (left.length > 0) {
        throw new Error(`\n${left.join('\n')}`);
      }
      return true;
    });
  }
}

const object = (kind: string, name: string, spec: object): object => ({
  apiVersion: 'vbs.dev/v1alpha1',
  kind,
  metadata: { name },
  spec,
});

export const volume = (name: string, spec: object = {}): object =>
  object('Volume', name, 'source' in spec ? spec : { size: '64Mi', ...spec });
export const snapshot = (name: string, of: string): object =>
  object('Snapshot', name, { volumeRef: { name: of } });
export const attachment = (name: string, guest: string): object =>
  object('Attachment', `${name}-on-${guest}`, { volumeRef: { name }, instance: { name: guest } });
export const attachmentRef = (name: string, guest: string): string => `vbsatt/${name}-on-${guest}`;
