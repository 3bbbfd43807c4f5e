// `vbs-node-agent enroll` as it is typed. The token comes from a file or from standard input, never from an argument, which all users see.

import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import type { Clock } from '../../runtime/clock.ts';
import { ConfigError } from '../../runtime/errors.ts';
import type { AgentConfig } from '../config.ts';
import type { Files } from '../exec/files.ts';
import { enroll } from './enroll.ts';

export interface EnrollArguments {
  readonly server?: string | undefined;
  readonly 'ca-file'?: string | undefined;
  readonly 'token-file'?: string | undefined;
}

export interface EnrollSurroundings {
  readonly config: AgentConfig;
  readonly files: Files;
  readonly clock: Clock;
}

/** Throws a ConfigError that names the remedy. */
export async function enrollCommand(given: EnrollArguments, surroundings: EnrollSurroundings): Promise<void> {
  const { server, 'ca-file': caFile, 'token-file': tokenFile } = given;
  if (server === undefined || caFile === undefined) {
    throw new ConfigError(
      'enroll needs --server, the URL of the API server, and --ca-file, the certificate of its CA',
    );
  }
  const token = await readToken(surroundings.files, tokenFile);
  const tell = (line: string): void => void process.stdout.write(`${line}\n`);
  await enroll({ ...surroundings, server, caFile, token, tell });
  if (surroundings.config.volumeServer !== undefined) {
    tell('once, before the first start: vbs-node-agent prepare-pools --config FILE');
  }
  tell('then: systemctl restart vbs-node-agent');
}

async function readToken(files: Files, tokenFile: string | undefined): Promise<string> {
  if (tokenFile !== undefined && tokenFile !== '-') {
    return await files.read(tokenFile).catch((error) => {
      throw new ConfigError(`--token-file ${tokenFile} cannot be read: ${String(error)}`, { cause: error });
    });
  }
  if (process.stdin.isTTY) {
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
