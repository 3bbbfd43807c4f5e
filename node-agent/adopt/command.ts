// `vbs-node-agent adopt`: tells what the disks of this host say, for a cluster whose store is lost. Changes nothing and needs no API server.
import type { Attachment } from '../../api/attachment.ts';
import type { Volume } from '../../api/volume.ts';
import { ConfigError } from '../../runtime/errors.ts';
import type { BindRole } from '../bindings.ts';
import type { AgentConfig } from '../config.ts';
import type { ConnectionMemory } from '../connection/memory.ts';
import type { Files } from '../exec/files.ts';
import type { Backing } from '../roles/pool.ts';
import { profiledPool } from '../roles/profiled-pool.ts';
import { makeDirectory, RecordStore } from '../store.ts';
import { manifestsOf } from './manifests.ts';

interface AdoptCommand {
  readonly config: AgentConfig;
  readonly files: Files;
  readonly bindRole: BindRole;
  /** The cluster whose data is told of; absent: the one to which this host belongs. */
  readonly clusterID?: string | undefined;
  readonly signal: AbortSignal;
}

/** The agent does not run meanwhile. Answers YAML. Throws ConfigError, and CannotLook and PoolMissing for a pool that cannot be seen. */
export async function tellHoldings(command: AdoptCommand): Promise<string> {
  const { config, files } = command;
  // The disk of the system may be a new one.
  await makeDirectory(files, config.stateDir);
  const read = async <T>(name: string) =>
    (await RecordStore.open<T>(files, `${config.stateDir}/${name}`)).list();
  const pools = await seePools(command);
  return manifestsOf({
    host: config.host,
    clusterID: await clusterOf(
      command,
      pools.flatMap(({ backings }) => backings),
    ),
    pools,
    volumes: await read<Volume>('copies-volumes'),
    attachments: await read<Attachment>('copies-attachments'),
    connections: await read<ConnectionMemory>('attachments'),
  });
}

async function seePools({ config, files, bindRole, signal }: AdoptCommand) {
  const identities = await RecordStore.open<string>(files, `${config.stateDir}/pools`);
  return await Promise.all(
    (config.volumeServer?.pools ?? []).map(async (pool) => {
      const bound = await bindRole('pool', pool);
      const identity = () => identities.get(pool.name);
      const { backings } = await profiledPool(bound, { name: pool.name, clusterID: '', identity }).observe(
        signal,
      );
      return { name: pool.name, backings };
    }),
  );
}

/** What was said, else what the host remembers, else what all its data says. */
async function clusterOf(
  { config, files, clusterID }: AdoptCommand,
  backings: readonly Backing[],
): Promise<string> {
  const known =
    clusterID ?? (await RecordStore.open<string>(files, `${config.stateDir}/host`)).get('cluster');
  if (known !== undefined) {
    return known;
  }
  const [only, ...others] = new Set(backings.flatMap((backing) => backing.clusterID ?? []));
  if (only === undefined) {
    throw new ConfigError('neither the state directory nor any data of this host tells of a cluster');
  }
  if (others.length > 0) {
    throw new ConfigError(
      `this host holds data of several clusters, and remembers of none that it was its own; name one with --cluster: ${[only, ...others].join(', ')}`,
    );
  }
  return only;
}
