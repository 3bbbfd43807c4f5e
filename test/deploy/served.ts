// Everything that an API server serves, and the requests which ask for it.
import assert from 'node:assert/strict';
import type { Call, Caller } from '../api/caller.ts';

/** The verbs which are requests; others (bind, escalate, impersonate, …) are only asked about. */
export const VERBS = [
  'get',
  'list',
  'watch',
  'create',
  'update',
  'patch',
  'delete',
  'deletecollection',
] as const;
export type Verb = (typeof VERBS)[number];

/** A resource or a subresource (`volumes/status`). */
export interface Served {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly isNamespaced: boolean;
}

/** One request to be: everything that the authorizer is asked about, and a body. */
export interface Aim {
  readonly served: Served;
  readonly verb: Verb;
  /** Absent for all namespaces, and for what is in none. */
  readonly namespace?: string;
  /** Absent for a whole collection. */
  readonly name?: string;
  /** Which of several bodies or queries of the same request. */
  readonly variant: string;
  readonly query?: string;
  readonly body?: unknown;
}

interface Discovered {
  readonly metadata?: { readonly name?: string };
  readonly versions: readonly {
    readonly version: string;
    readonly resources: readonly {
      readonly resource: string;
      readonly scope: string;
      readonly subresources?: readonly { readonly subresource: string }[];
    }[];
  }[];
}

/** Kubernetes' aggregated discovery: every group and version, with subresources. */
export async function servedBy(caller: Caller): Promise<readonly Served[]> {
  const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
  const all: Served[] = [];
  for (const path of ['/api', '/apis']) {
    const { status, message, body } = await caller.call({ method: 'GET', path, headers: { accept } });
    assert.equal(status, 200, message);
    for (const { metadata, versions } of body.items as readonly Discovered[]) {
      for (const { version, resources } of versions) {
        for (const { resource, scope, subresources = [] } of resources) {
          const common = { group: metadata?.name ?? '', version, isNamespaced: scope === 'Namespaced' };
          const subs = subresources.map(({ subresource }) => `${resource}/${subresource}`);
          all.push(...[resource, ...subs].map((one) => ({ ...common, resource: one })));
        }
      }
    }
  }
  return all;
}

export const resourceOf = ({ group, resource }: Served): string =>
  group === '' ? resource : `${group}/${resource}`;

/** Of a subresource the resource which has it. */
export const mainOf = (served: Served): string =>
  resourceOf({ ...served, resource: served.resource.split('/')[0] ?? '' });

const METHODS = {
  get: 'GET',
  list: 'GET',
  watch: 'GET',
  create: 'POST',
  update: 'PUT',
  patch: 'PATCH',
  delete: 'DELETE',
  deletecollection: 'DELETE',
} as const;
const OF_COLLECTIONS: readonly Verb[] = ['list', 'watch', 'create', 'deletecollection'];

/** A collection has no name in its path, a subresource always has one, and only objects are created in a collection. */
export const isNamed = ({ resource }: Served, verb: Verb): boolean =>
  resource.includes('/') || !OF_COLLECTIONS.includes(verb);

/** Subresources have no collections. */
export const verbsOf = ({ resource }: Served): readonly Verb[] =>
  resource.includes('/') ? ['get', 'create', 'update', 'patch', 'delete'] : VERBS;

export function callOf({ served, verb, namespace, name, query, body }: Aim): Call {
  const { group, version, resource } = served;
  const [plural, subresource] = resource.split('/');
  const segments = [
    group === '' ? `/api/${version}` : `/apis/${group}/${version}`,
    ...(namespace === undefined ? [] : ['namespaces', namespace]),
    plural,
    ...(isNamed(served, verb) ? [name] : []),
    ...(subresource === undefined ? [] : [subresource]),
  ];
  const queries = [
    ...(['get', 'list', 'watch'].includes(verb) ? [] : ['dryRun=All']),
    ...(verb === 'watch' ? ['watch=true', 'timeoutSeconds=1'] : []),
    ...(query === undefined || query === '' ? [] : [query]),
  ];
  return {
    method: METHODS[verb],
    path: `${segments.join('/')}${queries.length === 0 ? '' : `?${queries.join('&')}`}`,
    ...(body === undefined ? {} : { body }),
  };
}

export const textOf = ({ served, verb, namespace, name, variant }: Aim): string =>
  `${verb} ${resourceOf(served)} ${[namespace ?? '', name ?? ''].join('/')} ${variant}`.trim();
