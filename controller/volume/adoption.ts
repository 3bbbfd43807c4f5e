// Where the data is that a Volume adopts (spec.source.existing): retained, or orphaned. Pure. It goes nowhere else, and needs no room.
// Whether the data is still there is for the server to say: of two Volumes which name it, one finds it gone.
import { isTrue } from '../../api/conditions.ts';
import {
  type HostView,
  type PoolFact,
  poolOf,
  type ServerAgent,
  type VolumeServer,
} from '../../api/hosts.ts';
import { formatBytes, roundUp } from '../../api/quantity.ts';
import type { Source, Volume } from '../../api/volume.ts';
import { wantedBytes } from '../../api/volume.ts';
import { outdated } from '../outdated.ts';
import { type Waiting, waiting } from './source.ts';

export interface AdoptionWorld {
  readonly volume: Volume;
  readonly servers: readonly HostView<VolumeServer>[];
  /** The class of the Volume, and whether it selects a pool. */
  readonly className: string;
  readonly selects: (pool: PoolFact) => boolean;
  /** Another Volume which has this volumeID. */
  readonly holderOf: (volumeID: string) => Volume | undefined;
}

type Existing = NonNullable<NonNullable<Volume['spec']['source']>['existing']>;
/** Retained or orphaned. */
type Held = NonNullable<ServerAgent['orphans']>[number];

/** The data to adopt, with its server and pool, or what it waits for. */
export function findExisting(world: AdoptionWorld, existing: Existing): Source | Waiting {
  const view = world.servers.find(({ host }) => host.metadata.name === existing.volumeServer);
  const pinned = world.volume.spec.volumeServer;
  if (pinned !== undefined && pinned !== existing.volumeServer) {
    return waiting(
      'VolumeServerMismatch',
      `spec.volumeServer is ${pinned}, and spec.source.existing is on ${existing.volumeServer}; data is adopted where it is: leave spec.volumeServer out in a new Volume`,
    );
  }
  if (view === undefined) {
    return waiting(
      'VolumeServerNotFound',
      `there is no VolumeServer ${existing.volumeServer} (spec.source.existing.volumeServer); start the agent of that host, or make the Volume anew`,
    );
  }
  return unfit(view) ?? listed(world, view.host, existing);
}

/** Nothing is given to a server that does not answer, is not safe, or takes nothing new. */
function unfit({ host, freshness }: HostView<VolumeServer>): Waiting | undefined {
  const { name } = host.metadata;
  if (freshness !== 'fresh') {
    return freshness === 'unknown'
      ? waiting('WaitingForHeartbeat', `waiting for the next heartbeat of ${name}`)
      : waiting(
          'HostSilent',
          `volume server ${name}, which holds the data, does not answer; start its agent, or see whether the host is up`,
        );
  }
  if (host.spec?.cordoned === true) {
    return waiting(
      'NoPool',
      `volume server ${name}, which holds the data, is cordoned; set spec.cordoned: false on it`,
    );
  }
  return isTrue(host.status?.conditions, 'HostSafe')
    ? undefined
    : waiting(
        'NoPool',
        `volume server ${name}, which holds the data, is not safe; see its HostSafe condition`,
      );
}

function listed(world: AdoptionWorld, server: VolumeServer, { id }: Existing): Source | Waiting {
  const { metadata } = server;
  const { retained = [], orphans = [] } = server.status?.agent ?? {};
  const kept = retained.find((one) => one.id === id);
  const found = kept ?? orphans.find((one) => one.id === id);
  if (found === undefined) {
    return unlisted(world, server, id);
  }
  const holder = world.holderOf(id);
  if (kept === undefined && holder !== undefined) {
    const { namespace, name } = holder.metadata;
    return waiting(
      'NotRetained',
      `${id} is the data of Volume ${namespace}/${name}, which has it; delete this one, or wait until that one is deleted and its data kept`,
    );
  }
  const pool = poolOf(server, found.pool);
  if (pool === undefined || pool.problem !== undefined) {
    const why = pool?.problem?.message ?? 'its server does not tell of it';
    return waiting(
      'NoPool',
      `pool ${found.pool} of ${metadata.name}, which holds ${id}, cannot be used: ${why}`,
    );
  }
  if (!world.selects(pool)) {
    return waiting(
      'ClassMismatch',
      `${id} is in pool ${pool.name} (profile ${pool.profile}) of ${metadata.name}, which class ${world.className} does not select; name another class in a new Volume`,
    );
  }
  // Of a Snapshot it is put aside and adopted; a Volume's stays what it is.
  const kind = kept === undefined && found.kind === 'Volume' ? 'Orphaned' : 'Retained';
  return tooSmall(world.volume, found, pool) ?? { ...sourceOf(found, metadata.name), kind };
}

function unlisted({ servers }: AdoptionWorld, { metadata, status }: VolumeServer, id: string): Waiting {
  const [old] = (status?.agent?.pools ?? []).flatMap(
    ({ name }) => outdated(servers, { server: metadata.name, pool: name, lacks: 'retains nothing' }) ?? [],
  );
  if (old !== undefined) {
    return waiting(old.reason, old.message);
  }
  const { retainedOmitted = 0, orphansOmitted = 0 } = status?.agent ?? {};
  const omitted = retainedOmitted + orphansOmitted;
  const more = omitted > 0 ? `, nor are ${omitted} others which its lists have no room for` : '';
  return waiting(
    'NotRetained',
    `${id} is neither in status.agent.retained nor in status.agent.orphans of VolumeServer ${metadata.name}${more}; another Volume may have adopted it`,
  );
}

function tooSmall(volume: Volume, { id, sizeBytes }: Held, { extentBytes }: PoolFact): Waiting | undefined {
  const wanted = wantedBytes(volume);
  if (wanted === undefined || roundUp(wanted, BigInt(extentBytes ?? '1')) >= BigInt(sizeBytes)) {
    return undefined;
  }
  const least = formatBytes(BigInt(sizeBytes));
  return waiting(
    'SizeBelowSource',
    `spec.size is below the ${least} of ${id}; set ${least} or more, or leave it out`,
  );
}

const sourceOf = ({ id, pool, namespace, name, sizeBytes }: Held, server: string): Omit<Source, 'kind'> => ({
  name: name === undefined ? id : `${namespace}/${name}`,
  id,
  server,
  pool,
  sizeBytes,
});
