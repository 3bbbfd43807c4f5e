// Makes what follows from crds/ (the types, the shapes, the table of fields, the policies that keep hosts and controller to their own)
// and the reference pages of what the programs say: conditions with their reasons, metrics, and what a host must be like.
// `node scripts/generate.ts` writes them; with --check it only tells whether the committed ones are in step.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { compile } from 'json-schema-to-typescript';
import { parse } from 'yaml';
import { type AgentBlock, policyFile } from './generate/admission.ts';
import { agentPolicy } from './generate/agent-policy.ts';
import { argocdPatch } from './generate/argocd.ts';
import { chartFiles } from './generate/charts.ts';
import { conditionsPage } from './generate/conditions-page.ts';
import { controllerPolicy } from './generate/controller-policy.ts';
import { dashboard } from './generate/dashboard.ts';
import { fieldTable } from './generate/field-table.ts';
import { metricsPage } from './generate/metrics-page.ts';
import { preflightPage } from './generate/preflight-page.ts';
import { rightsPage } from './generate/rights-page.ts';
import { shapes } from './generate/shapes.ts';
import { valuesPage } from './generate/values-page.ts';

const ROOT = path.resolve(import.meta.dirname, '..');

export interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly pattern?: string;
  readonly maxLength?: number;
  readonly 'x-kubernetes-int-or-string'?: boolean;
}

export interface Crd {
  readonly spec: {
    readonly scope: string;
    readonly names: { readonly kind: string; readonly plural: string };
    readonly versions: readonly [{ readonly schema: { readonly openAPIV3Schema: Schema } }];
  };
}

/** The CRDs in the order of their file names. */
export async function readCrds(): Promise<readonly Crd[]> {
  const files = (await readdir(path.join(ROOT, 'crds'))).filter((name) => name.endsWith('.yaml')).sort();
  return Promise.all(files.map(async (name) => parse(await readFile(path.join(ROOT, 'crds', name), 'utf8'))));
}

export const schemaOf = (crd: Crd): Schema => crd.spec.versions[0].schema.openAPIV3Schema;

async function types(crds: readonly Crd[]): Promise<string> {
  const parts = ['// generated from crds/ by scripts/generate.ts, do not edit\n'];
  for (const crd of crds) {
    for (const part of ['spec', 'status'] as const) {
      const schema = schemaOf(crd).properties?.[part];
      if (schema !== undefined) {
        const name = `${crd.spec.names.kind}${part === 'spec' ? 'Spec' : 'Status'}`;
        parts.push(
          await compile(structuredClone(schema) as object, name, {
            bannerComment: '',
            additionalProperties: false,
            style: { singleQuote: true },
            ignoreMinAndMaxItems: true,
          }),
        );
      }
    }
  }
  return parts.join('\n');
}

/** File (from the root) to content, of everything generated. */
export async function generate(): Promise<ReadonlyMap<string, string>> {
  const crds = await readCrds();
  const blocks: readonly AgentBlock[] = [
    { kind: 'Volume', block: 'backend', host: 'object.?status.?server' },
    { kind: 'Snapshot', block: 'backend', host: 'object.?status.?server' },
    { kind: 'Attachment', block: 'export', host: 'object.?status.?server' },
    { kind: 'Attachment', block: 'connection', host: 'object.?status.?hypervisor' },
    { kind: 'VolumeServer', block: 'agent', host: 'name' },
    { kind: 'Hypervisor', block: 'agent', host: 'name' },
  ];
  const made = new Map([
    ['api/generated/v1alpha1.ts', await types(crds)],
    ['api/generated/shapes.ts', shapes(crds)],
    ['docs/reference/fields.md', fieldTable(crds)],
    ['docs/reference/conditions.md', conditionsPage()],
    ['docs/reference/metrics.md', await metricsPage()],
    ['docs/reference/rights.md', await rightsPage()],
    ['docs/reference/values.md', await valuesPage()],
    ['docs/preflight.md', await preflightPage()],
    ['examples/gitops/argocd/argocd-cm.yaml', await argocdPatch()],
    ['deploy/admission/agents.yaml', policyFile(crds, blocks, agentPolicy)],
    ['deploy/monitoring/dashboard.json', dashboard()],
    ['deploy/admission/controller.yaml', policyFile(crds, blocks, controllerPolicy)],
  ]);
  return new Map([...made, ...(await chartFiles(made))]);
}

/** Names of generated files which differ from what would be written now. */
export async function outOfStep(): Promise<readonly string[]> {
  const stale: string[] = [];
  for (const [file, content] of await generate()) {
    const committed = await readFile(path.join(ROOT, file), 'utf8').catch(() => '');
    if (committed !== content) {
      stale.push(file);
    }
  }
  return stale;
}

if (import.meta.main) {
  if (process.argv.includes('--check')) {
    const stale = await outOfStep();
    if (stale.length > 0) {
      console.error(`out of step with what they are made from: ${stale.join(', ')}; run: npm run generate`);
      process.exit(1);
    }
    console.log('generated files are in step');
  } else {
    for (const [file, content] of await generate()) {
      await mkdir(path.dirname(path.join(ROOT, file)), { recursive: true });
      await writeFile(path.join(ROOT, file), content);
      console.log(`wrote ${file}`);
    }
  }
}
