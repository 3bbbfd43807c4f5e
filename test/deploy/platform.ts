// A real API server with what an administrator installs: CRDs, rights, policies and the identities of some hosts.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { AGENT_ACCOUNT, hostNamespace } from '../../api/names.ts';
import { Caller } from '../api/caller.ts';
import { type ControlPlane, startControlPlane } from '../harness/control-plane.ts';
import { makeWorkdir, type Workdir } from '../harness/workdir.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
export const GROUP_PATH = '/apis/vbs.dev/v1alpha1';
const HOST_PROBE = 'system:serviceaccount:vbs-host-probe:vbs-agent';
/** Whom each policy is about, and what it says to them. */
const PROBES = {
  [HOST_PROBE]: 'a host may',
  'system:serviceaccount:vbs-system:vbs-controller': 'the controller writes only',
};

export interface Platform {
  readonly workdir: Workdir;
  readonly controlPlane: ControlPlane;
  /** Of `system:masters`. */
  readonly admin: Caller;
  /** Enrols a host as an administrator does, without the parts it does not play, and gives its agent's identity. */
  enrol(host: string, without?: 'vbs-volume-server' | 'vbs-hypervisor'): Promise<Caller>;
  /** The identity of any ServiceAccount that exists. */
  identity(namespace: string, serviceAccount: string): Promise<Caller>;
  close(): Promise<void>;
}

export const crdFiles = async (): Promise<readonly string[]> =>
  (await readdir(path.join(ROOT, 'crds')))
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .map((name) => path.join(ROOT, 'crds', name));

/** Everything below deploy/ but the template of a host. */
const deployed = ['controller.yaml', 'agents.yaml', 'users.yaml', 'admission'].map((name) =>
  path.join(ROOT, 'deploy', name),
);

export async function openPlatform(log: (line: string) => void): Promise<Platform> {
  const workdir = await makeWorkdir(log);
  try {
    const controlPlane = await startControlPlane({ dir: workdir.dir, log });
    return await install(workdir, controlPlane);
  } catch (error) {
    await workdir.remove();
    throw error;
  }
}

async function install(workdir: Workdir, controlPlane: ControlPlane): Promise<Platform> {
  const crds = await Promise.all(
    (await crdFiles()).map(
      async (file) => parse(await readFile(file, 'utf8')) as { metadata: { name: string } },
    ),
  );
  await controlPlane.kubectl(['apply', '-f', path.join(ROOT, 'crds')]);
  await controlPlane.kubectl([
    'wait',
    '--for=condition=Established',
    '--timeout=60s',
    ...crds.map(({ metadata }) => `crd/${metadata.name}`),
  ]);
  await controlPlane.kubectl(['apply', ...deployed.flatMap((file) => ['-f', file])]);
  const admin = await Caller.from(controlPlane.adminKubeconfig);
  const callers = [admin];
  await policiesInForce(admin);
  const identity = async (namespace: string, serviceAccount: string) => {
    const name = `${namespace}-${serviceAccount}`;
    const caller = await Caller.from(await controlPlane.kubeconfigFor({ namespace, serviceAccount, name }));
    callers.push(caller);
    return caller;
  };
  return {
    workdir,
    controlPlane,
    admin,
    identity,
    enrol: async (host, without) => {
      const template = await readFile(path.join(ROOT, 'deploy', 'host.yaml'), 'utf8');
      const parts = template.split('---\n').filter((part) => !part.includes(`name: ${without}\n`));
      await controlPlane.kubectl(['apply', '-f', '-'], parts.join('---\n').replaceAll('HOST', host));
      return await identity(hostNamespace(host), AGENT_ACCOUNT);
    },
    close: async () => {
      for (const caller of callers) {
        caller.close();
      }
      await controlPlane.stop();
      await workdir.remove();
    },
  };
}

/** A policy takes effect a moment after it was created; each is probed by what it refuses. */
async function policiesInForce(admin: Caller): Promise<void> {
  for (const plural of ['volumes', 'attachments', 'volumeservers', 'hypervisors']) {
    const scope = ['volumes', 'snapshots', 'attachments'].includes(plural) ? '/namespaces/default' : '';
    for (const [user, words] of Object.entries(PROBES)) {
      await until(`the policy on ${plural} for ${user}`, async () => {
        const { message } = await admin.call({
          method: 'POST',
          path: `${GROUP_PATH}${scope}/${plural}?dryRun=All`,
          headers: { 'impersonate-user': user, 'impersonate-group': 'system:masters' },
          body: sampleFor(plural),
        });
        return message.includes(words);
      });
    }
  }
  const path = `${GROUP_PATH}/namespaces/default/volumes`;
  const guarded = { ...sampleFor('volumes'), spec: { size: '1Gi', deletionProtection: true } };
  await admin.call({ method: 'POST', path, body: guarded });
  await until('the policy on deletion', async () => {
    const { status } = await admin.call({ method: 'DELETE', path: `${path}/probe?dryRun=All` });
    return status === 403;
  });
  await admin.call({ method: 'PATCH', path: `${path}/probe`, body: { spec: { deletionProtection: false } } });
  await admin.call({ method: 'DELETE', path: `${path}/probe` });
  await until('the policy on definitions', async () => {
    const crd = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/volumes.vbs.dev';
    return (await admin.call({ method: 'DELETE', path: `${crd}?dryRun=All` })).status === 403;
  });
  await until('the policy on events', async () => {
    const { message } = await admin.call({
      method: 'POST',
      path: '/apis/events.k8s.io/v1/namespaces/default/events?dryRun=All',
      headers: { 'impersonate-user': HOST_PROBE, 'impersonate-group': 'system:masters' },
      body: eventAbout('default', { apiVersion: 'v1', kind: 'Namespace', name: 'default' }),
    });
    return message.includes('a host may only tell events');
  });
}

export const eventAbout = (namespace: string, regarding: object) => ({
  apiVersion: 'events.k8s.io/v1',
  kind: 'Event',
  metadata: { name: 'e', namespace },
  eventTime: '2026-11-23T08:00:00.000000Z',
  reason: 'X',
  action: 'X',
  type: 'Normal',
  reportingController: 'vbs.dev/node-agent',
  reportingInstance: 'x',
  regarding: { ...regarding, namespace },
});

function sampleFor(plural: string): object {
  const kinds: Readonly<Record<string, [string, object]>> = {
    volumes: ['Volume', { size: '1Gi' }],
    snapshots: ['Snapshot', { volumeRef: { name: 'probe' } }],
    attachments: ['Attachment', { volumeRef: { name: 'probe' }, instance: { name: 'probe' } }],
    volumeservers: ['VolumeServer', {}],
    hypervisors: ['Hypervisor', {}],
  };
  const [kind, spec] = kinds[plural] ?? ['', {}];
  return { apiVersion: 'vbs.dev/v1alpha1', kind, metadata: { name: 'probe' }, spec };
}

/** Asks again until it holds; throws after half a minute. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await holds())) {
    if (Date.now() > deadline) {
      throw new Error(`waited 30 s in vain for ${what}`);
    }
    await sleep(50);
  }
}
