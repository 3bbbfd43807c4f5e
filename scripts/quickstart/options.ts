// What a person may type after `npm run quickstart --`.
import { parseArgs } from 'node:util';

export const USAGE = `usage: npm run quickstart [-- --once]

Starts the whole system on this machine, with a Kubernetes API, iSCSI targets and three virtual machines of its own,
walks a volume through its life, and stays up for your own kubectl until Ctrl-C.

  --once   takes everything down after the walk; exits with 0 only when every step passed
  --help   this text`;

export type Options =
  | { readonly kind: 'run'; readonly once: boolean }
  | { readonly kind: 'help' }
  | { readonly kind: 'refused'; readonly message: string };

export function readOptions(args: readonly string[]): Options {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { once: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h' } },
    });
    return values.help === true ? { kind: 'help' } : { kind: 'run', once: values.once };
  } catch (error) {
    const [firstSentence = ''] = (error instanceof Error ? error.message : String(error)).split('. ');
    return { kind: 'refused', message: firstSentence };
  }
}
