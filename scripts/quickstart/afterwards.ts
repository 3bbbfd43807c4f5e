// What a person can do while the system stays up.
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Guest } from '../../test/harness/guest.ts';
import type { Screen } from './screen.ts';
import type { Stage } from './walk.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** Sample commands, to be pasted into another terminal. */
export function invitation({ system, guests }: Stage, env: NodeJS.ProcessEnv = process.env): string {
  const { adminKubeconfig, kubectlPath } = system.controlPlane;
  const kubectlDir = path.dirname(kubectlPath);
  const isOnPath = (env.PATH ?? '').split(path.delimiter).includes(kubectlDir);
  return [
    'The system stays up. In another terminal:',
    '',
    `  cd ${ROOT}`,
    `  export KUBECONFIG=${adminKubeconfig}`,
    ...(isOnPath ? [] : [`  export PATH=$PATH:${kubectlDir}`]),
    '',
    '  kubectl get vbs -A                              everything there is of VBS',
    '  kubectl apply -f examples/scratch.yaml          a second volume, attached to vm-b in one go',
    '  kubectl get vbsvol,vbsatt                       how it stands',
    '  kubectl describe vbsatt scratch-on-vm-b         each stage, and what happened',
    '  kubectl delete -f examples/scratch.yaml         and away with it',
    '  kubectl explain vbsvol.spec                     what a Volume can be told',
    '',
    `  virsh -c '${system.libvirtd.uri}' domblklist vm-b`,
    `  tail -f ${system.dir}/controller.log            likewise ${system.hosts.map((host) => `${host}.log`).join(', ')}`,
    `  tail -f ${consolesOf(guests)}`,
    '',
    'Here, a line that begins with the name of a VM runs in it, for example: vm-b cat /proc/partitions',
    'Ctrl-C stops everything and removes it.',
  ].join('\n');
}

const consolesOf = ([first, ...others]: readonly Guest[]): string =>
  `${first?.consoleLog}         its serial console, silent while all is well; likewise ${others.map(({ name }) => name).join(', ')}`;

/** Runs lines such as `vm-a cat /proc/partitions` in the guest of that name; returns how to end that. */
export function serveGuests(guests: readonly Guest[], screen: Screen): () => void {
  const lines = createInterface({ input: process.stdin, terminal: false });
  lines.on('line', (line) => {
    const [, name = '', command = ''] = /^\s*(\S*)\s*(.*)$/.exec(line) ?? [];
    const guest = guests.find((one) => one.name === name);
    if (guest !== undefined && command !== '') {
      void answer(guest, command, screen);
    } else if (name !== '') {
      screen.print(`type the name of a VM (${guests.map((one) => one.name).join(', ')}) and a command`);
    }
  });
  return () => {
    lines.close();
    process.stdin.unref?.();
  };
}

async function answer(guest: Guest, command: string, screen: Screen): Promise<void> {
  try {
    const { exitCode, stdout } = await guest.run(command);
    screen.print(`${stdout.trimEnd()}${exitCode === 0 ? '' : `\n(exit code ${exitCode})`}`);
  } catch (error) {
    screen.print(error instanceof Error ? error.message : String(error));
  }
}
