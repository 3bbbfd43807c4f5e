// The table of docs/gitops.md that tells what GitOps tools make of our objects: which of its rows fits an object, and whether it is so.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import * as assert from 'uvu/assert';
import { findCondition, isTrue } from '../../api/conditions.ts';
import type { Judge } from './health.ts';
import type { Thing } from './story.ts';

const PAGE = path.resolve(import.meta.dirname, '../../docs/gitops.md');
const COLUMNS = 5;

interface Row {
  readonly kinds: readonly string[];
  /** What the object says, as the page words it. */
  readonly what: string;
  /** The same without the reasons that it names. */
  readonly says: string;
  readonly reasons: readonly string[];
  readonly kstatus: string;
  readonly flux: string;
  readonly argoCD: string;
}

const conditionsOf = ({ status }: Thing) => status?.conditions;
const reasonOf = (object: Thing, type: string) => findCondition(conditionsOf(object), type)?.reason ?? '';
const isReady = (object: Thing) => isTrue(conditionsOf(object), 'Ready');
const isReconciling = (object: Thing) => isTrue(conditionsOf(object), 'Reconciling');

/** By what the page says, up to the reasons that it names. */
const FITS: Readonly<Record<string, (object: Thing, reasons: readonly string[]) => boolean>> = {
  'it is being deleted': ({ metadata }) => metadata.deletionTimestamp !== undefined,
  'nobody has looked at it since it was made or changed': ({ metadata, status }) =>
    status?.observedGeneration !== metadata.generation,
  '`Stalled` is True': (object) => isTrue(conditionsOf(object), 'Stalled'),
  '`Reconciling` is True': (object, reasons) =>
    isReconciling(object) && reasons.includes(reasonOf(object, 'Reconciling')),
  '`Reconciling` is True, with any other reason': isReconciling,
  '`Ready` is True': isReady,
  '`Ready` is not True': (object, reasons) => !isReady(object) && reasons.includes(reasonOf(object, 'Ready')),
  '`Ready` is not True, with any other reason': (object) => !isReady(object),
  'it is cordoned or fenced': ({ spec }) => spec?.cordoned === true || spec?.fenced === true,
  'it exists': () => true,
};

/** Throws when the page has no such table, or says what this file does not know. */
async function readTable(): Promise<readonly Row[]> {
  const lines = (await readFile(PAGE, 'utf8')).split('\n');
  const head = lines.findIndex((line) => line.startsWith('| kind |'));
  const end = lines.findIndex((line, index) => index > head && !line.startsWith('|'));
  const rows = lines.slice(head + 2, end).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  if (head === -1 || rows.some((cells) => cells.length !== COLUMNS)) {
    throw new Error('docs/gitops.md: where is the table of health?');
  }
  return rows.map((cells) => rowOf(cells));
}

function rowOf([kinds = '', what = '', kstatus = '', flux = '', argoCD = '']: readonly string[]): Row {
  const [says = '', named = ''] = what.split(': ');
  if (FITS[says] === undefined) {
    throw new Error(`docs/gitops.md says of ${kinds} "${says}": what is that?`);
  }
  const reasons = [...named.matchAll(/`(\w+)`/g)].map(([, reason = '']) => reason);
  return { kinds: kinds.split(', '), what, says, reasons, kstatus, flux, argoCD };
}

/** The first row that fits. */
function rowFor(table: readonly Row[], object: Thing): Row {
  const row = table.find(
    ({ kinds, says, reasons }) => kinds.includes(object.kind) && FITS[says]?.(object, reasons) === true,
  );
  if (row === undefined) {
    throw new Error(`docs/gitops.md has no row for ${JSON.stringify(object)}`);
  }
  return row;
}

/** Throws for the first object of which the page says something else than the tools; else how many objects of each kind fit each row. */
export async function asThePageSays(
  judge: Judge,
  objects: readonly Thing[],
): Promise<ReadonlyMap<string, number>> {
  const [table, verdicts] = [await readTable(), await judge(objects)];
  const counts = new Map<string, number>();
  for (const [index, object] of objects.entries()) {
    const row = rowFor(table, object);
    const { kstatus, argoCD, flux } = verdicts[index] ?? {};
    const told = `${row.what}: ${JSON.stringify(object)}`;
    // Without expressions for the kind, Flux goes by kstatus.
    const byFlux = object.kind === 'Attachment' ? row.flux : row.kstatus;
    assert.equal([kstatus, argoCD?.status, flux], [row.kstatus, row.argoCD, byFlux], told);
    const key = `${object.kind}: ${row.what}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}
