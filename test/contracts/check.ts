// One suite for a role, over whatever stands behind it: the stand-in of a tool in the unit tests, the tool itself in the lab. What a
// check asks of its surroundings beside the role is a rig.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RunCommand } from '../../node-agent/exec/command.ts';
import { errorCode, type Files } from '../../node-agent/exec/files.ts';
import type { BoundProfile, CallResult } from '../../node-agent/profiles/bind.ts';
import type { Values } from '../../node-agent/profiles/values.ts';
import type { Outcome } from '../../node-agent/profiles/vocabulary.ts';
import { loud } from '../harness/loud.ts';

export interface Check<Rig> {
  readonly name: string;
  readonly run: (rig: Rig) => Promise<void>;
}

export interface AnyRig {
  /** As before the first check. */
  reset(): Promise<void>;
  close(): Promise<void>;
  /** What was asked of the tool since the last reset, and what it said. */
  readonly transcript: Transcript;
}

export const { signal } = new AbortController();

/** A suite with each check as a test of its own. `open` is called once, before the first. */
export const contract = <Rig extends AnyRig>(
  name: string,
  checks: readonly Check<Rig>[],
  open: () => Promise<Rig>,
): { readonly run: () => void } => {
  const tests = suite(name);
  let rig: Rig | undefined;
  tests.before(
    loud(async () => {
      rig = await open();
    }),
  );
  tests.after(loud(async () => await rig?.close()));
  for (const check of checks) {
    tests(check.name, async () => {
      assert.ok(rig, 'the rig is there');
      await rig.reset();
      rig.transcript.clear();
      try {
        await check.run(rig);
      } catch (error) {
        throw withTranscript(error, rig.transcript);
      }
    });
  }
  return { run: () => tests.run() };
};

/** The error itself, since uvu shows what was expected of an assertion by its details. */
const withTranscript = (error: unknown, transcript: Transcript): unknown => {
  if (error instanceof Error) {
    error.message = `${error.message}\n\nasked of the tool, the last at the end:\n${transcript.text}\n`;
  }
  return error;
};

/** The same in each command of LVM. */
const LONG_SETTINGS = /--config devices\/scan_lvs=0 \S+ \S+/;
const ENTRIES_KEPT = 12;
const ENTRY_LENGTH = 900;

export class Transcript {
  #lines: string[] = [];

  get text(): string {
    return this.#lines.slice(-ENTRIES_KEPT).join('\n');
  }

  clear(): void {
    this.#lines = [];
  }

  add(line: string): void {
    this.#lines.push(line.replaceAll(/\n +/g, ' ').slice(0, ENTRY_LENGTH));
  }

  run(run: RunCommand): RunCommand {
    return async (command, aborted) => {
      const line = [command.file, ...command.args].join(' ').replace(LONG_SETTINGS, '--config …');
      try {
        const output = await run(command, aborted);
        const said = [output.stderr, output.stdout]
          .map((text) => text.trimEnd())
          .filter((text) => text !== '');
        this.add([`$ ${line}  # ${output.exitCode}`, ...said].join('\n'));
        return output;
      } catch (error) {
        this.add(`$ ${line}  # ${error}`);
        throw error;
      }
    };
  }

  /** Changes, and looks that failed for another reason than absence. */
  files(files: Files): Files {
    const told =
      <T extends unknown[], R>(name: string, work: (...args: T) => Promise<R>) =>
      async (...args: T): Promise<R> => {
        const line = `${name} ${args.filter((one) => typeof one === 'string').join(' ')}`;
        const isLook = LOOKS.includes(name);
        try {
          const answer = await work(...args);
          this.#note(isLook ? undefined : `${line}  # done`);
          return answer;
        } catch (error) {
          const code = errorCode(error) ?? String(error);
          this.#note(isLook && code === 'ENOENT' ? undefined : `${line}  # ${code}`);
          throw error;
        }
      };
    return Object.fromEntries(
      Object.entries(files).map(([name, work]) => [name, told(name, work as never)]),
    ) as unknown as Files;
  }

  #note(line: string | undefined): void {
    if (line !== undefined) {
      this.add(line);
    }
  }
}

const LOOKS = ['read', 'list', 'stat', 'readlink', 'glob'];

/** Calls a verb and expects that outcome; with `ok` a look, or a change, that did what it was asked for as far as its tool tells. */
export const expectOutcome = async (
  profile: BoundProfile,
  [verb, values]: readonly [verb: string, values: Values],
  expected: Outcome,
): Promise<CallResult> => {
  const result = await profile.call(verb, values, signal);
  const said = result.said === '' ? '' : `; it said: ${result.said}`;
  assert.is(result.outcome, expected, `the outcome of ${verb} (${shown(values)})${said}`);
  return result;
};

const shown = (values: Values): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');

/** What was thrown. Fails when nothing was. */
export const failureOf = async (work: Promise<unknown>): Promise<unknown> => {
  try {
    await work;
  } catch (error) {
    return error;
  }
  return assert.unreachable('it should have been refused');
};

export const expectFailure = async (
  work: Promise<unknown>,
  // biome-ignore lint/suspicious/noExplicitAny: classes of errors have all kinds of constructors
  kind: abstract new (...args: any[]) => Error,
  what: string,
): Promise<void> => {
  const error = await failureOf(work);
  assert.ok(error instanceof kind, `${what}: ${kind.name}, not ${error}`);
};

/** A volumeID that tells its number. */
export const volumeID = (number: number): string => `vol${number.toString(16).padStart(17, '0')}`;
export const snapshotID = (number: number): string => `snap${number.toString(16).padStart(16, '0')}`;
