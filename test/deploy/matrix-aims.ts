// Every request of the matrix: each verb on each resource, in each namespace, on each object and on one that is not there.
import type { Identity } from './matrix-rights.ts';
import { bodiesOf, EVERYTHING, namespacesOf } from './matrix-world.ts';
import { type Aim, isNamed, mainOf, resourceOf, type Served, type Verb, verbsOf } from './served.ts';

/** Ways to look through what one may not read one by one. */
const QUERIES = ['', 'fieldSelector=metadata.name%3Dkey', 'labelSelector=vbs.dev/host'];

const namesOf = (served: Served, namespace: string | undefined): readonly string[] => {
  const main = mainOf(served);
  const there = EVERYTHING.filter(
    (one) => one.resource === main && (one.namespace === namespace || main === 'namespaces'),
  );
  return [...there.map(({ name }) => name), 'absent'];
};

/** Of one verb, the queries or the bodies. */
function variantsOf(served: Served, verb: Verb, namespace: string | undefined): readonly Variant[] {
  switch (verb) {
    case 'list':
    case 'watch':
      return QUERIES.map((query) => ({ variant: query, query }));
    case 'get':
    case 'delete':
    case 'deletecollection':
      return [{ variant: '' }];
    default:
      return bodiesOf(resourceOf(served), verb, namespace);
  }
}
type Variant = Pick<Aim, 'variant' | 'name' | 'query' | 'body'>;

/** Every request about one resource, for one identity. */
export function aimsAt(served: Served, { host }: Identity): readonly Aim[] {
  const places = served.isNamespaced ? [undefined, ...namespacesOf(host)] : [undefined];
  return places.flatMap((namespace) => {
    // Across all namespaces there are only collections, and nothing is created.
    const verbs = verbsOf(served).filter(
      (verb) =>
        !served.isNamespaced || namespace !== undefined || !(isNamed(served, verb) || verb === 'create'),
    );
    const place = namespace === undefined ? {} : { namespace };
    return verbs.flatMap((verb): readonly Aim[] => {
      const variants = variantsOf(served, verb, namespace);
      if (!isNamed(served, verb)) {
        return variants.map((variant) => ({ served, verb, ...place, ...variant }));
      }
      return namesOf(served, namespace).flatMap((name) =>
        variants.map((variant) => ({ served, verb, ...place, ...variant, name })),
      );
    });
  });
}
