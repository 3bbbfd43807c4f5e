/** Loads a profile: who may have written it, what it says, and everything that is wrong with it at once. */

import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { type Document, LineCounter, parseDocument } from 'yaml';
import { checkProfile } from './check.ts';
import type { ProfileFormat } from './format.ts';
import { locate, type Place, type Problem, ProfileError, suggest } from './problems.ts';
import schema from './profile.schema.json' with { type: 'json' };
import type { RoleName } from './vocabulary.ts';

export interface Profile {
  readonly file: string;
  readonly role: RoleName;
  readonly name: string;
  /** SHA-256 of the file, hex. */
  readonly hash: string;
  readonly format: ProfileFormat;
}

const isRegex = (text: string): boolean => {
  try {
    new RegExp(text, 'u');
    return true;
  } catch {
    return false;
  }
};

let validate: ValidateFunction<ProfileFormat> | undefined;

/** Compiled at first use: that takes as long as all the rest of what loading the agent does. */
const validator = (): ValidateFunction<ProfileFormat> => {
  if (validate === undefined) {
    const ajv = new Ajv({ allErrors: true, verbose: true, allowUnionTypes: true });
    ajv.addFormat('regex', isRegex);
    validate = ajv.compile<ProfileFormat>(schema);
  }
  return validate;
};

const placeOf = ({ instancePath }: ErrorObject): Place =>
  instancePath
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((key) => (/^\d+$/.test(key) ? Number(key) : key));

const schemaProblem = (error: ErrorObject): Problem => {
  const place = placeOf(error);
  const params: Readonly<Record<string, unknown>> = error.params;
  if (error.keyword === 'additionalProperties') {
    const key = String(params.additionalProperty);
    const known = Object.keys((error.parentSchema as { properties?: object } | undefined)?.properties ?? {});
    return { place: [...place, key], message: `unknown key${suggest(key, known)}` };
  }
  if (error.keyword === 'const' && place[0] === 'profile') {
    return { place, message: `format ${JSON.stringify(error.data)} is unknown; this agent reads format 1` };
  }
  if (error.keyword === 'enum' && Array.isArray(params.allowedValues)) {
    const allowed = params.allowedValues.map(String);
    return {
      place,
      message: `${JSON.stringify(error.data)} is unknown${suggest(String(error.data), allowed)}`,
    };
  }
  return { place, message: error.message ?? 'does not fit the format' };
};

const problemsOf = (plain: unknown, role: RoleName): readonly Problem[] => {
  const fitsSchema = validator();
  if (!fitsSchema(plain)) {
    return (fitsSchema.errors ?? []).filter(({ keyword }) => keyword !== 'if').map(schemaProblem);
  }
  if (plain.role !== role) {
    return [
      { place: ['role'], message: `is ${plain.role}, and the agent's configuration wants a ${role} here` },
    ];
  }
  return checkProfile(plain);
};

const isProfile = (plain: unknown, problems: readonly Problem[]): plain is ProfileFormat =>
  problems.length === 0 && typeof plain === 'object';

const plainOf = (file: string, document: Document): unknown => {
  try {
    return document.toJS({ maxAliasCount: 200 });
  } catch (error) {
    throw new ProfileError(file, [`${file}:1: ${String(error)}`], { cause: error });
  }
};

/**
 * A profile from its text. Throws a ProfileError that lists every problem as `file:line: where: what`.
 * @param file shown in errors and nothing else.
 */
export const parseProfile = (text: string, file: string, role: RoleName): Profile => {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, merge: true });
  if (document.errors.length > 0) {
    throw new ProfileError(
      file,
      document.errors.map(({ message, linePos }) => `${file}:${linePos?.[0].line ?? 1}: ${message}`),
    );
  }
  const plain = plainOf(file, document);
  const problems = problemsOf(plain, role);
  if (!isProfile(plain, problems)) {
    throw new ProfileError(
      file,
      problems.map((problem) => locate(file, document, lines, problem)),
    );
  }
  const hash = createHash('sha256').update(text).digest('hex');
  return { file, role, name: plain.name, hash, format: plain };
};

const ownUid = (): number => process.getuid?.() ?? 0;

/** A profile is code that runs as root: nobody else may be able to change it, or to put another in its place. */
const refuseWritable = (file: string, what: string, found: { uid: number; mode: number }): void => {
  const { uid, mode } = found;
  if (uid !== 0 && uid !== ownUid()) {
    throw new ProfileError(file, [`${what} belongs to uid ${uid}; remedy: chown root:root ${what}`]);
  }
  if ((mode & 0o022) !== 0) {
    throw new ProfileError(file, [`${what} can be written by others; remedy: chmod go-w ${what}`]);
  }
};

const isSticky = (mode: number): boolean => (mode & 0o1000) !== 0;

/**
 * Reads and checks a profile file. Throws a ProfileError when others than root (or the agent's own user) may write the
 * file or its directory, or when its content is wrong.
 */
export const loadProfile = async (file: string, role: RoleName): Promise<Profile> => {
  const directory = dirname(file);
  const above = await stat(directory);
  if (!isSticky(above.mode)) {
    refuseWritable(file, directory, above);
  }
  const handle = await open(file, 'r');
  try {
    refuseWritable(file, file, await handle.stat());
    return parseProfile(await handle.readFile('utf8'), file, role);
  } finally {
    await handle.close();
  }
};
