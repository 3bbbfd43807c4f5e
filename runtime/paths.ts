import type { Resource } from '../api/object.ts';

export interface Ref {
  readonly name: string;
  readonly namespace?: string;
}

export function collectionPath({ group, version, plural }: Resource, namespace: string | undefined): string {
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  return namespace === undefined
    ? `${root}/${plural}`
    : `${root}/namespaces/${encodeURIComponent(namespace)}/${plural}`;
}

export function objectPath(resource: Resource, ref: Ref): string {
  // An empty name would address the whole collection: a DELETE of everything.
  if (ref.name === '') {
    throw new TypeError(`no name given for one of ${resource.plural}`);
  }
  return `${collectionPath(resource, namespaceFor(resource, ref))}/${encodeURIComponent(ref.name)}`;
}

export function namespaceFor(resource: Resource, { namespace }: Pick<Ref, 'namespace'>): string | undefined {
  if (resource.namespaced && (namespace === undefined || namespace === '')) {
    throw new TypeError(`no namespace given for one of ${resource.plural}`);
  }
  return resource.namespaced ? namespace : undefined;
}

export function queryOf(parameters: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) {
      query.set(name, String(value));
    }
  }
  return query.size === 0 ? '' : `?${query}`;
}
