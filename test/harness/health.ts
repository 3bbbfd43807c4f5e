// What GitOps tools make of our objects: kstatus, Argo CD's health checks and Flux's expressions, by their own code, in a Go program that is
// built once from its pinned modules.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { parse, parseAllDocuments } from 'yaml';
import { GROUP } from '../../api/resources.ts';
import { cacheRoot, ensureCached } from './cache.ts';
import { type Log, runCommand } from './process.ts';

const run = promisify(execFile);
const SOURCE = path.join(import.meta.dirname, 'health');
const EXAMPLES = path.resolve(import.meta.dirname, '../../examples/gitops');
const BUILD_LIMIT_MS = 10 * 60_000;

export interface Verdict {
  readonly kstatus: string;
  readonly argoCD: { readonly status: string; readonly message: string };
  /** By the expressions of examples/gitops/flux, where they have some for the kind. */
  readonly flux: string;
}

/** One verdict for each object, in their order. */
export type Judge = (objects: readonly object[]) => Promise<readonly Verdict[]>;

const fingerprint = async (): Promise<string> => {
  const hash = createHash('sha256');
  for (const name of ['go.mod', 'go.sum', 'main.go']) {
    hash.update(await readFile(path.join(SOURCE, name)));
  }
  return hash.digest('hex').slice(0, 16);
};

const build = async (log: Log): Promise<string> => {
  const folder = await ensureCached({
    target: path.join(cacheRoot(), 'health', await fingerprint()),
    log,
    build: async (dir) => {
      log('building kstatus and the interpreters of health checks from Go modules: up to two minutes, once');
      // As the control plane is built, so that Go has compiled most of it already.
      await run('go', ['build', '-trimpath', '-buildvcs=false', '-o', path.join(dir, 'health'), '.'], {
        cwd: SOURCE,
        env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off' },
        timeout: BUILD_LIMIT_MS,
      });
    },
  });
  return path.join(folder, 'health');
};

/** Argo CD's scripts by kind, as an administrator applies them. */
const scripts = async (): Promise<Readonly<Record<string, string>>> => {
  const { data } = parse(await readFile(path.join(EXAMPLES, 'argocd/argocd-cm.yaml'), 'utf8')) as {
    readonly data: Readonly<Record<string, string>>;
  };
  const prefix = `resource.customizations.health.${GROUP}_`;
  return Object.fromEntries(
    Object.entries(data).map(([key, script]) => [key.slice(prefix.length), script] as const),
  );
};

interface FluxKustomization {
  readonly spec?: { readonly healthCheckExprs?: readonly { readonly kind: string }[] };
}

/** Flux's expressions by kind. */
const expressions = async (): Promise<Readonly<Record<string, object>>> => {
  const text = await readFile(path.join(EXAMPLES, 'flux/tenant.yaml'), 'utf8');
  const all = parseAllDocuments(text).flatMap(
    (document) => (document.toJS() as FluxKustomization).spec?.healthCheckExprs ?? [],
  );
  return Object.fromEntries(all.map((one) => [one.kind, one]));
};

export const healthJudge = async (log: Log): Promise<Judge> => {
  const [program, request] = [
    await build(log),
    { scripts: await scripts(), expressions: await expressions() },
  ];
  return async (objects) =>
    JSON.parse(await runCommand(program, [], { stdin: JSON.stringify({ ...request, objects }) }));
};
