// A paravirtual guest below the emulated Xen, which answers commands on its console (see ../guest/init.sh).

import { waitFor } from '../process.ts';
import { GUEST_FILES } from './image.ts';
import type { Ssh, SshAnswer } from './ssh.ts';

const BOOT_LIMIT_MS = 600_000;
const COMMAND_LIMIT_MS = 300_000;
const MEMORY_MIB = 192;

/** Starts the guest and returns when it answers. It has no disks. */
export const startXenGuest = async (host: Ssh, name: string, uuid: string): Promise<XenGuest> => {
  const config = [
    `name = "${name}"`,
    `uuid = "${uuid}"`,
    `type = "pv"`,
    `memory = ${MEMORY_MIB}`,
    `vcpus = 1`,
    `kernel = "${GUEST_FILES.kernel}"`,
    `ramdisk = "${GUEST_FILES.initramfs}"`,
    `extra = "console=hvc0 quiet mitigations=off vbs.line=hvc0"`,
    '',
  ];
  const file = `/etc/xen/${name}.cfg`;
  await host.write(file, config.join('\n'));
  // SSH may answer before Xen's own daemons do; "start" waits for a start that is under way.
  await host.succeed(`systemctl start xen.service && xl create ${file}`, { timeoutMs: BOOT_LIMIT_MS });
  const guest = new XenGuest(host, name);
  await waitFor({ what: `guest ${name} to answer`, timeoutMs: BOOT_LIMIT_MS, intervalMs: 500 }, async () => {
    await guest.run('true', 60_000);
    return true;
  });
  return guest;
};

export class XenGuest {
  readonly name: string;
  readonly #host: Ssh;
  #count = 0;

  constructor(host: Ssh, name: string) {
    this.#host = host;
    this.name = name;
  }

  /** Runs a shell command in the guest, one after the other. Throws when it fails or does not answer in time. */
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
    return await this.#host.run(
      `tty=$(xenstore-read /local/domain/$(xl domid ${this.name})/console/tty) || exit
(${talk}) & wait $!`,
      { timeoutMs: timeoutMs + 30_000 },
    );
  }

  /** Names of its block devices: `xvdb`. */
  async disks(): Promise<readonly string[]> {
    return (await this.run('ls /sys/block')).split('\n').filter((name) => name.startsWith('xvd'));
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
