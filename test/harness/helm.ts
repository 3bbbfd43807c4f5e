// Helm, the real one: of this machine, else built once from its pinned Go module.
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { cacheRoot, ensureCached } from './cache.ts';
import type { ControlPlane } from './control-plane.ts';
import { type Log, runCommand } from './process.ts';

const run = promisify(execFile);
const MODULE = 'helm.sh/helm/v3/cmd/helm';
const VERSION = 'v3.22.0';
const BUILD_LIMIT_MS = 20 * 60_000;

/** Of this minor version, on PATH, or built into the cache: `go install` leaves out the patch when it tells its version. */
export const resolveHelm = async (log: Log): Promise<string> => {
  const found = await run('helm', ['version', '--template', '{{.Version}}']).catch(() => ({ stdout: '' }));
  if (VERSION.startsWith(found.stdout.trim()) && found.stdout.trim() !== '') {
    return 'helm';
  }
  const folder = await ensureCached({
    target: path.join(cacheRoot(), 'helm', VERSION),
    log,
    build: async (dir) => {
      log(`building helm ${VERSION} from its Go module: about two minutes, once`);
      await run('go', ['install', `${MODULE}@${VERSION}`], {
        env: { ...process.env, GOBIN: dir },
        timeout: BUILD_LIMIT_MS,
      });
    },
  });
  return path.join(folder, 'helm');
};

/** Runs helm against a control plane, as administrator, and returns what it prints; throws with what it complains of. */
export type Helm = (...args: readonly string[]) => Promise<string>;

export const helmFor = async (
  { adminKubeconfig }: Pick<ControlPlane, 'adminKubeconfig'>,
  { dir, log }: { readonly dir: string; readonly log: Log },
): Promise<Helm> => {
  const helm = await resolveHelm(log);
  const home = path.join(dir, 'helm');
  return (...args) =>
    runCommand(helm, [...args], {
      env: {
        ...process.env,
        KUBECONFIG: adminKubeconfig,
        HELM_CACHE_HOME: home,
        HELM_CONFIG_HOME: home,
        HELM_DATA_HOME: home,
      },
      timeoutMs: 5 * 60_000,
    });
};
