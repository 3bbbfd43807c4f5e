/** One step of a verb: a command or a file operation, rendered from templates and run. */

import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Command, KillPolicy, RunCommand } from '../exec/command.ts';
import { errorCode, type Files } from '../exec/files.ts';
import { quote, redact } from '../exec/redact.ts';
import { buildJson, buildXml } from './documents.ts';
import { actionOf, type Content, type FileAction, type ProfileFormat, type StepFormat } from './format.ts';
import { fileOutcome, outcomeOf } from './outcome.ts';
import type { Row } from './row.ts';
import type { Output } from './rows.ts';
import { expandLets, render } from './template.ts';
import type { Outcome } from './vocabulary.ts';

export interface StepWorld {
  readonly run: RunCommand;
  readonly files: Files;
  /** Where 0600 files for commands are made; only root may enter it. */
  readonly directory: string;
}

export interface StepScope {
  readonly format: ProfileFormat;
  /** Checked texts of all parameters; undefined for flags that are not set. */
  readonly values: ReadonlyMap<string, string | undefined>;
  readonly secrets: readonly string[];
}

export interface StepResult extends Output {
  readonly outcome: Outcome;
  /** The tool's own words, cut short and without secrets. */
  readonly said: string;
}

type Fill = (template: string) => string | undefined;

const DEFAULT_TIMEOUT_MS = 30_000;
const UNITS = { ms: 1, s: 1_000, m: 60_000 } as const;

const milliseconds = (text: string | undefined): number => {
  const [, digits, unit] = /^(\d+)(ms|s|m)$/.exec(text ?? '') ?? [];
  return digits === undefined ? DEFAULT_TIMEOUT_MS : Number(digits) * UNITS[unit as keyof typeof UNITS];
};

const filler =
  (scope: StepScope, more: ReadonlyMap<string, string>): Fill =>
  (template) =>
    render(expandLets(template, scope.format.let ?? {}), (name) => more.get(name) ?? scope.values.get(name));

const required = (fill: Fill, template: string): string => {
  const text = fill(template);
  if (text === undefined) {
    throw new TypeError(`${template} needs a value that is not set`);
  }
  return text;
};

/** Throws a TypeError for a value that is not set. */
export const fillTemplate = (scope: StepScope, template: string): string =>
  required(filler(scope, new Map()), template);

const contentText = (content: Content, scope: StepScope, fill: Fill): string => {
  if (content.xml !== undefined) {
    return buildXml(content.xml, fill);
  }
  if (content.json !== undefined) {
    return buildJson(content.json, fill);
  }
  return content.secret === undefined
    ? required(fill, content.text ?? '')
    : (scope.values.get(content.secret) ?? '');
};

const environment = (step: StepFormat, scope: StepScope, fill: Fill): Record<string, string> =>
  Object.fromEntries(
    Object.entries(step.env ?? {}).map(([name, value]) => [
      name,
      typeof value === 'string' ? required(fill, value) : (scope.values.get(value.secret) ?? ''),
    ]),
  );

/** The command a step stands for. `argv` of a failed or running command is shown with secrets redacted only. */
export const commandOf = (
  step: StepFormat,
  scope: StepScope,
  fill: Fill = filler(scope, new Map()),
): Command => {
  const run = { ...scope.format.run, ...step };
  const [file = '', ...args] = (step.exec ?? []).map((template) => required(fill, template));
  const kill: KillPolicy = run.kill ?? 'never';
  return {
    file,
    args,
    kill,
    timeoutMs: milliseconds(run.timeout),
    secrets: scope.secrets,
    env: environment(step, scope, fill),
    ...(run.path === undefined ? {} : { path: run.path }),
    ...(step.stdin === undefined ? {} : { stdin: contentText(step.stdin, scope, fill) }),
  };
};

const runExec = async (
  step: StepFormat,
  scope: StepScope,
  world: StepWorld,
  signal: AbortSignal,
): Promise<StepResult> => {
  const made = new Map<string, string>();
  try {
    const plain = filler(scope, new Map());
    for (const [name, content] of Object.entries(step.files ?? {})) {
      const path = join(world.directory, `.vbs-${randomUUID()}`);
      made.set(`file.${name}`, path);
      await world.files.write(path, contentText(content, scope, plain), 0o600);
    }
    const output = await world.run(commandOf(step, scope, filler(scope, made)), signal);
    const rules = [...(step.outcomes ?? []), ...(scope.format.outcomes ?? [])];
    const outcome = outcomeOf(rules, output);
    const said = quote(
      output.stderr === '' && outcome !== 'ok' ? redact(output.stdout, scope.secrets) : output.stderr,
    );
    return { outcome, said, text: output.stdout, entries: [] };
  } finally {
    await Promise.allSettled([...made.values()].map((path) => world.files.unlink(path)));
  }
};

const scan = async (files: Files, directory: string): Promise<readonly Row[]> => {
  const names = await files.list(directory);
  const rows = names.map(async (name): Promise<readonly Row[]> => {
    const path = join(directory, name);
    try {
      return [{ name, ...(await statRow(files, path)) }];
    } catch (error) {
      // Renamed or removed since the listing.
      if (fileOutcome(error) === 'absent') {
        return [];
      }
      throw error;
    }
  });
  return (await Promise.all(rows)).flat();
};

const statRow = async (files: Files, path: string): Promise<Row> => {
  const { kind, sizeBytes, allocatedBytes, changedAt } = await files.stat(path);
  const sizes = { size: String(sizeBytes), allocated: String(allocatedBytes) };
  return { path, kind, ...sizes, changed: changedAt.toISOString() };
};

const spaceRow = async (files: Files, path: string): Promise<Row> => {
  const { totalBytes, freeBytes } = await files.space(path);
  return { total: String(totalBytes), free: String(freeBytes) };
};

/** What is gone since the listing, or is going, is left out. */
const each = async (
  files: Files,
  pattern: string,
  { column, read, without }: { column: string; read: (path: string) => Promise<string>; without: string },
): Promise<readonly Row[]> => {
  const rows = (await files.glob(pattern)).map(async (path): Promise<readonly Row[]> => {
    try {
      return [{ path, [column]: (await read(path)).trim() }];
    } catch (error) {
      if (fileOutcome(error) === 'absent' || errorCode(error) === without) {
        return [];
      }
      throw error;
    }
  });
  return (await Promise.all(rows)).flat();
};

type FileWork = (
  files: Files,
  path: string,
  more: { to: string; size: bigint; text: string; mode?: number },
) => Promise<string | readonly Row[] | undefined>;

const nothing = async (work: Promise<void>): Promise<undefined> => {
  await work;
};

const FILE_WORK: Readonly<Record<FileAction, FileWork>> = {
  mkdir: (files, path, { mode }) => nothing(files.mkdir(path, mode)),
  rmdir: (files, path) => nothing(files.rmdir(path)),
  unlink: (files, path) => nothing(files.unlink(path)),
  rename: (files, path, { to }) => nothing(files.rename(path, to)),
  write: (files, path, { text, mode }) => nothing(files.write(path, text, mode)),
  replace: (files, path, { text, mode }) => nothing(files.writeAtomic(path, text, mode)),
  symlink: (files, path, { to }) => nothing(files.symlink(to, path)),
  extend: (files, path, { size }) => nothing(files.extend(path, size)),
  sync: (files, path) => nothing(files.sync(path)),
  read: (files, path) => files.read(path),
  readlink: (files, path) => files.readlink(path),
  readEach: (files, path) =>
    each(files, path, { column: 'text', read: (found) => files.read(found), without: 'ENODEV' }),
  // EINVAL: something else than a symbolic link.
  linkEach: (files, path) =>
    each(files, path, { column: 'to', read: (found) => files.readlink(found), without: 'EINVAL' }),
  list: async (files, path) => (await files.list(path)).map((name) => ({ name, path: join(path, name) })),
  scan: (files, path) => scan(files, path),
  glob: async (files, path) => (await files.glob(path)).map((found) => ({ path: found })),
  stat: async (files, path) => [await statRow(files, path)],
  space: async (files, path) => [await spaceRow(files, path)],
};

const hasContent = (step: StepFormat): boolean =>
  step.text !== undefined || step.xml !== undefined || step.json !== undefined || step.secret !== undefined;

const runFile = async (
  step: StepFormat,
  action: FileAction,
  scope: StepScope,
  files: Files,
): Promise<StepResult> => {
  const fill = filler(scope, new Map());
  const path = required(fill, step[action] ?? '');
  const text = hasContent(step) ? contentText(step, scope, fill) : '';
  const holdsSecret = scope.secrets.some((secret) => secret !== '' && text.includes(secret));
  const mode = step.mode === undefined ? (holdsSecret ? 0o600 : undefined) : Number.parseInt(step.mode, 8);
  const more = { text, to: required(fill, step.to ?? ''), size: BigInt(required(fill, step.size ?? '0')) };
  try {
    const given = await FILE_WORK[action](files, path, mode === undefined ? more : { ...more, mode });
    const isText = typeof given === 'string';
    return { outcome: 'ok', said: '', text: isText ? given : '', entries: isText ? [] : (given ?? []) };
  } catch (error) {
    const said = quote(redact(error instanceof Error ? error.message : String(error), scope.secrets));
    return { outcome: fileOutcome(error), said, text: '', entries: [] };
  }
};

/** Rejects only when a command gave no answer at all (CommandError). */
export const runStep = (
  step: StepFormat,
  scope: StepScope,
  world: StepWorld,
  signal: AbortSignal,
): Promise<StepResult> => {
  const action = actionOf(step);
  return action === 'exec' ? runExec(step, scope, world, signal) : runFile(step, action, scope, world.files);
};

/** What the observer sees of a step. */
export const shownArgv = (step: StepFormat, scope: StepScope): readonly string[] => {
  const action = actionOf(step);
  const fill = filler(scope, new Map());
  const words =
    action === 'exec'
      ? (step.exec ?? [])
      : [action, step[action] ?? '', ...(step.to === undefined ? [] : [step.to])];
  return words.map((word) => redact(fill(word) ?? word, scope.secrets));
};
