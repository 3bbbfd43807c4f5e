// Commands and files through a shell behave as the agent's own runner and files, of which they take the place on a machine of the lab.

import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Command, CommandError, createRunCommand } from '../../node-agent/exec/command.ts';
import { errorCode, type Files, hostFiles } from '../../node-agent/exec/files.ts';
import { signal } from './check.ts';
import { localShell, openFiles, shellRun } from './real/shell.ts';

const runs = { ours: createRunCommand(), shell: shellRun(localShell) };
const command = (file: string, args: readonly string[], more: Partial<Command> = {}): Command => ({
  file,
  args,
  timeoutMs: 20_000,
  ...more,
});

const answerOf = async (work: Promise<unknown>): Promise<unknown> =>
  work.catch((error: unknown) =>
    error instanceof CommandError ? error.name : (errorCode(error) ?? `no code: ${error}`),
  );

const test = suite('a machine through a shell');

const COMMANDS: readonly Command[] = [
  command('printf', ['%s|', 'a b', "it's", '$HOME', '*', '', 'ü\n']),
  command('env', []),
  command('env', [], { env: { WORD: "a 'b' $c" } }),
  command('sh', ['-c', 'echo out; echo err >&2; exit 5']),
  command('cat', [], { stdin: 'a text\n\twith "everything" in it: \\ $x ü' }),
  command('cat', []),
  // Not through a pipe, which cannot be opened again.
  command('sh', ['-c', 'cat /dev/stdin; cat <&0'], { stdin: 'twice' }),
  command('sh', ['-c', 'echo the secret >&2'], { secrets: ['secret'] }),
  command('no-such-tool', []),
  command('ls', ['/'], { path: '/nowhere' }),
  command('sh', ['-c', 'exit 127']),
  command('sh', ['-c', 'kill -9 $$']),
];

for (const one of COMMANDS) {
  test(`${one.file} ${one.args.join(' ')}`.replaceAll('\n', ' '), async () => {
    assert.equal(await answerOf(runs.shell(one, signal)), await answerOf(runs.ours(one, signal)));
  });
}

test('a command that does not end is given up', async () => {
  const endless = command('sleep', ['20'], { timeoutMs: 300 });
  assert.is(await answerOf(runs.shell(endless, signal)), 'CommandTimeout');
});

test('an operation on files has the same effect and the same error', async () => {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'vbs-shell-')));
  const told: Record<string, unknown[]> = {};
  const shell = openFiles(localShell);
  try {
    for (const [name, files] of [
      ['ours', hostFiles],
      ['shell', shell.files],
    ] as const) {
      const dir = join(root, name);
      await hostFiles.mkdir(dir);
      told[name] = (await everything(files, dir)).map((one) =>
        JSON.parse(
          JSON.stringify(one, (_, value) =>
            typeof value === 'bigint'
              ? String(value)
              : typeof value === 'string'
                ? value.replaceAll(dir, 'DIR')
                : value,
          ),
        ),
      );
    }
    assert.equal(told.shell, told.ours);
    assert.ok((told.ours ?? []).length > 40);
    const codes = new Set(told.ours?.filter((one) => typeof one === 'string' && /^E[A-Z]+$/.test(one)));
    for (const code of ['ENOENT', 'EEXIST', 'ENOTEMPTY', 'ENOTDIR', 'EISDIR', 'EINVAL']) {
      assert.ok(codes.has(code), `${code} is among what was tried`);
    }
  } finally {
    shell.close();
    await rm(root, { recursive: true });
  }
});

/** Answers, or the code of the error, of each step. */
const everything = async (files: Files, dir: string): Promise<readonly unknown[]> => {
  const at = (name: string): string => join(dir, name);
  const stat = async (path: string): Promise<unknown> => {
    const { changedAt, ...rest } = await files.stat(path);
    // The shell tells whole seconds.
    return { ...rest, isNew: Math.abs(changedAt.getTime() - Date.now()) < 60_000 };
  };
  const steps: readonly (() => Promise<unknown>)[] = [
    () => files.mkdir(at('a')),
    () => files.mkdir(at('a')),
    () => files.mkdir(at('no/b')),
    () => files.mkdir(at('private'), 0o700),
    () => stat(at('private')),
    () => files.write(at('a/text'), "one\ntwo 'three' $x\\n\0ü"),
    () => files.read(at('a/text')),
    () => files.write(at('a/text'), 'short', 0o600),
    () => files.read(at('a/text')),
    () => stat(at('a/text')),
    () => files.write(at('a/secret'), 'x', 0o600),
    () => stat(at('a/secret')),
    () => files.write(at('no/b'), 'x'),
    () => files.write(at('a'), 'x'),
    () => files.write(at('empty'), ''),
    () => files.read(at('empty')),
    () => files.read(at('nothing')),
    () => files.read(at('a')),
    () => files.read(at('a/text/b')),
    () => files.list(dir),
    () => files.list(at('nothing')),
    () => files.list(at('a/text')),
    () => files.symlink('../nowhere at all', at('link')),
    () => files.symlink('/', at('link')),
    () => files.readlink(at('link')),
    () => files.readlink(at('a')),
    () => files.readlink(at('nothing')),
    () => stat(at('link')),
    () => stat(at('nothing')),
    () => files.rmdir(at('a')),
    () => files.rmdir(at('a/text')),
    () => files.rmdir(at('nothing')),
    () => files.unlink(at('nothing')),
    () => files.unlink(at('a')),
    () => files.rename(at('a/text'), at('b [1].txt')),
    () => files.rename(at('nothing'), at('b')),
    () => files.glob(at('*')),
    () => files.glob(at('*/se*t')),
    () => files.glob(at('* [1].t*')),
    () => files.glob(at('nothing')),
    () => files.glob(at('nothing/*')),
    () => files.glob(at('n*/x')),
    () => files.glob(at('*/secret/*')),
    () => files.glob(at('l*')),
    () => files.unlink(at('link')),
    () => files.unlink(at('a/secret')),
    () => files.rmdir(at('a')),
    () => files.list(dir),
    () => files.stat('/dev/null').then(({ kind }) => kind),
  ];
  const answers: unknown[] = [];
  for (const step of steps) {
    answers.push((await answerOf(step())) ?? 'done');
  }
  return answers;
};

test.run();
