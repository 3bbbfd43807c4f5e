// The page of condition types and reasons, from the table that the programs themselves use.
import { CONDITIONS, EVENTS_ONLY, REASONS, type ReasonInfo } from '../../api/reasons.ts';

const WHO = { C: 'controller', S: 'volume server', H: 'hypervisor' } as const;

const cell = (text: string): string => text.replaceAll('|', '\\|');
const row = (...cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
const code = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(' ');

/** As `controller/report.ts` tells it: an event when Ready's reason changes, unless a step is only under way. */
function eventOf({ waits, passesMs, remedy }: ReasonInfo): string {
  if (passesMs !== undefined) {
    return '';
  }
  return waits === true || remedy === 'nothing' ? 'Normal' : 'Warning';
}

const reasonRow = ([name, info]: readonly [string, ReasonInfo]): string =>
  row(
    `\`${name}\``,
    code(info.on),
    info.by.map((who) => WHO[who]).join(', '),
    info.stalls === true ? 'yes' : '',
    eventOf(info),
    info.meaning,
    info.remedy,
  );

export function conditionsPage(): string {
  return [
    '<!-- generated from api/reasons.ts by scripts/generate.ts, do not edit -->',
    '# Conditions, reasons and events',
    '',
    'Conditions say how an object stands: `kubectl describe` shows them, `kubectl wait --for=condition=Ready` waits for one. Types and',
    'reasons are public API: programs may branch on them. Messages are for people and may change. Only the controller writes',
    'conditions; what a host has seen (`problem` in its own block) stands in them with the reason that the host gave.',
    '',
    'A condition is True only on what its host saw in its present boot; while a host is silent, it is Unknown.',
    '',
    '## Types',
    '',
    row('type', 'kinds', 'True means'),
    row('---', '---', '---'),
    ...Object.entries(CONDITIONS).map(([type, { kinds, meaning }]) =>
      row(`\`${type}\``, kinds.join(', '), meaning),
    ),
    '',
    '## Reasons',
    '',
    '`Ready`, `Reconciling` and `Stalled` also carry the reason of the first stage that is not True. *stalls*: nothing goes on before a',
    'person changes something; everything else goes on by itself when its cause is gone. *event*: the type of the event with the same',
    "reason that is recorded when it becomes Ready's; none for steps that pass.",
    '',
    row('reason', 'on', 'said by', 'stalls', 'event', 'meaning', 'what to do'),
    row('---', '---', '---', '---', '---', '---', '---'),
    ...Object.entries(REASONS)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(reasonRow),
    '',
    '## Events that are no condition',
    '',
    row('reason', 'on', 'type', 'meaning', 'what to do'),
    row('---', '---', '---', '---', '---'),
    ...Object.entries(EVENTS_ONLY).map(([name, { meaning, remedy }]) =>
      row(`\`${name}\``, "the host's Lease", 'Warning', meaning, remedy),
    ),
    '',
  ].join('\n');
}
