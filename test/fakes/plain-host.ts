// A host as the checks of its settings see it: texts, links and directories by path, and what each command says.
import { CommandNotFound, type RunCommand } from '../../node-agent/exec/command.ts';
import type { Files } from '../../node-agent/exec/files.ts';
import { failure, MemoryTree } from './tree.ts';

export interface PlainHost {
  readonly texts?: Readonly<Record<string, string>>;
  readonly links?: Readonly<Record<string, string>>;
  /** By command and arguments, separated by blanks; any other command is not installed. */
  readonly commands?: Readonly<Record<string, Said>>;
}

export type Said = string | { readonly exitCode: number; readonly stdout?: string; readonly stderr?: string };

const answer = (said: Said) =>
  typeof said === 'string' ? { exitCode: 0, stdout: said, stderr: '' } : { stdout: '', stderr: '', ...said };

export function plainHost({ texts = {}, links = {}, commands = {} }: PlainHost): {
  readonly files: Files;
  readonly run: RunCommand;
  readonly started: string[];
} {
  const started: string[] = [];
  const paths = [...Object.keys(texts), ...Object.keys(links)];
  const below = (path: string) => paths.filter((one) => one.startsWith(`${path}/`));
  const regexOf = (pattern: string): RegExp =>
    new RegExp(
      `^${pattern
        .split('*')
        .map((part) => part.replaceAll(/[.+()]/g, '\\$&'))
        .join('[^/]*')}$`,
    );
  return {
    started,
    run: async ({ file, args }) => {
      const line = [file, ...args].join(' ');
      started.push(line);
      const said = commands[line];
      if (said === undefined) {
        throw new CommandNotFound(file, 'did not start (ENOENT)');
      }
      return answer(said);
    },
    files: {
      ...new MemoryTree().files,
      read: async (path) => {
        const text = texts[path];
        if (text === undefined) {
          throw failure('ENOENT', path);
        }
        return text;
      },
      readlink: async (path) => {
        const to = links[path];
        if (to === undefined) {
          throw failure(texts[path] === undefined ? 'ENOENT' : 'EINVAL', path);
        }
        return to;
      },
      list: async (path) => [
        ...new Set(below(path).map((one) => one.slice(path.length + 1).split('/')[0] ?? '')),
      ],
      glob: async (pattern) => paths.filter((path) => regexOf(pattern).test(path)),
      stat: async (path) => {
        if (!paths.includes(path) && below(path).length === 0) {
          throw failure('ENOENT', path);
        }
        return {
          kind: 'file',
          sizeBytes: 0n,
          allocatedBytes: 0n,
          changedAt: new Date(0),
          mode: 0o644,
          uid: 0,
        };
      },
    },
  };
}
