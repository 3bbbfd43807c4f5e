// The page of metrics, from the registry that the programs themselves make.
import { type MetricFact, Metrics } from '../../runtime/metrics.ts';

const row = ({ name, type, labels, help }: MetricFact): string =>
  `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(' ')} | ${help.replaceAll('|', '\\|')} |`;

export async function metricsPage(): Promise<string> {
  const facts = await new Metrics().facts();
  return [
    '<!-- generated from runtime/metrics.ts by scripts/generate.ts, do not edit -->',
    '# Metrics',
    '',
    'The controller serves them at `/metrics` of its health port (`http.host` and `http.port` in its configuration) in the Prometheus',
    'text format, beside what prom-client says of every process (`process_*`, `nodejs_*`). The agents listen on no port: with',
    '`metricsFile` in their configuration they write the same to that file every 15 s, for the textfile collector of',
    "Prometheus' node exporter. Label values come from closed sets: never names of objects, never UIDs.",
    '',
    '| metric | type | labels | meaning |',
    '| --- | --- | --- | --- |',
    ...facts.map(row),
    '',
    'A histogram `x` appears as `x_bucket`, `x_sum` and `x_count`.',
    '',
  ].join('\n');
}
