// Commands and files of a machine that is reached through a shell, as the agent's own runner and hostFiles have them.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import {
  CommandError,
  CommandNotFound,
  CommandTimeout,
  DEFAULT_PATH,
  type RunCommand,
} from '../../../node-agent/exec/command.ts';
import type { FileStat, Files } from '../../../node-agent/exec/files.ts';
import { quote, redact } from '../../../node-agent/exec/redact.ts';
import { ended } from '../../harness/process.ts';

export interface ShellAnswer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** That of a machine of the lab is its Ssh. Answers for every command that ended. */
export interface Shell {
  run(
    command: string,
    options?: { readonly stdin?: string; readonly timeoutMs?: number },
  ): Promise<ShellAnswer>;
  /** Starts a command that is spoken to for as long as it is needed. */
  start(command: string): ChildProcessWithoutNullStreams;
}

/** That of this machine. */
export const localShell: Shell = {
  run: async (command, { stdin = '', timeoutMs = 60_000 } = {}) => {
    const child = spawn('sh', ['-c', command], { timeout: timeoutMs, killSignal: 'SIGKILL' });
    const { stdout, stderr, code } = await ended(child, stdin);
    if (code === null && child.killed) {
      throw new Error(`no end after ${timeoutMs / 1000} s: ${command}`);
    }
    // As ssh(1) says it of a command that a signal ended.
    return { exitCode: code ?? NO_CONNECTION, stdout, stderr };
  },
  start: (command) => spawn('sh', ['-c', command]),
};

/** Answers the standard output; throws with the standard error unless the exit code is 0. */
export const succeed = async (shell: Shell, command: string, stdin = ''): Promise<string> => {
  const { exitCode, stdout, stderr } = await shell.run(command, { stdin, timeoutMs: 600_000 });
  if (exitCode !== 0) {
    throw new Error(`exit code ${exitCode} of ${command.slice(0, 400)}\n${stderr.trim() || stdout.trim()}`);
  }
  return stdout;
};

export const word = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

const NOT_FOUND = 127;
/** What a shell says of a command that a signal ended, and more. */
const SIGNALLED = 128;
/** What ssh(1) says of itself, and of a command that a signal ended. */
const NO_CONNECTION = 255;

/** Beside what the agent's runner does: as another user, by number. */
export const shellRun =
  (shell: Shell, { uid }: { readonly uid?: number } = {}): RunCommand =>
  async ({ file, args, stdin, env, timeoutMs, secrets, path = DEFAULT_PATH }) => {
    const settings = Object.entries({ LC_ALL: 'C', PATH: path, ...env });
    const environment = settings.map(([name, value]) => word(`${name}=${value}`)).join(' ');
    const user = uid === undefined ? '' : `setpriv --reuid ${uid} --clear-groups `;
    const line = `exec ${user}env -i ${environment} ${[file, ...args].map(word).join(' ')}`;
    // A nameless file, as the agent's runner gives it: it can be opened again.
    const input = 'f=$(mktemp) && cat >"$f" && exec 3<"$f" && rm "$f" &&';
    const command = stdin === undefined ? `${line} </dev/null` : `${input} ${line} <&3`;
    const answer = await shell
      .run(command, { timeoutMs, ...(stdin === undefined ? {} : { stdin }) })
      .catch((error: unknown) => {
        throw new CommandTimeout(file, quote(redact(String(error), secrets)), Promise.resolve());
      });
    const { exitCode, stdout } = answer;
    const stderr = redact(answer.stderr, secrets);
    if (exitCode === NOT_FOUND && stderr.startsWith('env: ')) {
      throw new CommandNotFound(file, 'did not start (ENOENT)');
    }
    if (exitCode === NO_CONNECTION || (exitCode > SIGNALLED && exitCode < SIGNALLED + 65)) {
      throw new CommandError(file, `ended by a signal, or unheard: ${exitCode} ${quote(stderr)}`);
    }
    return { exitCode, stdout, stderr };
  };

/**
 * Reads an operation a line, its words in hexadecimal digits; makes one system call of it and answers a line: what it was asked for, or
 * the error by its name. One program for all of them: to start one for each would take most of the time, many times over in an emulated machine.
 */
const PROGRAM = String.raw`
use strict; use Errno; use Fcntl; $| = 1;
my @a; my $out;
sub fail { my $e = $! + 0; my ($n) = grep { my $v = do { no strict "refs"; &{"Errno::$_"}() }; $v == $e } sort keys %!; die(($n || "E$e") . "\n") }
sub names { my $d = shift; opendir(my $h, $d) or fail(); my @n = sort grep { $_ ne "." && $_ ne ".." } readdir $h; @n }
my %do = (
  read => sub { sysopen(my $h, $a[0], O_RDONLY) or fail(); for (;;) { my $n = sysread($h, my $t, 65536); defined $n or fail(); $n or last; $out .= $t } },
  write => sub { sysopen(my $h, $a[0], O_WRONLY | O_CREAT | O_TRUNC, oct $a[1]) or fail(); defined syswrite($h, $a[2]) or fail(); close $h or fail() },
  mkdir => sub { mkdir $a[0], oct $a[1] or fail() },
  rmdir => sub { rmdir $a[0] or fail() },
  unlink => sub { if (-d $a[0] && !-l $a[0]) { $! = &Errno::EISDIR; fail() } unlink $a[0] or fail() },
  rename => sub { rename $a[0], $a[1] or fail() },
  symlink => sub { symlink $a[0], $a[1] or fail() },
  readlink => sub { my $t = readlink $a[0]; defined $t or fail(); $out = $t },
  list => sub { $out = join "", map { "$_\0" } names($a[0]) },
  stat => sub { my @s = lstat $a[0] or fail(); my $k = -l _ ? "symlink" : -f _ ? "file" : -d _ ? "directory" : -b _ ? "block" : "other"; $out = join " ", $k, $s[7], $s[12] * 512, $s[10], $s[2] & 07777, $s[4] },
  glob => sub {
    my @f = ("/"); my $wild = 0;
    for my $part (grep { $_ ne "" } split m{/}, $a[0]) {
      my $at = sub { my $d = shift; $d eq "/" ? "/$part" : "$d/$part" };
      if (index($part, "*") < 0) { @f = map { $at->($_) } @f; next }
      my $re = join ".*", map { quotemeta } split /\*/, $part, -1;
      my @g;
      for my $d (@f) {
        if ($wild && !-d $d) { next }
        push @g, map { $d eq "/" ? "/$_" : "$d/$_" } grep { /^$re$/s } names($d);
      }
      @f = @g; $wild = 1;
    }
    $out = join "", map { "$_\0" } grep { lstat $_ } @f;
  },
);
while (my $line = <STDIN>) {
  chomp $line;
  (my $op, @a) = map { pack "H*", $_ } split / /, $line, -1;
  $out = "";
  my $done = eval { $do{$op}->(); 1 };
  print $done ? "ok " . unpack("H*", $out) . "\n" : "no $@";
}
`;

const failure = (code: string, path: string): Error =>
  Object.assign(new Error(`${code}: '${path}', by a shell`), { code });

type Operation =
  | 'read'
  | 'write'
  | 'mkdir'
  | 'rmdir'
  | 'unlink'
  | 'rename'
  | 'symlink'
  | 'readlink'
  | 'list'
  | 'stat'
  | 'glob';

const octal = (mode: number): string => mode.toString(8);

const hex = (text: string): string => Buffer.from(text).toString('hex');

export interface OpenFiles {
  readonly files: Files;
  close(): void;
}

/** What profiles of targets and initiators use; of the rest ENOSYS. */
export const openFiles = (shell: Shell): OpenFiles => {
  const child = shell.start(`exec perl -e ${word(PROGRAM)}`);
  const waiting: { resolve(line: string): void; reject(error: Error): void }[] = [];
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.resolve(line));
  child.stdin.on('error', () => {}); // its end tells
  child.on('close', () => {
    for (const one of waiting.splice(0)) {
      one.reject(new Error(`the program for files has ended: ${said.trim()}`));
    }
  });
  const ask = async (operation: Operation, args: readonly string[]): Promise<string> => {
    const line = await new Promise<string>((resolve, reject) => {
      waiting.push({ resolve, reject });
      child.stdin.write(`${[operation, ...args].map(hex).join(' ')}\n`);
    });
    const [outcome, text = ''] = line.split(' ');
    if (outcome !== 'ok') {
      throw failure(text, args[0] ?? '');
    }
    return Buffer.from(text, 'hex').toString('utf8');
  };
  return { files: filesBy(ask), close: () => void child.stdin.end() };
};

const filesBy = (ask: (operation: Operation, args: readonly string[]) => Promise<string>): Files => {
  const change = async (operation: Operation, args: readonly string[]): Promise<void> => {
    await ask(operation, args);
  };
  const lines = (text: string): readonly string[] => text.split('\0').slice(0, -1);
  const unsupported = async (path: string): Promise<never> => {
    throw failure('ENOSYS', path);
  };
  return {
    read: (path) => ask('read', [path]),
    write: (path, text, mode = 0o644) => change('write', [path, octal(mode), text]),
    mkdir: (path, mode = 0o755) => change('mkdir', [path, octal(mode)]),
    rmdir: (path) => change('rmdir', [path]),
    rename: (from, to) => change('rename', [from, to]),
    unlink: (path) => change('unlink', [path]),
    list: async (path) => lines(await ask('list', [path])),
    stat: async (path) => statOf(await ask('stat', [path])),
    symlink: (target, path) => change('symlink', [target, path]),
    readlink: (path) => ask('readlink', [path]),
    glob: async (pattern) => lines(await ask('glob', [pattern])),
    writeAtomic: unsupported,
    extend: unsupported,
    sync: unsupported,
    space: unsupported,
    copyRange: unsupported,
    hashRange: unsupported,
    isZero: unsupported,
  };
};

const statOf = (text: string): FileStat => {
  const [kind = 'other', size = '0', allocated = '0', changed = '0', mode = '0', uid = '0'] = text.split(' ');
  return {
    kind: kind as FileStat['kind'],
    sizeBytes: BigInt(size),
    allocatedBytes: BigInt(allocated),
    changedAt: new Date(Number(changed) * 1000),
    mode: Number(mode),
    uid: Number(uid),
  };
};
