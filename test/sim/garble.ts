// Tools whose words arrive damaged although they say that all is well: never so that they could be meant. What is cut between two lines
// could be; it stays whole.
import type { RunCommand } from '../../node-agent/exec/command.ts';
import type { Host } from './host.ts';
import type { Random } from './random.ts';

export interface Garbling {
  /** Of looks, the share that is damaged. */
  share: number;
  /** How many were. */
  count: number;
}

const HOWS = ['nothing', 'cut', 'words', 'bytes'] as const;

const damaged = (text: string, file: string, random: Random): string => {
  const at = random.between(0, text.length - 1);
  switch (random.pick(HOWS)) {
    case 'nothing':
      // A directory of xenstore may be empty, and so may be what tgtd lists.
      return /^(?:xenstore-ls|tgtadm)$/.test(file) ? `${text.slice(0, -1)}` : '';
    case 'cut': {
      const cut = text.slice(0, at);
      return cut === '' || cut.endsWith('\n') ? `${cut}${text.slice(at).trimStart().slice(0, 1)}` : cut;
    }
    case 'words': {
      const line = text.lastIndexOf('\n', at) + 1;
      return `${text.slice(0, line)}Fehler: interner Fehler\n${text.slice(line)}`;
    }
    case 'bytes':
      return `${text.slice(0, at)}${random.chance(0.5) ? '\0' : '\u{fffd}'}${text.slice(at + 1)}`;
  }
};

/** From now on, as long as there is a share; before the host's agent starts. */
export const garble = (host: Host, random: Random, tell: (line: string) => void): Garbling => {
  const garbling: Garbling = { share: 0, count: 0 };
  const real = host.run;
  const run: RunCommand = async (command, signal) => {
    const output = await real(command, signal);
    const isHit = output.exitCode === 0 && output.stdout !== '' && random.chance(garbling.share);
    if (!isHit) {
      return output;
    }
    garbling.count += 1;
    const stdout = damaged(output.stdout, command.file, random);
    const same = [...stdout].findIndex((letter, at) => letter !== output.stdout[at]);
    const where = JSON.stringify(stdout.slice(Math.max(0, same - 60), same + 20));
    tell(`${host.name}: ${command.file} ${command.args.join(' ').slice(-40)} is damaged at ${where}`);
    return { ...output, stdout };
  };
  Object.defineProperty(host, 'run', { value: run });
  return garbling;
};
