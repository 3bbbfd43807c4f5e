// Everything that can happen next in a state: the actors' steps, late watches, users, and faults within their budgets.
import type { Attachment } from '../../api/attachment.ts';
import type { Snapshot, Volume } from '../../api/volume.ts';
import { controllerMoves } from './controller-moves.ts';
import { anAttachment, aSnapshot, aVolume, initiators } from './fixtures.ts';
import { hostMoves } from './host-moves.ts';
import type { Rules } from './rules.ts';
import { serverMoves } from './server-moves.ts';
import {
  attachmentAt,
  replaced,
  type State,
  snapshotAt,
  spell,
  targetOf,
  type View,
  vmOf,
  volumeAt,
  writeAttachment,
  writeSnapshot,
  writeVolume,
} from './state.ts';

export interface Move {
  readonly name: string;
  readonly next: State;
  /** Not needed for progress: users and faults. */
  readonly fault?: boolean;
}

export function movesOf(state: State, rules: Rules): Move[] {
  return [
    ...controllerMoves(state, rules),
    ...serverMoves(state, rules),
    ...hostMoves(state, rules, 0),
    ...hostMoves(state, rules, 1),
    ...deliveries(state),
    ...leaseMoves(state),
    ...userMoves(state),
    ...snapshotMovesOfUsers(state),
    ...faultMoves(state),
  ];
}

/** A watch catches up. Volumes and Attachments come by watches of their own. */
function deliveries(state: State): Move[] {
  const moves: Move[] = [];
  const late = (views: readonly View[]) => views.some((view) => view !== '=');
  for (const actor of ['controller', 'server'] as const) {
    const [volume, first, second] = state[actor];
    if (volume !== '=') {
      moves.push({ name: `${actor} sees the volume`, next: { ...state, [actor]: ['=', first, second] } });
    }
    if (late([first, second])) {
      moves.push({ name: `${actor} sees the attachments`, next: { ...state, [actor]: [volume, '=', '='] } });
    }
  }
  const [byController, byServer] = state.snapshotViews;
  if (byController !== '=') {
    moves.push({ name: 'controller sees the snapshot', next: { ...state, snapshotViews: ['=', byServer] } });
  }
  if (byServer !== '=') {
    moves.push({ name: 'server sees the snapshot', next: { ...state, snapshotViews: [byController, '='] } });
  }
  for (const host of [0, 1] as const) {
    if (late(state.hosts[host]) && state.awake[host]) {
      moves.push({
        name: `H${host} sees the attachments`,
        next: { ...state, hosts: replaced(state.hosts, host, ['=', '=']) },
      });
    }
  }
  return moves;
}

/** The controller notices in its own time whether a host is heard. */
function leaseMoves(state: State): Move[] {
  return ([0, 1] as const)
    .filter((host) => state.stale[host] === state.awake[host])
    .map((host) => ({
      name: `C notices that H${host} is ${state.awake[host] ? 'back' : 'silent'}`,
      next: { ...state, stale: replaced(state.stale, host, !state.awake[host]) },
    }));
}

const spend = (state: State, what: string): State => ({
  ...state,
  todo: { ...state.todo, [what]: (state.todo[what] ?? 0) - 1 },
});

const may = (state: State, what: string): boolean => (state.todo[what] ?? 0) > 0;

/** With a finalizer an object stays and is marked; without one it is gone. */
const deleted = (object: Volume | Snapshot | Attachment): string =>
  (object.metadata.finalizers?.length ?? 0) === 0
    ? ''
    : spell({ ...object, metadata: { ...object.metadata, deletionTimestamp: 'T' } });

function snapshotMovesOfUsers(state: State): Move[] {
  const snapshot = snapshotAt(state);
  const write = (what: string, next: string): Move => ({
    name: `user: ${what}`,
    fault: true,
    next: spend(writeSnapshot(state, 'user', next), what),
  });
  if (may(state, 'create snapshot')) {
    return [write('create snapshot', spell(aSnapshot))];
  }
  const stays = snapshot !== undefined && snapshot.metadata.deletionTimestamp === undefined;
  return may(state, 'delete snapshot') && stays ? [write('delete snapshot', deleted(snapshot))] : [];
}

function userMoves(state: State): Move[] {
  const moves: Move[] = [];
  const add = (what: string, next: State) =>
    moves.push({ name: `user: ${what}`, fault: true, next: spend(next, what) });
  if (may(state, 'create volume')) {
    add('create volume', writeVolume(state, 'user', spell(aVolume)));
  }
  const volume = volumeAt(state);
  if (may(state, 'delete volume') && volume !== undefined) {
    add('delete volume', writeVolume(state, 'user', deleted(volume)));
  }
  for (const index of [0, 1] as const) {
    if (may(state, `create ${index}`)) {
      add(`create ${index}`, writeAttachment(state, 'user', index, spell(anAttachment(index))));
    }
    const attachment = attachmentAt(state, index);
    if (
      may(state, `delete ${index}`) &&
      attachment !== undefined &&
      attachment.metadata.deletionTimestamp === undefined
    ) {
      add(`delete ${index}`, writeAttachment(state, 'user', index, deleted(attachment)));
    }
    if (
      may(state, `fence-delete ${index}`) &&
      attachment !== undefined &&
      attachment.metadata.deletionTimestamp === undefined
    ) {
      const fencing = { ...attachment, spec: { ...attachment.spec, detachPolicy: 'Fence' as const } };
      add(`fence-delete ${index}`, writeAttachment(state, 'user', index, deleted(fencing)));
    }
    if (may(state, `fence ${index}`)) {
      add(`fence ${index}`, { ...state, fenced: replaced(state.fenced, index, true) });
    }
  }
  return moves;
}

const LATEST: readonly [View, View, View] = ['=', '=', '='];

function faultMoves(state: State): Move[] {
  const moves: Move[] = [];
  const add = (what: string, budget: string, next: State) =>
    moves.push({ name: `fault: ${what}`, fault: true, next: spend(next, budget) });
  if (may(state, 'crash')) {
    // A process that starts again lists everything anew; what it had decided is forgotten.
    const [cn, sn] = state.snapshotViews;
    add('C crashes', 'crash', { ...state, controller: LATEST, snapshotViews: ['=', sn] });
    add('S crashes', 'crash', { ...state, server: LATEST, serverPending: '', snapshotViews: [cn, '='] });
    for (const host of [0, 1] as const) {
      add(`H${host} crashes`, 'crash', {
        ...state,
        hosts: replaced(state.hosts, host, ['=', '=']),
        hostPending: replaced(state.hostPending, host, ''),
      });
    }
  }
  if (may(state, 'reboot server')) {
    add('S reboots', 'reboot server', {
      ...state,
      server: LATEST,
      serverPending: '',
      snapshotViews: [state.snapshotViews[0], '='],
      target: '',
      serverBoot: state.serverBoot + 1,
    });
  }
  for (const host of [0, 1] as const) {
    if (may(state, `reboot ${host}`)) {
      add(`H${host} reboots`, `reboot ${host}`, rebootHost(state, host));
    }
    if (may(state, `restart vm ${host}`)) {
      add(`VM ${host} is restarted`, `restart vm ${host}`, restartVm(state, host));
    }
    if (may(state, `silence ${host}`) && state.awake[host]) {
      add(`H${host} falls silent`, `silence ${host}`, {
        ...state,
        awake: replaced(state.awake, host, false),
      });
    }
    if (may(state, `wake ${host}`) && !state.awake[host]) {
      add(`H${host} is back`, `wake ${host}`, { ...state, awake: replaced(state.awake, host, true) });
    }
  }
  return moves;
}

/** It starts without disks: they are never in its saved configuration. */
function restartVm(state: State, host: 0 | 1): State {
  const target = targetOf(state);
  const { disk } = vmOf(state, host);
  const mine = `${initiators[host]}#${disk?.epoch}`;
  const sessions = target?.sessions.filter((entry) => entry !== mine) ?? [];
  return {
    ...state,
    vms: replaced(state.vms, host, spell({ running: true })),
    target: target === undefined ? '' : spell({ ...target, sessions }),
  };
}

function rebootHost(state: State, host: 0 | 1): State {
  return {
    ...restartVm(state, host),
    hosts: replaced(state.hosts, host, ['=', '=']),
    hostPending: replaced(state.hostPending, host, ''),
    awake: replaced(state.awake, host, true),
    hostBoot: replaced(state.hostBoot, host, state.hostBoot[host] + 1),
  };
}
