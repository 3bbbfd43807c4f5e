// Outside tools played in memory, at the place where a profile would call them: the roles and everything above them are the
// real code, the commands are not.
import path from 'node:path';
import type { BoundProfile, CallResult } from '../../../node-agent/profiles/bind.ts';
import { loadProfile } from '../../../node-agent/profiles/load.ts';
import type { Row } from '../../../node-agent/profiles/row.ts';
import { type Outcome, ROLES, type RoleName } from '../../../node-agent/profiles/vocabulary.ts';

const SHIPPED = path.join(import.meta.dirname, '../../../node-agent/profiles/shipped');

import { MemoryTree } from '../tree.ts';

/** A parameter of a verb as text; empty when it was not given. */
export type Given = (parameter: string) => string;

/** What a tool does for a verb: rows of a look, or the outcome of a change (nothing means ok). */
export type Tool = Readonly<Record<string, (given: Given) => readonly Row[] | Outcome | undefined>>;

export interface PlayedProfile {
  readonly role: RoleName;
  /** A shipped profile: its name, abilities and device names are the real ones. */
  readonly name: string;
  readonly tool: Tool;
  /** Told of every verb that is no look. */
  readonly onChange: () => void;
}

const notPlayed = (what: string): Promise<never> => Promise.reject(new TypeError(`${what} is not played`));

/** Throws TypeError for a verb that the role does not have or the tool does not play. */
export async function playedProfile({ role, name, tool, onChange }: PlayedProfile): Promise<BoundProfile> {
  const profile = await loadProfile(path.join(SHIPPED, `${name}.yaml`), role);
  const call = async (verb: string, values: Readonly<Record<string, unknown>>): Promise<CallResult> => {
    const shape = ROLES[role].verbs[verb];
    const play = tool[verb];
    if (shape === undefined || play === undefined) {
      throw new TypeError(`${role} ${verb} is not played`);
    }
    if (shape.look !== true) {
      onChange();
    }
    const answer = play((parameter) => String(values[parameter] ?? '')) ?? 'ok';
    return typeof answer === 'string'
      ? { outcome: answer, rows: [], stdout: '', said: answer === 'ok' ? '' : answer }
      : { outcome: 'ok', rows: answer, stdout: '', said: '' };
  };
  return {
    name: profile.name,
    role,
    hash: profile.hash,
    profile,
    can: profile.format.can ?? {},
    setting: () => undefined,
    has: (verb) => tool[verb] !== undefined,
    call,
    host: { run: () => notPlayed('the host'), files: new MemoryTree().files },
    step: () => notPlayed('a step of no verb'),
    text: (template) => template,
    version: async () => ({ version: 'played' }),
  };
}
