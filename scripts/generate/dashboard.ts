// The dashboard for Grafana: what is wrong now, and then what was, from objects down to commands on hosts.
import * as common from '@grafana/grafana-foundation-sdk/common';
import {
  DashboardBuilder,
  DatasourceVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';

/** Of the 24 that a row is wide. */
const STAT_WIDTH = 4;
const GRAPH_WIDTH = 8;
const DATASOURCE = { type: 'prometheus', uid: '$datasource' };

interface Figure {
  readonly title: string;
  readonly expr: string;
  readonly unit?: string;
  readonly description?: string;
}

interface Stat extends Figure {
  /** From here on it is red. Absent: whatever it is, it is no fault. */
  readonly redFrom?: number;
  /** Below that it is red. */
  readonly redBelow?: number;
}

interface Graph extends Figure {
  readonly legend: string;
  /** Its lines are parts of a whole. */
  readonly stacked?: boolean;
}

const NOW: readonly Stat[] = [
  { title: 'Alerts', expr: 'count(ALERTS{alertname=~"VBS.*",alertstate="firing"}) or vector(0)', redFrom: 1 },
  { title: 'Leader', expr: 'max(vbs_leader)', redBelow: 1, description: '1 while a controller leads.' },
  {
    title: 'Silent hosts',
    expr: 'count(max by (kind, host) (vbs_host_condition{condition="Ready",reason="HostSilent"})) or vector(0)',
    redFrom: 1,
  },
  {
    title: 'Unsafe hosts',
    expr: 'count(max by (kind, host) (vbs_host_condition{condition="HostSafe",status="False"})) or vector(0)',
    redFrom: 1,
  },
  { title: 'Faulty pools', expr: 'sum(max by (host, pool) (vbs_server_pool_faulty))', redFrom: 1 },
  {
    title: 'Least free in a pool',
    expr: 'min(max by (host, pool) (vbs_server_pool_bytes{kind="free"}) / max by (host, pool) (vbs_server_pool_bytes{kind="total"}))',
    unit: 'percentunit',
    redBelow: 0.05,
  },
  { title: 'Volumes', expr: 'sum(max by (ready, reason) (vbs_objects{kind="Volume"})) or vector(0)' },
  {
    title: 'Volumes not Ready',
    expr: 'sum(max by (ready, reason) (vbs_objects{kind="Volume",ready!="True"})) or vector(0)',
  },
  {
    title: 'Disks in machines',
    expr: 'sum(max by (ready, reason) (vbs_objects{kind="Attachment",ready="True"})) or vector(0)',
  },
  {
    title: 'Disks that stand still',
    expr: 'sum(max by (reason) (vbs_objects{kind="Attachment",reason=~"TargetAway|DiskCutOff"})) or vector(0)',
    redFrom: 1,
  },
  { title: 'Leftovers', expr: 'sum(max by (kind, host) (vbs_host_leftovers))', redFrom: 1 },
  { title: 'Orphaned data', expr: 'sum(max by (host) (vbs_server_kept{kind="orphaned"}))', redFrom: 1 },
];

const OBJECTS: readonly Graph[] = [
  ...['Volume', 'Snapshot', 'Attachment'].map((kind) => ({
    title: `${kind}s by reason`,
    expr: `max by (ready, reason) (vbs_objects{kind="${kind}"})`,
    legend: '{{reason}}',
    stacked: true,
  })),
  {
    title: 'Longest wait',
    expr: 'max by (kind, reason) (vbs_oldest_wait_seconds)',
    legend: '{{kind}} {{reason}}',
    unit: 's',
    description:
      'Objects that are not Ready, not as large as wanted or not cut off: the oldest of each kind and reason.',
  },
  {
    title: 'Until Ready (95 of 100)',
    expr: 'histogram_quantile(0.95, sum by (kind, le) (rate(vbs_operation_duration_seconds_bucket{result="ready"}[$__rate_interval])))',
    legend: '{{kind}}',
    unit: 's',
  },
  {
    title: 'Until removed (95 of 100)',
    expr: 'histogram_quantile(0.95, sum by (kind, le) (rate(vbs_operation_duration_seconds_bucket{result="removed"}[$__rate_interval])))',
    legend: '{{kind}}',
    unit: 's',
  },
  {
    title: 'Operations in a minute',
    expr: 'sum by (kind, result) (rate(vbs_operation_duration_seconds_count[$__rate_interval])) * 60',
    legend: '{{kind}} {{result}}',
  },
];

const STORAGE: readonly Graph[] = [
  {
    title: 'Free in each pool',
    expr: 'max by (host, pool) (vbs_server_pool_bytes{kind="free"}) / max by (host, pool) (vbs_server_pool_bytes{kind="total"})',
    legend: '{{host}} {{pool}}',
    unit: 'percentunit',
  },
  {
    title: 'Data without a living object',
    expr: 'max by (host, kind) (vbs_server_kept)',
    legend: '{{host}} {{kind}}',
    description: 'Retained (with the trash), orphaned, and being wiped.',
  },
  {
    title: 'Hosts by condition',
    expr: 'max by (kind, host, condition, status, reason) (vbs_host_condition{status!="True"})',
    legend: '{{host}} {{condition}} {{reason}}',
    description: 'Only what is not True.',
  },
];

const CONTROLLER: readonly Graph[] = [
  {
    title: 'Wait in the queue (99 of 100)',
    expr: 'histogram_quantile(0.99, sum by (controller, le) (rate(vbs_queue_wait_seconds_bucket[$__rate_interval])))',
    legend: '{{controller}}',
    unit: 's',
  },
  {
    title: 'Visits a second by result',
    expr: 'sum by (controller, result) (rate(vbs_reconcile_total[$__rate_interval]))',
    legend: '{{controller}} {{result}}',
  },
  {
    title: 'Writes to the API server a second',
    expr: 'sum by (verb, resource) (rate(vbs_api_requests_total{verb=~"create|patch|delete"}[$__rate_interval]))',
    legend: '{{verb}} {{resource}}',
  },
  {
    title: 'Requests that fail, a second',
    expr: 'sum by (verb, resource, code) (rate(vbs_api_requests_total{code!~"2..|404|409"}[$__rate_interval]))',
    legend: '{{verb}} {{resource}} {{code}}',
  },
  {
    title: 'Answer of the API server (99 of 100)',
    expr: 'histogram_quantile(0.99, sum by (verb, le) (rate(vbs_api_request_duration_seconds_bucket{verb!="watch"}[$__rate_interval])))',
    legend: '{{verb}}',
    unit: 's',
  },
  {
    title: 'Silence of the watches',
    expr: 'max by (resource) (vbs_reflector_last_event_age_seconds)',
    legend: '{{resource}}',
    unit: 's',
  },
];

const AGENTS: readonly Graph[] = [
  {
    title: 'Commands (90 of 100)',
    expr: 'histogram_quantile(0.9, sum by (instance, tool, verb, le) (rate(vbs_command_duration_seconds_bucket[$__rate_interval])))',
    legend: '{{instance}} {{tool}} {{verb}}',
    unit: 's',
  },
  {
    title: 'Commands that fail, a minute',
    expr: 'sum by (instance, tool, verb, outcome) (rate(vbs_command_duration_seconds_count{outcome=~"failed|denied"}[$__rate_interval])) * 60',
    legend: '{{instance}} {{tool}} {{verb}} {{outcome}}',
  },
  {
    title: 'Commands a second',
    expr: 'sum by (instance, tool) (rate(vbs_command_duration_seconds_count[$__rate_interval]))',
    legend: '{{instance}} {{tool}}',
  },
];

const ROWS: readonly { readonly title: string; readonly graphs: readonly Graph[] }[] = [
  { title: 'Objects', graphs: OBJECTS },
  { title: 'Storage and hosts', graphs: STORAGE },
  { title: 'Controller', graphs: CONTROLLER },
  { title: 'Agents (where a node exporter reads their metricsFile)', graphs: AGENTS },
];

const query = ({ expr, legend }: { readonly expr: string; readonly legend?: string }) =>
  new DataqueryBuilder().expr(expr).legendFormat(legend ?? '');

function thresholds({ redFrom, redBelow }: Stat): ThresholdsConfigBuilder {
  const steps =
    redBelow === undefined
      ? [
          { value: null, color: 'green' },
          ...(redFrom === undefined ? [] : [{ value: redFrom, color: 'red' }]),
        ]
      : [
          { value: null, color: 'red' },
          { value: redBelow, color: 'green' },
        ];
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps);
}

const statPanel = (stat: Stat): StatBuilder =>
  new StatBuilder()
    .title(stat.title)
    .description(stat.description ?? '')
    .datasource(DATASOURCE)
    .unit(stat.unit ?? 'short')
    .thresholds(thresholds(stat))
    .colorMode(common.BigValueColorMode.Value)
    .graphMode(common.BigValueGraphMode.Area)
    .height(4)
    .span(STAT_WIDTH)
    .withTarget(query(stat));

function graphPanel(graph: Graph): TimeseriesBuilder {
  const panel = new TimeseriesBuilder()
    .title(graph.title)
    .description(graph.description ?? '')
    .datasource(DATASOURCE)
    .unit(graph.unit ?? 'short')
    .min(0)
    .lineWidth(1)
    .fillOpacity(graph.stacked === true ? 30 : 0)
    .height(8)
    .span(GRAPH_WIDTH)
    .withTarget(query(graph));
  return graph.stacked === true
    ? panel.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal))
    : panel;
}

/** The same bytes for the same definitions above. */
export function dashboard(): string {
  const builder = new DashboardBuilder('Virtual Block Store')
    .uid('vbs')
    .tags(['vbs'])
    .refresh('30s')
    .time({ from: 'now-3h', to: 'now' })
    .timezone('browser')
    .withVariable(new DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'))
    .withRow(new RowBuilder('Now'));
  for (const stat of NOW) {
    builder.withPanel(statPanel(stat));
  }
  for (const { title, graphs } of ROWS) {
    builder.withRow(new RowBuilder(title));
    for (const graph of graphs) {
      builder.withPanel(graphPanel(graph));
    }
  }
  return `${JSON.stringify(builder.build(), undefined, 2)}\n`;
}
