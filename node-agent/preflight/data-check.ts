// Checks that are data: settings in files, and steps of a profile.
import { errorCode } from '../exec/files.ts';
import type { BoundProfile, StepAnswer } from '../profiles/bind.ts';
import { actionOf, asList, type CheckFormat, type KeptSetting, type StepFormat } from '../profiles/format.ts';
import type { Remedy, Verdict } from './finding.ts';
import { findKey, type KeyPlace } from './key-value-file.ts';
import type { About } from './rule.ts';

interface World {
  readonly bound: BoundProfile;
  readonly about: About;
  readonly signal: AbortSignal;
}

const parameters = ({ iqnPrefix }: About): Readonly<Record<string, string>> => ({ iqnPrefix });

const fill = ({ bound, about }: World, template: string): string => bound.text(template, parameters(about));

/** Undefined: no such file. */
async function readIfThere({ bound }: World, path: string): Promise<string | undefined> {
  try {
    return await bound.host.files.read(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') {
      return undefined;
    }
    throw error;
  }
}

async function filesOf(world: World, { file }: KeptSetting): Promise<readonly string[]> {
  const found: string[] = [];
  for (const path of [file].flat().map((template) => fill(world, template))) {
    if (!path.includes('*')) {
      found.push(path);
      continue;
    }
    try {
      found.push(...(await world.bound.host.files.glob(path)));
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') {
        throw error;
      }
    }
  }
  return found;
}

const isGood = (world: World, { match, min }: KeptSetting, value: string): boolean =>
  match === undefined ? Number(value) >= (min ?? 0) : new RegExp(fill(world, match), 'u').test(value);

function settingRemedy(path: string, found: KeyPlace, put: string): Remedy {
  if (found.line === 0) {
    return { how: 'make', place: `${path}:1`, text: put };
  }
  const how = found.value === undefined ? 'add' : 'change';
  return { how, place: `${path}:${found.line}`, text: put };
}

async function checkSetting(world: World, setting: KeptSetting, put: string): Promise<Verdict> {
  for (const path of await filesOf(world, setting)) {
    const found = findKey((await readIfThere(world, path)) ?? '', setting.key);
    const value = found.value ?? setting.default;
    if (value !== undefined && !isGood(world, setting, value)) {
      const wrong = `${setting.key} is ${value}${found.value === undefined ? ' by default' : ''}`;
      return { kind: 'wrong', wrong, remedy: settingRemedy(path, found, put) };
    }
  }
  return { kind: 'ok' };
}

/** Of a file operation only these two are answers; the rest, such as a lack of rights, means that nothing was seen. */
const isAnswer = (step: StepFormat, { outcome }: StepAnswer): boolean =>
  actionOf(step) === 'exec' || outcome === 'ok' || outcome === 'absent';

interface Heard {
  /** `notHere`: a file says no, and a command may know better, as of a module that is not loaded. */
  readonly kind: 'passes' | 'no' | 'notHere' | 'unclear';
  readonly said: string;
}

async function ask(world: World, step: StepFormat, passes: CheckFormat['passes']): Promise<Heard> {
  const { bound, about, signal } = world;
  try {
    const answer = await bound.step(step, parameters(about), signal);
    if ((passes ?? ['ok']).includes(answer.outcome)) {
      return { kind: 'passes', said: '' };
    }
    if (!isAnswer(step, answer)) {
      return { kind: 'unclear', said: answer.said };
    }
    return actionOf(step) === 'exec' ? { kind: 'no', said: answer.said } : { kind: 'notHere', said: '' };
  } catch (error) {
    signal.throwIfAborted();
    return { kind: 'unclear', said: error instanceof Error ? error.message : String(error) };
  }
}

/** Any one that passes will do; what could not be asked matters only when none does and no command says no. */
async function checkSteps(world: World, check: CheckFormat): Promise<Verdict> {
  const heard: Heard[] = [];
  for (const step of asList(check.steps)) {
    const answer = await ask(world, step, check.passes);
    if (answer.kind === 'passes') {
      return { kind: 'ok' };
    }
    heard.push(answer);
  }
  const no = heard.find(({ kind }) => kind === 'no');
  const unclear = heard.find(({ kind }) => kind === 'unclear');
  return no === undefined && unclear !== undefined && check.live !== true
    ? { kind: 'unclear', why: unclear.said }
    : wrongOf(world, check, no?.said ?? unclear?.said ?? '');
}

async function checkSame(world: World, check: CheckFormat): Promise<Verdict> {
  const { bound, about, signal } = world;
  const answers: string[] = [];
  for (const step of check.same ?? []) {
    const { outcome, rows, said } = await bound.step(step, parameters(about), signal);
    if (outcome !== 'ok') {
      return { kind: 'unclear', why: said === '' ? outcome : said };
    }
    answers.push(rows.map((row) => Object.values(row).join(' ')).join(', '));
  }
  return new Set(answers).size === 1
    ? { kind: 'ok', note: answers[0] ?? '' }
    : wrongOf(world, check, answers.join(' and '));
}

async function wrongOf(world: World, check: CheckFormat, said: string): Promise<Verdict> {
  const wrong = fill(world, check.wrong ?? '');
  const remedy = await remedyOf(world, check);
  return {
    kind: 'wrong',
    wrong: wrong.includes(said) ? wrong : `${wrong}: ${said}`,
    ...(remedy === undefined ? {} : { remedy }),
  };
}

async function remedyOf(world: World, { put, file, run }: CheckFormat): Promise<Remedy | undefined> {
  if (put !== undefined && file !== undefined) {
    const path = fill(world, file);
    const lines = ((await readIfThere(world, path)) ?? '').trimEnd().split('\n');
    const isEmpty = lines.join('') === '';
    const place = { how: isEmpty ? 'make' : 'add', place: `${path}:${isEmpty ? 1 : lines.length}` } as const;
    return { ...place, text: fill(world, put) };
  }
  return run === undefined ? undefined : { how: 'run', text: fill(world, run) };
}

/** Throws what commands and files throw: then it could not be looked at. */
export function runDataCheck(check: CheckFormat, world: World): Promise<Verdict> {
  if (check.setting !== undefined) {
    return checkSetting(world, check.setting, fill(world, check.put ?? ''));
  }
  return check.same === undefined ? checkSteps(world, check) : checkSame(world, check);
}
