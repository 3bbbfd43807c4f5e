// The configuration of the agent on a node: what the chart says for all nodes of its roles, what it says for this one, and what only the pod knows.
import { isIPv6 } from 'node:net';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import { ConfigError } from '../../runtime/errors.ts';
import { errorCode, type Files } from '../exec/files.ts';

export interface Node {
  readonly name: string;
  /** Under which the cluster knows it. */
  readonly address: string;
}

export type Settings = Readonly<Record<string, unknown>> & { readonly stateDir: string };

const NAME = /^[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?$/;
const ADDRESS = '$(NODE_IP)';

/** What stands in the file, and above that what stands in `<node>.yaml` beside it. */
export async function readSettings(files: Pick<Files, 'read'>, file: string, node: Node): Promise<Settings> {
  if (!NAME.test(node.name)) {
    throw new ConfigError(
      `node ${node.name} cannot be a host: names of hosts have lower-case letters, digits and hyphens, 52 at most; install the package on it instead, with a name of its own for the host`,
    );
  }
  const common = parse(await files.read(file)) as Settings;
  const own = path.join(path.dirname(file), `${node.name}.yaml`);
  const special = await files.read(own).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') {
      return '{}';
    }
    throw error;
  });
  return { ...common, ...(parse(special) as object) };
}

/** The text of the agent's own configuration file. */
export function settingsText(settings: Settings, node: Node, profileDirectories: readonly string[]): string {
  const address = isIPv6(node.address) ? `[${node.address}]` : node.address;
  return stringify({
    ...(withAddress(settings, address) as Settings),
    host: node.name,
    kubeconfig: path.join(settings.stateDir, 'kubeconfig'),
    profileDirectories,
  });
}

/** The address of the node in every string that speaks of it. */
function withAddress(value: unknown, address: string): unknown {
  if (typeof value === 'string') {
    return value.replaceAll(ADDRESS, address);
  }
  if (Array.isArray(value)) {
    return value.map((one) => withAddress(one, address));
  }
  return typeof value === 'object' && value !== null
    ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, withAddress(one, address)]))
    : value;
}
