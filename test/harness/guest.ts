// A small Linux guest under a private libvirt, with spare PCI Express ports for disks,
// that runs commands for us and can tell what its disks hold.

import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureGuestImage, type GuestImage } from './guest-image.ts';
import type { Libvirtd } from './libvirtd.ts';
import type { Log } from './process.ts';
import { type GuestAnswer, SerialLine } from './serial.ts';

export interface GuestOptions {
  readonly libvirtd: Libvirtd;
  /** The domain's name. */
  readonly name: string;
  readonly memoryMiB?: number;
  readonly log: Log;
}

const bootLimitMs = 120_000;
/** Beside another test, and emulated, a guest may take long; one that hangs is told from that only by more time. */
const commandLimitMs = 120_000;
const sparePorts = 12;
const blockSize = 512;
const markerSize = 512;

/** Defines a persistent domain without disks, starts it and returns when it answers. */
export const startGuest = async (options: GuestOptions): Promise<Guest> => {
  const image = await ensureGuestImage(options.log);
  const guest = new Guest(options, image);
  await guest.define();
  await guest.start();
  return guest;
};

export class Guest {
  readonly name: string;
  readonly uuid: string = randomUUID();
  /** What the kernel prints, for a look when it does not come up. */
  readonly consoleLog: string;
  readonly #options: GuestOptions;
  readonly #image: GuestImage;
  readonly #socketPath: string;
  #line: SerialLine;

  constructor(options: GuestOptions, image: GuestImage) {
    this.#options = options;
    this.#image = image;
    this.name = options.name;
    this.consoleLog = path.join(options.libvirtd.dir, `${options.name}.console.log`);
    this.#socketPath = path.join(options.libvirtd.dir, `${options.name}.sock`);
    this.#line = new SerialLine(this.#socketPath);
  }

  /** Runs a shell command in the guest; throws only when no answer comes in time. Commands may overlap. */
  async run(command: string, timeoutMs: number = commandLimitMs): Promise<GuestAnswer> {
    return await this.#line.run(command, timeoutMs);
  }

  /** Returns the guest's device (`/dev/vda`) with that serial as soon as it is there. */
  async waitForDisk(serial: string, timeoutMs: number = commandLimitMs): Promise<string> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const device = await this.findDisk(serial);
      if (device) {
        return device;
      }
      if (Date.now() > deadline) {
        const disks = await this.run('grep . /sys/block/*/serial');
        throw new Error(
          `${this.name} saw no disk ${serial} within ${timeoutMs / 1000} s; it has:\n${disks.stdout}`,
        );
      }
      await sleep(50);
    }
  }

  /** Returns when the guest has no disk with that serial any more. */
  async waitForNoDisk(serial: string, timeoutMs: number = commandLimitMs): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (await this.findDisk(serial)) {
      if (Date.now() > deadline) {
        throw new Error(`${this.name} still has the disk ${serial} after ${timeoutMs / 1000} s`);
      }
      await sleep(50);
    }
  }

  /** The guest's device with that serial now, if any. */
  async findDisk(serial: string): Promise<string | undefined> {
    // Without any disk the shell leaves the pattern as it is, and grep may name it in its complaint.
    const { stdout } = await this.run(`grep -slx '${serial}' /sys/block/*/serial 2>/dev/null`);
    const name = /^\/sys\/block\/([^/*]+)\/serial$/m.exec(stdout)?.[1];
    return name ? `/dev/${name}` : undefined;
  }

  /** The disk's size as the guest sees it. */
  async sizeBytes(serial: string): Promise<bigint> {
    const device = await this.waitForDisk(serial);
    return BigInt((await this.#succeed(`blockdev --getsize64 ${device}`)).trim());
  }

  /** Writes bytes to the disk at any offset and flushes them to the target. */
  async write(serial: string, offset: number, bytes: Uint8Array): Promise<void> {
    const device = await this.waitForDisk(serial);
    const text = Buffer.from(bytes).toString('base64');
    // A here-document, because an argument has a limit of 128 KiB.
    await this.#succeed(
      `base64 -d <<'END' | dd of=${device} bs=64k oflag=seek_bytes seek=${offset} conv=notrunc,fsync\n${text}\nEND`,
    );
  }

  /** Reads bytes from the disk, past the guest's own cache. */
  async read(serial: string, offset: number, length: number): Promise<Buffer> {
    const device = await this.waitForDisk(serial);
    const first = Math.floor(offset / blockSize);
    const count = Math.ceil((offset + length) / blockSize) - first;
    const dd = `dd if=${device} bs=${blockSize} skip=${first} count=${count} iflag=direct`;
    const output = await this.#succeed(`${dd} >/run/read.$$ 2>/run/err.$$ || { cat /run/err.$$; exit 1; }
base64 -w 0 /run/read.$$; rm -f /run/read.$$ /run/err.$$`);
    const start = offset - first * blockSize;
    return Buffer.from(output, 'base64').subarray(start, start + length);
  }

  /** Writes a text of at most 512 bytes to the start of the disk (the rest of the block becomes zero). */
  async writeMarker(serial: string, text: string): Promise<void> {
    const block = Buffer.alloc(markerSize);
    if (block.write(text) < Buffer.byteLength(text)) {
      throw new Error(`a marker holds at most ${markerSize} bytes`);
    }
    await this.write(serial, 0, block);
  }

  /** The text at the start of the disk up to its first zero byte. */
  async readMarker(serial: string): Promise<string> {
    const [text = ''] = (await this.read(serial, 0, markerSize)).toString().split('\0');
    return text;
  }

  /** Defines the domain (without disks); called once by `startGuest`. */
  async define(): Promise<void> {
    // Not /dev/stdin: Node's pipes are sockets, which cannot be opened by that name.
    const file = path.join(this.#options.libvirtd.dir, `${this.name}.xml`);
    await writeFile(file, this.#xml(), { mode: 0o600 });
    await this.#virsh(['define', file]);
  }

  /** Boots the defined domain and returns when it answers. */
  async start(): Promise<void> {
    const startedAt = Date.now();
    await this.#virsh(['start', this.name]);
    this.#line = new SerialLine(this.#socketPath);
    await this.#line.open(bootLimitMs);
    const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
    const how = this.#image.domainType === 'kvm' ? 'KVM' : 'emulated';
    this.#options.log(`guest ${this.name} up after ${seconds} s (${how})`);
  }

  /** Powers the guest off from inside; the domain stays defined. */
  async stop(): Promise<void> {
    await this.run('sync; poweroff -f &').catch(() => undefined);
    const deadline = Date.now() + commandLimitMs;
    while ((await this.state()) !== 'shut off') {
      if (Date.now() > deadline) {
        await this.#virsh(['destroy', this.name]);
      }
      await sleep(100);
    }
    this.#line.close();
  }

  /** Pulls the plug, as after a crash; the domain stays defined. Does nothing when it is off. */
  async destroy(): Promise<void> {
    this.#line.close();
    if ((await this.state()) !== 'shut off') {
      await this.#virsh(['destroy', this.name]);
    }
  }

  /** libvirt's word for its state: `running`, `shut off`, `paused`, … */
  async state(): Promise<string> {
    return (await this.#virsh(['domstate', this.name])).trim();
  }

  async #virsh(args: readonly string[]): Promise<string> {
    return await this.#options.libvirtd.virsh(args);
  }

  async #succeed(command: string): Promise<string> {
    const { exitCode, stdout } = await this.run(command);
    if (exitCode !== 0) {
      throw new Error(`${this.name}: exit code ${exitCode} of ${command.slice(0, 200)}\n${stdout}`);
    }
    return stdout;
  }

  // panic=-1: a kernel that cannot go on ends the domain at once instead of hanging.
  #xml(): string {
    const { kernel, initramfs, domainType } = this.#image;
    const ports = "<controller type='pci' model='pcie-root-port'/>".repeat(sparePorts);
    return `<domain type='${domainType}'>
  <name>${this.name}</name>
  <uuid>${this.uuid}</uuid>
  <memory unit='MiB'>${this.#options.memoryMiB ?? 128}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>${kernel}</kernel>
    <initrd>${initramfs}</initrd>
    <cmdline>console=ttyS0 quiet mitigations=off panic=-1</cmdline>
  </os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='pci' index='0' model='pcie-root'/>
    ${ports}
    <controller type='usb' model='none'/>
    <serial type='file'><source path='${this.consoleLog}' append='on'/><target port='0'/></serial>
    <serial type='unix'><source mode='bind' path='${this.#socketPath}'/><target port='1'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>`;
  }
}
