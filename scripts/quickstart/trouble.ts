// What a person needs to see after a failed step: what the objects say, and the last words of the programs.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Telling } from './course.ts';
import { type Kubectl, type Ref, sentenceOf } from './kubectl.ts';

const LAST_LINES = 8;
const LINE_LENGTH = 240;

export async function tellConditions(kubectl: Kubectl, refs: readonly Ref[], tell: Telling): Promise<void> {
  for (const ref of refs) {
    const thing = await kubectl.get(ref).catch((error: unknown) => `cannot be read: ${String(error)}`);
    const name = `${ref.short}/${ref.name}`;
    if (thing === undefined || typeof thing === 'string') {
      tell.note(`${name} ${thing ?? 'does not exist'}`);
      continue;
    }
    const isDeleting = thing.metadata.deletionTimestamp !== undefined;
    tell.note(`${name} says${isDeleting ? ' (it is being deleted)' : ''}`);
    for (const condition of thing.status?.conditions ?? []) {
      tell.note(`  ${sentenceOf(condition)}`);
    }
  }
}

export async function tellLogs(dir: string, names: readonly string[], tell: Telling): Promise<void> {
  for (const name of names) {
    const file = path.join(dir, `${name}.log`);
    const text = (await readFile(file, 'utf8').catch(() => '')).trimEnd();
    if (text !== '') {
      tell.note(`the last lines of ${file}`);
      for (const line of text.split('\n').slice(-LAST_LINES)) {
        tell.note(`  ${readable(line).slice(0, LINE_LENGTH)}`);
      }
    }
  }
}

/** A line of one of our programs as time, level, message and the rest; any other line as it is. */
export function readable(line: string): string {
  try {
    const { level, time, name: _name, host: _host, msg, ...rest } = JSON.parse(line);
    const details = Object.keys(rest).length === 0 ? '' : ` ${JSON.stringify(rest)}`;
    return `${String(time).slice(11, 23)} ${level} ${msg}${details}`;
  } catch {
    return line;
  }
}
