// The page of metrics, from the registry that the programs themselves make.
import { showFigures } from '../../controller/figures.ts';
import { systemClock } from '../../runtime/clock.ts';
import { type MetricFact, Metrics } from '../../runtime/metrics.ts';

const none = { list: () => [] };

/** All metrics of the controller and the agents. */
export async function metricFacts(): Promise<readonly MetricFact[]> {
  const metrics = new Metrics();
  const seen = { volumes: none, snapshots: none, attachments: none, servers: none, hypervisors: none };
  showFigures(metrics, seen, systemClock);
  return await metrics.facts();
}

const row = ({ name, type, labels, help }: MetricFact): string =>
  `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(' ')} | ${help.replaceAll('|', '\\|')} |`;

export async function metricsPage(): Promise<string> {
  const facts = await metricFacts();
  return [
    '<!-- generated from runtime/metrics.ts and controller/figures.ts by scripts/generate.ts, do not edit -->',
    '# Metrics',
    '',
    'The controller serves them at `/metrics` of its health port (`http.host` and `http.port` in its configuration) in the Prometheus',
    'text format, beside what prom-client says of every process (`process_*`, `nodejs_*`). The agents listen on no port: with',
    '`metricsFile` in their configuration they write the same to that file every 15 s, for the textfile collector of',
    "Prometheus' node exporter. Label values come from closed sets, or are names of hosts and of their pools: never those of users'",
    'objects, never UIDs. Each controller tells what its copy of the objects holds, also one that waits to lead: take the `max` over them.',
    '',
    '| metric | type | labels | meaning |',
    '| --- | --- | --- | --- |',
    ...facts.map(row),
    '',
    'A histogram `x` appears as `x_bucket`, `x_sum` and `x_count`.',
    '',
  ].join('\n');
}
