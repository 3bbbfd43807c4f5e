// docs/reference/rights.md: what each identity may do, from the roles and bindings in deploy/.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';

const DEPLOY = path.resolve(import.meta.dirname, '../../deploy');
const FILES = ['controller.yaml', 'agents.yaml', 'host.yaml', 'node.yaml', 'users.yaml'];

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}
interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly Rule[];
  readonly roleRef?: { readonly kind: string; readonly name: string };
}
interface Identity {
  readonly title: string;
  /** Of its roles; those which only one kind of host has say so. */
  readonly roles: readonly (readonly [kind: string, name: string, note?: string])[];
}

/** In the order of the page. */
const IDENTITIES: readonly Identity[] = [
  {
    title: 'The controller (`vbs-controller` in its own namespace)',
    roles: [
      ['ClusterRole', 'vbs-controller'],
      ['Role', 'vbs-controller'],
    ],
  },
  {
    title: 'The agent of a host (`vbs-agent` in `vbs-host-HOST`)',
    roles: [
      ['ClusterRole', 'vbs-agent'],
      ['ClusterRole', 'vbs-volume-server', 'volume servers'],
      ['ClusterRole', 'vbs-hypervisor', 'hypervisors'],
      ['Role', 'vbs-agent'],
    ],
  },
  {
    title: 'The pod of the node agent (`vbs-node-agent` in the namespace of the controller)',
    roles: [['Role', 'vbs-node-agent', 'of its own node']],
  },
  { title: 'Users with the role view, edit or admin', roles: [['ClusterRole', 'vbs-user-view']] },
  { title: 'Users with the role edit or admin, besides', roles: [['ClusterRole', 'vbs-user-edit']] },
];

export async function rightsPage(): Promise<string> {
  const manifests = (
    await Promise.all(
      FILES.map(async (file) =>
        parseAllDocuments(await readFile(path.join(DEPLOY, file), 'utf8')).map(
          (one) => one.toJS() as Manifest,
        ),
      ),
    )
  ).flat();
  const used = new Set<Manifest>();
  const sections = IDENTITIES.flatMap(({ title, roles }) => [
    `## ${title}`,
    '',
    '| where | what | verbs |',
    '| --- | --- | --- |',
    ...roles.flatMap(([kind, name, note]) => {
      const found = manifests.filter((one) => one.kind === kind && one.metadata.name === name);
      return found.flatMap((role) => {
        used.add(role);
        return rowsOf(role, note);
      });
    }),
    '',
  ]);
  const forgotten = manifests.filter((one) => one.rules !== undefined && !used.has(one));
  if (forgotten.length > 0) {
    throw new Error(
      `the page of rights leaves out ${forgotten.map(({ metadata }) => metadata.name).join(', ')}`,
    );
  }
  return [
    '<!-- generated from deploy/ by scripts/generate.ts, do not edit -->',
    '# Rights',
    '',
    'What each identity may do in Kubernetes. Of what is allowed here, admission policies (`deploy/admission/`) leave less: a host writes its own blocks of objects that name it, the',
    'controller writes its finalizer and its own fields of a status, and the pod of a node gets a token of its own node’s host. `test/integration/matrix.test.ts` tries every verb on everything',
    'that the API server serves.',
    '',
    ...sections,
  ].join('\n');
}

const rowsOf = ({ kind, metadata, rules = [] }: Manifest, note?: string): readonly string[] => {
  const where = kind === 'Role' ? `\`${metadata.namespace}\`` : 'the whole cluster';
  return rules.map(({ apiGroups, resources, resourceNames = [], verbs }) => {
    const group = apiGroups[0] === '' ? '' : ` (${apiGroups[0]})`;
    const names = resourceNames.length === 0 ? '' : ` named \`${resourceNames.join('`, `')}\``;
    const what = `${resources.map((one) => `\`${one}\``).join(', ')}${group}${names}`;
    return `| ${where}${note === undefined ? '' : `, ${note}`} | ${what} | ${verbs.join(', ')} |`;
  });
};
