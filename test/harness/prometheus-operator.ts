// The kinds of the Prometheus operator as it gives them away itself: they are in its Go module.
import { execFile } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const MODULE = 'github.com/prometheus-operator/prometheus-operator@v0.85.0';
/** As in a go.sum. */
const SUM = 'h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=';
const KINDS = ['servicemonitors', 'prometheusrules'];
const LIMIT_MS = 5 * 60_000;

/** The files with the definitions of the kinds which the charts use. */
export const operatorKinds = async (): Promise<readonly string[]> => {
  const { stdout } = await run('go', ['mod', 'download', '-json', MODULE], {
    cwd: os.tmpdir(),
    env: { ...process.env, GOFLAGS: '', GOWORK: 'off' },
    timeout: LIMIT_MS,
  });
  const { Dir: dir, Sum: sum } = JSON.parse(stdout) as { readonly Dir: string; readonly Sum: string };
  if (sum !== SUM) {
    throw new Error(`${MODULE} is ${sum}, and should be ${SUM}`);
  }
  return KINDS.map((kind) =>
    path.join(dir, 'example/prometheus-operator-crd', `monitoring.coreos.com_${kind}.yaml`),
  );
};
