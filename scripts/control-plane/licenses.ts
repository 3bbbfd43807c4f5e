// The terms of the Go modules in a program, for whoever is given the program.

import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const TERMS = /^(licen[cs]e|copying|notice)(\.|$|-)/i;
const RULE = `\n${'-'.repeat(78)}\n\n`;

/** @param dir of the main module, whose packages are all fetched already. */
export const licensesOf = async (dir: string, tag: string, env: NodeJS.ProcessEnv): Promise<string> => {
  const format = '{{with .Module}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}';
  const limits = { cwd: dir, env, maxBuffer: 64 * 1024 ** 2 };
  const { stdout } = await run('go', ['list', '-tags', tag, '-deps', '-f', format, '.'], limits);
  const modules = [...new Set(stdout.split('\n'))].filter((line) => line.includes('\t')).sort();
  const users = new Map<string, string[]>();
  for (const line of modules) {
    const [name = '', version = '', place = ''] = line.split('\t');
    const terms = version === '' ? '' : await termsIn(place);
    if (terms !== '') {
      users.set(terms, [...(users.get(terms) ?? []), `${name} ${version}`]);
    }
  }
  const parts = [...users].map(([terms, names]) => `${names.join('\n')}\n\n${terms}\n`);
  return ['Go modules in etcd, Kubernetes and their tools\n', ...parts].join(RULE);
};

const termsIn = async (dir: string): Promise<string> => {
  const files = (await readdir(dir, { withFileTypes: true }))
    .filter((entry) => entry.isFile() && TERMS.test(entry.name))
    .map(({ name }) => name)
    .sort();
  const texts = await Promise.all(files.map(async (name) => await readFile(path.join(dir, name), 'utf8')));
  return texts.map((text) => text.trim()).join('\n\n');
};
