// How Flux and Argo CD define the kinds of which the examples for them are: the definitions that stand in these projects' own Go modules.
import { createHash } from 'node:crypto';
import { copyFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { cacheRoot, ensureCached } from './cache.ts';
import { downloadGoModule } from './go-module.ts';
import type { Log } from './process.ts';

const DOWNLOAD_LIMIT_MS = 10 * 60_000;

/** Each module at a version, with its checksum as `go.sum` writes it, and its file. Flux is that of 2.7, with source-controller of 2.8. */
const SOURCES = {
  'github.com/fluxcd/source-controller@v1.8.5': {
    sum: 'h1:3zKSTGc2FPoZcQ5BjnyOrwdHDWeYqst3uAoZ+c0DG3c=',
    file: 'config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml',
  },
  'github.com/fluxcd/kustomize-controller@v1.7.3': {
    sum: 'h1:SzNnGn/4ObAPEHHleM5U7y/AKxKXph3Vj6ZhteeXw8M=',
    file: 'config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml',
  },
  'github.com/fluxcd/helm-controller@v1.4.3': {
    sum: 'h1:449LcGJXLCylvrNCq8ycevwa5mxE1Mn9vxTwlsj/no8=',
    file: 'config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml',
  },
  'github.com/argoproj/argo-cd/v3@v3.4.13': {
    sum: 'h1:kmnF4nE5SQ83OhtdX6DMmLSpH0eRIa1gNYdCLNHqB+A=',
    file: 'manifests/crds/application-crd.yaml',
  },
} as const;

const fetchAll = async (dir: string): Promise<void> => {
  const modules = path.join(dir, 'modules');
  for (const [module, { sum, file }] of Object.entries(SOURCES)) {
    // Into a folder of its own, to be removed: of many megabytes one file is needed.
    const from = await downloadGoModule({ module, sum }, { limitMs: DOWNLOAD_LIMIT_MS, cache: modules });
    await copyFile(path.join(from, file), path.join(dir, path.basename(file)));
  }
  await rm(modules, { recursive: true });
};

/** The folder with the definitions, fetched once: GitRepository, Kustomization and HelmRelease of Flux, Application of Argo CD. */
export const toolDefinitions = async (log: Log): Promise<string> =>
  await ensureCached({
    target: path.join(
      cacheRoot(),
      'gitops-tools',
      createHash('sha256').update(JSON.stringify(SOURCES)).digest('hex').slice(0, 16),
    ),
    log,
    build: async (dir) => {
      log('fetching the definitions of Flux and Argo CD from their Go modules: 60 MB, once');
      await fetchAll(dir);
    },
  });
