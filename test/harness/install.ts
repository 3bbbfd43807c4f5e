// What an administrator does once for a cluster, and once for each host of it.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { ControlPlane } from './control-plane.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** CRDs, rights, policies and the identities of these hosts; returns when the kinds are served. */
export async function install(controlPlane: ControlPlane, hosts: readonly string[]): Promise<void> {
  await controlPlane.kubectl(['apply', '-f', path.join(ROOT, 'crds')]);
  const files = ['controller.yaml', 'agents.yaml', 'admission'];
  await controlPlane.kubectl(['apply', ...files.flatMap((file) => ['-f', path.join(ROOT, 'deploy', file)])]);
  await controlPlane.kubectl(['wait', '--for=condition=Established', '--timeout=60s', ...(await crdNames())]);
  const template = await readFile(path.join(ROOT, 'deploy', 'host.yaml'), 'utf8');
  const identities = hosts.map((host) => template.replaceAll('HOST', host)).join('\n---\n');
  if (hosts.length > 0) {
    await controlPlane.kubectl(['apply', '-f', '-'], identities);
  }
  await controlPlane.kubectl(['apply', '-f', path.join(ROOT, 'examples', 'volumeclass.yaml')]);
}

async function crdNames(): Promise<readonly string[]> {
  const files = await readdir(path.join(ROOT, 'crds'));
  const names = await Promise.all(
    files.map(
      async (file) => /^ {2}name: (\S+)$/m.exec(await readFile(path.join(ROOT, 'crds', file), 'utf8'))?.[1],
    ),
  );
  return names.flatMap((name) => (name === undefined ? [] : [`crd/${name}`]));
}
