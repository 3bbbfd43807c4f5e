// Looks at everything that `vbs-control-plane status` judges. What does not answer is a fact, too.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { Condition } from '../../api/conditions.ts';
import { backupTime } from '../backup.ts';
import { kubectlOf, recordedVersion } from '../cluster.ts';
import { type Kubectl, succeed } from '../command.ts';
import { type ControlPlaneConfig, publicServer } from '../config.ts';
import { leaderOf } from '../leader.ts';
import { readAuthority } from '../pki/authority.ts';
import { leafFile, seenIn, wantedLeaves } from '../pki/leaves.ts';
import { whyDue } from '../pki/plan.ts';
import { storeTrouble } from '../store.ts';
import type { Surroundings } from '../surroundings.ts';
import { SERVICES, TIMERS } from '../units.ts';
import { VERSION } from '../version.ts';
import type { CertificateFact, Facts, HostFact, StoreFact, UnitFact } from './plan.ts';

export async function observe(surroundings: Surroundings, config: ControlPlaneConfig): Promise<Facts> {
  const { clock } = surroundings;
  const kubectl = kubectlOf(surroundings, config);
  const asked = async (args: readonly string[]) => await kubectl([...args, '--request-timeout=10s']);
  const unitFacts = async (units: readonly string[]) =>
    await Promise.all(units.map(async (unit) => await unitFact(surroundings, unit)));
  // One after the other: each is a program of 90 MiB, on a machine that may be small.
  return {
    version: VERSION,
    appliedVersion: await recordedVersion(surroundings),
    trouble: await storeTrouble(surroundings, config),
    units: await unitFacts(SERVICES),
    timers: await unitFacts(TIMERS),
    certificates: await certificateFacts(surroundings, config),
    backups: await backupFacts(surroundings, config),
    store: await storeFact(surroundings).catch(reasonOf),
    apiServer: await apiServerFact(asked, config).catch(reasonOf),
    ...(await objectFacts(asked).catch(() => ({ hosts: [], classes: 0 }))),
    // Judged by the time at which it was seen.
    leader: await leaderOf(asked).catch(() => undefined),
    now: clock.now(),
  };
}

/** The last line of it, which says why. */
const reasonOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).trim().split('\n').at(-1) ?? '';

async function unitFact({ units }: Surroundings, unit: string): Promise<UnitFact> {
  const { isActive: _, isOff: __, ...fact } = await units.stateOf(unit);
  return { unit, ...fact };
}

async function certificateFacts(
  surroundings: Surroundings,
  config: ControlPlaneConfig,
): Promise<readonly CertificateFact[]> {
  const { disk, clock } = surroundings;
  const authority = await readAuthority(surroundings).catch(() => undefined);
  const ca = { what: 'the CA', isCa: true, notAfter: authority?.validity.notAfter };
  const leaves = wantedLeaves(config).map(async (leaf) => {
    const text = await disk.read(leafFile(surroundings, leaf.name));
    const seen = authority === undefined ? undefined : seenIn(text, leaf, authority);
    // One for other names is of no use, however many days it has left.
    const isUsable =
      seen?.isOurs === true && whyDue(leaf, { ...seen, notAfter: FAR }, clock.now()) === undefined;
    return { what: leaf.what, isCa: false, notAfter: isUsable ? seen.notAfter : undefined };
  });
  return [ca, ...(await Promise.all(leaves))];
}

const FAR = new Date(8.64e15);

async function backupFacts(
  { disk }: Surroundings,
  { backup }: ControlPlaneConfig,
): Promise<Facts['backups']> {
  const names = (await disk.list(backup.directory)) ?? [];
  const facts = names.map(async (name) => {
    const at = backupTime(name);
    const file = path.join(backup.directory, name);
    return at === undefined ? [] : [{ file, at, sizeBytes: (await stat(file)).size }];
  });
  return (await Promise.all(facts)).flat();
}

interface EndpointStatus {
  readonly Status: {
    readonly version: string;
    readonly dbSize: number;
    readonly dbSizeInUse: number;
    readonly dbSizeQuota?: number;
  };
}

/** What etcd takes where it does not tell: its own default. */
const DEFAULT_QUOTA = 2 * 1024 ** 3;

async function storeFact({ places, run }: Surroundings): Promise<StoreFact> {
  const etcdctl = async (...args: string[]) =>
    await succeed(run, path.join(places.programs, 'etcdctl'), [
      `--endpoints=unix://${places.etcdSocket}`,
      '--command-timeout=10s',
      ...args,
    ]);
  const [entry] = JSON.parse(await etcdctl('endpoint', 'status', '--write-out=json')) as EndpointStatus[];
  if (entry === undefined) {
    throw new Error('it tells nothing of itself');
  }
  const { version, dbSize, dbSizeInUse, dbSizeQuota } = entry.Status;
  const alarms = [...(await etcdctl('alarm', 'list')).matchAll(/alarm:(\w+)/g)].map(
    ([, alarm = '']) => alarm,
  );
  return {
    version,
    sizeBytes: dbSize,
    usedBytes: dbSizeInUse,
    quotaBytes: dbSizeQuota === undefined || dbSizeQuota === 0 ? DEFAULT_QUOTA : dbSizeQuota,
    alarms,
  };
}

async function apiServerFact(kubectl: Kubectl, config: ControlPlaneConfig): Promise<Facts['apiServer']> {
  await kubectl(['get', '--raw=/readyz']);
  const { gitVersion } = JSON.parse(await kubectl(['get', '--raw=/version'])) as {
    readonly gitVersion: string;
  };
  return { version: gitVersion, url: publicServer(config) };
}

interface HostObject {
  readonly kind: 'VolumeServer' | 'Hypervisor' | 'VolumeClass';
  readonly metadata: { readonly name: string };
  readonly status?: {
    readonly conditions?: readonly Condition[];
    readonly agent?: { readonly version?: string };
  };
}

async function objectFacts(kubectl: Kubectl): Promise<Pick<Facts, 'hosts' | 'classes'>> {
  const args = ['get', 'volumeservers,hypervisors,volumeclasses', '--output=json'];
  const { items } = JSON.parse(await kubectl(args)) as { readonly items: readonly HostObject[] };
  const hosts = items.flatMap(({ kind, metadata, status }): HostFact[] =>
    kind === 'VolumeClass'
      ? []
      : [
          {
            kind,
            name: metadata.name,
            conditions: status?.conditions ?? [],
            agentVersion: status?.agent?.version,
          },
        ],
  );
  return { hosts, classes: items.length - hosts.length };
}
