// A guest below one of the emulated hypervisors, which answers commands on its console (see ../guest/init.sh).

import { waitFor } from '../process.ts';
import { GUEST_FILES } from './image.ts';
import type { Ssh, SshAnswer } from './ssh.ts';

const BOOT_LIMIT_MS = 900_000;
const COMMAND_LIMIT_MS = 300_000;
const MEMORY_MIB = 192;
const WORDS = 'console=hvc0 quiet mitigations=off panic=-1 vbs.line=hvc0';
/** Ports for disks that are plugged in later. */
const SPARE_PORTS = 6;

/** How a hypervisor is told of its guests. */
interface Kind {
  /** What a disk is called in the guest. */
  readonly diskPrefix: string;
  readonly configOf: (guest: GuestPlan) => string;
  readonly fileOf: (name: string) => string;
  readonly start: (guest: GuestPlan, file: string) => string;
  readonly stop: (name: string) => string;
  /** A shell word that is the device of its console. */
  readonly console: (name: string) => string;
}

export interface GuestPlan {
  readonly name: string;
  readonly uuid: string;
}

const xenConfig = ({ name, uuid }: GuestPlan): string =>
  [
    `name = "${name}"`,
    `uuid = "${uuid}"`,
    `type = "pv"`,
    `memory = ${MEMORY_MIB}`,
    `vcpus = 1`,
    `kernel = "${GUEST_FILES.kernel}"`,
    `ramdisk = "${GUEST_FILES.initramfs}"`,
    `extra = "${WORDS}"`,
    '',
  ].join('\n');

const libvirtConfig = ({ name, uuid }: GuestPlan): string => `<domain type='qemu'>
  <name>${name}</name>
  <uuid>${uuid}</uuid>
  <memory unit='MiB'>${MEMORY_MIB}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>${GUEST_FILES.kernel}</kernel>
    <initrd>${GUEST_FILES.initramfs}</initrd>
    <cmdline>${WORDS}</cmdline>
  </os>
  <features><acpi/></features>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='pci' index='0' model='pcie-root'/>
    ${"<controller type='pci' model='pcie-root-port'/>".repeat(SPARE_PORTS)}
    <controller type='usb' model='none'/>
    <console type='pty'><target type='virtio'/></console>
    <memballoon model='none'/>
  </devices>
</domain>
`;

export const GUEST_KINDS: Readonly<Record<'xen' | 'libvirt', Kind>> = {
  xen: {
    diskPrefix: 'xvd',
    configOf: xenConfig,
    fileOf: (name) => `/etc/xen/${name}.cfg`,
    // SSH may answer before Xen's own daemons do; "start" waits for a start that is under way.
    start: (_, file) => `systemctl start xen.service && xl create ${file}`,
    stop: (name) => `xl destroy ${name}`,
    console: (name) => `$(xenstore-read /local/domain/$(xl domid ${name})/console/tty)`,
  },
  libvirt: {
    diskPrefix: 'vd',
    configOf: libvirtConfig,
    fileOf: (name) => `/root/${name}.xml`,
    start: ({ name }, file) =>
      `systemctl start libvirtd.service && virsh -q -c qemu:///system define ${file} && virsh -q -c qemu:///system start ${name}`,
    stop: (name) => `virsh -q -c qemu:///system destroy ${name}`,
    console: (name) => `$(virsh -q -c qemu:///system ttyconsole ${name})`,
  },
};

export class LabGuest {
  readonly plan: GuestPlan;
  readonly #host: Ssh;
  readonly #kind: Kind;
  #count = 0;

  constructor(host: Ssh, kind: keyof typeof GUEST_KINDS, plan: GuestPlan) {
    this.#host = host;
    this.#kind = GUEST_KINDS[kind];
    this.plan = plan;
  }

  get name(): string {
    return this.plan.name;
  }

  /** Starts the guest and returns when it answers. It has no disks. */
  async start(): Promise<void> {
    const file = this.#kind.fileOf(this.name);
    await this.#host.write(file, this.#kind.configOf(this.plan));
    await this.#host.succeed(this.#kind.start(this.plan, file), { timeoutMs: BOOT_LIMIT_MS });
    await this.answers();
  }

  async answers(): Promise<void> {
    const what = `guest ${this.name} to answer`;
    await waitFor({ what, timeoutMs: BOOT_LIMIT_MS, intervalMs: 500 }, async () => {
      await this.run('true', 60_000);
      return true;
    });
  }

  /** Pulls the plug. */
  async destroy(): Promise<void> {
    await this.#host.succeed(this.#kind.stop(this.name));
  }

  /** Runs a shell command in the guest. Throws when it fails or does not answer in time. */
  async run(command: string, timeoutMs: number = COMMAND_LIMIT_MS): Promise<string> {
    this.#count += 1;
    const id = `${process.pid}-${this.#count}`;
    const answer = await this.#say(id, Buffer.from(command).toString('base64'), timeoutMs);
    const found = new RegExp(`^@${id} (\\d+) (\\S*)\\r?$`, 'm').exec(answer.stdout);
    if (found === null) {
      throw new Error(`guest ${this.name} did not answer within ${timeoutMs / 1000} s: ${command}`);
    }
    const [, exitCode, text = ''] = found;
    const output = Buffer.from(text, 'base64').toString();
    if (exitCode !== '0') {
      throw new Error(`guest ${this.name}: exit code ${exitCode} of ${command}\n${output}`);
    }
    return output;
  }

  /**
   * A shell that SSH starts leads its session, so a terminal it opened would become its controlling one: what timeout(1) runs in a
   * process group of its own then gets SIGTTIN, tty_ioctl(4) and credentials(7), and reads nothing. So a child opens the console.
   */
  async #say(id: string, text: string, timeoutMs: number): Promise<SshAnswer> {
    const seconds = Math.ceil(timeoutMs / 1000);
    const talk = `exec 3<>"$tty" && stty raw -echo <&3 && printf '\\nRUN ${id} ${text.length}\\n${text}\\n' >&3 &&
timeout ${seconds} grep -a -m 1 '^@${id} ' <&3`;
    return await this.#host.run(`tty=${this.#kind.console(this.name)} || exit\n(${talk}) & wait $!`, {
      timeoutMs: timeoutMs + 30_000,
    });
  }

  /** Names of its block devices: `xvdb`. */
  async disks(): Promise<readonly string[]> {
    const { diskPrefix } = this.#kind;
    return (await this.run('ls /sys/block')).split('\n').filter((name) => name.startsWith(diskPrefix));
  }

  async sizeBytes(device: string): Promise<number> {
    return Number(await this.run(`blockdev --getsize64 /dev/${device}`));
  }

  /** Writes a text to the start of the device and flushes it to the volume server. */
  async writeMarker(device: string, text: string): Promise<void> {
    await this.run(
      `printf '%-511s\\n' '${text}' | dd of=/dev/${device} bs=512 count=1 iflag=fullblock conv=notrunc,fsync`,
    );
  }

  /** The text at the start of the device, read past the guest's cache; blanks around it do not count. */
  async readMarker(device: string): Promise<string> {
    const text = await this.run(
      `dd if=/dev/${device} bs=4096 count=1 iflag=direct 2>/dev/null | head -c 512`,
    );
    return text.replaceAll('\0', '').trim();
  }
}
