// Looks at every place where a deleted volume could have left something, from the outside: pool, target, hypervisor,
// API and the agents' own records. Each look names the command by which a person can repeat it.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HypervisorAgent, ServerAgent } from '../../api/hosts.ts';
import { chapSecretName, hostNamespace } from '../../api/names.ts';
import type { KubeObject } from '../../api/object.ts';
import {
  ATTACHMENTS,
  HYPERVISORS,
  SECRETS,
  SNAPSHOTS,
  VOLUME_SERVERS,
  VOLUMES,
} from '../../api/resources.ts';
import type { Api } from '../../runtime/api.ts';
import type { ServerParts, System } from '../../test/harness/system.ts';
import type { Telling } from './course.ts';

/** One place, and what of ours is there. */
interface Look {
  readonly what: string;
  readonly command: string;
  readonly found: readonly string[];
}

interface Scene {
  readonly system: System;
  readonly api: Api;
  readonly guests: readonly string[];
}

const LIMIT_MS = 60_000;
// What an agent keeps about itself and its host, not about a volume.
const OWN_RECORDS = ['host', 'keys', 'pools'];
const SHOW = ['--lld', 'iscsi', '--op', 'show', '--mode'];

/** Tells what was found where; data is freed after the Volume is gone, so it looks until all is gone. */
export async function proveNothingLeft(scene: Scene, tell: Telling): Promise<void> {
  const deadline = Date.now() + LIMIT_MS;
  for (;;) {
    const looks = (await Promise.all(lookers.map((look) => look(scene)))).flat();
    const left = looks.flatMap(({ what, found }) => found.map((one) => `${what}: ${one}`));
    if (left.length === 0 || Date.now() > deadline) {
      show(looks, tell);
      if (left.length > 0) {
        throw new Error(`after ${LIMIT_MS / 1000} s there is still\n  ${left.join('\n  ')}`);
      }
      return;
    }
    tell.status(`waiting for ${left.length} to go: ${left[0]}`);
    await sleep(500);
  }
}

function show(looks: readonly Look[], tell: Telling): void {
  const width = Math.max(...looks.map(({ what }) => what.length));
  for (const { what, command, found } of looks) {
    tell.note(
      `${what.padEnd(width)}  ${found.length === 0 ? 'none' : `${found.length}!`.padEnd(4)}  ${command}`,
    );
  }
}

const lines = (output: string, pattern: RegExp): string[] =>
  output
    .split('\n')
    .filter((line) => pattern.test(line))
    .map((line) => line.trim());

const lookers: readonly ((scene: Scene) => Promise<readonly Look[]>)[] = [
  lookAtPool,
  lookAtTargets,
  lookAtDisks,
  lookAtLibvirtSecrets,
  lookAtObjects,
  lookAtReports,
  lookAtRecords,
];

async function lookAtPool({ system }: Scene): Promise<readonly Look[]> {
  return await Promise.all(
    system.servers.map(async ({ name, poolDir }) => ({
      what: `files in the pool of ${name}`,
      command: `ls ${poolDir}`,
      found: await system.poolContents(poolDir),
    })),
  );
}

async function lookAtTargets({ system: { servers } }: Scene): Promise<readonly Look[]> {
  return (await Promise.all(servers.map(lookAtTarget))).flat();
}

async function lookAtTarget({ name, tgtd }: ServerParts): Promise<readonly Look[]> {
  const command = (mode: string) => `tgtadm -C ${tgtd.controlPort} ${SHOW.join(' ')} ${mode}`;
  const targets = await tgtd.tgtadm([...SHOW, 'target']);
  const accounts = await tgtd.tgtadm([...SHOW, 'account']);
  return [
    { what: `iSCSI targets of ${name}`, command: command('target'), found: lines(targets, /^Target \d+:/) },
    { what: `iSCSI sessions of ${name}`, command: '(the same)', found: lines(targets, /I_T nexus: \d+/) },
    { what: `iSCSI accounts of ${name}`, command: command('account'), found: lines(accounts, /^\s+\S/) },
  ];
}

async function lookAtDisks({ system: { libvirtd }, guests }: Scene): Promise<readonly Look[]> {
  return await Promise.all(
    guests.map(async (guest) => ({
      what: `disks of ${guest}`,
      command: `virsh -c '${libvirtd.uri}' domblklist ${guest}`,
      found: [
        ...lines(await libvirtd.virsh(['domblklist', guest]), /\S/),
        ...lines(await libvirtd.virsh(['domblklist', guest, '--inactive']), /\S/),
      ],
    })),
  );
}

async function lookAtLibvirtSecrets({ system: { libvirtd } }: Scene): Promise<readonly Look[]> {
  const found = lines(await libvirtd.virsh(['secret-list']), /\S/);
  return [{ what: 'secrets in libvirt', command: `virsh -c '${libvirtd.uri}' secret-list`, found }];
}

async function lookAtObjects({ api }: Scene): Promise<readonly Look[]> {
  const lists = await Promise.all([VOLUMES, SNAPSHOTS, ATTACHMENTS].map((resource) => api.list(resource)));
  const found = lists.flatMap(({ items }) => items.map(({ metadata }) => metadata.name));
  return [{ what: 'objects of users', command: 'kubectl get vbsvol,vbssnap,vbsatt -A', found }];
}

interface Host extends KubeObject {
  readonly status?: { readonly agent?: Partial<ServerAgent> & Partial<HypervisorAgent> };
}

async function lookAtReports({ api }: Scene): Promise<readonly Look[]> {
  const lists = await Promise.all([VOLUME_SERVERS, HYPERVISORS].map((resource) => api.list<Host>(resource)));
  const reported = lists
    .flatMap(({ items }) => items)
    .flatMap((host) => {
      const { leftovers = [], wiping = [], disks = 0 } = host?.status?.agent ?? {};
      const disksTold = disks === 0 ? [] : [`${disks} disks`];
      return [...[...leftovers, ...wiping].map((one) => JSON.stringify(one)), ...disksTold].map(
        (one) => `${host?.metadata.name}: ${one}`,
      );
    });
  const command = 'kubectl get volumeservers,hypervisors -o yaml';
  return [{ what: 'leftovers the hosts report', command, found: reported }];
}

async function lookAtRecords({ system }: Scene): Promise<readonly Look[]> {
  const hosts = await Promise.all(
    system.hosts.map(async (host) => {
      const dir = path.join(system.dir, host);
      const folders = (await readdir(dir, { withFileTypes: true })).filter((entry) => entry.isDirectory());
      const kept = folders.map(({ name }) => name).filter((name) => !OWN_RECORDS.includes(name));
      const files = await Promise.all(kept.map((name) => readdir(path.join(dir, name))));
      return files.flat();
    }),
  );
  const command = `ls ${system.hosts.map((host) => `${system.dir}/${host}/*`).join(' ')}`;
  return [{ what: "records in the agents' folders", command, found: hosts.flat() }];
}

/** What stays on purpose: a CHAP key for each pair of hosts, once in each host's namespace. */
export async function countChapKeys(
  api: Api,
  pairs: readonly (readonly [server: string, other: string])[],
): Promise<string> {
  const { items } = await api.list(SECRETS);
  const places = items.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).sort();
  const expected = pairs
    .flatMap((pair) => pair.map((host) => `${hostNamespace(host)}/${chapSecretName(...pair)}`))
    .sort();
  if (places.join() !== expected.join()) {
    throw new Error(`Secrets should be ${expected.join(' and ')}, but are: ${places.join(', ') || 'none'}`);
  }
  const names = pairs.map((pair) => chapSecretName(...pair));
  return [
    `What stays: the CHAP key of each pair of hosts, as a Secret in the namespaces of the two (${names.join(', ')}).`,
    'There is one for each pair, not for each volume.',
  ].join('\n');
}
