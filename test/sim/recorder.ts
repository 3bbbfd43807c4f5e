// What agents do to their hosts, all of it: each argument of each command, each path that a file operation changes.
import type { RunCommand } from '../../node-agent/exec/command.ts';
import type { Files } from '../../node-agent/exec/files.ts';
import type { Host } from './host.ts';

export interface Recorded {
  readonly commands: string[][];
  readonly changedPaths: string[];
}

const CHANGES = [
  'write',
  'writeAtomic',
  'mkdir',
  'rmdir',
  'rename',
  'unlink',
  'extend',
  'symlink',
  'copyRange',
] as const;
/** Of which operations the second argument is a path that is changed as well. */
const CHANGES_TWO: readonly string[] = ['rename', 'copyRange'];

/** From now on; before the host's agent starts. */
export const record = (host: Host): Recorded => {
  const recorded: Recorded = { commands: [], changedPaths: [] };
  const run =
    (real: RunCommand): RunCommand =>
    (command, signal) => {
      const { file, args, stdin = '', env = {} } = command;
      recorded.commands.push([file, ...args, stdin, ...Object.values(env)]);
      return real(command, signal);
    };
  const files = host.files;
  const watched = Object.fromEntries(
    CHANGES.map((name) => {
      const change = files[name] as (...args: readonly unknown[]) => Promise<unknown>;
      const kept = (...args: readonly unknown[]): Promise<unknown> => {
        // A symbolic link is at its second argument, and what it says at its first; a copy is written to its second.
        const paths =
          name === 'symlink'
            ? args.slice(0, 2)
            : name === 'copyRange'
              ? args.slice(1, 2)
              : args.slice(0, CHANGES_TWO.includes(name) ? 2 : 1);
        recorded.changedPaths.push(...paths.map(String));
        return change(...args);
      };
      return [name, kept];
    }),
  );
  const observed: Files = { ...files, ...watched };
  Object.defineProperties(host, {
    run: { value: run(host.run) },
    runHalf: { value: run(host.runHalf) },
    files: { value: observed },
  });
  return recorded;
};
