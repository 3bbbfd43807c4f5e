// `vbs-node-agent enroll` as it is typed. The token comes from a file or from standard input, never from an argument, which all users see;
// alone, or in a join text with everything else.

import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { parseJoin } from '../../api/join.ts';
import type { Clock } from '../../runtime/clock.ts';
import { ConfigError } from '../../runtime/errors.ts';
import type { AgentConfig } from '../config.ts';
import type { Files } from '../exec/files.ts';
import { type Enrolment, enroll } from './enroll.ts';

export interface EnrollArguments {
  readonly server?: string | undefined;
  readonly 'ca-file'?: string | undefined;
  readonly 'token-file'?: string | undefined;
  readonly 'join-file'?: string | undefined;
}

export interface EnrollSurroundings {
  readonly config: AgentConfig;
  readonly files: Files;
  readonly clock: Clock;
}

/** Throws a ConfigError that names the remedy. */
export async function enrollCommand(given: EnrollArguments, surroundings: EnrollSurroundings): Promise<void> {
  const known =
    given['join-file'] === undefined
      ? await fromParts(given, surroundings)
      : await fromJoin(given, surroundings);
  const tell = (line: string): void => void process.stdout.write(`${line}\n`);
  await enroll({ ...surroundings, ...known, tell });
  if (surroundings.config.volumeServer !== undefined) {
    tell('once, before the first start: vbs-node-agent prepare-pools --config FILE');
  }
  tell('then: systemctl restart vbs-node-agent');
}

type Known = Pick<Enrolment, 'server' | 'ca' | 'token'>;

async function fromParts(given: EnrollArguments, { files }: EnrollSurroundings): Promise<Known> {
  const { server, 'ca-file': caFile, 'token-file': tokenFile } = given;
  if (server === undefined || caFile === undefined) {
    throw new ConfigError(
      'enroll needs --server, the URL of the API server, and --ca-file, the certificate of its CA; or --join-file with what vbs-control-plane enroll printed',
    );
  }
  return { server, ca: { file: caFile }, token: await readSecret(files, 'token', tokenFile) };
}

async function fromJoin(given: EnrollArguments, { files }: EnrollSurroundings): Promise<Known> {
  const { 'join-file': joinFile, ...parts } = given;
  if (parts.server !== undefined || parts['ca-file'] !== undefined || parts['token-file'] !== undefined) {
    throw new ConfigError('--join-file holds everything: leave out --server, --ca-file and --token-file');
  }
  const join = parseJoin(await readSecret(files, 'join', joinFile));
  if (join === undefined) {
    throw new ConfigError(
      'what was given is no join text, or not all of it; copy every line that vbs-control-plane enroll printed between JOIN and JOIN',
    );
  }
  return { server: join.server, ca: { pem: join.ca }, token: join.token };
}

async function readSecret(files: Files, what: 'token' | 'join', file: string | undefined): Promise<string> {
  if (file !== undefined && file !== '-') {
    return await files.read(file).catch((error) => {
      throw new ConfigError(`--${what}-file ${file} cannot be read: ${String(error)}`, { cause: error });
    });
  }
  if (process.stdin.isTTY && what === 'token') {
    return await askForToken();
  }
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) {
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** A terminal shows nothing of it. */
async function askForToken(): Promise<string> {
  process.stderr.write('Token (it is not shown): ');
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('close', () => resolve(''));
      lines.question('').then(resolve, reject);
    });
  } finally {
    lines.close();
    process.stderr.write('\n');
  }
}
