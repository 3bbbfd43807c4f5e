// What a host holds, as manifests for a cluster which takes the place of one whose store is lost. Pure.
import { stringify } from 'yaml';
import type { Attachment } from '../../api/attachment.ts';
import { isVolumeID } from '../../api/ids.ts';
import { CONTINUES_CLUSTER } from '../../api/names.ts';
import type { KubeObject } from '../../api/object.ts';
import { formatBytes } from '../../api/quantity.ts';
import { API_VERSION } from '../../api/resources.ts';
import { idOf, type Volume } from '../../api/volume.ts';
import type { ConnectionMemory } from '../connection/memory.ts';
import { type Backing, isWhole } from '../roles/pool.ts';

export interface Holdings {
  readonly host: string;
  readonly clusterID: string;
  readonly pools: readonly { readonly name: string; readonly backings: readonly Backing[] }[];
  /** Copies of the objects which this host served last. */
  readonly volumes: readonly Volume[];
  readonly attachments: readonly Attachment[];
  /** What is, or was about to be, plugged into a VM. */
  readonly connections: readonly ConnectionMemory[];
}

/** YAML with comments, for `kubectl apply`. */
export function manifestsOf(holdings: Holdings): string {
  const volumes = volumesOf(holdings);
  const attachments = attachmentsOf(holdings);
  const objects = [...volumes, ...attachments];
  const namespaces = [...new Set(objects.map(({ metadata }) => metadata.namespace ?? ''))].sort();
  const documents = [
    ...namespaces.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })),
    ...objects,
  ];
  const counts = `Volumes: ${volumes.length}, Attachments: ${attachments.length}`;
  const others = leftOut(holdings);
  return [
    comment([
      `What host ${holdings.host} holds of cluster ${holdings.clusterID}. ${counts}`,
      'For a cluster which takes the place of that one after its store is lost; in it, once:',
      `  kubectl annotate namespace kube-system ${CONTINUES_CLUSTER}=${holdings.clusterID}`,
      'Data keeps its volumeID, and machines which run go on with their disks.',
    ]),
    ...documents.map((document) => stringify(document, { lineWidth: 0 })),
    ...(others.length === 0 ? [] : [comment(others)]),
  ].join('---\n');
}

const comment = (lines: readonly string[]): string => lines.map((line) => `# ${line}\n`).join('');

interface Held extends Backing {
  readonly pool: string;
}

const heldIn = ({ pools, clusterID }: Holdings): readonly Held[] =>
  pools
    .flatMap(({ name: pool, backings }) => backings.map((backing) => ({ ...backing, pool })))
    .filter((backing) => backing.clusterID === clusterID)
    .toSorted((a, b) => (a.id < b.id ? -1 : 1));

function volumesOf(holdings: Holdings): readonly KubeObject[] {
  const names = new Set<string>();
  return heldIn(holdings).flatMap((held) => {
    if (!isWhole(held) || !isVolumeID(held.id) || held.owner === undefined) {
      return [];
    }
    const { namespace, name } = held.owner;
    // Two of one name: an earlier one was lost without being removed.
    const free = names.has(`${namespace}/${name}`) ? `${name.slice(0, 57)}-${held.id.slice(-5)}` : name;
    names.add(`${namespace}/${name}`);
    return [volumeOf(holdings, held, { namespace, name: free })];
  });
}

function volumeOf(
  { host, volumes }: Holdings,
  { id, sizeBytes, cleanBytes }: Held,
  named: { readonly namespace: string; readonly name: string },
): KubeObject {
  const copy = volumes.find((volume) => idOf(volume) === id);
  const { source: _, volumeServer: __, ...asked } = copy?.spec ?? {};
  const spec = {
    size: formatBytes(cleanBytes ?? sizeBytes),
    // Nothing tells any more what it was; data that was saved is not to go by an oversight.
    deletionPolicy: 'Retain',
    ...asked,
    source: { existing: { volumeServer: host, id } },
  };
  return manifest('Volume', { ...named, ...described(copy) }, spec);
}

function attachmentsOf({ host, attachments, connections }: Holdings): readonly KubeObject[] {
  return connections
    .filter(({ released, epoch }) => released < epoch)
    .toSorted((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1))
    .map(({ attachmentUID, namespace, name, volumeName, instanceUUID }) => {
      const copy = attachments.find(({ metadata }) => metadata.uid === attachmentUID);
      const spec = copy?.spec ?? {
        volumeRef: { name: volumeName },
        instance: { uuid: instanceUUID },
        hypervisor: host,
      };
      return manifest('Attachment', { namespace, name, ...described(copy) }, spec);
    });
}

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** Labels and annotations that somebody gave it. */
function described(copy: KubeObject | undefined): Pick<KubeObject['metadata'], 'labels' | 'annotations'> {
  const { labels = {}, annotations = {} } = copy?.metadata ?? {};
  const { [LAST_APPLIED]: _, ...given } = annotations;
  return {
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    ...(Object.keys(given).length === 0 ? {} : { annotations: given }),
  };
}

const manifest = (kind: string, metadata: object, spec: object): KubeObject =>
  ({ apiVersion: API_VERSION, kind, metadata, spec }) as unknown as KubeObject;

/** For people: what is there and is in no manifest. */
function leftOut(holdings: Holdings): readonly string[] {
  const others = holdings.pools.flatMap(({ name, backings }) =>
    backings
      .filter(({ clusterID }) => clusterID !== holdings.clusterID)
      .map(
        ({ id, clusterID }) =>
          `${id} in pool ${name} is of ${clusterID === undefined ? 'no cluster that its tags tell' : `cluster ${clusterID}`}, and was left out.`,
      ),
  );
  return [...heldIn(holdings).flatMap((held) => whyLeftOut(holdings, held)), ...others];
}

function whyLeftOut({ host }: Holdings, held: Held): readonly string[] {
  const { id, pool, state, owner } = held;
  const whose =
    owner === undefined ? 'of no owner that its tags tell' : `of ${owner.namespace}/${owner.name}`;
  const what = `${id} ${whose}, in pool ${pool}`;
  const existing = `spec.source.existing: {volumeServer: ${host}, id: ${id}}`;
  if (state === 'retained') {
    return [`${what}, is retained: a Volume with ${existing} adopts it.`];
  }
  if (!isWhole(held)) {
    return [`${what}, is ${state}: it holds nothing that anybody was promised.`];
  }
  if (!isVolumeID(held.id)) {
    return [`${what}, is of a Snapshot: a Volume with ${existing} makes a Volume of it.`];
  }
  return owner === undefined ? [`${what}: choose a name for a Volume with ${existing}.`] : [];
}
