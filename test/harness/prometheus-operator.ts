// The kinds of the Prometheus operator as it gives them away itself: they are in its Go module.
import path from 'node:path';
import { downloadGoModule } from './go-module.ts';

const OPERATOR = {
  module: 'github.com/prometheus-operator/prometheus-operator@v0.85.0',
  sum: 'h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=',
};
const LIMIT_MS = 5 * 60_000;
const KINDS = ['servicemonitors', 'prometheusrules'];

/** The files with the definitions of the kinds which the charts use. */
export const operatorKinds = async (): Promise<readonly string[]> => {
  const dir = await downloadGoModule(OPERATOR, { limitMs: LIMIT_MS });
  return KINDS.map((kind) =>
    path.join(dir, 'example/prometheus-operator-crd', `monitoring.coreos.com_${kind}.yaml`),
  );
};
