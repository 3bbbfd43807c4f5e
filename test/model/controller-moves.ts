// What the controller may do next: the real plans, on its own copies, written by compare-and-swap.
import type { Attachment } from '../../api/attachment.ts';
import { volumeIDFor } from '../../api/ids.ts';
import { FINALIZER } from '../../api/names.ts';
import { grantsOf, isEnding, pinsOf, type Snapshot, type Volume } from '../../api/volume.ts';
import { hypervisorViews, serverViews, someClass } from './fixtures.ts';
import type { Move } from './moves.ts';
import type { Rules } from './rules.ts';
import {
  attachmentAt,
  read,
  type State,
  snapshotAt,
  spell,
  volumeAt,
  writeAttachment,
  writeSnapshot,
  writeVolume,
} from './state.ts';

const withFinalizer = <T extends Volume | Snapshot | Attachment>(object: T): T => ({
  ...object,
  metadata: { ...object.metadata, finalizers: [FINALIZER] },
});

/** An object without finalizers that is being deleted is gone. */
const withoutFinalizer = (object: Volume | Snapshot | Attachment): string =>
  object.metadata.deletionTimestamp === undefined
    ? spell({ ...object, metadata: { ...object.metadata, finalizers: [] } })
    : '';

export function controllerMoves(state: State, rules: Rules): Move[] {
  return [
    ...volumeMoves(state, rules),
    ...attachmentMoves(state, rules, 0),
    ...attachmentMoves(state, rules, 1),
    ...snapshotMoves(state, rules),
    ...ghostMoves(state),
  ];
}

function cachedAttachments(state: State): Attachment[] {
  return ([0, 1] as const).flatMap(
    (index) => attachmentAt(state, index, state.controller[index === 0 ? 1 : 2]) ?? [],
  );
}

function volumeMoves(state: State, rules: Rules): Move[] {
  const volume = volumeAt(state, state.controller[0]);
  if (volume === undefined) {
    return [];
  }
  const alive = ([0, 1] as const).flatMap((index) => attachmentAt(state, index)?.metadata.uid ?? []);
  const cached = cachedAttachments(state);
  const named = grantsOf(volume).flatMap(({ attachments }) => attachments);
  const missing = named.filter((uid) => !cached.some(({ metadata }) => metadata.uid === uid));
  const copies = listOf(snapshotAt(state, state.snapshotViews[0]));
  const world = {
    volume,
    attachments: cached,
    goneAttachments: new Set(missing.filter((uid) => !alive.includes(uid))),
    classes: [someClass],
    servers: serverViews,
    hypervisors: hypervisorViews(state),
    freshnessOf: () => 'unknown' as const,
    reservedBytes: () => 0n,
    holderOf: () => undefined,
    source: undefined,
    copies,
    goneCopies: goneCopies(state, volume, copies),
    lost: false,
    mayPlace: () => true,
    can: ['SnapshotsOutlive'],
    volumeID: volumeIDFor(volume.metadata.uid),
  };
  const first = rules.planVolume(world);
  // A removal is decided on a live list of what is copied from it.
  const isLast = first.kind === 'write' && isEnding(first.change.order);
  const plan = isLast ? rules.planVolume({ ...world, copies: listOf(snapshotAt(state)) }) : first;
  const fresh = state.controller[0] === '=';
  if (plan.kind === 'settled') {
    return [];
  }
  if (plan.kind !== 'write') {
    const next = plan.kind === 'add-finalizer' ? spell(withFinalizer(volume)) : withoutFinalizer(volume);
    return fresh
      ? [{ name: `C ${plan.kind} of the volume`, next: writeVolume(state, 'controller', next) }]
      : [];
  }
  const next = spell({ ...volume, status: { ...volume.status, ...plan.change } });
  const moves: Move[] = fresh
    ? [{ name: `C volume: ${plan.why}`, next: writeVolume(state, 'controller', next) }]
    : [];
  if ((state.todo.depose ?? 0) > 0) {
    const basis = state.controller[0] === '=' ? state.volume : state.controller[0];
    moves.push({
      name: `a controller is deposed while it writes (${plan.why})`,
      fault: true,
      next: {
        ...state,
        ghost: spell({ basis, next }),
        controller: ['=', '=', '='],
        todo: { ...state.todo, depose: 0 },
      },
    });
  }
  return moves;
}

const listOf = (snapshot: Snapshot | undefined): Snapshot[] => (snapshot === undefined ? [] : [snapshot]);

/** Named in a pin, not cached, and proved to be gone. */
function goneCopies(state: State, volume: Volume, copies: readonly Snapshot[]): ReadonlySet<string> {
  const alive = [...copies, ...listOf(snapshotAt(state))].map(({ metadata }) => metadata.uid);
  return new Set(
    pinsOf(volume)
      .map(({ uid }) => uid)
      .filter((uid) => !alive.includes(uid)),
  );
}

function snapshotMoves(state: State, rules: Rules): Move[] {
  const view = state.snapshotViews[0];
  const snapshot = snapshotAt(state, view);
  if (snapshot === undefined) {
    return [];
  }
  const plan = rules.planSnapshot({
    snapshot,
    volume: volumeAt(state, state.controller[0]),
    snapshotID: 'snap',
    servers: serverViews,
    copies: [],
    goneCopies: new Set(),
    lost: false,
    mayPlace: () => true,
    can: ['SnapshotsOutlive'],
  });
  if (plan.kind === 'settled' || view !== '=') {
    return [];
  }
  const write = (name: string, next: string): Move[] => [
    { name: `C snapshot: ${name}`, next: writeSnapshot(state, 'controller', next) },
  ];
  switch (plan.kind) {
    case 'add-finalizer':
      return write(plan.kind, spell(withFinalizer(snapshot)));
    case 'remove-finalizer':
      return write(plan.kind, withoutFinalizer(snapshot));
    case 'write':
      return write(plan.why, spell({ ...snapshot, status: { ...snapshot.status, ...plan.change } }));
  }
}

function ghostMoves(state: State): Move[] {
  const ghost = read<{ basis: string; next: string }>(state.ghost);
  if (ghost === undefined) {
    return [];
  }
  const landed = ghost.basis === state.volume ? writeVolume(state, 'user', ghost.next) : state;
  return [{ name: 'the deposed controller’s write arrives', next: { ...landed, ghost: '' } }];
}

function attachmentMoves(state: State, rules: Rules, index: 0 | 1): Move[] {
  const view = state.controller[index === 0 ? 1 : 2];
  const attachment = attachmentAt(state, index, view);
  if (attachment === undefined) {
    return [];
  }
  const plan = rules.planAttachment({
    attachment,
    volume: volumeAt(state, state.controller[0]),
    hypervisors: hypervisorViews(state),
    lost: false,
  });
  if (plan.kind === 'settled' || view !== '=') {
    return [];
  }
  const name = `C attachment ${index}: ${plan.kind === 'write' ? plan.why : plan.kind}`;
  if (plan.kind === 'add-finalizer') {
    return [{ name, next: writeAttachment(state, 'controller', index, spell(withFinalizer(attachment))) }];
  }
  if (plan.kind === 'remove-finalizer') {
    // The live GET of the Volume comes before the write.
    return rules.mayForget({ attachment, volume: volumeAt(state), lost: false })
      ? [{ name, next: writeAttachment(state, 'controller', index, withoutFinalizer(attachment)) }]
      : [];
  }
  const next = spell({ ...attachment, status: { ...attachment.status, ...plan.change } });
  return [{ name, next: writeAttachment(state, 'controller', index, next) }];
}
